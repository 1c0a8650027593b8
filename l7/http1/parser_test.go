package http1

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/l7/head"
)

func TestRequests(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	none := head.Framing{}
	for _, tt := range []struct {
		name, in string
		want     outcome // Head, Start and Written are looked at where they are given
	}{
		{"keep-alive by default", get + "\r\n", outcome{Host: "a", Version: "HTTP/1.1", Framing: none, KeepAlive: true}},
		{"close", get + "Connection: Close\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", Framing: none}},
		{"keep-alive asked for", get + "Connection: Keep-Alive\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"close wins", get + "Connection: keep-alive\r\nConnection: x, close\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1"}},
		{"Proxy-Connection says nothing", get + "Proxy-Connection: close\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"1.0", "GET / HTTP/1.0\r\n\r\n", outcome{Version: "HTTP/1.0"}},
		{"1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", outcome{Version: "HTTP/1.0", KeepAlive: true}},
		{"1.0 with both", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", outcome{Version: "HTTP/1.0"}},
		{"length", get + "Content-Length: 5\r\n\r\nhello world",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Framing: head.Framing{Kind: head.Length, Length: 5}, Body: "hello"}},
		{"length of nothing", get + "Content-Length: 0\r\n\r\nhello",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Framing: head.Framing{Kind: head.Length}}},
		{"chunks", get + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n more",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Framing: head.Framing{Kind: head.Chunked}, Body: "hello", Trailer: "\r\n"}},
		{"expectation", get + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Expect: true, Framing: head.Framing{Kind: head.Length, Length: 1}, Body: "x",
				Written: get + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"}},
		{"expectation of nothing", get + "Expect: 100-continue\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Written: get + "\r\n"}},
		{"expectation in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
			outcome{Host: "a", Version: "HTTP/1.0", Framing: head.Framing{Kind: head.Length, Length: 1}, Body: "x",
				Written: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"}},
		{"upgrade", get + "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Upgrade: "WebSocket"}},
		{"upgrade to a choice", get + "Connection: Upgrade\r\nUpgrade: foo/2, bar\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Upgrade: "foo/2, bar"}},
		{"upgrade without option", get + "Upgrade: websocket\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"option without upgrade", get + "Connection: Upgrade\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade to HTTP/2", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade to HTTP/2 among others", get + "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade to HTTP/2 by its name", get + "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade to nothing", get + "Connection: Upgrade\r\nUpgrade: \r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade twice", get + "Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true}},
		{"upgrade in 1.0", "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", outcome{Version: "HTTP/1.0"}},
		{"upgrade with a body", get + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
			outcome{Host: "a", Version: "HTTP/1.1", KeepAlive: true, Framing: head.Framing{Kind: head.Length, Length: 1}, Body: "x"}},
		{"absolute target", "GET http://a:80/b?c HTTP/1.1\r\nHost: A\r\n\r\n",
			outcome{Start: "GET /b?c", Host: "a:80", Version: "HTTP/1.1", KeepAlive: true, Written: "GET /b?c HTTP/1.1\r\nHost: A\r\n\r\n"}},
		{"next request", get + "\r\n" + get + "\r\n", outcome{Head: len(get) + 2, Host: "a", Version: "HTTP/1.1", KeepAlive: true, Written: get + "\r\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readAll(t, Parser{}, "", tt.in)
			forget(&got, tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// forget drops from got what want does not ask for.
func forget(got *outcome, want outcome) {
	if want.Head == 0 {
		got.Head = 0
	}
	if want.Start == "" {
		got.Start = ""
	}
	if want.Written == "" {
		got.Written = ""
	}
	got.Total = 0
}

// TestOddFramingIsWrittenAnew: whoever comes next must not have to trim tabs or
// to fold case to see the same body.
func TestOddFramingIsWrittenAnew(t *testing.T) {
	for _, tt := range []struct{ name, line, want, body string }{
		{"usual length", "content-length: 1", "content-length: 1", "x"},
		{"length without space", "Content-Length:1", "Content-Length: 1", "x"},
		{"length with tabs", "content-length:\t1\t", "Content-Length: 1", "x"},
		{"usual coding", "transfer-encoding: chunked", "transfer-encoding: chunked", "0\r\n\r\n"},
		{"coding in capitals", "transfer-encoding: CHUNKED", "Transfer-Encoding: chunked", "0\r\n\r\n"},
		{"coding with tab", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked", "0\r\n\r\n"},
		{"coding with space behind", "Transfer-Encoding: chunked ", "Transfer-Encoding: chunked", "0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rest := "\r\nX: y\r\n\r\n"
			got := readAll(t, Parser{}, "", "POST / HTTP/1.1\r\nHost: a\r\n"+tt.line+rest+tt.body)
			if want := "POST / HTTP/1.1\r\nHost: a\r\n" + tt.want + rest; got.Written != want {
				t.Errorf("request: written %q, want %q", got.Written, want)
			}
			for _, method := range []string{"GET", "HEAD"} {
				got = readAll(t, Parser{}, method, "HTTP/1.1 200 OK\r\n"+tt.line+rest+tt.body)
				want := "HTTP/1.1 200 OK\r\n" + tt.want + rest
				if method == "HEAD" && got.Framing.Kind == head.None && tt.body != "x" {
					want = "HTTP/1.1 200 OK" + rest // a coding of nothing is not passed on
				}
				if got.Written != want {
					t.Errorf("response to %s: written %q, want %q", method, got.Written, want)
				}
			}
		})
	}
}

func TestUnderscores(t *testing.T) {
	const in = "GET / HTTP/1.1\r\nHost: a\r\nmy_field: 1\r\nContent_Length: 5\r\nX_Forwarded-For: b\r\nX_Forwarded_Tls_Client_Cert_And_A_Long_Name: c\r\nA: b\r\n\r\n"
	line := func(s string) string { return "GET / HTTP/1.1\r\nHost: a\r\n" + s + "A: b\r\n\r\n" }
	for _, tt := range []struct {
		name        string
		underscores Underscores
		want        outcome
	}{
		{"drop lookalikes", DropLookalikes, outcome{Written: line("my_field: 1\r\n")}},
		{"keep", KeepUnderscores, outcome{Written: in}},
		{"drop", DropUnderscores, outcome{Written: line("")}},
		{"reject", RejectUnderscores, outcome{Err: "underscore"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readAll(t, Parser{Underscores: tt.underscores}, "", in)
			if got.Err != tt.want.Err || got.Written != tt.want.Written {
				t.Errorf("got %q, %q", got.Err, got.Written)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
		in     string
		want   string
	}{
		{"line", Limits{Line: 16}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"long start line", Limits{Line: 15}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "long-request-line"},
		{"long field", Limits{Line: 16}, "GET / HTTP/1.1\r\nHost: aaaaaaaaa\r\n\r\n", "long-field"},
		{"head", Limits{Head: 27}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"long head by its end", Limits{Head: 26}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "long-head"},
		{"long head in its first line", Limits{Head: 10}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "long-head"},
		{"fields", Limits{Fields: 1}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"many fields", Limits{Fields: 1}, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n", "many-fields"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := readAll(t, Parser{Limits: tt.limits}, "", tt.in); got.Err != tt.want {
				t.Errorf("got %q, want %q", got.Err, tt.want)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	length := func(n int64) head.Framing { return head.Framing{Kind: head.Length, Length: n} }
	none, chunked, untilClose := head.Framing{}, head.Framing{Kind: head.Chunked}, head.Framing{Kind: head.UntilClose}
	for _, tt := range []struct {
		name, method, in string
		framing          head.Framing
		keepAlive        bool
		body             string
		written          string // the fields, if they change
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", length(2), true, "hi", ""},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", chunked, true, "hi", ""},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", untilClose, false, "hello", ""},
		{"until the end although it says keep-alive", "GET", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello", untilClose, false, "hello", ""},
		{"1.0 until the end", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", untilClose, false, "hello", ""},
		{"1.0 with length", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", length(2), false, "hi", ""},
		{"1.0 with keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", length(2), true, "hi", ""},
		{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", length(2), false, "hi", ""},
		{"HEAD with length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1", none, true, "", ""},
		{"HEAD with chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", none, true, "", "\r\n"},
		{"HEAD without", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", none, true, "", ""},
		{"head in lower case is another method", "head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", length(2), true, "hi", ""},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nxxxxx", none, true, "", ""},
		{"304 without", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", none, true, "", ""},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", none, true, "", ""},
		{"204 with length of nothing", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", none, true, "", "\r\n"},
		{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", none, false, "", "\r\n"},
		{"204 with chunks", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", none, false, "", "\r\n"},
		{"205 without", "GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", length(0), true, "", ""},
		{"100", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", none, true, "", ""},
		{"103 with length", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n", none, false, "", "Link: </a>\r\n\r\n"},
		{"100 to HEAD", "HEAD", "HTTP/1.1 100 Continue\r\n\r\n", none, true, "", ""},
		{"2xx to CONNECT", "CONNECT", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", none, false, "", "\r\n"},
		{"4xx to CONNECT", "CONNECT", "HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno", length(2), true, "no", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readAll(t, Parser{}, tt.method, tt.in)
			if got.Err != "" || got.Framing != tt.framing || got.KeepAlive != tt.keepAlive || got.Body != tt.body {
				t.Errorf("got %+v", got)
			}
			line, rest, _ := strings.Cut(tt.in[:got.Head], "\r\n")
			if tt.written != "" {
				rest = tt.written
			}
			want := "HTTP/1.1" + line[8:] + "\r\n" + rest
			if got.Written != want {
				t.Errorf("written %q, want %q", got.Written, want)
			}
		})
	}
}

func TestSwitchingProtocols(t *testing.T) {
	got := readAll(t, Parser{}, "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello")
	if got.Err != "" || got.Upgrade != "websocket" || got.Framing != (head.Framing{}) {
		t.Errorf("got %+v", got)
	}
	for _, in := range []string{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		if got := readAll(t, Parser{}, "GET", in); got.Err != "" || got.Upgrade != "" {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

// TestParserGoesOn reads several heads with one parser and one head.
func TestParserGoesOn(t *testing.T) {
	var (
		p Parser
		h head.Head
	)
	b := []byte("GET /1 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\nGET /3 HTT")
	for _, want := range []string{"GET /1 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"} {
		n, err := p.Request(b, &h)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(h.AppendRequest(nil)); got != want || n != len(want) || h.Size() != n {
			t.Errorf("%d bytes: %q", n, got)
		}
		b = b[n:]
	}
	if _, err := p.Request(b, &h); err != ErrShort {
		t.Fatal(err)
	}
	p.Reset()
	if n, err := p.Request([]byte("GET /4 HTTP/1.0\r\n\r\n"), &h); err != nil || n != 19 || string(h.Path()) != "/4" {
		t.Errorf("after Reset: %d, %v, %q", n, err, h.Path())
	}
}

// TestRefusalsHaveAStatus looks at every error of the package.
func TestRefusalsHaveAStatus(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{ErrRequestLine, 400}, {ErrStatusLine, 502}, {ErrVersion, 505}, {ErrBareLF, 400}, {ErrFold, 400}, {ErrFieldName, 400},
		{ErrUnderscore, 400}, {ErrFieldValue, 400}, {ErrLineTooLong, 414}, {ErrFieldTooLong, 431}, {ErrHeadTooLong, 431},
		{ErrTooManyFields, 431}, {ErrLength, 400}, {ErrLengthRepeated, 400}, {ErrLengthCoding, 400}, {ErrCoding, 400},
		{ErrCodingUnknown, 501}, {ErrCodingVersion, 400}, {ErrOption, 400}, {ErrExpect, 417}, {ErrTrailerName, 400},
		{ErrChunkSize, 400}, {ErrChunkLine, 400}, {ErrChunkLength, 400}, {ErrChunkExcess, 400}, {ErrChunkEnd, 400},
		{ErrTrailer, 400}, {ErrTrailerBytes, 431}, {ErrTruncated, 400}, {head.ErrMethod, 400}, {head.ErrMethodLength, 501},
		{head.ErrConnect, 405}, {head.ErrTarget, 400}, {head.ErrHost, 400}, {head.ErrHostMissing, 400},
		{head.ErrHostRepeated, 400}, {head.ErrHostMismatch, 400}, {head.ErrStatus, 502},
	} {
		status, word := head.Refusal(errors.Join(tt.err))
		if status != tt.status || word == "" || strings.ContainsAny(word, " _ABC") {
			t.Errorf("%v: %d %q", tt.err, status, word)
		}
	}
}
