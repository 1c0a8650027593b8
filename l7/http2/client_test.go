package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

// newServer is a peer that plays the server: what it writes goes to a Conn that is a client, and has asked as many times.
func newServer(t testing.TB, o Options, requests ...*head.Head) *peer {
	p := newPeer(t, o)
	p.conn.StartClient(o, epoch)
	for _, h := range requests {
		s := new(Stream)
		p.conn.Ask(s, h, "http", !h.Framing().HasBody())
		p.streams[s.ID] = s
	}
	return p
}

// say sends a head, in one frame if it fits.
func (p *peer) say(id uint32, end bool, fields ...string) { p.ask(id, end, fields...) }

// asked is a request as it was read from a client of HTTP/1.
func asked(t testing.TB, text string) *head.Head {
	t.Helper()
	h := new(head.Head)
	if _, err := new(http1.Parser).Request([]byte(text), h); err != nil {
		t.Fatal(err)
	}
	h.Keep()
	h.StripHop()
	return h
}

func getAsked(t testing.TB) *head.Head { return asked(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }

func TestAsk(t *testing.T) {
	p := newServer(t, Options{},
		asked(t, "GET /a?b HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-1\r\nKeep-Alive: 1\r\nX-1: 2\r\nAccept: */*\r\nCookie: s=1\r\n\r\n"),
		asked(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"),
		asked(t, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"),
		asked(t, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
		asked(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
	if !bytes.HasPrefix(p.conn.Out, []byte(Preface)) {
		t.Fatalf("%q", p.conn.Out)
	}
	p.conn.Out = p.conn.Out[len(Preface):]
	p.conn.Data(p.streams[3], []byte("hello"))
	p.conn.Data(p.streams[5], []byte("x"))
	p.conn.End(p.streams[5], []byte("X-Sum: 1\r\n\r\n"))
	wants(t, "said", p.said(),
		"settings 2=0 6=32768", "0 window 983041",
		"1 headers :method=GET :scheme=http :authority=a.example :path=/a?b accept=*/* cookie=s=1 te=trailers end=true",
		"3 headers :method=POST :scheme=http :authority=a :path=/ content-length=5 te=trailers end=false",
		"5 headers :method=PUT :scheme=http :authority=a :path=/ trailer=X-Sum te=trailers end=false",
		"7 headers :method=OPTIONS :scheme=http :authority=a :path=* te=trailers end=true",
		"9 headers :method=POST :scheme=http :authority=a :path=/ content-length=0 te=trailers end=true",
		"3 data 5 end=true", "5 data 1 end=false", "5 headers x-sum=1 end=true")
}

func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		play   func(p *peer)
		want   []string
	}{
		{"content", "GET", func(p *peer) {
			p.say(1, false, ":status", "200", "x-a", "b")
			_ = p.WriteData(1, true, []byte("hi"))
		}, []string{`1 response "HTTP/1.1 200 OK\r\nx-a: b\r\nTransfer-Encoding: chunked\r\n\r\n" chunked 0`, `1 content "hi" over=true`}},
		{"known length", "GET", func(p *peer) {
			p.say(1, false, ":status", "200", "content-length", "2")
			_ = p.WriteData(1, true, []byte("hi"))
		}, []string{`1 response "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" length 2`, `1 content "hi" over=true`}},
		{"interim, trailers", "GET", func(p *peer) {
			p.say(1, false, ":status", "103", "link", "x")
			p.say(1, false, ":status", "200")
			_ = p.WriteData(1, false, []byte("hi"))
			p.say(1, true, "grpc-status", "0")
		}, []string{`1 response "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" none 0`,
			`1 response "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" chunked 0`, `1 content "hi" over=false`, `1 trailers "grpc-status: 0\r\n"`}},
		{"nothing but a head", "GET", func(p *peer) { p.say(1, true, ":status", "200") }, []string{`1 response "HTTP/1.1 200 OK\r\n\r\n" length 0`}},
		{"gRPC with a length", "POST", func(p *peer) {
			p.say(1, false, ":status", "200", "content-type", "application/grpc+proto", "content-length", "2")
			_ = p.WriteData(1, false, []byte("hi"))
			p.say(1, true, "grpc-status", "0")
		}, []string{`1 response "HTTP/1.1 200 OK\r\ncontent-type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n" chunked 0`,
			`1 content "hi" over=false`, `1 trailers "grpc-status: 0\r\n"`}},
		{"HEAD", "HEAD", func(p *peer) { p.say(1, true, ":status", "200", "content-length", "7") },
			[]string{`1 response "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" none 0`}},
		{"204", "GET", func(p *peer) { p.say(1, false, ":status", "204"); _ = p.WriteData(1, true, nil) },
			[]string{`1 response "HTTP/1.1 204 No Content\r\n\r\n" none 0`, `1 content "" over=true`}},
		{"cookies", "GET", func(p *peer) { p.say(1, true, ":status", "200", "set-cookie", "a", "set-cookie", "b") },
			[]string{`1 response "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n" length 0`}},
		{"reset", "GET", func(p *peer) { _ = p.WriteRSTStream(1, xhttp2.ErrCodeRefusedStream) }, []string{"1 cancelled refused-stream"}},

		{"no status", "GET", func(p *peer) { p.say(1, true, "x", "y") }, []string{"1 broken protocol-error err=http: pseudo-header…"}},
		{"two statuses", "GET", func(p *peer) { p.say(1, true, ":status", "200", ":status", "200") }, []string{"1 broken protocol-error err=http: pseudo-header…"}},
		{"pseudo-header of a request", "GET", func(p *peer) { p.say(1, true, ":status", "200", ":path", "/") }, []string{"1 broken protocol-error err=http: pseudo-header…"}},
		{"status behind fields", "GET", func(p *peer) { p.say(1, true, "x", "y", ":status", "200") }, []string{"1 broken protocol-error err=http: pseudo-header…"}},
		{"odd status", "GET", func(p *peer) { p.say(1, true, ":status", "2e2") }, []string{"1 broken protocol-error err=http: status is not…"}},
		{"short status", "GET", func(p *peer) { p.say(1, true, ":status", "20") }, []string{"1 broken protocol-error err=http: status is not…"}},
		{"101", "GET", func(p *peer) { p.say(1, false, ":status", "101") }, []string{"1 broken protocol-error err=http: status is not…"}},
		{"interim at the end", "GET", func(p *peer) { p.say(1, true, ":status", "100") }, []string{"1 broken protocol-error err=http: trailer section…"}},
		{"capital", "GET", func(p *peer) { p.say(1, true, ":status", "200", "X", "y") }, []string{"1 broken protocol-error err=http: field name has a capital"}},
		{"connection", "GET", func(p *peer) { p.say(1, true, ":status", "200", "connection", "close") }, []string{"1 broken protocol-error err=http: field is about…"}},
		{"transfer-encoding", "GET", func(p *peer) { p.say(1, true, ":status", "200", "transfer-encoding", "chunked") }, []string{"1 broken protocol-error err=http: field is about…"}},
		{"line break", "GET", func(p *peer) { p.say(1, true, ":status", "200", "x", "a\r\nb: c") }, []string{"1 broken protocol-error err=http: …"}},
		{"two lengths", "GET", func(p *peer) {
			p.say(1, false, ":status", "200", "content-length", "1", "content-length", "1")
		}, []string{"1 broken protocol-error err=http: …"}},
		{"shorter than it says", "GET", func(p *peer) {
			p.say(1, false, ":status", "200", "content-length", "3")
			_ = p.WriteData(1, true, []byte("hi"))
		}, []string{"1 response…", "1 broken protocol-error err=http: content is not…"}},
		{"longer than it says", "GET", func(p *peer) {
			p.say(1, false, ":status", "200", "content-length", "1")
			_ = p.WriteData(1, false, []byte("hi"))
		}, []string{"1 response…", "1 broken protocol-error err=http: content is not…"}},
		{"ends before its length", "GET", func(p *peer) { p.say(1, true, ":status", "200", "content-length", "3") }, []string{"1 broken protocol-error err=http: content is not…"}},
		{"content of HEAD", "HEAD", func(p *peer) {
			p.say(1, false, ":status", "200")
			_ = p.WriteData(1, true, []byte("hi"))
		}, []string{"1 response…", "1 broken protocol-error err=http: content is not…"}},
		{"content first", "GET", func(p *peer) { _ = p.WriteData(1, true, []byte("hi")) }, []string{"1 broken protocol-error err=http: content comes before…"}},
		{"second response", "GET", func(p *peer) { p.say(1, false, ":status", "200"); p.say(1, true, ":status", "200") },
			[]string{"1 response…", "1 broken protocol-error err=http: pseudo-header…"}},
		{"trailers that do not end", "GET", func(p *peer) { p.say(1, false, ":status", "200"); p.say(1, false, "x", "y") },
			[]string{"1 response…", "1 broken protocol-error err=http: trailer section…"}},
		{"trailer that frames", "GET", func(p *peer) { p.say(1, false, ":status", "200"); p.say(1, true, "content-length", "1") },
			[]string{"1 response…", "1 broken protocol-error err=http: …"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newServer(t, Options{}, asked(t, tt.method+" / HTTP/1.1\r\nHost: a\r\n\r\n"))
			_ = p.WriteSettings()
			tt.play(p)
			p.run()
			wants(t, "events", p.events, tt.want...)
			if p.err != nil {
				t.Error(p.err)
			}
		})
	}
}

// What ends the connection, because no stream alone is to blame for it.
func TestHostileServer(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(p *peer)
		want error
	}{
		{"no settings first", func(p *peer) { p.say(1, true, ":status", "200") }, errPreface},
		{"HTTP/1", func(p *peer) { p.in.WriteString("HTTP/1.1 400 Bad Request\r\n\r\n") }, errFrameSize},
		{"push", func(p *peer) {
			_ = p.WriteSettings()
			_ = p.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: []byte{0x88}, EndHeaders: true})
		}, errPush},
		{"push allowed", func(p *peer) { _ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 1}) }, errSettings},
		{"stream of its own", func(p *peer) { _ = p.WriteSettings(); p.say(2, true, ":status", "200") }, errStreamID},
		{"stream nobody has opened", func(p *peer) { _ = p.WriteSettings(); p.say(5, true, ":status", "200") }, errIdle},
		{"content for none", func(p *peer) { _ = p.WriteSettings(); _ = p.WriteData(5, true, nil) }, errIdle},
		{"reset of none", func(p *peer) { _ = p.WriteSettings(); _ = p.WriteRSTStream(5, 0) }, errIdle},
		{"endless interim responses", func(p *peer) {
			_ = p.WriteSettings()
			for range 5000 {
				p.say(1, false, ":status", "102")
			}
		}, errCalmFrames},
		{"settings", func(p *peer) {
			for range 2000 {
				_ = p.WriteSettings()
			}
		}, errCalmFrames},
		{"pings", func(p *peer) {
			_ = p.WriteSettings()
			for range 2000 {
				_ = p.WritePing(false, [8]byte{})
			}
		}, errCalmFrames},
		{"empty content", func(p *peer) {
			_ = p.WriteSettings()
			p.say(1, false, ":status", "200")
			for range 2000 {
				_ = p.WriteData(1, false, nil)
			}
		}, errCalmFrames},
		{"head in many frames", func(p *peer) {
			_ = p.WriteSettings()
			_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}})
			for range 20 {
				_ = p.WriteContinuation(1, false, []byte{0x88})
			}
		}, errBlockSize},
		{"bomb", func(p *peer) {
			_ = p.WriteSettings()
			b := p.encode(":status", "200", "x", strings.Repeat("y", 2000))
			_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: append(b, bytes.Repeat([]byte{0xbe}, 10000)...), EndHeaders: true})
		}, errCalmFields},
		{"content beyond the connection's window", func(p *peer) {
			_ = p.WriteSettings()
			p.conn.recv = 10
			p.say(1, false, ":status", "200")
			_ = p.WriteData(1, false, make([]byte, 11))
		}, errWindow},
		{"window that overflows", func(p *peer) { _ = p.WriteSettings(); _ = p.WriteWindowUpdate(0, 1<<31-1) }, errWindow},
	} {
		p := newServer(t, Options{}, getAsked(t))
		tt.play(p)
		p.run()
		if p.err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, p.err, tt.want)
		}
		out := p.said2()
		if last := out[len(out)-1]; !strings.HasPrefix(last, "goaway 0 ") {
			t.Errorf("%s: the last frame is %s", tt.name, last)
		}
	}
}

