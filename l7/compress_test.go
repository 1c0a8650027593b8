package l7

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/weirlb/weir/internal/weirtest"
)

func valuesOf(list ...string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, v := range list {
			if !yield([]byte(v)) {
				return
			}
		}
	}
}

func TestNegotiate(t *testing.T) {
	for _, tt := range []struct {
		accept []string
		want   string
	}{
		{[]string{"gzip"}, "gzip"}, {[]string{"br"}, "br"}, {[]string{"GZip"}, "gzip"}, {[]string{"x-gzip"}, "gzip"},
		{[]string{"zstd, br, gzip"}, "gzip"}, // all alike: the first that is offered
		{[]string{"gzip;q=0.5, br;q=0.9"}, "br"}, {[]string{"gzip;q=0.5", "br;q=0.9"}, "br"},
		{[]string{"gzip ; q=0.5,br;q=0.500"}, "gzip"}, {[]string{"gzip;Q=0.1,br;q=0.101"}, "br"},
		{[]string{"*"}, "gzip"}, {[]string{"gzip;q=0, *"}, "br"}, {[]string{"*;q=0.5, zstd"}, "zstd"}, {[]string{"*;q=0"}, ""},
		{[]string{"identity"}, ""}, {[]string{"identity, gzip"}, "gzip"}, {[]string{"identity, gzip;q=0.9"}, ""}, {[]string{"identity;q=0.5, gzip;q=0.6"}, "gzip"},
		{[]string{"gzip;q=0"}, ""}, {[]string{"gzip;q=0.000"}, ""}, {[]string{"deflate, compress"}, ""}, {[]string{""}, ""}, {nil, ""},
		{[]string{"gzip;q=2"}, ""}, {[]string{"gzip;q=1.001"}, ""}, {[]string{"gzip;q=0.1234"}, ""}, {[]string{"gzip;q="}, ""}, {[]string{"gzip;level=1"}, ""},
		{[]string{"gzip q=1"}, ""}, {[]string{"gz ip"}, ""}, {[]string{";q=1"}, ""}, {[]string{"gzip;q=1.000"}, "gzip"}, {[]string{"gzip;q=1,gzip;q=0"}, ""},
	} {
		if got := negotiate(valuesOf(tt.accept...), Codings[:], ""); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.accept, got, tt.want)
		}
	}
}

