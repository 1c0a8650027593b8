package http2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

func TestStart(t *testing.T) {
	p := newPeer(t, Options{})
	wants(t, "said", p.said(), "settings 3=250 6=32768 8=1", "0 window 983041")
	p.in.WriteString(Preface[:10])
	p.run()
	p.in.WriteString(Preface[10:])
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
	_ = p.WriteSettingsAck()
	_ = p.WritePing(false, [8]byte{1})
	p.run()
	wants(t, "said", p.said(), "settings ack", `ping ack=true "\x01\x00\x00\x00\x00\x00\x00\x00"`)
	if p.err != nil || !p.conn.Greeted() {
		t.Error(p.err)
	}
}

// What a peer may never do ends the connection, with a code and a word that say why (RFC 9113 sections 5 and 6).
func TestConnectionErrors(t *testing.T) {
	raw := func(kind xhttp2.FrameType, flags xhttp2.Flags, id uint32, payload string) func(*peer) {
		return func(p *peer) { _ = p.WriteRawFrame(kind, flags, id, []byte(payload)) }
	}
	window := func(id, n uint32) func(*peer) {
		return raw(xhttp2.FrameWindowUpdate, 0, id, string(binary.BigEndian.AppendUint32(nil, n)))
	}
	setting := func(id uint16, v uint32) func(*peer) {
		return raw(xhttp2.FrameSettings, 0, 0, string(appendSetting(nil, id, v)))
	}
	after := func(do ...func(*peer)) func(*peer) { // a request that is open, one that is over, and one that was reset
		return func(p *peer) {
			p.ask(1, false, post...)
			p.ask(3, true, get...)
			p.ask(5, false, post...)
			p.run()
			p.conn.End(p.streams[3], nil)
			_ = p.WriteRSTStream(5, xhttp2.ErrCodeCancel)
			for _, f := range do {
				f(p)
			}
		}
	}
	five := strings.Repeat("x", 5)
	for _, tt := range []struct {
		name, reason string
		do           func(*peer)
	}{
		{"data on stream 0", "h2-stream-id", raw(xhttp2.FrameData, 0, 0, "x")},
		{"data on an idle stream", "h2-idle-stream", raw(xhttp2.FrameData, 0, 7, "x")},
		{"data on a stream of ours", "h2-idle-stream", raw(xhttp2.FrameData, 0, 2, "x")},
		{"data on a stream that is over", "h2-closed-stream", after(raw(xhttp2.FrameData, 0, 3, "x"))},
		{"data on a stream that the peer has reset", "h2-closed-stream", after(raw(xhttp2.FrameData, 0, 5, "x"))},
		{"padding of all and more", "h2-padding", after(raw(xhttp2.FrameData, xhttp2.FlagDataPadded, 1, "\x01"))},
		{"padding without its length", "h2-frame-length", after(raw(xhttp2.FrameData, xhttp2.FlagDataPadded, 1, ""))},
		{"head on stream 0", "h2-stream-id", raw(xhttp2.FrameHeaders, 5, 0, "")},
		{"head on an even stream", "h2-stream-id", raw(xhttp2.FrameHeaders, 5, 2, "")},
		{"head on a stream that is over", "h2-closed-stream", after(func(p *peer) { p.ask(3, true, get...) })},
		{"head on a stream that was passed over", "h2-closed-stream", func(p *peer) { p.ask(7, true, get...); p.ask(5, true, get...) }},
		{"head with too much padding", "h2-padding", raw(xhttp2.FrameHeaders, 4|8, 1, "\x09")},
		{"head with half a priority", "h2-frame-length", raw(xhttp2.FrameHeaders, 4|0x20, 1, "xx")},
		{"head that is no HPACK", "h2-hpack", raw(xhttp2.FrameHeaders, 5, 1, "\xff\xff\xff\xff\xff")},
		{"head that ends in the middle of a field", "h2-hpack", raw(xhttp2.FrameHeaders, 5, 1, "\x40\x05ab")},
		{"head that refers to nothing", "h2-hpack", raw(xhttp2.FrameHeaders, 5, 1, "\xfe")},
		{"head that makes the table too large", "h2-hpack", raw(xhttp2.FrameHeaders, 5, 1, "\x3f\xe2\x1f")},
		{"continuation of nothing", "h2-continuation", raw(xhttp2.FrameContinuation, 4, 1, "")},
		{"continuation of another stream", "h2-continuation", func(p *peer) { raw(xhttp2.FrameHeaders, 0, 1, "")(p); raw(xhttp2.FrameContinuation, 4, 3, "")(p) }},
		{"something else in the middle of a head", "h2-continuation", func(p *peer) { raw(xhttp2.FrameHeaders, 0, 1, "")(p); _ = p.WritePing(false, [8]byte{}) }},
		{"priority on stream 0", "h2-stream-id", raw(xhttp2.FramePriority, 0, 0, five)},
		{"priority of four bytes", "h2-frame-length", raw(xhttp2.FramePriority, 0, 1, "xxxx")},
		{"reset of stream 0", "h2-stream-id", raw(xhttp2.FrameRSTStream, 0, 0, "xxxx")},
		{"reset of an idle stream", "h2-idle-stream", raw(xhttp2.FrameRSTStream, 0, 1, "xxxx")},
		{"reset of three bytes", "h2-frame-length", after(raw(xhttp2.FrameRSTStream, 0, 1, "xxx"))},
		{"settings on a stream", "h2-stream-id", raw(xhttp2.FrameSettings, 0, 1, "")},
		{"settings of five bytes", "h2-frame-length", raw(xhttp2.FrameSettings, 0, 0, five)},
		{"settings that are acknowledged with content", "h2-frame-length", raw(xhttp2.FrameSettings, xhttp2.FlagSettingsAck, 0, five+"x")},
		{"settings: push 2", "h2-settings", setting(settingPush, 2)},
		{"settings: window of 2^31", "h2-settings-window", setting(settingInitialWindow, 1<<31)},
		{"settings: frames of 16383", "h2-settings", setting(settingFrameSize, 16383)},
		{"settings: frames of 2^24", "h2-settings", setting(settingFrameSize, 1<<24)},
		{"settings that overflow a window", "h2-settings-window", after(window(1, maxWindow-initialWindow), setting(settingInitialWindow, initialWindow+1))},
		{"push", "h2-push", raw(xhttp2.FramePushPromise, 4, 1, "xxxx")},
		{"ping on a stream", "h2-stream-id", raw(xhttp2.FramePing, 0, 1, "12345678")},
		{"ping of seven bytes", "h2-frame-length", raw(xhttp2.FramePing, 0, 0, "1234567")},
		{"goaway on a stream", "h2-stream-id", raw(xhttp2.FrameGoAway, 0, 1, "12345678")},
		{"goaway of seven bytes", "h2-frame-length", raw(xhttp2.FrameGoAway, 0, 0, "1234567")},
		{"window of three bytes", "h2-frame-length", raw(xhttp2.FrameWindowUpdate, 0, 0, "123")},
		{"window by nothing", "h2-window-zero", window(0, 0)},
		{"window overflow", "h2-window", window(0, maxWindow)},
		{"window of an idle stream", "h2-idle-stream", window(1, 1)},
		{"frame of 16385", "h2-frame-size", raw(xhttp2.FrameData, 0, 1, strings.Repeat("x", MaxFrame+1))},
		{"unknown frame of 16385", "h2-frame-size", raw(99, 0, 1, strings.Repeat("x", MaxFrame+1))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, Options{}).greet()
			tt.do(p)
			p.run()
			var e *Error
			if !errors.As(p.err, &e) || e.Reason != tt.reason {
				t.Fatalf("%v, want %s; %q", p.err, tt.reason, p.events)
			}
			if !slices.Contains(Reasons[:], e.Reason) {
				t.Errorf("%s is not among the words", e.Reason)
			}
			said := p.said()
			if last := said[len(said)-1]; last != fmt.Sprintf("goaway %d %v %s", p.conn.last, e.Code, e.Reason) {
				t.Errorf("said %q", said)
			}
			if _, _, err := p.conn.Next([]byte("more")); err != p.err || !p.conn.Done() || len(p.conn.Out) > 0 {
				t.Errorf("afterwards %v, %q", err, p.conn.Out)
			}
		})
	}
}

