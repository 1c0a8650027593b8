package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/http2"
)

// frameStory is what a client says, as pieces that may be sent in any order that keeps each list's, as long as streams are opened
// in theirs: their first pieces come in the order of the lists.
type frameStory struct {
	opening []byte     // preface and settings
	streams [][][]byte // of each the pieces
	others  [][]byte   // about the connection
}

// newFrameStory has a bit of everything. Heads refer to no earlier ones, so that their order does not matter.
func newFrameStory() *frameStory {
	var out, block bytes.Buffer
	f := xhttp2.NewFramer(&out, nil)
	h := hpack.NewEncoder(&block)
	h.SetMaxDynamicTableSize(0)
	took := func() []byte {
		defer out.Reset()
		return bytes.Clone(out.Bytes())
	}
	encode := func(fields ...string) []byte {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = h.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return bytes.Clone(block.Bytes())
	}
	ask := func(id uint32, end bool, fields ...string) []byte {
		_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: encode(fields...), EndStream: end, EndHeaders: true})
		return took()
	}
	data := func(id uint32, end bool, text string) []byte {
		_ = f.WriteDataPadded(id, end, []byte(text), make([]byte, len(text)%3))
		return took()
	}
	s := new(frameStory)
	_ = f.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 0})
	s.opening = append([]byte(http2.Preface), took()...)
	_ = f.WriteSettingsAck()
	s.others = append(s.others, took())
	_ = f.WritePing(false, [8]byte{1})
	s.others = append(s.others, took())
	_ = f.WriteWindowUpdate(0, 1000)
	s.others = append(s.others, took())
	_ = f.WritePriority(99, xhttp2.PriorityParam{StreamDep: 1})
	s.others = append(s.others, took())
	whole := encode(requestOf("GET", "/crumbs", "cookie", "a=b", "cookie", "c=d", "x-long", strings.Repeat("x", 50))...)
	_ = f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 7, BlockFragment: whole[:20], EndStream: true})
	_ = f.WriteContinuation(7, false, whole[20:40])
	_ = f.WriteContinuation(7, true, whole[40:])
	crumbs := took()
	s.streams = [][][]byte{
		{ask(1, false, requestOf("POST", "/length", "content-length", "10")...), data(1, false, "hello"), data(1, true, "world")},
		{ask(3, false, requestOf("POST", "/chunks", "trailer", "x-sum")...), data(3, false, "a"), data(3, false, "bcde"), ask(3, true, "x-sum", "1")},
		{ask(5, true, requestOf("HEAD", "/head")...)},
		{crumbs},
		{ask(9, false, connectTo("/socket")...), data(9, false, "ping "), data(9, false, "pong"), data(9, true, "")},
		{ask(11, false, requestOf("POST", "/reset")...), data(11, false, "x"), resetOf(11)},
		{ask(13, true, requestOf("GET", "/wrong", "Bad", "1")...)},
	}
	return s
}

func resetOf(id uint32) []byte {
	var out bytes.Buffer
	_ = xhttp2.NewFramer(&out, nil).WriteRSTStream(id, xhttp2.ErrCodeCancel)
	return out.Bytes()
}

// answered are the streams that are answered; what becomes of the one that is reset depends on when.
var answered = []uint32{1, 3, 5, 7, 9, 13}

// tell puts the pieces in an order. next picks one of n lists that may go on.
func (s *frameStory) tell(next func(n int) int) []byte {
	out := bytes.Clone(s.opening)
	left := append([][][]byte{s.others}, s.streams...)
	at := make([]int, len(left))
	for {
		var may []int
		for i := range left {
			if at[i] < len(left[i]) && (i < 2 || at[i] > 0 || at[i-1] > 0) {
				may = append(may, i)
			}
		}
		if len(may) == 0 {
			return out
		}
		i := may[next(len(may))]
		out = append(out, left[i][at[i]]...)
		at[i]++
	}
}

// noted are the requests that a server has got, by path.
type noted struct {
	mu sync.Mutex
	of map[string]string
}