// A client that takes anything gets the usual coding; one that names others, or does not take it, does not.
func TestNegotiateAnything(t *testing.T) {
	for _, tt := range []struct{ accept, usual, want string }{
		{"*", "zstd", "zstd"}, {"*;q=0.5", "br", "br"}, {"gzip, *", "zstd", "gzip"}, {"gzip;q=0.5, *", "zstd", "zstd"}, {"*, zstd;q=0", "zstd", "gzip"},
		{"*, zstd;q=0.5", "zstd", "gzip"}, {"br, gzip", "zstd", "gzip"}, {"*;q=0", "zstd", ""}, {"identity, *;q=0.5", "zstd", ""}, {"br;q=0.5, *;q=0.5", "gzip", "gzip"},
	} {
		if got := negotiate(valuesOf(tt.accept), Codings[:], tt.usual); got != tt.want {
			t.Errorf("%q, usually %s: %q, want %q", tt.accept, tt.usual, got, tt.want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0", ";;,", "identity;q=1.000,gzip;q=0.999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := negotiate(valuesOf(s), Codings[:], "")
		if got != "" && !slices.Contains(Codings[:], got) {
			t.Errorf("%q: %q", s, got)
		}
		if got != "" && !strings.Contains(strings.ToLower(s), got) && !strings.Contains(s, "*") {
			t.Errorf("%q says nothing of %q", s, got)
		}
	})
}

// decoded undoes a coding.
func decoded(t testing.TB, coding string, r io.Reader) io.Reader {
	t.Helper()
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return r
}

// fetch asks for a path and returns the response, whose body is decoded.
func (b *bed) fetch(method, path, accept string, more ...string) (resp *http.Response, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.addr+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept-Encoding", accept)
	}
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	if resp, err = b.client().Do(req); err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := io.Reader(resp.Body)
	if method != "HEAD" {
		r = decoded(b.t, resp.Header.Get("Content-Encoding"), r)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(all)
}

var usualCompress = CompressOptions{MinBytes: 1024, Encodings: Codings[:]}

func TestCompress(t *testing.T) {
	text := string(pattern(5000))
	for _, tt := range []struct {
		name   string
		o      func(*CompressOptions)
		serve  func(http.ResponseWriter)
		method string
		accept string
		more   []string // headers of the request
		coding string
		varies bool
	}{
		{"gzip", nil, nil, "GET", "gzip", nil, "gzip", true},
		{"brotli", nil, nil, "GET", "br", nil, "br", true},
		{"zstd", nil, nil, "GET", "zstd", nil, "zstd", true},
		{"the order of the encodings", func(o *CompressOptions) { o.Encodings = []string{"zstd", "gzip"} }, nil, "GET", "gzip, br, zstd", nil, "zstd", true},
		{"an encoding that is not offered", func(o *CompressOptions) { o.Encodings = []string{"zstd"} }, nil, "GET", "gzip", nil, "", true},
		{"POST", nil, nil, "POST", "gzip", nil, "gzip", true},
		{"HEAD", nil, nil, "HEAD", "gzip", nil, "", true},
		{"a client that says nothing", nil, nil, "GET", "", nil, "", true},
		{"a default for one that says nothing", func(o *CompressOptions) { o.Default = "br" }, nil, "GET", "", nil, "br", true},
		{"short", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1023") }, "GET", "gzip", nil, "", false},
		{"just long enough", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1024") }, "GET", "gzip", nil, "gzip", true},
		{"short, but that may be", func(o *CompressOptions) { o.MinBytes = 0 }, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1") }, "GET", "gzip", nil, "gzip", true},
		{"nothing", func(o *CompressOptions) { o.MinBytes = 0 }, func(w http.ResponseWriter) { w.Header().Set("Content-Length", "0") }, "GET", "gzip", nil, "", false},
		{"coded already", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "deflate") }, "GET", "gzip", nil, "deflate", false},
		{"not coded, as it says", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "identity") }, "GET", "gzip", nil, "gzip", true},
		{"not to be transformed", nil, func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "public, No-Transform") }, "GET", "gzip", nil, "", false},
		{"not to be transformed, says the client", nil, nil, "GET", "gzip", []string{"Cache-Control", "no-transform"}, "", false},
		{"a part", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Range", "bytes 0-4/5"); w.WriteHeader(206) }, "GET", "gzip", nil, "", false},
		{"nothing is here", nil, func(w http.ResponseWriter) { w.WriteHeader(204) }, "GET", "gzip", nil, "", false},
		{"nothing has changed", nil, func(w http.ResponseWriter) { w.WriteHeader(304) }, "GET", "gzip", nil, "", false},
		{"an error", nil, func(w http.ResponseWriter) { w.WriteHeader(500) }, "GET", "gzip", nil, "gzip", true},
		{"excluded", func(o *CompressOptions) { o.Excluded = []string{"text/x-own"} }, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/X-own; a=b") }, "GET", "gzip", nil, "", false},
		{"excluded by the request", func(o *CompressOptions) { o.Excluded = []string{"text/x-own"} }, nil, "POST", "gzip", []string{"Content-Type", "Text/x-own; a=b"}, "", false},
		{"anything, as usual", func(o *CompressOptions) { o.Default = "zstd" }, nil, "GET", "*", nil, "zstd", true},
		{"not excluded", func(o *CompressOptions) { o.Excluded = []string{"text/x-own"} }, nil, "GET", "gzip", nil, "gzip", true},
		{"included", func(o *CompressOptions) { o.Included = []string{"image/png"} }, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "image/png") }, "GET", "gzip", nil, "gzip", true},
		{"not included", func(o *CompressOptions) { o.Included = []string{"text/html"} }, nil, "GET", "gzip", nil, "", false},
		{"pictures", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "image/png") }, "GET", "gzip", nil, "", false},
		{"drawings", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "image/svg+xml") }, "GET", "gzip", nil, "gzip", true},
		{"gRPC", nil, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "application/grpc+proto") }, "GET", "gzip", nil, "", false},
		{"chunks", nil, func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, "GET", "gzip", nil, "gzip", true},
		{"varies already", nil, func(w http.ResponseWriter) { w.Header().Set("Vary", "Origin, accept-encoding") }, "GET", "gzip", nil, "gzip", true},
		{"varies anyhow", nil, func(w http.ResponseWriter) { w.Header().Set("Vary", "*") }, "GET", "gzip", nil, "gzip", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("ETag", `"one"`)
				w.Header().Set("Accept-Ranges", "bytes")
				w.Header().Set("Content-Type", "text/plain")
				if tt.serve != nil {
					tt.serve(w)
				} else {
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
				}
				var n int
				if _, err := fmt.Sscan(w.Header().Get("Content-Length"), &n); err != nil {
					n = len(text)
				}
				_, _ = io.WriteString(w, text[:n])
			})}})
			o := usualCompress
			if tt.o != nil {
				tt.o(&o)
			}
			b.add(b.server.Compress("compress", o))
			if tt.coding == "deflate" { // what decoded does not know stays
				tt.more = []string{}
			}
			resp, body := b.fetch(tt.method, "/", tt.accept, tt.more...)
			h := resp.Header
			if got := h.Get("Content-Encoding"); got != tt.coding {
				t.Fatalf("coding %q, want %q", got, tt.coding)
			}
			if got := len(h.Values("Vary")) > 0; got != tt.varies || len(h.Values("Vary")) > 1 {
				t.Errorf("Vary: %q", h.Values("Vary"))
			}
			changed := tt.coding != "" && tt.coding != "deflate"
			tag, ranges := `"one"`, "bytes"
			if changed {
				tag, ranges = `W/"one"`, ""
			}
			if h.Get("ETag") != tag || h.Get("Accept-Ranges") != ranges || changed && resp.ContentLength != -1 {
				t.Errorf("%v, length %d", h, resp.ContentLength)
			}
			if tt.method != "HEAD" && resp.StatusCode != 204 && resp.StatusCode != 304 && !strings.HasPrefix(text, body) {
				t.Errorf("body %.100q", body)
			}
			if changed && resp.ContentLength == -1 && body == "" {
				t.Error("no body")
			}
			b.encodersIdle()
		})
	}
}

