package l7

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/http2"
	"github.com/weirlb/weir/upstream"
)

// server2 is a server of the standard library that speaks HTTP/2 with prior knowledge. It counts its connections.
func server2(t testing.TB, streams int, h http.HandlerFunc) (addr netip.AddrPort, conns *atomic.Int64) {
	t.Helper()
	conns = new(atomic.Int64)
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort(), conns
}

// clients are one of each version of HTTP.
func clients(t testing.TB, do func(t testing.TB, version string, c *http.Client)) {
	c := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: patience}
	do(t, "HTTP/1.1", c)
	c.CloseIdleConnections()
	c = h2client(t, nil)
	do(t, "HTTP/2", c)
	c.CloseIdleConnections()
}

// A server of HTTP/2 shows what it was asked as an answer of every form.
func forms(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h := w.Header()
	h.Set("X-Saw", fmt.Sprintf("%s %s %s %s %d %d %v te=%s sum=%s", r.Proto, r.Method, r.Host, r.URL, r.ContentLength, len(body), err, r.Header.Get("Te"), r.Trailer.Get("X-Sum")))
	switch r.URL.Path {
	case "/empty":
		h.Set("Content-Length", "0")
	case "/204":
		w.WriteHeader(204)
	case "/304":
		h.Set("ETag", `"a"`)
		w.WriteHeader(304)
	case "/known":
		h.Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	case "/trailers":
		h.Set("Trailer", "X-After")
		_, _ = w.Write(body)
		h.Set("X-After", "yes")
	case "/early":
		h.Set("Link", "</a>; rel=preload")
		w.WriteHeader(103)
		_, _ = io.WriteString(w, "after hints")
	default:
		_, _ = w.Write(body)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "end")
	}
}

func TestTrunkForms(t *testing.T) {
	addr, conns := server2(t, 0, forms)
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	big := string(pattern(3 << 20))
	clients(t, func(t testing.TB, version string, c *http.Client) {
		for _, tt := range []struct {
			method, path, body string
			known              bool // the request's length is
			status             int
			want, saw          string
		}{
			{"GET", "/", "", true, 200, "end", "0 0 <nil> te=trailers sum="},
			{"HEAD", "/known", "", true, 200, "", "0 0 <nil>"},
			{"POST", "/", "hello", true, 200, "helloend", "5 5 <nil>"},
			{"POST", "/", "hello", false, 200, "helloend", "-1 5 <nil> te=trailers sum=12"},
			{"POST", "/known", big, true, 200, big, "3145728 3145728 <nil>"},
			{"PUT", "/trailers", big, false, 200, big, "-1 3145728 <nil> te=trailers sum=12"},
			{"GET", "/empty", "", true, 200, "", "0 0"},
			{"GET", "/204", "", true, 204, "", "0 0"},
			{"GET", "/304?a=b", "", true, 304, "", "/304?a=b 0 0"},
			{"GET", "/early", "", true, 200, "after hints", "0 0"},
		} {
			var body io.Reader
			if tt.body != "" {
				body = strings.NewReader(tt.body)
			}
			hints := 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				hints += code
				return nil
			}})
			req, err := http.NewRequestWithContext(ctx, tt.method, "http://"+b.addr+tt.path, body)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.known {
				req.ContentLength = -1
				req.Trailer = http.Header{"X-Sum": {"12"}}
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Errorf("%s %s %s: %v", version, tt.method, tt.path, err)
				continue
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tt.status || string(got) != tt.want || err != nil {
				t.Errorf("%s %s %s: %d, %d bytes, %v; want %d, %d bytes", version, tt.method, tt.path, resp.StatusCode, len(got), err, tt.status, len(tt.want))
			}
			has(t, resp.Header.Get("X-Saw"), "HTTP/2.0 "+tt.method+" "+b.addr, tt.saw)
			if after := resp.Trailer.Get("X-After"); (after == "yes") != (tt.path == "/trailers") {
				t.Errorf("%s %s: trailer %q", version, tt.path, after)
			}
			if (hints == 103) != (tt.path == "/early") {
				t.Errorf("%s %s: interim responses %d", version, tt.path, hints)
			}
		}
	})
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A client that waits for the server's leave gets it, and its body goes on then.
func TestTrunkExpect(t *testing.T) {
	addr, _ := server2(t, 0, forms)
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	c := b.dial()
	r := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = io.WriteString(c, "body")
	all, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	has(t, string(all), "HTTP/1.1 200 OK\r\n", "body", "end")
}

