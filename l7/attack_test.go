package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/http2"
)

// silent is a server that reads and never answers, but for /fine.
func silent(t testing.TB) netip.AddrPort {
	return raw(t, func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/fine" {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
				continue
			}
			_, _ = io.Copy(io.Discard, r)
			return
		}
	})
}

// Each kind of flood is ended with a code and a word, is in the log, leaves nothing behind on servers, takes little memory,
// and is not noticed on other connections of the same loop.
func TestHTTP2Floods(t *testing.T) {
	const calm, protocol = xhttp2.ErrCodeEnhanceYourCalm, xhttp2.ErrCodeProtocol
	cookie := strings.Repeat("a", 3500)
	for _, tt := range []struct {
		name string
		do   func(w *wire, i uint32) error
		code xhttp2.ErrCode
		word string
	}{
		{"rapid reset", func(w *wire, i uint32) error {
			w.get(3+2*i, "/")
			return w.WriteRSTStream(3+2*i, xhttp2.ErrCodeCancel)
		}, calm, "h2-resets"},
		{"rapid reset of WebSockets", func(w *wire, i uint32) error {
			w.ask(3+2*i, false, connectTo("/")...)
			return w.WriteRSTStream(3+2*i, xhttp2.ErrCodeCancel)
		}, calm, "h2-resets"},
		// Streams that weir is made to reset (CVE-2025-8671).
		{"windows of nothing", func(w *wire, i uint32) error {
			w.get(3+2*i, "/")
			return w.WriteWindowUpdate(3+2*i, 0)
		}, calm, "h2-resets"},
		{"windows that overflow", func(w *wire, i uint32) error {
			w.get(3+2*i, "/")
			return w.WriteWindowUpdate(3+2*i, 1<<31-1)
		}, calm, "h2-resets"},
		{"data after the end", func(w *wire, i uint32) error {
			w.get(3+2*i, "/")
			return w.WriteData(3+2*i, false, []byte("x"))
		}, calm, "h2-resets"},
		{"heads after the end", func(w *wire, i uint32) error {
			w.get(3+2*i, "/")
			return w.ask(3+2*i, true, "x-sum", "1")
		}, calm, "h2-resets"},
		{"more data than the length", func(w *wire, i uint32) error {
			w.ask(3+2*i, false, requestOf("POST", "/", "content-length", "1")...)
			return w.WriteData(3+2*i, true, []byte("xx"))
		}, calm, "h2-resets"},
		{"malformed requests", func(w *wire, i uint32) error {
			return w.ask(3+2*i, true, requestOf("GET", "/", "Bad", "1")...)
		}, calm, "h2-resets"},
		{"names without a letter", func(w *wire, i uint32) error { // they were free of charge where only bytes counted (CVE-2019-9516)
			block := append([]byte{0x82, 0x86, 0x84}, make([]byte, 3*90)...) // a literal, of no name and no value
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3 + 2*i, BlockFragment: block, EndHeaders: true, EndStream: true})
		}, calm, "h2-resets"},
		{"streams beyond the limit", func(w *wire, i uint32) error { return w.get(3+2*i, "/") }, calm, "h2-resets"},
		{"ping", func(w *wire, _ uint32) error { return w.WritePing(false, [8]byte{}) }, calm, "h2-flood"},
		{"answers to pings that nobody has sent", func(w *wire, _ uint32) error { return w.WritePing(true, [8]byte{}) }, calm, "h2-flood"},
		{"settings", func(w *wire, _ uint32) error { return w.WriteSettings() }, calm, "h2-flood"},
		{"settings that are acknowledged again", func(w *wire, _ uint32) error { return w.WriteSettingsAck() }, calm, "h2-flood"},
		{"settings that change all windows", func(w *wire, i uint32) error {
			if i < 200 { // which are many by then
				w.get(3+2*i, "/")
			}
			return w.WriteSettings(slices.Repeat([]xhttp2.Setting{{ID: xhttp2.SettingInitialWindowSize, Val: 1}, {ID: xhttp2.SettingInitialWindowSize, Val: i%2 + 5}}, 1300)...)
		}, calm, "h2-flood"},
		{"priority", func(w *wire, _ uint32) error { return w.WritePriority(1, xhttp2.PriorityParam{StreamDep: 1}) }, calm, "h2-flood"},
		{"priorities in a ring", func(w *wire, i uint32) error {
			return w.WritePriority(2*(i%50)+1, xhttp2.PriorityParam{StreamDep: 2*((i+1)%50) + 1, Exclusive: true})
		}, calm, "h2-flood"},
		{"frames that nobody knows", func(w *wire, _ uint32) error { return w.WriteRawFrame(99, 0, 1, make([]byte, 100)) }, calm, "h2-flood"},
		{"farewells", func(w *wire, _ uint32) error { return w.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }, calm, "h2-flood"},
		{"resets of what is over", func(w *wire, i uint32) error {
			if i == 0 {
				w.get(3, "/fine")
			}
			return w.WriteRSTStream(3, xhttp2.ErrCodeCancel)
		}, calm, "h2-flood"},
		{"data for what weir has reset", func(w *wire, i uint32) error {
			if i == 0 {
				w.get(3, "/")
				_ = w.WriteWindowUpdate(3, 0)
			}
			return w.WriteData(3, false, []byte("x"))
		}, calm, "h2-flood"},
		{"empty data", func(w *wire, _ uint32) error { return w.WriteData(1, false, nil) }, calm, "h2-flood"},
		{"empty data with padding", func(w *wire, _ uint32) error { return w.WriteDataPadded(1, false, nil, make([]byte, 255)) }, calm, "h2-flood"},
		{"window updates", func(w *wire, _ uint32) error { return w.WriteWindowUpdate(0, 1) }, calm, "h2-flood"},
		{"continuations", func(w *wire, i uint32) error {
			if i == 0 {
				_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x82}})
			}
			return w.WriteContinuation(3, false, make([]byte, 1000))
		}, calm, "h2-long-block"},
		{"empty continuations", func(w *wire, i uint32) error {
			if i == 0 {
				_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x82}})
			}
			return w.WriteContinuation(3, false, nil)
		}, calm, "h2-long-block"},
		{"full continuations", func(w *wire, i uint32) error {
			if i == 0 {
				_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x82}})
			}
			return w.WriteContinuation(3, false, make([]byte, 16<<10))
		}, calm, "h2-long-block"},
		{"empty heads", func(w *wire, i uint32) error {
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3 + 2*i, EndHeaders: true, EndStream: true})
		}, calm, "h2-resets"},
		// Heads that are small as sent and large as read (CVE-2026-49975).
		{"HPACK bomb", func(w *wire, i uint32) error {
			if i == 0 {
				w.ask(3, true, requestOf("GET", "/", "cookie", cookie)...)
			}
			bomb := append([]byte{0x82, 0x86, 0x84}, slices.Repeat([]byte{0x80 | 62}, 16000)...)
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 5 + 2*i, BlockFragment: bomb, EndHeaders: true, EndStream: true})
		}, calm, "h2-fields"},
		{"HPACK bomb of 200 references", func(w *wire, i uint32) error { // not so many that one head ends it
			if i == 0 {
				w.ask(3, true, requestOf("GET", "/", "x", cookie)...)
			}
			bomb := append([]byte{0x82, 0x86, 0x84}, slices.Repeat([]byte{0x80 | 62}, 200)...)
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 5 + 2*i, BlockFragment: bomb, EndHeaders: true, EndStream: true})
		}, calm, "h2-resets"},
		{"crumbs of cookies", func(w *wire, i uint32) error { // each is a reference to one byte, and costs more than that
			if i == 0 {
				w.ask(3, true, requestOf("GET", "/", "cookie", "")...)
			}
			bomb := append([]byte{0x82, 0x86, 0x84}, slices.Repeat([]byte{0x80 | 62}, 200)...)
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 5 + 2*i, BlockFragment: bomb, EndHeaders: true, EndStream: true})
		}, calm, "h2-resets"},
		{"a table that changes its size all the time", func(w *wire, i uint32) error {
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3 + 2*i, BlockFragment: slices.Repeat([]byte{0x20, 0x3f, 0xe1, 0x1f}, 1000), EndHeaders: true, EndStream: true})
		}, calm, "h2-resets"},
		{"a table that is larger than allowed", func(w *wire, i uint32) error {
			return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3 + 2*i, BlockFragment: []byte{0x3f, 0xe2, 0x1f}, EndHeaders: true, EndStream: true})
		}, xhttp2.ErrCodeCompression, "h2-hpack"},
		{"texts that are long in Huffman's code", func(w *wire, i uint32) error {
			return w.ask(3+2*i, true, requestOf("GET", "/", "x", strings.Repeat("0", 16_000))...)
		}, calm, "h2-resets"},
		{"window overflow", func(w *wire, _ uint32) error { return w.WriteWindowUpdate(0, 1<<31-1) }, xhttp2.ErrCodeFlowControl, "h2-window"},
		{"a stream that goes back", func(w *wire, i uint32) error { return w.get(9-2*i, "/") }, xhttp2.ErrCodeStreamClosed, "h2-closed-stream"},
		{"a stream that is used again", func(w *wire, _ uint32) error { return w.get(3, "/") }, calm, "h2-flood"},
		{"a stream of weir's", func(w *wire, _ uint32) error { return w.get(2, "/") }, protocol, "h2-stream-id"},
		{"data for a stream to come", func(w *wire, _ uint32) error { return w.WriteData(99, false, []byte("x")) }, protocol, "h2-idle-stream"},
		{"no HTTP/2 after all", func(w *wire, _ uint32) error { _, err := io.WriteString(w.conn, "GET / HTTP/1.1\r\n\r\n"); return err },
			xhttp2.ErrCodeFrameSize, "h2-frame-size"},
		{"a push", func(w *wire, _ uint32) error {
			return w.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, protocol, "h2-push"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{silent(t)}})
			honest := b.plain()
			honest.get(1, "/fine")
			honest.wants(1, "200", "fine")
			w := b.plain()
			w.ask(1, false, requestOf("POST", "/")...)
			a := b.attack()
			w.mute = true // what is written is the flood's
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for i := uint32(0); i < 20_000; i++ {
					if tt.do(w, i) != nil {
						return
					}
				}
			}()
			w.thrownOut(tt.code, tt.word)
			_ = w.conn.Close()
			<-sent
			if grown := a.over(w, ""); grown > 32<<20 {
				t.Errorf("the heap has grown by %d bytes", grown)
			}
			if n := b.front.SessionStats().GoAways[tt.word]; n != 1 {
				t.Errorf("it is counted %d times", n)
			}
			for id := uint32(3); id < 13; id += 2 {
				honest.get(id, "/fine")
				honest.wants(id, "200", "fine")
			}
			_ = honest.conn.Close()
			weirtest.Eventually(t, patience, func() bool { return b.pool.Backends()[0].Active() == 0 }, "requests end at the server")
			found := false
			weirtest.Eventually(t, patience, func() bool {
				for _, line := range b.records(1) {
					found = found || strings.Contains(line, `"Detail":"`+tt.word+`"`) && strings.Contains(line, `"Reason":"bad-request"`)
				}
				return found
			}, "the log says why")
		})
	}
}