// said2 is said behind the preface.
func (p *peer) said2() []string {
	p.conn.Out = bytes.TrimPrefix(p.conn.Out, []byte(Preface))
	return p.said()
}

// A stream's window bounds what is held of it, and what one holds is not taken from the others.
func TestReplyWindows(t *testing.T) {
	p := newServer(t, Options{}, getAsked(t), getAsked(t))
	_ = p.WriteSettings()
	p.say(1, false, ":status", "200")
	p.say(3, false, ":status", "200")
	const some = StreamWindow / MaxFrame * MaxFrame
	come := func() {
		for range some / MaxFrame {
			_ = p.WriteData(1, false, make([]byte, MaxFrame))
		}
		p.run()
	}
	come()
	c := p.conn
	if c.recv+c.credit != ConnWindow {
		t.Errorf("the window of the connection is %d", c.recv+c.credit)
	}
	c.Consumed(p.streams[1], some)
	wants(t, "given back", p.said2()[5:], fmt.Sprintf("1 window %d", some))
	for taken := 2 * some; taken < widenAfter; taken += some {
		come()
		c.Consumed(p.streams[1], some)
	}
	come()
	p.said()
	c.Consumed(p.streams[1], some)
	wants(t, "widened", p.said(), fmt.Sprintf("1 window %d", some+ReplyWindow-StreamWindow))
	for range StreamWindow/MaxFrame + 1 {
		_ = p.WriteData(3, false, make([]byte, MaxFrame))
	}
	p.events = nil
	p.run()
	if got := p.events[len(p.events)-1]; got != "3 broken flow-control-error err=<nil>" || p.err != nil {
		t.Errorf("%s, %v", got, p.err)
	}
}