// Requests that come while the first connection is being made share it, and what the server allows at one time is kept to.
func TestTrunkIsShared(t *testing.T) {
	for _, tt := range []struct {
		streams, requests, conns int
	}{{100, 50, 1}, {4, 16, 4}, {1, 8, 8}, {1, 12, 8}} {
		var now, most atomic.Int64
		full := make(chan struct{})
		var once sync.Once
		addr, conns := server2(t, tt.streams, func(w http.ResponseWriter, r *http.Request) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if int(n) == min(tt.requests, tt.streams*tt.conns) {
				once.Do(func() { close(full) })
			}
			<-full
			now.Add(-1)
		})
		b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2},
			pool: upstream.Options{Queue: upstream.QueueOptions{Limit: 10, Timeout: patience}}})
		var wg sync.WaitGroup
		for range tt.requests {
			wg.Go(func() {
				if status, _ := b.get("/"); status != 200 {
					t.Errorf("status %d", status)
				}
			})
		}
		wg.Wait()
		if n := int(conns.Load()); n > tt.conns {
			t.Errorf("%+v: %d connections", tt, n)
		}
	}
}

// far is a server of HTTP/2 that writes its frames by hand.
type far struct {
	*xhttp2.Framer
	conn  net.Conn
	hpack *hpack.Encoder
	block bytes.Buffer
}

// farServer serves each connection by serve, after the settings were exchanged.
func farServer(t testing.TB, serve func(n int, f *far)) netip.AddrPort {
	t.Helper()
	var conns atomic.Int64
	return raw(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		preface := make([]byte, len(http2.Preface))
		if _, err := io.ReadFull(r, preface); err != nil || string(preface) != http2.Preface {
			return
		}
		f := &far{Framer: xhttp2.NewFramer(c, r), conn: c}
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		f.AllowIllegalWrites = true
		f.hpack = hpack.NewEncoder(&f.block)
		_ = f.WriteSettings()
		serve(int(conns.Add(1)), f)
	})
}

// request reads up to the end of the next request, and returns its stream; 0 = the connection has ended.
func (f *far) request() uint32 {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return 0
		}
		switch v := frame.(type) {
		case *xhttp2.SettingsFrame:
			if !v.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *xhttp2.MetaHeadersFrame:
			if v.StreamEnded() {
				return v.StreamID
			}
		case *xhttp2.DataFrame:
			if v.StreamEnded() {
				return v.StreamID
			}
		}
	}
}

func (f *far) respond(id uint32, end bool, fields ...string) {
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = f.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true})
}

func (f *far) ok(id uint32, body string) {
	f.respond(id, false, ":status", "200")
	_ = f.WriteData(id, true, []byte(body))
}

// What a server has not looked at is sent again, whatever it is.
func TestTrunkUnserved(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse func(f *far, id uint32)
	}{
		{"goaway", func(f *far, id uint32) { _ = f.WriteGoAway(id-2, xhttp2.ErrCodeNo, nil) }},
		{"goaway and end", func(f *far, id uint32) {
			_ = f.WriteGoAway(id-2, xhttp2.ErrCodeNo, nil)
			_ = f.conn.(*net.TCPConn).CloseWrite()
		}},
		{"goaway with an error", func(f *far, id uint32) { _ = f.WriteGoAway(0, xhttp2.ErrCodeEnhanceYourCalm, []byte("too_many_pings")) }},
		{"refused", func(f *far, id uint32) { _ = f.WriteRSTStream(id, xhttp2.ErrCodeRefusedStream) }},
	} {
		var requests atomic.Int64
		addr := farServer(t, func(n int, f *far) {
			for id := f.request(); id != 0; id = f.request() {
				if requests.Add(1) == 2 {
					tt.refuse(f, id)
					continue
				}
				f.ok(id, fmt.Sprint(n))
			}
		})
		b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
		post := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
		for range 3 {
			has(t, b.exchange(post), "HTTP/1.1 200 OK\r\n")
		}
		if n := requests.Load(); n != 4 {
			t.Errorf("%s: %d requests came, want 4", tt.name, n)
		}
		if n := b.pool.Sight(b.pool.Backends()[0]).Failures; n != 0 {
			t.Errorf("%s: %d failures are counted", tt.name, n)
		}
	}
}

