package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"testing"

	"github.com/weirlb/weir/l7/head"
)

// maxFuzz keeps cutting at every place quick.
const maxFuzz = 1 << 10

var requestSeeds = []string{
	typicalRequest,
	"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n4;a=\"b\"\r\nbody\r\n0\r\nX: y\r\n\r\n",
	"GET http://a:80/b?c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade, x\r\nUpgrade: websocket\r\nX: 1\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length:\t4 \r\n\r\nbody",
	"CONNECT a:1 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n x\r\n\r\n",
}

var responseSeeds = []string{
	typicalResponse,
	"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	"HTTP/1.0 404 Not Found\r\n\r\nbody", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
}

func FuzzRequest(f *testing.F) {
	for _, seed := range requestSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > maxFuzz {
			return
		}
		if o := readAll(t, Parser{}, "", in); o.Err == "" && (o.Head <= 0 || o.Total > len(in)) {
			t.Fatalf("%d bytes of head, %d in all, of %d", o.Head, o.Total, len(in))
		}
		forwarded(t, []byte(in))
	})
}

func FuzzResponse(f *testing.F) {
	for _, seed := range responseSeeds {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, in string, toHEAD bool) {
		if len(in) > maxFuzz {
			return
		}
		method := "GET"
		if toHEAD {
			method = "HEAD"
		}
		o := readAll(t, Parser{}, method, in)
		if o.Err == "" && (o.Head <= 0 || o.Total > len(in)) {
			t.Fatalf("%d bytes of head, %d in all, of %d", o.Head, o.Total, len(in))
		}
		if o.Err == "" && toHEAD && o.Body != "" {
			t.Fatalf("a body of %q for HEAD", o.Body)
		}
	})
}

// FuzzChunked holds the scanner to net/http's reader of chunks, and to itself
// however the input is cut.
func FuzzChunked(f *testing.F) {
	for _, seed := range []string{
		"0\r\n\r\n", "4\r\nbody\r\n0\r\n\r\n", "4;a=\"b\\\"c\";d\r\nbody\r\n00\r\nX: y\r\nZ:\r\n\r\n", "4 \r\nbody\r\n0\r\n\r\n",
		"fffffffffffffffff\r\n", "4\nbody\n0\n\n", "1\r\nx\r\n1\r\ny\r\n0\r\nHost: a\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > maxFuzz {
			return
		}
		o := readAll(t, Parser{}, "", chunkedRequest(in))
		theirs, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(bytes.NewReader([]byte(in)))))
		if o.Err == "" && (err != nil || string(theirs) != o.Body) {
			t.Fatalf("%q here; %q, %v there", o.Body, theirs, err)
		}
		var body Body
		body.Begin(head.Framing{Kind: head.Chunked})
		if n, err := body.Scan([]byte(in)); n > len(in) || body.Done() != (o.Err == "") || err == nil && n < len(in) && !body.Done() {
			t.Fatalf("%d of %d bytes, %v, done %v", n, len(in), err, body.Done())
		}
	})
}

func FuzzDifferential(f *testing.F) {
	for _, seed := range requestSeeds {
		f.Add([]byte(seed), false, false)
	}
	for _, c := range strictRequests() {
		f.Add([]byte(c.in), false, false)
	}
	for _, c := range strictResponses() {
		f.Add([]byte(c.in), true, false)
	}
	for _, seed := range responseSeeds {
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), true, true)
	}
	f.Fuzz(func(t *testing.T, in []byte, response, toHEAD bool) {
		switch {
		case !response:
			likeNetHTTP(t, in)
		case toHEAD:
			likeNetHTTPResponse(t, "HEAD", in)
		default:
			likeNetHTTPResponse(t, "GET", in)
		}
	})
}