func TestPreface(t *testing.T) {
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, tt := range []struct{ name, text string }{
		{"HTTP/1", "GET / HTTP/1.1\r\n\r\n"},
		{"of another version", strings.Replace(Preface, "2.0", "3.0", 1)},
		{"without settings", Preface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"},
		{"with settings that acknowledge", Preface + strings.Replace(settings, "\x04\x00", "\x04\x01", 1)},
	} {
		p := newPeer(t, Options{})
		p.in.WriteString(tt.text)
		if p.run(); p.err != errPreface {
			t.Errorf("%s: %v", tt.name, p.err)
		}
	}
}

// What a peer does wrong on one stream ends that, and others go on.
func TestStreamErrors(t *testing.T) {
	window := func(n uint32) func(*peer) {
		return func(p *peer) {
			_ = p.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, 1, binary.BigEndian.AppendUint32(nil, n))
		}
	}
	data := func(end bool, text string) func(*peer) {
		return func(p *peer) { _ = p.WriteData(1, end, []byte(text)) }
	}
	trailers := func(end bool, fields ...string) func(*peer) { return func(p *peer) { p.ask(1, end, fields...) } }
	for _, tt := range []struct {
		name string
		head []string
		end  bool
		do   func(*peer)
		code Code
		err  error
	}{
		{"window by nothing", post, false, window(0), ProtocolError, nil},
		{"window overflow", post, false, window(maxWindow), FlowControlError, nil},
		{"data after the end", get, true, data(false, "x"), StreamClosed, nil},
		{"trailers after the end", get, true, trailers(true, "x-a", "1"), StreamClosed, nil},
		{"too much data", with(post, "content-length", "2"), false, data(false, "abc"), ProtocolError, ErrLengthMismatch},
		{"too little data", with(post, "content-length", "2"), false, data(true, "a"), ProtocolError, ErrLengthMismatch},
		{"too little data before trailers", with(post, "content-length", "2"), false, trailers(true, "x-a", "1"), ProtocolError, ErrLengthMismatch},
		{"trailers that end nothing", post, false, trailers(false, "x-a", "1"), ProtocolError, ErrTrailerSection},
		{"trailers where another protocol is spoken", connect, false, trailers(true, "x-a", "1"), ProtocolError, ErrTrailerSection},
		{"trailers with a pseudo-header", post, false, trailers(true, ":path", "/"), ProtocolError, ErrPseudo},
		{"trailers that frame", post, false, trailers(true, "content-length", "0"), ProtocolError, http1.ErrTrailerName},
		{"trailers that route", post, false, trailers(true, "x_forwarded_for", "1"), ProtocolError, http1.ErrTrailerName},
		{"trailers in capitals", post, false, trailers(true, "X-A", "1"), ProtocolError, ErrUppercase},
		{"trailers of two lines", post, false, trailers(true, "x-a", "1\r\nx-b: 2"), ProtocolError, http1.ErrFieldValue},
		{"trailers that are long", post, false, trailers(true, "x-a", strings.Repeat("a", 9000)), ProtocolError, http1.ErrHeadTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, Options{}).greet()
			p.ask(1, tt.end, tt.head...)
			tt.do(p)
			p.ask(3, true, get...)
			p.run()
			wants(t, "said", p.said(), fmt.Sprintf("1 reset %v", tt.code))
			wants(t, "events", p.events, "1 request…", fmt.Sprintf("1 broken %v err=%v", tt.code, tt.err), "3 request over=true err=<nil>")
			if p.err != nil || p.conn.Open() != 1 || !p.streams[1].Gone() {
				t.Error(p.err, p.conn.Open())
			}
			_ = p.WriteData(1, false, []byte("late"))
			p.ask(1, true, "late", "too")
			_ = p.WriteRSTStream(1, xhttp2.ErrCodeCancel)
			window(1)(p)
			if p.run(); p.err != nil || len(p.events) != 3 {
				t.Errorf("late frames: %v, %q", p.err, p.events)
			}
		})
	}
}