func (n *noted) note(req *http.Request, content []byte) {
	fields := slices.Sorted(maps.Keys(req.Header))
	text := fmt.Sprintf("%s %s %q", req.Method, req.RequestURI, content)
	for _, name := range fields {
		if name != "Sec-Websocket-Key" && name != "X-Forwarded-Port" {
			text += fmt.Sprintf(" %s=%q", name, req.Header[name])
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[req.URL.Path] = fmt.Sprintf("%s, trailer %v", text, req.Trailer)
}

// take gives what was noted of the paths whose requests are complete, and forgets all.
func (n *noted) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.of, "/reset")
	text := ""
	for _, path := range slices.Sorted(maps.Keys(n.of)) {
		text += n.of[path] + "\n"
	}
	n.of = make(map[string]string)
	return text
}

// storyServer notes requests and answers them, in pieces; WebSockets are echoed.
func storyServer(t testing.TB, n *noted, response *atomic.Pointer[pieces], server *atomic.Pointer[Server]) netip.AddrPort {
	t.Helper()
	return weirtest.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") == "websocket" {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
					acceptFor(req.Header.Get("Sec-WebSocket-Key")))
				var heard bytes.Buffer
				_, _ = io.Copy(io.MultiWriter(c, &heard), r)
				n.note(req, heard.Bytes())
				return
			}
			content, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			n.note(req, content)
			answer := *response.Load()
			if req.Method == "HEAD" {
				answer = pieces{"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"}
			}
			if answer.send(c, server.Load()) != nil {
				return
			}
		}
	}).AddrPort()
}

// listen is a wire that has said nothing.
func listen(t testing.TB, c net.Conn) *wire {
	w := &wire{Framer: xhttp2.NewFramer(c, bufio.NewReader(c)), t: t, conn: c, got: make(map[uint32]*reply), room: make(map[uint32]int), mute: true}
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return w
}

// hear reads until all that will be answered are, and returns how.
func (w *wire) hear() (string, error) {
	open := func(id uint32) bool { return w.got[id] == nil || !w.got[id].ended }
	for slices.ContainsFunc(answered, open) {
		if err := w.read(false); err != nil {
			return "", err
		}
	}
	text := ""
	for _, id := range answered {
		r := w.got[id]
		text += fmt.Sprintf("%d: %v %s %v %q %v\n", id, r.interims, r.status, r.fields, r.body.String(), r.trailers)
	}
	return text, nil
}

// However what a client says is cut into segments, in whatever order the frames of its streams come, and however the server's
// answers are cut: both sides get the same.
func TestHTTP2EverySplit(t *testing.T) {
	var response atomic.Pointer[pieces]
	var server atomic.Pointer[Server]
	n := &noted{of: make(map[string]string)}
	b := newBed(t, setup{backends: []netip.AddrPort{storyServer(t, n, &response, &server)}})
	server.Store(b.server)
	type fataler interface{ Fatalf(string, ...any) }
	tell := func(t fataler, said, back pieces) (answers, requests string) {
		response.Store(&back)
		c := b.dial()
		defer c.Close()
		sent := make(chan error, 1)
		go func() { sent <- said.send(c, b.server) }()
		answers, err := listen(b.t, c).hear()
		if err != nil {
			t.Fatalf("%v", err)
		}
		if err := <-sent; err != nil {
			t.Fatalf("send: %v", err)
		}
		_ = c.Close()
		b.idle(0) // what is reset may still be on its way to the server
		return answers, n.take()
	}
	s := newFrameStory()
	inOrder := string(s.tell(func(int) int { return 0 }))
	wantAnswers, wantRequests := tell(t, pieces{inOrder}, pieces{splitResponse})
	for _, part := range []string{`1: [103] 200 [`, `"abcd" [header field "x-sum" = "2"]`, `9: [] 200`, `"ping pong"`, `13: [] 400`} {
		if !strings.Contains(wantAnswers, part) {
			t.Fatalf("%q is missing in\n%s", part, wantAnswers)
		}
	}
	for _, part := range []string{`POST /length "helloworld"`, `POST /chunks "abcde"`, "X-Sum:[1]", `Cookie=["a=b; c=d"]`, `GET /socket "ping pong"`} {
		if !strings.Contains(wantRequests, part) {
			t.Fatalf("%q is missing in\n%s", part, wantRequests)
		}
	}
	check := func(t fataler, said, back pieces) {
		if answers, requests := tell(t, said, back); answers != wantAnswers || requests != wantRequests {
			t.Fatalf("%q, answered in %q: got\n%s%swant\n%s%s", said, back, answers, requests, wantAnswers, wantRequests)
		}
	}
	check(t, each(1, inOrder), each(1, splitResponse))
	for i := 1; i < len(inOrder); i++ {
		check(t, pieces{inOrder[:i], inOrder[i:]}, pieces{splitResponse})
	}
	rapid.Check(t, func(t *rapid.T) {
		said := string(s.tell(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "list") }))
		check(t, cuts(t, said), cuts(t, splitResponse))
	})
}

