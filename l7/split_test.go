package l7

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/weirtest"
)

const (
	splitRequests = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n" +
		"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	splitResponse = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"3;x\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 2\r\n\r\n"
)

// pieces is a text cut at some places.
type pieces []string

// send sends piece by piece, each when the server has had its turn with the one before.
func (p pieces) send(c net.Conn, s *Server) error {
	for _, piece := range p {
		if _, err := io.WriteString(c, piece); err != nil {
			return err
		}
		s.each(func(*worker) {})
	}
	return nil
}

func each(n int, text string) (p pieces) {
	for len(text) > n {
		p, text = append(p, text[:n]), text[n:]
	}
	return append(p, text)
}

// splitBed has a server that answers each request, when all of it is there, with splitResponse in pieces.
func splitBed(t *testing.T) (*bed, *origin, *atomic.Pointer[pieces]) {
	t.Helper()
	var response atomic.Pointer[pieces]
	var server atomic.Pointer[Server]
	o := newOrigin(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if response.Load().send(c, server.Load()) != nil {
				return
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	server.Store(b.server)
	return b, o, &response
}

// However a request and its response are cut into segments, both sides get the same.
func TestEverySplit(t *testing.T) {
	b, o, response := splitBed(t)
	response.Store(&pieces{splitResponse})
	want := b.exchange(splitRequests)
	if n := strings.Count(want, "X-Sum: 2\r\n\r\n"); n != 3 {
		t.Fatalf("%d answers: %q", n, want)
	}
	whole := strings.Join(o.all(), "")
	check := func(t interface {
		Fatalf(string, ...any)
	}, request, back pieces) {
		response.Store(&back)
		before := len(strings.Join(o.all(), ""))
		c := b.dial()
		defer c.Close()
		if err := request.send(c, b.server); err != nil {
			t.Fatalf("send: %v", err)
		}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != want {
			t.Fatalf("%v: got %q, want %q", err, got, want)
		}
		if sent := strings.Join(o.all(), "")[before:]; sent != whole {
			t.Fatalf("the server got %q, want %q", sent, whole)
		}
	}
	check(t, each(1, splitRequests), each(1, splitResponse))
	for i := range splitRequests {
		check(t, pieces{splitRequests[:i], splitRequests[i:]}, pieces{splitResponse})
	}
	for i := range splitResponse {
		check(t, pieces{splitRequests}, pieces{splitResponse[:i], splitResponse[i:]})
	}
	rapid.Check(t, func(t *rapid.T) { check(t, cuts(t, splitRequests), cuts(t, splitResponse)) })
}

// cuts draws places at which a text is cut.
func cuts(t *rapid.T, text string) (p pieces) {
	for len(text) > 0 {
		n := rapid.IntRange(1, len(text)).Draw(t, "piece")
		p, text = append(p, text[:n]), text[n:]
	}
	return p
}

// Large bodies in odd pieces, so that reads end in the middle of everything.
func TestSplitBulk(t *testing.T) {
	const size = 700_000
	data := string(pattern(size))
	var chunks strings.Builder
	for i, rest := 1, data; len(rest) > 0; i++ {
		n := min(i*997%70_000+1, len(rest))
		chunks.WriteString(chunk(rest[:n]))
		rest = rest[n:]
	}
	chunks.WriteString("0\r\n\r\n")
	o := weirtest.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if n, err := io.Copy(io.Discard, req.Body); n != size || err != nil {
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks.String()); err != nil {
				return
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	c := b.dial()
	r := bufio.NewReader(c)
	for _, n := range []int{997, 4096, 65_536, 200_001} {
		sent := make(chan error, 1)
		go func() {
			sent <- each(n, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks.String()).send(c, b.server)
		}()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != data {
			t.Fatalf("pieces of %d: %d bytes, %v", n, len(got), err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}