// More than the window lets through is refused, on a stream and on all together.
func TestContentBeyondTheWindow(t *testing.T) {
	full := make([]byte, MaxFrame)
	p := newPeer(t, Options{}).greet()
	p.ask(1, false, post...)
	for range 4 {
		_ = p.WriteData(1, false, full)
	}
	p.run()
	if last := p.events[len(p.events)-1]; last != "1 broken flow-control-error err=<nil>" {
		t.Error(last)
	}

	p = newPeer(t, Options{}).greet()
	for id := uint32(1); p.err == nil && id < 100; id += 2 {
		p.ask(id, false, post...)
		for range 3 {
			_ = p.WriteData(id, false, full)
		}
		p.run()
	}
	if p.err != errWindow || len(p.streams) != ConnWindow/MaxFrame/3+1 {
		t.Errorf("%v after %d streams", p.err, len(p.streams))
	}
}

// The peer is given room for as much as was consumed, and padding is.
func TestWindowsAreGiven(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	p.ask(1, false, post...)
	_ = p.WriteDataPadded(1, false, make([]byte, 16000), make([]byte, 255))
	_ = p.WriteData(1, false, make([]byte, MaxFrame))
	_ = p.WriteData(1, false, make([]byte, MaxFrame))
	p.run()
	s := p.streams[1]
	wants(t, "nothing is consumed", p.said())
	p.conn.Consumed(s, 16000)
	wants(t, "a quarter", p.said())
	p.conn.Consumed(s, MaxFrame+128)
	wants(t, "half", p.said(), fmt.Sprintf("1 window %d", 16000+256+MaxFrame+128))
	if s.held != MaxFrame-128 {
		t.Errorf("%d bytes are held", s.held)
	}
	_ = p.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	p.run()
	if want := int32(16000 + 256 + 2*MaxFrame); p.conn.credit != want { // what nobody will consume counts
		t.Errorf("%d bytes are to be given back, want %d", p.conn.credit, want)
	}
	p.conn.Consumed(s, MaxFrame-128)
	if want := int32(16000 + 256 + 2*MaxFrame); p.conn.credit != want {
		t.Error("given back twice")
	}
}