// FuzzSession gives any bytes in any segments to a session with a server behind it, and leaves: nothing panics, what is held is
// bounded, the connection ends, and nothing is left behind.
func FuzzSession(f *testing.F) {
	var response atomic.Pointer[pieces]
	var server atomic.Pointer[Server]
	response.Store(&pieces{splitResponse})
	n := &noted{of: make(map[string]string)}
	b := newBed(f, setup{backends: []netip.AddrPort{storyServer(f, n, &response, &server)}, front: FrontOptions{MaxStreams: 10}})
	server.Store(b.server)
	s := newFrameStory()
	f.Add(s.tell(func(int) int { return 0 })[len(s.opening):], uint64(1), false)
	f.Add(s.tell(func(n int) int { return n - 1 })[len(s.opening):], uint64(2), false)
	f.Add([]byte("\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41"), uint64(3), false)
	f.Add([]byte(http2.Preface[:20]), uint64(4), true)
	f.Fuzz(func(t *testing.T, said []byte, seed uint64, bare bool) {
		b := b.with(t)
		if !bare {
			said = append(bytes.Clone(s.opening), said...)
		}
		c := b.dial()
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			_, _ = io.Copy(io.Discard, c)
		}()
		r := rand.New(rand.NewPCG(seed, 0))
		for left := said; len(left) > 0; {
			size := min(1+r.IntN(1+r.IntN(600)), len(left))
			if (pieces{string(left[:size])}).send(c, b.server) != nil {
				break // it has been thrown out
			}
			left = left[size:]
			b.bounded()
		}
		_ = c.(*net.TCPConn).CloseWrite()
		<-heard // weir ends it, too
		weirtest.Eventually(t, patience, func() bool {
			return b.open() == 0 && b.front.SessionStats().Active == 0 && b.pool.Backends()[0].Active() == 0
		},
			"everything is over")
		if s := b.front.SessionStats(); s.ActiveStreams != 0 || b.server.Panics() != 0 {
			t.Errorf("%d streams are open, %d panics", s.ActiveStreams, b.server.Panics())
		}
	})
}

// bounded wants no session to hold more than it may.
func (b *bed) bounded() {
	b.t.Helper()
	b.server.each(func(w *worker) {
		w.forEachSession(func(s *session) {
			if out := s.stream.Buffered() + len(s.core.Out); out > maxUnsent+2*outMark {
				b.t.Errorf("%d bytes wait for the client", out)
			}
			if in := len(s.stream.Peeked()); in > readAhead {
				b.t.Errorf("%d bytes of frames are held", in)
			}
			held, open := 0, 0
			for stream := range s.core.Streams() {
				l := stream.Owner.(*lane)
				held += len(l.stream.Peeked())
				open++
			}
			if max := http2.ConnWindow + open*maxOverhead; held > max || open > s.set.MaxStreams {
				b.t.Errorf("%d bytes of content are held, on %d streams", held, open)
			}
		})
	})
}