func TestVacant(t *testing.T) {
	p := newServer(t, Options{MaxStreams: 10})
	c := p.conn
	check := func(when string, want int) {
		t.Helper()
		if n := c.Vacant(); n != want {
			t.Errorf("%s: %d, want %d", when, n, want)
		}
	}
	check("before the settings", 1)
	_ = p.WriteSettings()
	p.run()
	check("no bound of the peer's", 10)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 2})
	p.run()
	check("its bound", 2)
	s := new(Stream)
	c.Ask(s, getAsked(t), "http", true)
	check("one open", 1)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 0})
	p.run()
	check("none allowed", 0)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 5})
	_ = p.WriteGoAway(1, 0, nil)
	p.run()
	check("going", 0)
	if c.Lasting() || c.Done() {
		t.Error("it lasts, or is done with a request under way")
	}
	p.say(1, true, ":status", "200")
	p.run()
	if !c.Done() {
		t.Error("it is not done")
	}
}

func TestUnserved(t *testing.T) {
	p := newServer(t, Options{}, getAsked(t), getAsked(t), getAsked(t))
	_ = p.WriteSettings()
	_ = p.WriteGoAway(3, xhttp2.ErrCodeNo, nil)
	p.run()
	var ids []uint32
	for s := range p.conn.Unserved() {
		ids = append(ids, s.ID)
	}
	if len(ids) != 1 || ids[0] != 5 || !p.streams[5].Gone() || p.streams[3].Gone() {
		t.Errorf("%v", ids)
	}
}