// What goes wrong on a trunk, and how each request ends.
func TestTrunkBreaks(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
	for _, tt := range []struct {
		name    string
		request string
		serve   func(f *far, id uint32)
		answer  string // its beginning
		record  []string
	}{
		{"reset before the response", post, func(f *far, id uint32) { _ = f.WriteRSTStream(id, xhttp2.ErrCodeInternal) },
			"HTTP/1.1 502 ", []string{`"backend-abort"`, "h2-reset-internal-error"}},
		{"reset in the response", get, func(f *far, id uint32) {
			f.respond(id, false, ":status", "200")
			_ = f.WriteData(id, false, []byte("part"))
			_ = f.WriteRSTStream(id, xhttp2.ErrCodeInternal)
		}, "HTTP/1.1 200 OK\r\n", []string{`"backend-abort"`, "h2-reset-internal-error"}},
		{"end before the response", post, func(f *far, id uint32) { f.conn.Close() }, "HTTP/1.1 502 ", []string{`"backend-abort"`}},
		{"end in the response", get, func(f *far, id uint32) {
			f.respond(id, false, ":status", "200", "content-length", "10")
			_ = f.WriteData(id, false, []byte("part"))
			f.conn.Close()
		}, "HTTP/1.1 200 OK\r\n", []string{`"backend-abort"`}},
		{"connection field", get, func(f *far, id uint32) { f.respond(id, true, ":status", "200", "connection", "close") },
			"HTTP/1.1 502 ", []string{`"bad-response"`, "connection-field"}},
		{"101", get, func(f *far, id uint32) { f.respond(id, true, ":status", "101") }, "HTTP/1.1 502 ", []string{"bad-status"}},
		{"content too long", post, func(f *far, id uint32) {
			f.respond(id, false, ":status", "200", "content-length", "1")
			_ = f.WriteData(id, true, []byte("long"))
		}, "HTTP/1.1 200 OK\r\n", nil},
		{"interim for ever", get, func(f *far, id uint32) {
			for range 40 {
				f.respond(id, false, ":status", "102")
			}
		}, "HTTP/1.1 102 ", []string{"many-interim"}},
		{"HTTP/1", get, func(f *far, id uint32) { _, _ = io.WriteString(f.conn, "HTTP/1.1 400 Bad Request\r\n\r\n") },
			"HTTP/1.1 502 ", []string{"h2-"}},
	} {
		addr := farServer(t, func(n int, f *far) {
			for id := f.request(); id != 0; id = f.request() {
				tt.serve(f, id)
			}
		})
		b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
		if got := b.exchange(tt.request); !strings.HasPrefix(got, tt.answer) {
			t.Errorf("%s: %q", tt.name, got)
		}
		has(t, b.records(1)[0], tt.record...)
	}
}