// A malformed request is answered, and reset; it is in the log, and the connection lives on.
func TestHTTP2MalformedRequests(t *testing.T) {
	o := newOrigin(t, answers(slices.Repeat([]string{okText}, 30)...))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	w := b.plain()
	a := b.attack()
	id, n := uint32(1), 0
	for _, tt := range []struct {
		word   string
		fields []string
	}{
		{"bad-field-value", requestOf("GET", "/", "a", "1\r\nb: 2")},
		{"uppercase-field", requestOf("GET", "/", "A", "1")},
		{"connection-field", requestOf("GET", "/", "transfer-encoding", "chunked")},
		{"bad-pseudo", []string{":method", "GET", ":path", "/", ":authority", "a"}},
		{"host-mismatch", requestOf("GET", "/", "host", "b")},
		{"bad-target", requestOf("GET", "/ HTTP/1.1")},
		{"length-mismatch", requestOf("POST", "/", "content-length", "3")},
		{"bad-path", requestOf("GET", "/%00")},
	} {
		w.ask(id, true, tt.fields...)
		r := w.answer(id)
		if r.status != "400" || r.body.String() != "Bad Request\n" {
			t.Errorf("%s: %+v", tt.word, r)
		}
		w.get(id+2, "/")
		w.wants(id+2, "200", "ok")
		if tt.word != "bad-path" && (r.code == nil || *r.code != xhttp2.ErrCodeProtocol) { // that one is well-formed
			t.Errorf("%s: it is not reset: %v", tt.word, r.code)
		}
		n += 2
		if e := b.entries(n)[n-2]; e.Detail != tt.word || e.Reason != "bad-request" || e.DownstreamStatus != 400 {
			t.Errorf("%s: %+v", tt.word, e)
		}
		id += 4
	}
	a.over(w, "goes on")
	if got := strings.Join(o.all(), ""); strings.Count(got, "HTTP/1.1\r\n") != n/2 {
		t.Errorf("the server has heard %q", got)
	}
}