// replyStory is a conversation that has a bit of everything.
func replyStory(t testing.TB) []byte {
	p := newServer(t, Options{})
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100}, xhttp2.Setting{ID: xhttp2.SettingMaxConcurrentStreams, Val: 7})
	p.say(1, false, ":status", "103", "link", strings.Repeat("^", 8000), "x-2", strings.Repeat("^", 8000), "x-3", strings.Repeat("^", 8000))
	p.say(3, false, ":status", "200", "content-length", "5", "set-cookie", "a=b")
	_ = p.WriteDataPadded(3, false, []byte("hel"), make([]byte, 9))
	p.say(1, false, ":status", "200")
	_ = p.WriteData(1, false, []byte("content"))
	_ = p.WritePing(false, [8]byte{1, 2})
	_ = p.WriteData(3, true, []byte("lo"))
	p.say(1, true, "x-sum", "1")
	p.say(5, true, ":status", "200", "Bad", "name")
	_ = p.WriteRSTStream(7, xhttp2.ErrCodeRefusedStream)
	_ = p.WriteWindowUpdate(0, 7)
	_ = p.WriteWindowUpdate(9, 0)
	_ = p.WriteData(7, true, []byte("late"))
	_ = p.WriteGoAway(11, xhttp2.ErrCodeNo, []byte("bye"))
	_ = p.WriteSettingsAck()
	return bytes.Clone(p.in.Bytes())
}