// The end of a trunk fails what is under way there, and is counted once.
func TestTrunkFailureCountsOnce(t *testing.T) {
	var requests atomic.Int64
	addr := farServer(t, func(n int, f *far) {
		for id := f.request(); id != 0; id = f.request() {
			if requests.Add(1) == 5 {
				return
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			has(t, b.exchange("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"), "HTTP/1.1 502 ")
		})
	}
	wg.Wait()
	if n := b.pool.Sight(b.pool.Backends()[0]).Failures; n != 1 {
		t.Errorf("%d failures are counted, want 1", n)
	}
}

// What the client does not take the server is not asked for, and one who takes nothing stops nobody else.
func TestTrunkBackpressure(t *testing.T) {
	var sent atomic.Int64
	addr, conns := server2(t, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/big" {
			_, _ = io.WriteString(w, "small")
			return
		}
		for piece := pattern(64 << 10); sent.Load() < 64<<20; {
			n, err := w.Write(piece)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}, sendBuffer: 64 << 10})
	slow := b.dial()
	_ = slow.(*net.TCPConn).SetReadBuffer(64 << 10)
	_, _ = io.WriteString(slow, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	weirtest.Eventually(t, patience, func() bool {
		held := 0
		b.server.each(func(w *worker) {
			w.forEach(func(c *conn) {
				if c.x != nil && c.x.link != nil {
					held = max(held, len(c.x.link.stream.Peeked()))
				}
			})
		})
		return held > http2.StreamWindow*3/4
	}, "the window is not used up")
	for range 20 {
		if status, body := b.get("/"); status != 200 || body != "small" {
			t.Errorf("%d %q", status, body)
		}
	}
	if n := sent.Load(); n > 8<<20 {
		t.Errorf("the server could send %d bytes", n)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	slow.Close()
}

// A client that leaves has its request cancelled at once, and the trunk goes on.
func TestTrunkCancel(t *testing.T) {
	gone := make(chan error, 1)
	addr, conns := server2(t, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			gone <- r.Context().Err()
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	c := b.dial()
	_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the server is not told")
	}
	if status, _ := b.get("/"); status != 200 || conns.Load() != 1 {
		t.Errorf("status %d, %d connections", status, conns.Load())
	}
}

// Over TLS the server picks; one that picks HTTP/1.1 gets that, with a connection for each request at one time.
func TestTrunkByALPN(t *testing.T) {
	for _, tt := range []struct {
		name  string
		h2    bool
		offer HTTP2
		want  string
	}{{"h2", true, OfferHTTP2, "HTTP/2.0"}, {"http/1.1", false, OfferHTTP2, "HTTP/1.1"}, {"not offered", true, NoHTTP2, "HTTP/1.1"}} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto+" "+r.Header.Get("Upgrade"))
		}))
		s.EnableHTTP2 = tt.h2
		s.StartTLS()
		t.Cleanup(s.Close)
		addr := s.Listener.Addr().(*net.TCPAddr).AddrPort()
		b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: tt.offer, TLS: &tls.Config{InsecureSkipVerify: true}}})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if status, body := b.get("/"); status != 200 || body != tt.want+" " {
					t.Errorf("%s: %d %q", tt.name, status, body)
				}
			})
		}
		wg.Wait()
		// A switch of protocols is asked for over HTTP/1.1, which alone has it.
		has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "HTTP/1.1 websocket")
	}
}

// A server of HTTP/2 alone is not asked to switch: it answers as if nobody had.
func TestTrunkUpgrade(t *testing.T) {
	addr, _ := server2(t, 0, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(426)
		_, _ = io.WriteString(w, "upgrade="+r.Header.Get("Upgrade"))
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"), "HTTP/1.1 426 ", "upgrade=")
}

// A trunk serves as many requests as it may, and rests as long as it may.
func TestTrunkRetires(t *testing.T) {
	addr, conns := server2(t, 0, func(http.ResponseWriter, *http.Request) {})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2, MaxRequests: 2, IdleTimeout: time.Second}})
	for range 6 {
		if status, _ := b.get("/"); status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	if status, _ := b.get("/"); status != 200 {
		t.Errorf("status %d", status)
	}
	weirtest.Eventually(t, patience, func() bool {
		n := 0
		b.server.each(func(w *worker) {
			for _, p := range w.places {
				n += len(p.trunks)
			}
		})
		return n == 0
	}, "an idle trunk stays")
}

// A server that vanishes under requests that have nothing to say is noticed.
func TestTrunkPing(t *testing.T) {
	var pings atomic.Int64
	addr := farServer(t, func(n int, f *far) {
		id := f.request()
		f.respond(id, false, ":status", "200")
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if p, ok := frame.(*xhttp2.PingFrame); ok && pings.Add(1) == 1 {
				_ = f.WritePing(true, p.Data)
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2, PingAfter: time.Second, PingTimeout: time.Second}})
	has(t, b.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 200 OK\r\n")
	if n := pings.Load(); n != 2 {
		t.Errorf("%d pings, want 2", n)
	}
}