// Content that is not as long as was said never looks to a server like a request, or like two.
func TestHTTP2LengthIsKept(t *testing.T) {
	for _, tt := range []struct{ name, length, content string }{
		{"less", "10", "short"}, {"more", "3", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			w := b.plain()
			a := b.attack()
			w.ask(1, false, requestOf("POST", "/", "content-length", tt.length)...)
			_ = w.WriteData(1, true, []byte(tt.content))
			if r := w.answer(1); r.code == nil || *r.code != xhttp2.ErrCodeProtocol {
				t.Errorf("%+v", r)
			}
			if e := b.entries(1)[0]; e.Detail != "length-mismatch" || e.Reason != "bad-request" {
				t.Errorf("%+v", e)
			}
			if got := strings.Join(o.all(), ""); strings.Contains(got, tt.content) {
				t.Errorf("the server has heard %q", got)
			}
			if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
				t.Errorf("%d connections to the server may be used again", n)
			}
			a.over(w, "goes on, without the stream")
		})
	}
}

// A client that gives no room for a response, or takes nothing at all, is not waited for; others on its connection are
// served meanwhile.
func TestHTTP2StalledWindows(t *testing.T) {
	large := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(pattern(8 << 20))
		}
	})
	t.Run("of a stream", func(t *testing.T) {
		b := newBed(t, setup{backends: []netip.AddrPort{large}, front: FrontOptions{ReadTimeout: short}})
		w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
		a := b.attack()
		w.get(1, "/large")
		w.get(3, "/")
		w.wants(3, "200", "")
		if r := w.answer(1); r.status != "200" || r.code == nil || *r.code != xhttp2.ErrCodeInternal {
			t.Errorf("%+v", r)
		}
		b.ended(2, 200, "client", "request-timeout")
		w.get(5, "/")
		w.wants(5, "200", "")
		a.over(w, "goes on, without the stream")
	})
	t.Run("of all", func(t *testing.T) {
		b := newBed(t, setup{backends: []netip.AddrPort{large}, front: FrontOptions{ReadTimeout: short}, sendBuffer: 4 << 10})
		w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1})
		_ = w.WriteWindowUpdate(0, 1<<30)
		a := b.attack()
		w.get(1, "/large")
		b.ended(1, 200, "client", "request-timeout")
		a.over(w, "is reset")
	})
	// A client that takes a byte at a time is served: it costs no more than it sends.
	t.Run("by the byte", func(t *testing.T) {
		const size = 2000
		b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pattern(size)) })}})
		w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
		a := b.attack()
		w.get(1, "/")
		for n := 1; n <= size; n++ {
			_ = w.WriteWindowUpdate(1, 1)
			for w.got[1] == nil || w.got[1].body.Len() < n {
				if err := w.read(false); err != nil {
					t.Fatalf("%v after %d bytes, %s", err, n, w.debug)
				}
			}
		}
		w.wants(1, "200", string(pattern(size)))
		a.over(w, "goes on")
	})
}