func TestResponses(t *testing.T) {
	length := func(n int64) head.Framing { return head.Framing{Kind: head.Length, Length: n} }
	for _, tt := range []struct {
		name string
		do   func(*Conn, *Stream)
		want []string
	}{
		{"with length", func(c *Conn, s *Stream) {
			c.Head(s, response(200, length(3), "Server", "x", "ETag", `"1"`), false)
			c.Data(s, []byte("ab"))
			c.Data(s, []byte("c"))
			c.End(s, nil)
		}, []string{`1 headers :status=200 server=x etag="1" content-length=3 end=false`, "1 data 2 end=false", "1 data 1 end=true"}},
		{"without content", func(c *Conn, s *Stream) { c.Head(s, response(200, length(0)), false); c.End(s, nil) },
			[]string{"1 headers :status=200 content-length=0 end=true"}},
		{"to HEAD", func(c *Conn, s *Stream) { c.Head(s, response(200, length(9)), true); c.End(s, nil) },
			[]string{"1 headers :status=200 content-length=9 end=true"}},
		{"to the end", func(c *Conn, s *Stream) {
			c.Head(s, response(404, head.Framing{Kind: head.UntilClose}), false)
			c.Data(s, []byte("abc"))
			c.End(s, nil)
		}, []string{"1 headers :status=404 end=false", "1 data 3 end=false", "1 data 0 end=true"}},
		{"with trailers", func(c *Conn, s *Stream) {
			c.Head(s, response(200, head.Framing{Kind: head.UntilClose}), false)
			c.End(s, []byte("X-Sum:  1 \r\nGrpc-Status: 0\r\n\r\n"))
		}, []string{"1 headers :status=200 end=false", "1 headers x-sum=1 grpc-status=0 end=true"}},
		{"with no trailers after all", func(c *Conn, s *Stream) {
			c.Head(s, response(200, head.Framing{Kind: head.UntilClose}), false)
			c.End(s, []byte("\r\n"))
		}, []string{"1 headers :status=200 end=false", "1 data 0 end=true"}},
		{"after interim ones", func(c *Conn, s *Stream) {
			c.Head(s, response(103, head.Framing{}, "Link", "</x>"), true)
			c.Head(s, response(204, head.Framing{}), true)
		}, []string{"1 headers :status=103 link=</x> end=false", "1 headers :status=204 end=true"}},
		{"of an odd status", func(c *Conn, s *Stream) { c.Head(s, response(799, head.Framing{}), true) },
			[]string{"1 headers :status=799 end=true"}},
		{"in the middle", func(c *Conn, s *Stream) {
			c.Head(s, response(200, length(3)), false)
			c.Reset(s, InternalError)
			c.Reset(s, InternalError)
			c.End(s, nil)
			c.Head(s, response(200, length(3)), false)
			if n := c.Data(s, []byte("x")); n != 1 {
				panic(n)
			}
		}, []string{"1 headers :status=200 content-length=3 end=false", "1 reset internal-error"}},
		{"that is too long for what it said", func(c *Conn, s *Stream) {
			c.Head(s, response(200, length(2)), false)
			c.Data(s, []byte("abc"))
		}, []string{"1 headers :status=200 content-length=2 end=false", "1 data 2 end=true"}},
		{"with a head of several frames", func(c *Conn, s *Stream) {
			c.Head(s, response(200, length(0), "A", strings.Repeat("^", 40_000)), false)
		}, []string{"1 headers :status=200 a=^^^^…"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, Options{}).greet()
			p.ask(1, true, get...)
			p.run()
			tt.do(p.conn, p.streams[1])
			wants(t, "said", p.said(), tt.want...)
			if p.conn.Open() != 0 {
				t.Error("the stream is open")
			}
		})
	}
}