// playReply gives b to a Conn that is a client, in segments, and returns all that came of it.
func playReply(t testing.TB, b []byte, next func(left int) int) string {
	p := newServer(t, Options{}, getAsked(t), getAsked(t), getAsked(t), getAsked(t), getAsked(t), getAsked(t), asked(t, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"))
	for len(b) > 0 && p.err == nil {
		n := min(max(next(len(b)), 1), len(b))
		p.in.Write(b[:n])
		b = b[n:]
		p.run()
	}
	c := p.conn
	for s := range c.Streams() {
		if s.recv < 0 || s.recv > ReplyWindow || s.send > maxWindow || s.closed {
			t.Errorf("stream %+v", s)
		}
	}
	if p.err == nil && int(c.recv)+int(c.credit) != ConnWindow {
		t.Errorf("the window is lost: %d to come, %d to be given back", c.recv, c.credit)
	}
	if len(c.partial) > c.options.Limits.Head+blockRoom+MaxFrame || cap(c.block.raw) > 256<<10 {
		t.Errorf("%d and %d bytes of heads", len(c.partial), cap(c.block.raw))
	}
	checkFrames(t, bytes.TrimPrefix(c.Out, []byte(Preface)))
	return fmt.Sprintf("%q\n%v\n%x", p.events, p.err, c.Out)
}

// However the bytes of a server are cut into segments, they come to the same.
func TestEverySplitOfReplies(t *testing.T) {
	all := replyStory(t)
	want := playReply(t, all, func(left int) int { return left })
	for _, part := range []string{`1 response \"HTTP/1.1 103`, `3 content \"lo\" over=true`, `1 trailers \"x-sum: 1\\r\\n\"`, "5 broken protocol-error err=http: field name has a capital",
		"7 cancelled refused-stream", "9 broken protocol-error", "away no-error"} {
		if !strings.Contains(want, part) {
			t.Fatalf("%q is missing in %s", part, want)
		}
	}
	for size := 1; size < 40; size++ {
		if got := playReply(t, all, func(int) int { return size }); got != want {
			t.Fatalf("in pieces of %d:\n%s\nwant\n%s", size, got, want)
		}
	}
	for cut := 1; cut < len(all); cut += 1 + cut/300 {
		first := cut
		if got := playReply(t, all, func(left int) int { n := first; first = left; return n }); got != want {
			t.Fatalf("cut at %d:\n%s\nwant\n%s", cut, got, want)
		}
	}
}

// FuzzReplies gives any bytes as a server's, in any segments: nothing panics, bounds and windows hold, what is written can be
// read, and all splits come to the same.
func FuzzReplies(f *testing.F) {
	f.Add(replyStory(f), uint64(1))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		want := playReply(t, b, func(left int) int { return left })
		r := rand.New(rand.NewPCG(seed, 0))
		if got := playReply(t, b, func(left int) int { return 1 + r.IntN(min(left, 1+r.IntN(300))) }); got != want {
			t.Errorf("split with %d:\n%s\nwant\n%s", seed, got, want)
		}
	})
}

// The two sides understand each other.
func TestBothSides(t *testing.T) {
	c := new(Conn)
	c.StartClient(Options{}, epoch)
	s := new(Conn)
	s.Start(Options{}, epoch)
	ours, theirs, req, res := new(Stream), new(Stream), new(head.Head), new(head.Head)
	c.Ask(ours, asked(t, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), "http", false)
	c.Data(ours, []byte("body"))
	c.End(ours, nil)
	var log []string
	turn := func(from, to *Conn) {
		for b := from.Out; ; {
			n, e, err := to.Next(b)
			if err == ErrShort {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			switch e.Kind {
			case Request:
				log = append(log, fmt.Sprint("request ", to.Accept(theirs, req), " ", string(req.Target())))
				to.Head(theirs, response(200, head.Framing{Kind: head.UntilClose}, "X-A", "b"), false)
			case Response:
				to.Answer(e.Stream, res)
				log = append(log, fmt.Sprint("response ", res.Status()))
			case Content:
				log = append(log, fmt.Sprintf("content %s %v", e.Data, e.Stream.Over()))
				if to == s && e.Stream.Over() {
					to.Data(theirs, []byte("answer"))
					to.End(theirs, []byte("X-T: 1\r\n\r\n"))
				}
			case Trailers:
				log = append(log, fmt.Sprintf("trailers %q", e.Data))
			}
		}
		from.Out = from.Out[:0]
	}
	turn(c, s)
	turn(s, c)
	turn(c, s)
	wants(t, "log", log, "request <nil> /x", "content body false", "content  true", "response 200", "content answer false", `trailers "x-t: 1\r\n"`)
	if c.Open() != 0 || s.Open() != 0 {
		t.Errorf("%d and %d streams are open", c.Open(), s.Open())
	}
}