// Heads that are small as sent and large as read, held by responses that the client gives no room: what they take is bounded
// by how many requests a client may have, and ends with its timeout.
func TestHTTP2BombIsHeld(t *testing.T) {
	body := pattern(256 << 10)
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })},
		front: FrontOptions{ReadTimeout: 10 * short}})
	w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	a := b.attack()
	w.ask(1, true, requestOf("GET", "/", "x", strings.Repeat("a", 3500))...)
	block := append([]byte{0x82, 0x86, 0x84, 0x80 | 63}, slices.Repeat([]byte{0x80 | 62}, 8)...) // 28 KB of 12 bytes
	last := uint32(2*http2.DefaultStreams - 1)
	for id := uint32(3); id <= last; id += 2 {
		if err := w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}); err != nil {
			t.Fatal(err)
		}
	}
	for answered := 0; answered < http2.DefaultStreams; {
		if err := w.read(false); err != nil {
			t.Fatal(err)
		}
		answered = 0
		for _, r := range w.got {
			if r.status == "200" {
				answered++
			}
		}
	}
	if grown := a.over(w, "holds 250 streams"); grown > 64<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	for id := uint32(1); id <= last; id += 2 {
		if r := w.answer(id); r.code == nil {
			t.Errorf("stream %d is served: %d bytes", id, r.body.Len())
		}
	}
	w.get(last+2, "/")
	_ = w.WriteWindowUpdate(last+2, 1<<20)
	if r := w.answer(last + 2); r.status != "200" || !bytes.Equal(r.body.Bytes(), body) {
		t.Errorf("afterwards %s and %d bytes", r.status, r.body.Len())
	}
	a.over(w, "goes on, without them")
}