// Content goes within the windows of the stream and of the connection, whatever becomes of them.
func TestContentWithinTheWindows(t *testing.T) {
	p := newPeer(t, Options{}).greet(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
	p.ask(1, true, get...)
	p.ask(3, true, get...)
	p.run()
	c, s, other := p.conn, p.streams[1], p.streams[3]
	c.Head(s, response(200, head.Framing{Kind: head.UntilClose}), false)
	p.said()
	send := func(s *Stream, n, want int, blocked bool) {
		t.Helper()
		if got := c.Data(s, make([]byte, n)); got != want || s.Blocked() != blocked {
			t.Errorf("%d of %d are taken, blocked=%v; want %d, %v", got, n, s.Blocked(), want, blocked)
		}
	}
	send(s, 20, 10, true)
	wants(t, "said", p.said(), "1 data 10 end=false")
	send(s, 20, 0, true)
	_ = p.WriteWindowUpdate(1, 5)
	p.run()
	send(s, 20, 5, true)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 4}) // now it is 6 below zero
	_ = p.WriteWindowUpdate(1, 6)
	p.run()
	send(s, 1, 0, true)
	_ = p.WriteWindowUpdate(1, 1)
	p.run()
	send(s, 2, 1, true)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	p.run()
	send(s, 1<<20, initialWindow-16, false) // that of the connection is the limit
	if c.Spare() != 0 {
		t.Errorf("%d are left", c.Spare())
	}
	send(other, 1, 0, false)
	_ = p.WriteWindowUpdate(0, 3)
	p.run()
	send(other, 5, 3, false)
	c.End(s, nil) // needs no room
	if said := p.said(); said[len(said)-1] != "1 data 0 end=true" {
		t.Errorf("said %q", said)
	}
}

