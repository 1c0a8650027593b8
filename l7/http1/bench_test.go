package http1

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weirlb/weir/l7/head"
)

var (
	typicalRequest = "GET /api/v1/orders?state=open&limit=50 HTTP/1.1\r\n" +
		"Host: shop.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: en-US,en;q=0.5\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Referer: https://shop.example.com/orders\r\n" +
		"Connection: keep-alive\r\n" +
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
		"Cache-Control: max-age=0\r\n" +
		"Priority: u=0, i\r\n\r\n"
	typicalResponse = "HTTP/1.1 200 OK\r\n" +
		"Server: nginx/1.22.1\r\n" +
		"Date: Mon, 23 Nov 2026 06:38:32 GMT\r\n" +
		"Content-Type: application/json; charset=utf-8\r\n" +
		"Content-Length: 1024\r\n" +
		"Last-Modified: Mon, 23 Nov 2026 06:00:00 GMT\r\n" +
		"Connection: keep-alive\r\n" +
		"ETag: \"674182c0-400\"\r\n" +
		"Cache-Control: private, max-age=60\r\n" +
		"Vary: Accept-Encoding\r\n" +
		"Strict-Transport-Security: max-age=31536000\r\n\r\n"
)

// forwardRequest is what becomes of a request on its way through.
func forwardRequest(tb testing.TB, p *Parser, h *head.Head, in, out []byte) []byte {
	if _, err := p.Request(in, h); err != nil {
		tb.Fatal(err)
	}
	h.StripHop()
	if err := h.SetBytes("X-Forwarded-For", in[:7]); err != nil {
		tb.Fatal(err)
	}
	if err := h.Set("X-Forwarded-Proto", "https"); err != nil {
		tb.Fatal(err)
	}
	return h.AppendRequest(out[:0])
}

func forwardResponse(tb testing.TB, p *Parser, h *head.Head, in, out []byte) []byte {
	if _, err := p.Response(in, h, []byte("GET")); err != nil {
		tb.Fatal(err)
	}
	h.StripHop()
	return h.AppendResponse(out[:0])
}

func TestTypicalMessagesDoNotAllocate(t *testing.T) {
	var (
		p   Parser
		h   head.Head
		out = make([]byte, 0, 4<<10)
	)
	request, response := []byte(typicalRequest), []byte(typicalResponse)
	chunkedRequest := []byte("POST /upload HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
	upgrade := []byte("GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Hop: 1\r\n\r\n")
	for _, tt := range []struct {
		name string
		run  func()
	}{
		{"request", func() { out = forwardRequest(t, &p, &h, request, out) }},
		{"request with chunks", func() { out = forwardRequest(t, &p, &h, chunkedRequest, out) }},
		{"upgrade", func() { out = forwardRequest(t, &p, &h, upgrade, out) }},
		{"response", func() { out = forwardResponse(t, &p, &h, response, out) }},
		{"look-up", func() {
			for name := range h.All() {
				if _, ok := h.Get("x-none"); ok || len(name) == 0 {
					t.Fatal("found")
				}
			}
			for range h.Values("cache-control") {
				break
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(200, tt.run); got != 0 {
				t.Errorf("%v allocations", got)
			}
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	var (
		p   Parser
		h   head.Head
		in  = []byte(typicalRequest)
		out = make([]byte, 0, 4<<10)
	)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		out = forwardRequest(b, &p, &h, in, out)
	}
}

func BenchmarkResponse(b *testing.B) {
	var (
		p   Parser
		h   head.Head
		in  = []byte(typicalResponse)
		out = make([]byte, 0, 4<<10)
	)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		out = forwardResponse(b, &p, &h, in, out)
	}
}

// BenchmarkDrip reads the largest head byte by byte: the time of a byte must not
// grow with their number.
func BenchmarkDrip(b *testing.B) {
	var (
		p  Parser
		h  head.Head
		in = []byte("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 8000)+"\r\n", 4) + "\r\n")
	)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for n := range in {
			if _, err := p.Request(in[:n], &h); err != ErrShort {
				b.Fatal(err)
			}
		}
		p.Reset()
	}
}

func BenchmarkChunked(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"16 bytes", 16}, {"8 KiB", 8 << 10}} {
		b.Run(bb.name, func(b *testing.B) {
			var in []byte
			for len(in) < 64<<10 {
				in = AppendChunk(in, bytes.Repeat([]byte("x"), bb.size))
			}
			in = AppendLastChunk(in)
			var body Body
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				body.Begin(head.Framing{Kind: head.Chunked})
				if n, err := body.Scan(in); err != nil || n != len(in) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