// A head that does not come to its end, and a connection on which nothing comes, are not waited for either.
func TestHTTP2Silence(t *testing.T) {
	for _, tt := range []struct {
		name  string
		front FrontOptions
		do    func(w *wire)
	}{
		{"in a head", FrontOptions{ReadTimeout: short}, func(w *wire) {
			_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
		}},
		{"in a frame", FrontOptions{ReadTimeout: short}, func(w *wire) { _, _ = io.WriteString(w.conn, "\x00\x00\x08\x06") }},
		{"between requests", FrontOptions{KeepAliveTimeout: short}, func(w *wire) { w.get(1, "/fine"); w.wants(1, "200", "fine") }},
		{"from the start", FrontOptions{KeepAliveTimeout: short}, func(*wire) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{silent(t)}, front: tt.front})
			w := b.plain()
			for range 3 { // settings, window, acknowledgement: or it would be answered in the middle of what follows
				_ = w.read(false)
			}
			a := b.attack()
			tt.do(w)
			w.thrownOut(xhttp2.ErrCodeNo, "")
			a.over(w, "")
		})
	}
	t.Run("in the preface", func(t *testing.T) {
		b := newBed(t, setup{front: FrontOptions{ReadTimeout: short}})
		c := b.dial()
		send(t, c, http2.Preface[:17])
		text, _ := io.ReadAll(c)
		has(t, string(text), "HTTP/1.1 408 ")
	})
}

// A client that cancels its request frees the server; a server that breaks off ends the request only.
func TestHTTP2Cuts(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		defer c.Close()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if req.URL.Path == "/half" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
			return
		}
		_, _ = io.Copy(io.Discard, c)
	})}})
	w := b.plain()
	w.get(1, "/half")
	if r := w.answer(1); r.status != "200" || r.body.String() != "half" || r.code == nil || *r.code != xhttp2.ErrCodeInternal {
		t.Errorf("%+v", r)
	}
	b.ended(1, 200, "backend", "backend-abort")
	w.get(3, "/wait")
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == 1 }, "the request is at the server")
	_ = w.WriteRSTStream(3, xhttp2.ErrCodeCancel)
	b.ended(2, 499, "client", "client-abort")
	w.get(5, "/wait")
	weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == 1 }, "the request is at the server")
	_ = w.conn.Close()
	b.ended(3, 499, "client", "client-abort")
	b.idle(0)
}

// A connection that has served what it may says so.
func TestHTTP2WearsOut(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{silent(t)}, front: FrontOptions{KeepAliveRequests: 2}})
	w := b.plain()
	w.get(1, "/fine")
	w.wants(1, "200", "fine")
	w.get(3, "/fine")
	w.wants(3, "200", "fine")
	if err := w.end(); err != io.EOF || w.gone == nil || w.gone.LastStreamID != 3 {
		t.Error(err, w.gone)
	}
}