// encodersIdle wants none of the encoders in use.
func (b *bed) encodersIdle() {
	b.t.Helper()
	weirtest.Eventually(b.t, patience, func() bool {
		busy := 0
		b.server.each(func(w *worker) { busy += w.encoders.busy })
		return busy == 0
	}, "encoders are given back")
}

// Bodies of any size and framing arrive as they were, and connections are used again behind them.
func TestCompressBodies(t *testing.T) {
	random := make([]byte, 600<<10)
	for i := range random {
		random[i] = byte(rand.IntN(40)) // so that something is to be gained, but not all
	}
	for _, framing := range []string{"length", "chunked", "close"} {
		for _, coding := range Codings {
			for _, size := range []int{1, 2000, 16<<10 + 1, len(random)} {
				t.Run(fmt.Sprint(framing, " ", coding, " ", size), func(t *testing.T) {
					b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
						switch framing {
						case "length":
							w.Header().Set("Content-Length", fmt.Sprint(size))
						case "close":
							c, rw, _ := w.(http.Hijacker).Hijack()
							fmt.Fprint(rw, "HTTP/1.1 200 OK\r\n\r\n")
							_, _ = rw.Write(random[:size])
							_ = rw.Flush()
							_ = c.(*net.TCPConn).CloseWrite()
							_, _ = io.Copy(io.Discard, c)
							c.Close()
							return
						}
						for rest := random[:size]; len(rest) > 0; rest = rest[min(len(rest), 7000):] {
							_, _ = w.Write(rest[:min(len(rest), 7000)])
							if framing == "chunked" {
								w.(http.Flusher).Flush()
							}
						}
					})}})
					o := usualCompress
					o.MinBytes = 0
					b.add(b.server.Compress("compress", o))
					for range 2 {
						resp, body := b.fetch("GET", "/", coding)
						if resp.Header.Get("Content-Encoding") != coding || body != string(random[:size]) {
							t.Fatalf("coding %q, %d bytes of %d", resp.Header.Get("Content-Encoding"), len(body), size)
						}
					}
					b.encodersIdle()
					has(t, b.records(2)[0], fmt.Sprintf(`"OriginContentSize":%d`, size))
					if n := b.server.Idle(b.pool.Backends()[0]); framing != "close" && n != 1 {
						t.Errorf("%d connections to the server are kept", n)
					}
				})
			}
		}
	}
}

