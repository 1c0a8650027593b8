package http2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/l7/head"
)

// story is a conversation that has a bit of everything, and three fields as long as said.
func story(t testing.TB, long int) []byte {
	p := newPeer(t, Options{})
	p.in.WriteString(Preface)
	_ = p.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
	p.ask(1, true, with(get, "cookie", "a=b", "cookie", "c=d", "x-1", strings.Repeat("^", long), "x-2", strings.Repeat("^", long), "x-3", strings.Repeat("^", long))...)
	p.ask(3, false, with(post, "content-length", "5")...)
	_ = p.WriteDataPadded(3, false, []byte("hel"), make([]byte, 9))
	p.ask(5, false, post...)
	_ = p.WriteData(5, false, []byte("content"))
	_ = p.WriteData(3, true, []byte("lo"))
	_ = p.WritePing(false, [8]byte{1, 2})
	p.ask(5, true, "x-sum", "1")
	p.ask(7, true, with(get, "Bad", "name")...)
	p.ask(9, false, post...)
	_ = p.WriteRSTStream(9, xhttp2.ErrCodeCancel)
	_ = p.WriteWindowUpdate(0, 7)
	_ = p.WriteWindowUpdate(1, 0)
	_ = p.WritePriority(11, xhttp2.PriorityParam{StreamDep: 11})
	p.ask(13, false, connect...)
	_ = p.WriteData(13, true, []byte("frames"))
	_ = p.WriteSettingsAck()
	return bytes.Clone(p.in.Bytes())
}

// play gives b to a Conn in segments of the lengths that next returns, answers what it asks, and returns all that came of it.
func play(t testing.TB, b []byte, next func(left int) int) string {
	p := newPeer(t, Options{})
	p.events = nil
	for len(b) > 0 && p.err == nil {
		n := min(max(next(len(b)), 1), len(b))
		p.in.Write(b[:n])
		b = b[n:]
		p.run()
	}
	c := p.conn
	held := 0
	for s := range c.Streams() {
		if s.held < 0 || s.recv < 0 || s.recv > StreamWindow || s.send > maxWindow || s.closed {
			t.Errorf("stream %+v", s)
		}
		held += int(s.held)
	}
	if p.err == nil && int(c.recv)+int(c.credit)+held != ConnWindow {
		t.Errorf("the window is lost: %d to come, %d to be given back, %d held", c.recv, c.credit, held)
	}
	if len(c.streams) > DefaultStreams || len(c.partial) > c.options.Limits.Head+blockRoom+MaxFrame || cap(c.block.raw) > 256<<10 {
		t.Errorf("%d streams, %d and %d bytes of heads", len(c.streams), len(c.partial), cap(c.block.raw))
	}
	checkFrames(t, c.Out)
	return fmt.Sprintf("%q\n%v\n%v\n%x", p.events, p.heads, p.err, c.Out)
}

// checkFrames wants what a Conn writes to be understood by somebody else.
func checkFrames(t testing.TB, out []byte) {
	f := xhttp2.NewFramer(io.Discard, bytes.NewReader(out))
	for {
		if _, err := f.ReadFrame(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
	}
}

// However the bytes are cut into segments, they come to the same.
func TestEverySplit(t *testing.T) {
	all := story(t, 8000)
	want := play(t, all, func(left int) int { return left })
	for _, part := range []string{"1 request over=true err=<nil>", `3 content \"lo\" over=true`, `5 trailers \"x-sum: 1\\r\\n\"`, "7 request over=true err=http: field name has a capital",
		"9 cancelled cancel", "1 broken protocol-error"} {
		if !strings.Contains(want, part) {
			t.Fatalf("%q is missing in %s", part, want)
		}
	}
	for size := 1; size < 40; size++ {
		if got := play(t, all, func(int) int { return size }); got != want {
			t.Fatalf("in pieces of %d:\n%s\nwant\n%s", size, got, want)
		}
	}
	for cut := 1; cut < len(all); cut += 1 + cut/300 {
		first := cut
		if got := play(t, all, func(left int) int { n := first; first = left; return n }); got != want {
			t.Fatalf("cut at %d:\n%s\nwant\n%s", cut, got, want)
		}
	}
}

// FuzzConn gives any bytes, in any segments: nothing panics, bounds and windows hold, what is written can be read, and all
// splits come to the same.
func FuzzConn(f *testing.F) {
	greeting := Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	f.Add(story(f, 8)[len(greeting)+6:], uint64(1), false)
	f.Add([]byte("\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41"), uint64(2), false)
	f.Add([]byte(Preface), uint64(3), true)
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, bare bool) {
		if !bare {
			b = append([]byte(greeting), b...)
		}
		want := play(t, b, func(left int) int { return left })
		r := rand.New(rand.NewPCG(seed, 0))
		if got := play(t, b, func(left int) int { return 1 + r.IntN(min(left, 1+r.IntN(300))) }); got != want {
			t.Errorf("split with %d:\n%s\nwant\n%s", seed, got, want)
		}
	})
}

// BenchmarkFrames reads 64 KiB of frames as clients send them: by hand, where they lie, and with x/net's Framer, which
// must be given complete frames by way of an io.Reader.
func BenchmarkFrames(b *testing.B) {
	p := newPeer(b, Options{})
	for id := uint32(1); p.in.Len() < 48<<10; id += 2 {
		p.ask(id, false, post...)
		_ = p.WriteData(id, true, make([]byte, 100))
		_ = p.WriteWindowUpdate(0, 100)
		_ = p.WriteWindowUpdate(id, 100)
	}
	all := bytes.Clone(p.in.Bytes())
	b.Run("hand", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(all)))
		n := 0
		for b.Loop() {
			for rest := all; len(rest) > 0; {
				size := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
				f := frame{kind: frameType(rest[3]), flags: rest[4], stream: uint32(rest[8]), payload: rest[headerSize : headerSize+size]}
				n += len(f.payload)
				rest = rest[headerSize+size:]
			}
		}
	})
	b.Run("Framer", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(all)))
		r := bytes.NewReader(all)
		f := xhttp2.NewFramer(io.Discard, r)
		f.SetReuseFrames()
		for b.Loop() {
			r.Reset(all)
			for {
				if _, err := f.ReadFrame(); err != nil {
					break
				}
			}
		}
	})
}

// BenchmarkRequest is a request and its response as a browser's connection has them, when its tables are warm.
func BenchmarkRequest(b *testing.B) {
	p := newPeer(b, Options{}).greet()
	p.ask(1, true, with(get, "user-agent", "bench", "accept", "*/*", "cookie", "session=1234567890")...)
	p.run()
	p.conn.End(p.streams[1], nil)
	p.ask(3, true, with(get, "user-agent", "bench", "accept", "*/*", "cookie", "session=1234567890")...)
	frame := bytes.Clone(p.in.Bytes())
	p.in.Reset()
	s, h := new(Stream), new(head.Head)
	res := response(200, head.Framing{Kind: head.Length, Length: 1024}, "Server", "x", "Content-Type", "text/plain", "ETag", `"abc"`)
	body := make([]byte, 1024)
	c := p.conn
	b.ReportAllocs()
	for id := uint32(3); b.Loop(); id += 2 {
		frame[5], frame[6], frame[7], frame[8] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
		c.send, c.Out = 1<<20, c.Out[:0]
		if _, e, err := c.Next(frame); err != nil || e.Kind != Request || c.Accept(s, h) != nil {
			b.Fatal(err)
		}
		c.Head(s, res, false)
		c.Data(s, body)
		if c.Open() != 0 {
			b.Fatal("open")
		}
	}
}