// Floods end the connection as soon as they cost more than requests would explain.
func TestFloods(t *testing.T) {
	ping := func(p *peer, _ uint32) { _ = p.WritePing(false, [8]byte{}) }
	for _, tt := range []struct {
		name   string
		do     func(p *peer, id uint32)
		most   int // of them, before the connection ends
		reason string
	}{
		{"ping", ping, 1100, "h2-flood"},
		{"settings", func(p *peer, _ uint32) { _ = p.WriteSettings() }, 1100, "h2-flood"},
		{"settings of windows", func(p *peer, id uint32) {
			_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: id})
		}, 1100, "h2-flood"},
		{"priority", func(p *peer, _ uint32) { _ = p.WritePriority(1, xhttp2.PriorityParam{StreamDep: 1}) }, 1100, "h2-flood"},
		{"window", func(p *peer, _ uint32) { _ = p.WriteWindowUpdate(0, 1) }, 1100, "h2-flood"},
		{"window of a stream", func(p *peer, _ uint32) { _ = p.WriteWindowUpdate(1, 1) }, 1100, "h2-flood"},
		{"unknown", func(p *peer, _ uint32) { _ = p.WriteRawFrame(99, 0, 0, nil) }, 1100, "h2-flood"},
		{"empty data", func(p *peer, _ uint32) { _ = p.WriteData(1, false, nil) }, 110, "h2-flood"},
		{"empty data with padding", func(p *peer, _ uint32) { _ = p.WriteDataPadded(1, false, nil, make([]byte, 200)) }, 110, "h2-flood"},
		{"late data", func(p *peer, id uint32) {
			if id == 3 {
				_ = p.WriteWindowUpdate(1, 0) // which makes us reset it
			}
			_ = p.WriteData(1, false, nil)
		}, 1100, "h2-flood"},
		{"rapid reset", func(p *peer, id uint32) { p.ask(id, true, get...); _ = p.WriteRSTStream(id, xhttp2.ErrCodeCancel) }, 110, "h2-resets"},
		{"resets that we are made to send, by a window of nothing", func(p *peer, id uint32) {
			p.ask(id, true, get...)
			_ = p.WriteWindowUpdate(id, 0)
		}, 110, "h2-resets"},
		{"and by a window that overflows", func(p *peer, id uint32) {
			p.ask(id, true, get...)
			_ = p.WriteWindowUpdate(id, maxWindow)
		}, 110, "h2-resets"},
		{"and by data after the end", func(p *peer, id uint32) { p.ask(id, true, get...); _ = p.WriteData(id, false, nil) }, 110, "h2-resets"},
		{"and by a length that is not kept", func(p *peer, id uint32) {
			p.ask(id, false, with(post, "content-length", "3")...)
			_ = p.WriteData(id, true, nil)
		}, 110, "h2-resets"},
		{"requests that are malformed", func(p *peer, id uint32) { p.ask(id, true, with(get, "Bad", "1")...) }, 110, "h2-resets"},
		{"and that are answered", func(p *peer, id uint32) {
			p.ask(id, true, with(get, "Bad", "1")...)
			if p.run(); p.err == nil {
				p.conn.Head(p.streams[id], response(400, head.Framing{}), true)
			}
		}, 110, "h2-resets"},
		{"more streams than are allowed", func(p *peer, id uint32) { p.ask(id, true, get...) }, DefaultStreams + 110, "h2-resets"},
		{"streams behind the last one", func(p *peer, id uint32) {
			if id == 3 {
				p.conn.LeaveNow()
			}
			p.ask(id, true, get...)
		}, 1100, "h2-flood"},
		{"continuations", func(p *peer, id uint32) {
			if id == 3 {
				_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: p.encode(get...)})
			}
			_ = p.WriteContinuation(3, false, nil)
		}, 9, "h2-long-block"},
		{"continuations that are full", func(p *peer, id uint32) {
			if id == 3 {
				_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: p.encode(get...)})
			}
			_ = p.WriteContinuation(3, false, make([]byte, MaxFrame))
		}, 4, "h2-long-block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, Options{}).greet()
			p.ask(1, false, post...)
			n := 0
			for ; p.err == nil && n < 5000; n++ {
				tt.do(p, uint32(3+2*n))
				p.run()
			}
			var e *Error
			if !errors.As(p.err, &e) || e.Code != EnhanceYourCalm || e.Reason != tt.reason || n > tt.most {
				t.Errorf("%v after %d", p.err, n)
			}
		})
	}
}

