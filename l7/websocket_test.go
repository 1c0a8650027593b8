package l7

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/head"
)

// acceptFor is what a server answers to a key (RFC 6455 section 4.2.2).
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + webSocketGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// switching is a server that switches to WebSocket and goes on with serve, which gets what it has to read from r.
func switching(t testing.TB, serve func(c *net.TCPConn, r *bufio.Reader, req *http.Request)) netip.AddrPort {
	t.Helper()
	return raw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" {
			_, _ = io.WriteString(c, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n", acceptFor(req.Header.Get("Sec-WebSocket-Key")))
		serve(c.(*net.TCPConn), r, req)
	})
}

// echoing says hello, echoes, and ends when the client does.
func echoing(c *net.TCPConn, r *bufio.Reader, _ *http.Request) {
	_, _ = io.WriteString(c, "hello ")
	_, _ = io.Copy(c, r)
}

// connectTo is an extended CONNECT.
func connectTo(path string, more ...string) []string {
	return append([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", path,
		"sec-websocket-version", "13", "sec-websocket-protocol", "chat"}, more...)
}

// hears reads until as much has come on a stream as text is, and wants it to be that.
func (w *wire) hears(id uint32, text string) {
	w.t.Helper()
	for w.got[id] == nil || w.got[id].body.Len() < len(text) && !w.got[id].ended {
		if err := w.read(true); err != nil {
			w.t.Fatalf("stream %d: %v; %+v", id, err, w.got[id])
		}
	}
	if got := w.got[id].body.String(); got != text {
		w.t.Errorf("stream %d has got %q, want %q", id, got, text)
	}
}

// A stream of WebSocket goes both ways, each side ends on its own, and it is one record in the log.
func TestWebSocketOverHTTP2(t *testing.T) {
	asked := make(chan *http.Request, 1)
	b := newBed(t, setup{
		rule: "Method(`GET`) && Header(`Upgrade`, `websocket`) && Path(`/chat`)",
		backends: []netip.AddrPort{switching(t, func(c *net.TCPConn, r *bufio.Reader, req *http.Request) {
			asked <- req
			echoing(c, r, req)
		})},
	})
	w := b.plain()
	w.ask(1, false, connectTo("/chat", "sec-websocket-key", "the client's", "cookie", "a=b")...)
	_ = w.WriteData(1, false, []byte("early "))
	w.hears(1, "hello early ")
	req := <-asked
	if r := w.got[1]; r.status != "200" || r.ended || len(r.interims) > 0 {
		t.Errorf("%+v", r)
	}
	for _, f := range w.got[1].fields {
		if f.Name != "sec-websocket-protocol" && f.Name != "set-cookie" {
			t.Errorf("the client is told %s", f)
		}
	}
	if key := req.Header["Sec-Websocket-Key"]; len(key) != 1 || len(key[0]) != 24 || req.Method != "GET" || req.Header.Get("Connection") != "Upgrade" ||
		req.Header.Get("Sec-Websocket-Version") != "13" || req.Header.Get("Cookie") != "a=b" || req.ContentLength != 0 {
		t.Errorf("the server is asked %s %v", req.Method, req.Header)
	}
	_ = w.WriteData(1, false, []byte("late"))
	w.hears(1, "hello early late")
	_ = w.WriteData(1, true, nil)
	w.wants(1, "200", "hello early late")
	if r := w.got[1]; r.code != nil {
		t.Errorf("it is reset: %v", *r.code)
	}
	e := b.ended(1, 200, "client", "done")
	if e.OriginStatus != 101 || e.RequestContentSize != int64(len("early late")) || e.DownstreamContentSize != int64(len("hello early late")) || e.RequestMethod != "GET" {
		t.Errorf("%+v", e)
	}
	w.ask(3, true, requestOf("GET", "/chat")...) // the connection lives on
	w.wants(3, "404", "Not Found\n")
}

// A server that ends first is heard to end, and still hears the client.
func TestWebSocketHalfClosedByTheServer(t *testing.T) {
	heard := make(chan string, 1)
	b := newBed(t, setup{backends: []netip.AddrPort{switching(t, func(c *net.TCPConn, r *bufio.Reader, _ *http.Request) {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		all, _ := io.ReadAll(r)
		heard <- string(all)
	})}})
	w := b.plain()
	w.ask(1, false, connectTo("/")...)
	w.wants(1, "200", "bye")
	_ = w.WriteData(1, false, []byte("still "))
	_ = w.WriteData(1, true, []byte("here"))
	if got := <-heard; got != "still here" {
		t.Errorf("the server has heard %q", got)
	}
	if e := b.ended(1, 200, "backend", "done"); e.RequestContentSize != 10 || e.DownstreamContentSize != 3 {
		t.Errorf("%+v", e)
	}
}