// A short body that comes at once in chunks is known to be short.
func TestCompressKnowsShortChunks(t *testing.T) {
	short := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, answers(short))}})
	b.add(b.server.Compress("compress", usualCompress))
	text := b.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
	if strings.Contains(text, "Content-Encoding") || !strings.HasSuffix(text, "\r\n\r\n"+inChunks("hello")) {
		t.Error(text)
	}
}

// What the server sends piece by piece, such as events, the client gets piece by piece: nothing waits for more.
func TestCompressDoesNotDelay(t *testing.T) {
	for _, coding := range Codings {
		t.Run(coding, func(t *testing.T) {
			next := make(chan struct{})
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				for i := range 5 {
					<-next
					fmt.Fprintf(w, "data: %d\n\n", i)
					w.(http.Flusher).Flush()
				}
			})}})
			b.add(b.server.Compress("compress", usualCompress))
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+b.addr, nil)
			req.Header.Set("Accept-Encoding", coding)
			tr := &http.Transport{DisableCompression: true}
			defer tr.CloseIdleConnections()
			resp, err := tr.RoundTrip(req) // the head is not held back either
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Encoding"); got != coding {
				t.Fatalf("coding %q", got)
			}
			next <- struct{}{}
			r := decoded(t, coding, resp.Body)
			for i := range 5 {
				want := fmt.Sprintf("data: %d\n\n", i)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
				if i < 4 {
					next <- struct{}{}
				}
			}
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

// A client that takes nothing holds little of the body up, and its leaving gives the encoder back.
func TestCompressWithBackpressure(t *testing.T) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	sent := make(chan int64, 1)
	b := newBed(t, setup{sendBuffer: 64 << 10, backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		var buf [4096]byte
		_, _ = c.Read(buf[:])
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
		total := int64(0)
		for {
			n, err := c.Write(noise)
			total += int64(n)
			if err != nil {
				sent <- total
				return
			}
		}
	})}})
	b.add(b.server.Compress("compress", usualCompress))
	c := b.dial()
	_ = c.(*net.TCPConn).SetReadBuffer(16 << 10)
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
	last, same := int64(0), 0
	weirtest.Eventually(t, patience, func() bool {
		now := int64(0)
		b.server.each(func(w *worker) {
			w.forEach(func(c *conn) {
				if c.x != nil {
					now = c.x.bodyOut
				}
			})
		})
		if same++; now != last || now < 64<<10 {
			last, same = now, 0
		}
		return same == 50 // looks of the loop at which nothing moves
	}, "the client is full")
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if n := c.stream.Buffered(); n > 1<<20 {
				t.Errorf("%d bytes wait for the client", n)
			}
		})
	})
	c.Close()
	if n := <-sent; n > 32<<20 {
		t.Errorf("the server could send %d bytes", n)
	}
	b.encodersIdle()
	b.ended(1, 200, "client", "client-abort")
}

// A body that breaks off is no whole one, compressed or not.
func TestCompressedBodyThatBreaksOff(t *testing.T) {
	for _, text := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"} {
		b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
			var buf [4096]byte
			_, _ = c.Read(buf[:])
			_, _ = io.WriteString(c, text)
			c.Close()
		})}})
		b.add(b.server.Compress("compress", usualCompress))
		answer := b.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
		if strings.HasSuffix(answer, "0\r\n\r\n") || !strings.Contains(answer, "reset") && !strings.Contains(answer, "EOF") {
			t.Errorf("%q", answer)
		}
		b.encodersIdle()
	}
}