// Work that requests explain is no flood, and what was spent is forgotten in time.
func TestBudgetsOfHonestPeers(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	id := uint32(1)
	for range 3000 { // each is answered, and every second one would rather not have been
		p.ask(id, true, get...)
		p.run()
		if id%4 == 1 {
			p.conn.End(p.streams[id], nil)
		} else {
			_ = p.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		}
		for range 4 {
			_ = p.WriteWindowUpdate(0, 1)
		}
		id += 2
	}
	if p.run(); p.err != nil {
		t.Fatal(p.err)
	}
	p = newPeer(t, Options{}).greet()
	for i := range 5000 {
		p.conn.Clock(epoch.Add(time.Duration(i) * 15 * time.Millisecond))
		_ = p.WritePing(false, [8]byte{})
		p.run()
		p.conn.Out = p.conn.Out[:0]
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
}

// A table full of one long field, and references to it, make many bytes of few: that is noticed before they are.
func TestHPACKBomb(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	p.ask(1, true, with(get, "cookie", strings.Repeat("a", 3000))...)
	bomb := append(p.encode(get...), bytes.Repeat([]byte{0x80 | 62}, MaxFrame-100)...)
	for id := uint32(3); id < 103; id += 2 {
		_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: bomb, EndStream: true, EndHeaders: true})
	}
	began := time.Now()
	allocated := testing.AllocsPerRun(1, p.run)
	t.Logf("of 50 bombs of %d bytes the first: %v, %v allocations", len(bomb), time.Since(began), allocated)
	if n := cap(p.conn.block.raw) + cap(p.conn.block.cookie); n > 128<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	if p.err != errCalmFields || len(p.events) != 1 {
		t.Error(p.err, p.events)
	}
}

func TestTooManyStreams(t *testing.T) {
	p := newPeer(t, Options{MaxStreams: 2}).greet()
	for _, id := range []uint32{1, 3, 5} {
		p.ask(id, true, get...)
	}
	p.run()
	wants(t, "said", p.said(), "5 reset refused-stream")
	p.conn.End(p.streams[1], nil)
	p.ask(7, true, get...)
	p.run()
	wants(t, "events", p.events, "1 request…", "3 request…", "refused refused-stream", "7 request…")
}

// The end is announced, what is on its way then is still served, and the peer is told which was the last.
func TestLeave(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	p.ask(1, true, get...)
	p.run()
	p.conn.Leave()
	p.conn.Leave()
	wants(t, "said", p.said(), "goaway 2147483647 no-error ", `ping ack=false "weirbye\x00"`)
	p.ask(3, true, get...)
	_ = p.WritePing(true, [8]byte{9})
	p.run()
	if !p.conn.Leaving() {
		t.Error("the answer to another ping counts")
	}
	_ = p.WritePing(true, leavePing)
	p.ask(5, false, post...)
	_ = p.WriteData(5, true, []byte("x"))
	p.run()
	wants(t, "said", p.said(), "goaway 3 no-error ")
	wants(t, "events", p.events, "1 request…", "3 request…", "refused no-error")
	p.conn.End(p.streams[1], nil)
	if p.conn.Done() {
		t.Error("it is done with a request open")
	}
	p.conn.End(p.streams[3], nil)
	if !p.conn.Done() || p.err != nil {
		t.Error("it is not done", p.err)
	}

	p = newPeer(t, Options{}).greet()
	_ = p.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
	p.run()
	if !p.conn.Done() {
		t.Error("the peer has gone, and it is not done")
	}
}

// A late end of a request behind its response does not keep the stream.
func TestEarlyResponse(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	p.ask(1, false, post...)
	p.run()
	p.conn.Head(p.streams[1], response(413, head.Framing{}), true)
	p.conn.Reset(p.streams[1], NoError)
	wants(t, "said", p.said(), "1 headers :status=413 end=true", "1 reset no-error")
	_ = p.WriteData(1, false, make([]byte, 1000))
	_ = p.WriteData(1, true, make([]byte, 1000))
	p.run()
	if p.err != nil || p.conn.Open() != 0 || p.conn.credit != 2000 {
		t.Error(p.err, p.conn.Open(), p.conn.credit)
	}
}