// Who asks for something else, or asks in another way, does not get it.
func TestWebSocketRefusals(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{switching(t, echoing)}})
	w := b.plain()
	id := uint32(1)
	for n, tt := range []struct {
		status, word string
		fields       []string
	}{
		{"405", "connect", []string{":method", "CONNECT", ":authority", "a:1"}},
		{"501", "unknown-protocol", []string{":method", "CONNECT", ":protocol", "h2c", ":scheme", "http", ":authority", "a", ":path", "/"}},
		{"400", "bad-protocol", []string{":method", "GET", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/"}},
		{"400", "bad-pseudo", []string{":method", "CONNECT", ":protocol", "websocket", ":authority", "a", ":path", "/"}},
		{"400", "bad-protocol", connectTo("/", "content-length", "3")},
	} {
		w.ask(id, false, tt.fields...)
		if r := w.answer(id); r.status != tt.status {
			t.Errorf("%s: status %s", tt.word, r.status)
		}
		if e := b.entries(n + 1)[n]; e.Detail != tt.word || e.Reason != "bad-request" {
			t.Errorf("%s: %+v", tt.word, e)
		}
		id += 2
	}
}

// Only a server that has understood what it was asked gets to speak WebSocket; what it says otherwise is for the client,
// as long as that does not take it for a yes.
func TestWebSocketAnswers(t *testing.T) {
	const yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n"
	html := func(status string) string {
		return "HTTP/1.1 " + status + "\r\nContent-Length: 4\r\nX-Why: because\r\n\r\ntext"
	}
	for _, tt := range []struct {
		name, text         string
		status, body, word string
	}{
		{"no", html("403 Forbidden"), "403", "text", ""},
		{"elsewhere", html("302 Found"), "302", "text", ""},
		{"a page", html("200 OK"), "502", "Bad Gateway\n", "not-switched"},
		{"nothing", "HTTP/1.1 204 No Content\r\n\r\n", "502", "Bad Gateway\n", "not-switched"},
		{"no accept", fmt.Sprintf(yes, "websocket", ""), "502", "Bad Gateway\n", "bad-websocket-accept"},
		{"another accept", fmt.Sprintf(yes, "websocket", "Sec-WebSocket-Accept: "+acceptFor("x")+"\r\n"), "502", "Bad Gateway\n", "bad-websocket-accept"},
		{"another protocol", fmt.Sprintf(yes, "chat", "Sec-WebSocket-Accept: KEY\r\n"), "502", "Bad Gateway\n", "bad-websocket-accept"},
		{"no protocol", "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: KEY\r\n\r\n", "502", "Bad Gateway\n", "unasked-101"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
				defer c.Close()
				r := bufio.NewReader(c)
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, strings.Replace(tt.text, "KEY", acceptFor(req.Header.Get("Sec-WebSocket-Key")), 1))
				_, _ = io.Copy(io.Discard, r)
			})}})
			w := b.plain()
			w.ask(1, false, connectTo("/")...)
			_ = w.WriteData(1, false, []byte("frames"))
			w.wants(1, tt.status, tt.body)
			if e := b.entries(1)[0]; e.Detail != tt.word {
				t.Errorf("%+v", e)
			}
		})
	}
}