// Streams that all have much to say get the same share of what the client lets them.
func TestHTTP2SharesAreFair(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(pattern(12 << 20)) })}})
	w := b.plain(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 30})
	ids := []uint32{1, 3, 5, 7}
	for _, id := range ids {
		w.get(id, "/")
	}
	total := func() (n int) {
		for _, id := range ids {
			if r := w.got[id]; r != nil {
				n += r.body.Len()
			}
		}
		return n
	}
	var before []int
	since := 0
	for room := 65535; room < 12<<20; room += 65536 {
		for total() < room {
			if err := w.read(false); err != nil {
				t.Fatal(err)
			}
		}
		if room > 1<<20 && len(before) == 0 { // all are under way by then
			for _, id := range ids {
				before = append(before, w.got[id].body.Len())
			}
			since = total()
		}
		_ = w.WriteWindowUpdate(0, 65536)
	}
	for i := range before { // a server that is late for its turn loses it, so that shares are not quite the same
		if n, fair := w.got[ids[i]].body.Len()-before[i], (total()-since)/len(ids); n < fair/2 {
			t.Errorf("stream %d has got %d bytes of %d", ids[i], n, total()-since)
		}
	}
}

// What nobody takes is not taken from the client beyond its window, and it is given room when somebody does.
func TestHTTP2Upload(t *testing.T) {
	read := make(chan struct{})
	b := newBed(t, setup{
		middlewares: []*Middleware{{Name: "wait", Request: func(x *Exchange) Action {
			_ = x.Go(func() { <-read }, x.Continue)
			return Wait
		}}},
		backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%d %v %v", n, err, r.Trailer)
		})},
	})
	w := b.plain()
	w.ask(1, false, requestOf("POST", "/", "trailer", "x-sum")...)
	const size = 16 << 20
	sent, room, all := 0, 65535, 65535
	piece := make([]byte, 16<<10)
	for sent < size {
		n := min(room, all, len(piece), size-sent)
		if n > 0 {
			if err := w.WriteData(1, false, piece[:n]); err != nil {
				t.Fatal(err)
			}
			sent, room, all = sent+n, room-n, all-n
			if sent == 65535 {
				_ = w.WritePing(false, [8]byte{1})
			}
			continue
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
			if room > 0 {
				t.Errorf("room for %d more is given, and nobody has taken anything", room)
			}
			close(read)
		}
	}
	w.ask(1, true, "x-sum", "1")
	w.wants(1, "200", fmt.Sprintf("%d <nil> map[X-Sum:[1]]", size))
}

// Responses of all kinds come to the client as HTTP/2 has them.
func TestHTTP2Responses(t *testing.T) {
	for _, tt := range []struct {
		name, method, text string
		status, body       string
		interims, trailers string
	}{
		{"length", "GET", okText, "200", "ok", "", ""},
		{"nothing", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200", "", "", ""},
		{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "200", "", "", ""},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "204", "", "", ""},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "304", "", "", ""},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", "200", "abcd", "", ""},
		{"trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nGrpc-Status: 0\r\n\r\n", "200", "a", "", "[x-sum=1 grpc-status=0]"},
		{"trailers alone", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n", "200", "", "", "[x-sum=1]"},
		{"to the end", "GET", "HTTP/1.1 200 OK\r\n\r\nto the end", "200", "to the end", "", ""},
		{"interim", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + okText, "200", "ok", "[103]", ""},
		{"upgrade", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "502", "Bad Gateway\n", "", ""},
		{"nonsense", "GET", "nonsense\r\n\r\n", "502", "Bad Gateway\n", "", ""},
		{"hop by hop", "GET", "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Length: 2\r\n\r\nok", "200", "ok", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{raw(t, func(c net.Conn) {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, tt.text)
				}
			})}})
			w := b.plain()
			w.ask(1, true, requestOf(tt.method, "/")...)
			w.wants(1, tt.status, tt.body)
			r := w.got[1]
			var trailers []string
			for _, f := range r.trailers {
				trailers = append(trailers, f.Name+"="+f.Value)
			}
			if r.code != nil || len(r.interims) > 0 && fmt.Sprint(r.interims) != tt.interims || tt.trailers != "" && fmt.Sprint(trailers) != tt.trailers {
				t.Errorf("%+v", r)
			}
			for _, f := range r.fields {
				if f.Name == "connection" || f.Name == "x-hop" || f.Name == "keep-alive" || f.Name == "transfer-encoding" {
					t.Errorf("%s is passed on", f)
				}
			}
		})
	}
}