// A client of HTTP/1.0 gets the body without chunks, up to the end of its connection; trailers pass to others.
func TestCompressFraming(t *testing.T) {
	body := string(pattern(3000))
	text := fmt.Sprintf("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(body), body)
	for _, version := range []string{"1.0", "1.1"} {
		b := newBed(t, setup{backends: []netip.AddrPort{raw(t, answers(text))}})
		b.add(b.server.Compress("compress", usualCompress))
		answer := b.exchange("GET / HTTP/" + version + "\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
		head, rest, _ := strings.Cut(answer, "\r\n\r\n")
		has(t, head, "Content-Encoding: gzip", "Connection: close")
		if version == "1.0" {
			if strings.Contains(head, "Transfer-Encoding") || strings.Contains(head, "Content-Length") {
				t.Error(head)
			}
			if got, err := io.ReadAll(decoded(t, "gzip", strings.NewReader(rest))); err != nil || string(got) != body {
				t.Errorf("%.50q, %v", got, err)
			}
			continue
		}
		has(t, head, "Transfer-Encoding: chunked")
		if !strings.HasSuffix(rest, "\r\n0\r\nX-Sum: 1\r\n\r\n") {
			t.Errorf("%q", rest)
		}
	}
}

// What is compressed is counted with its bytes, and what is not with the reason; what has no body of a server's is neither.
func TestCompressCounts(t *testing.T) {
	text := pattern(5000)
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			w.Header().Set(name, values[0])
		}
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(204)
			return
		case "/part":
			w.WriteHeader(206)
		case "/short":
			_, _ = io.WriteString(w, "short")
			return
		}
		_, _ = w.Write(text)
	})}})
	m := b.server.Compress("compress", usualCompress)
	b.add(m)
	wire := map[string]int64{}
	for _, ask := range []struct{ method, path, accept string }{
		{"GET", "/", "gzip"}, {"GET", "/", "gzip"}, {"GET", "/", "zstd"}, {"GET", "/", "deflate"}, {"GET", "/?Content-Encoding=br", "gzip"}, {"GET", "/?Content-Type=image/png", "gzip"},
		{"GET", "/?Cache-Control=no-transform", "gzip"}, {"GET", "/part", "gzip"}, {"GET", "/short", "gzip"}, {"GET", "/none", "gzip"}, {"HEAD", "/", "gzip"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), ask.method, "http://"+b.addr+ask.path, nil)
		req.Header.Set("Accept-Encoding", ask.accept)
		resp, err := b.client().Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		wire[resp.Header.Get("Content-Encoding")] += n
	}
	want := CompressionStats{
		Responses: map[string]int64{"gzip": 2, "br": 0, "zstd": 1}, In: 15000, Out: wire["gzip"] + wire["zstd"],
		Skipped: map[string]int64{"encoded": 1, "type": 1, "no-transform": 1, "part": 1, "short": 1, "client": 1, "busy": 0},
	}
	if diff := cmp.Diff(want, m.Compression.Stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Encoders are bounded: what is too much leaves as it is, and is counted.
func TestCompressIsBounded(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(2000)) })}})
	m := b.server.Compress("compress", usualCompress)
	b.add(m)
	b.server.each(func(w *worker) { w.encoders.busy = maxEncoding })
	if resp, body := b.fetch("GET", "/", "gzip"); resp.Header.Get("Content-Encoding") != "" || len(body) != 2000 || resp.Header.Get("Vary") == "" {
		t.Errorf("%v", resp.Header)
	}
	if n := m.Compression.Stats().Skipped["busy"]; n != 1 {
		t.Errorf("%d are counted", n)
	}
	b.server.each(func(w *worker) { w.encoders.busy = 0 })
	if resp, _ := b.fetch("GET", "/", "gzip"); resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%v", resp.Header)
	}
}

// Filters work one on top of the other, the one nearest to the backend first.
func TestFiltersInOrder(t *testing.T) {
	filtering := func(name string) *Middleware {
		return &Middleware{Name: name, Response: func(x *Exchange) {
			x.Filter(func(dst, content []byte, step Step) []byte {
				dst = append(dst, bytes.ReplaceAll(content, []byte("x"), []byte(name+"x"))...)
				if step == End {
					dst = append(dst, "x-end-"+name...)
				}
				return dst
			})
		}}
	}
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\naxb", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"))}, middlewares: []*Middleware{filtering("1"), filtering("2")}})
	if _, body := b.get("/"); body != "a21xb1x-end-2x-end-1" {
		t.Errorf("%q", body)
	}
	if resp, body := b.fetch("HEAD", "/", ""); body != "" {
		t.Errorf("%v %q", resp.Header, body)
	}
}