// What weir itself answers is no yes either, whoever makes it one.
func TestWebSocketAnsweredByWeir(t *testing.T) {
	for name, m := range map[string]*Middleware{
		"instead of the server": {Name: "m", Request: func(x *Exchange) Action { x.Answer(200, nil, "cached"); return Answered }},
		"afterwards":            {Name: "m", Response: func(x *Exchange) { _ = x.res.SetStatus(200, "OK") }},
	} {
		b := newBed(t, setup{middlewares: []*Middleware{m}, backends: []netip.AddrPort{raw(t, answers("HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\ncached"))}})
		w := b.plain()
		w.ask(1, false, connectTo("/")...)
		w.wants(1, "502", "cached")
		if e := b.entries(1)[0]; e.Detail != "not-switched" || e.DownstreamStatus != 502 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// However a tunnel ends, the other side learns of it in the way that HTTP/1 would tell it, and the log has who and why.
func TestWebSocketEnds(t *testing.T) {
	for _, tt := range []struct {
		name       string
		front      FrontOptions
		leave      func(b *bed, w *wire, server *net.TCPConn)
		by, reason string
		detail     string
		code       xhttp2.ErrCode // that the client is told; 0 = it is not
		reset      bool           // what the server sees
	}{
		{"the client resets", FrontOptions{}, func(_ *bed, w *wire, _ *net.TCPConn) { _ = w.WriteRSTStream(1, xhttp2.ErrCodeCancel) },
			"client", "client-abort", "", 0, true},
		{"the client leaves", FrontOptions{}, func(_ *bed, w *wire, _ *net.TCPConn) { _ = w.conn.Close() }, "client", "client-abort", "", 0, true},
		{"the client breaks the rules of the stream", FrontOptions{}, func(_ *bed, w *wire, _ *net.TCPConn) { w.ask(1, true, "x-sum", "1") },
			"client", "bad-request", "bad-trailer-section", xhttp2.ErrCodeProtocol, true},
		{"the client breaks the rules of the connection", FrontOptions{}, func(_ *bed, w *wire, _ *net.TCPConn) { _ = w.WriteWindowUpdate(0, 0) },
			"client", "bad-request", "h2-window-zero", 0, true},
		{"the server resets", FrontOptions{}, func(_ *bed, _ *wire, c *net.TCPConn) { weirtest.Reset(c) }, "backend", "backend-abort", "", xhttp2.ErrCodeCancel, false},
		{"nobody says anything", FrontOptions{IdleTimeout: short}, func(*bed, *wire, *net.TCPConn) {}, "weir", "idle-timeout", "", xhttp2.ErrCodeCancel, false},
		{"the server is down", FrontOptions{}, func(b *bed, _ *wire, _ *net.TCPConn) {
			b.server.CloseBackend(b.pool.Backends()[0], accesslog.BackendDown)
		}, "weir", "backend-down", "", xhttp2.ErrCodeCancel, true},
		{"weir is closed", FrontOptions{}, func(b *bed, _ *wire, _ *net.TCPConn) {
			b.server.each(func(w *worker) { w.forEachSession(func(s *session) { s.stream.Revoke() }) })
		}, "weir", "shutdown", "", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			joined, how := make(chan *net.TCPConn, 1), make(chan error, 1)
			b := newBed(t, setup{front: tt.front, backends: []netip.AddrPort{switching(t, func(c *net.TCPConn, r *bufio.Reader, _ *http.Request) {
				_, _ = io.ReadFull(r, make([]byte, 2))
				joined <- c
				_, err := io.Copy(io.Discard, r)
				how <- err
			})}})
			w := b.plain()
			w.ask(1, false, connectTo("/")...)
			_ = w.WriteData(1, false, []byte("hi"))
			c := <-joined
			tt.leave(b, w, c)
			if err := <-how; tt.by != "backend" && tt.reset != (err != nil) {
				t.Errorf("the server sees %v", err)
			}
			if tt.code != 0 {
				if r := w.answer(1); r.code == nil || *r.code != tt.code {
					t.Errorf("the client is told %+v", r)
				}
			}
			var e entry
			for _, line := range b.entries(len(b.records(1))) {
				if line.RequestMethod == "GET" {
					e = line
				}
			}
			if e.EndedBy != tt.by || e.Reason != tt.reason || e.Detail != tt.detail || e.RequestContentSize != 2 {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A drain leaves tunnels alone; when the last of them ends, the connection does.
func TestWebSocketWhileDraining(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{switching(t, echoing)}})
	w := b.plain()
	w.ask(1, false, connectTo("/")...)
	w.hears(1, "hello ")
	b.server.Drain()
	for w.gone == nil || w.gone.LastStreamID != 1 {
		if err := w.read(true); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.WriteData(1, false, []byte("again"))
	w.hears(1, "hello again")
	_ = w.WriteData(1, true, nil)
	w.wants(1, "200", "hello again")
	if err := w.end(); err != io.EOF {
		t.Error(err)
	}
}

// A server that says more than the client takes is made to wait, and so is a client; nothing of it is lost.
func TestWebSocketBackPressure(t *testing.T) {
	const size = 24 << 20
	load := pattern(size)
	read := make(chan struct{})
	heard := make(chan []byte, 1)
	b := newBed(t, setup{backends: []netip.AddrPort{switching(t, func(c *net.TCPConn, r *bufio.Reader, _ *http.Request) {
		<-read
		all := make([]byte, size)
		_, _ = io.ReadFull(r, all)
		heard <- all
		_, _ = c.Write(load)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, r)
	})}})
	w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1000})
	w.ask(1, false, connectTo("/")...)
	room, all, sent, waited := 65535, 65535, 0, false
	for sent < size {
		if n := min(room, all, 16<<10, size-sent); n > 0 {
			if err := w.WriteData(1, false, load[sent:sent+n]); err != nil {
				t.Fatal(err)
			}
			sent, room, all = sent+n, room-n, all-n
			continue
		}
		if !waited { // whatever was on its way to give room has come when this is answered
			_ = w.WritePing(false, [8]byte{1})
		}
		f, err := w.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *xhttp2.WindowUpdateFrame:
			if f.StreamID == 0 {
				all += int(f.Increment)
			} else {
				room += int(f.Increment)
			}
		case *xhttp2.PingFrame:
			if f.IsAck() && min(room, all) == 0 && !waited {
				waited = true
				close(read)
			}
		}
	}
	if !waited {
		t.Fatalf("%d bytes were taken that nobody has read", sent)
	}
	if got := <-heard; !bytes.Equal(got, load) {
		t.Error("the server has heard something else")
	}
	// The other way: room for 1000 bytes, then for a little more each time.
	for got := 0; got < size; got = w.got[1].body.Len() {
		if n := b.unsent(); n > 128<<10 {
			t.Fatalf("%d bytes wait for the client", n)
		}
		give := uint32(1 << 20)
		_ = w.WriteWindowUpdate(0, give)
		_ = w.WriteWindowUpdate(1, give)
		for until := min(got+1000, size); w.got[1] == nil || w.got[1].body.Len() < until; {
			if err := w.read(false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(w.got[1].body.Bytes(), load) {
		t.Error("the client has got something else")
	}
	_ = w.WriteData(1, true, nil)
	b.ended(1, 200, "backend", "done")
}

// Middlewares see what they would see of HTTP/1.
func TestWebSocketMiddlewares(t *testing.T) {
	saw := make(chan string, 1)
	b := newBed(t, setup{
		middlewares: []*Middleware{AddPrefix("add", "/app"), {Name: "look", Request: func(x *Exchange) Action {
			key, _ := x.req.Get("Sec-WebSocket-Key")
			saw <- fmt.Sprintf("%s %s %s %s %d", x.req.Method(), x.req.Path(), x.req.Value(head.Upgrade), x.req.Value(head.Connection), len(key))
			return Next
		}, Response: func(x *Exchange) { saw <- fmt.Sprint(x.res.Status()) }}},
		backends: []netip.AddrPort{switching(t, func(c *net.TCPConn, r *bufio.Reader, req *http.Request) {
			_, _ = io.WriteString(c, req.URL.Path)
		})},
	})
	w := b.plain()
	w.ask(1, true, connectTo("/x")...)
	if got := <-saw; got != "GET /app/x websocket Upgrade 24" {
		t.Errorf("the request is seen as %q", got)
	}
	if got := <-saw; got != "101" {
		t.Errorf("the response is seen as %q", got)
	}
	w.wants(1, "200", "/app/x")
}

// Where servers are spoken to in HTTP/2, one is asked to switch on a connection of HTTP/1.1; one that speaks HTTP/2 alone is not
// asked, and what it answers is no yes.
func TestWebSocketToServersOfHTTP2(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.ProtoMajor != 1 {
			_, _ = io.WriteString(w, r.Proto)
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Accept", acceptFor(r.Header.Get("Sec-WebSocket-Key")))
		w.WriteHeader(101)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, rw)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(h))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	b := newBed(t, setup{backends: []netip.AddrPort{s.Listener.Addr().(*net.TCPAddr).AddrPort()}, transport: Transport{HTTP2: OfferHTTP2, TLS: &tls.Config{InsecureSkipVerify: true}}})
	w := b.plain()
	w.get(1, "/")
	w.wants(1, "200", "HTTP/2.0")
	w.ask(3, false, connectTo("/")...)
	_ = w.WriteData(3, true, []byte("echo"))
	w.wants(3, "200", "echo")

	addr, _ := server2(t, 0, h)
	alone := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}})
	w = alone.plain()
	w.ask(1, false, connectTo("/")...)
	w.wants(1, "502", "Bad Gateway\n")
	if e := alone.entries(1)[0]; e.Detail != "not-switched" || e.OriginStatus != 200 {
		t.Errorf("%+v", e)
	}
}
