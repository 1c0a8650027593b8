package http2

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/head"
)

var epoch = time.Unix(1e9, 0)

// peer is a client made of x/net's parts: what it writes goes to a Conn, and what that writes is read back.
type peer struct {
	*xhttp2.Framer // writes frames to in
	t              testing.TB
	conn           *Conn
	in             bytes.Buffer
	hpack          *hpack.Encoder
	block          bytes.Buffer
	decoder        *hpack.Decoder
	streams        map[uint32]*Stream
	events         []string
	heads          map[uint32]string // requests as HTTP/1
	err            error
}

func newPeer(t testing.TB, o Options) *peer {
	p := &peer{t: t, conn: new(Conn), streams: make(map[uint32]*Stream), heads: make(map[uint32]string)}
	p.Framer = xhttp2.NewFramer(&p.in, nil)
	p.AllowIllegalWrites = true
	p.hpack = hpack.NewEncoder(&p.block)
	p.decoder = hpack.NewDecoder(4096, nil)
	p.conn.Start(o, epoch)
	return p
}

// greet sends the preface and settings, and drops what the Conn has to say to that.
func (p *peer) greet(settings ...xhttp2.Setting) *peer {
	p.t.Helper()
	p.in.WriteString(Preface)
	_ = p.WriteSettings(settings...)
	p.run()
	p.conn.Out = p.conn.Out[:0]
	p.events = nil
	return p
}

// encode makes a header block of names and values.
func (p *peer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.block.Bytes())
}

var get = []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"}
var connect = []string{":method", "CONNECT", ":scheme", "http", ":protocol", "websocket", ":path", "/", ":authority", "a"}
var post = []string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"}

func with(base []string, more ...string) []string {
	return append(append([]string(nil), base...), more...)
}

// ask sends a head, in one frame if it fits.
func (p *peer) ask(id uint32, end bool, fields ...string) {
	b := p.encode(fields...)
	n := min(len(b), MaxFrame)
	_ = p.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: b[:n], EndStream: end, EndHeaders: n == len(b)})
	for b = b[n:]; len(b) > 0; b = b[n:] {
		n = min(len(b), MaxFrame)
		_ = p.WriteContinuation(id, n == len(b), b[:n])
	}
}

// run gives all that was written to the Conn, and notes what comes of it.
func (p *peer) run() {
	b := p.in.Bytes()
	for p.err == nil {
		n, e, err := p.conn.Next(b)
		if err == ErrShort {
			break
		}
		b = b[n:]
		p.note(e)
		p.err = err
	}
	rest := bytes.Clone(b)
	p.in.Reset()
	p.in.Write(rest)
}

func (p *peer) note(e Event) {
	id := uint32(0)
	if e.Stream != nil {
		id = e.Stream.ID
	}
	switch e.Kind {
	case Request:
		s, h := new(Stream), new(head.Head)
		err := p.conn.Accept(s, h)
		p.streams[s.ID] = s
		p.heads[s.ID] = string(h.AppendRequest(nil))
		p.events = append(p.events, fmt.Sprintf("%d request over=%v err=%v", s.ID, s.Over(), err))
	case Response:
		h := new(head.Head)
		p.conn.Answer(e.Stream, h)
		f := h.Framing()
		p.events = append(p.events, fmt.Sprintf("%d response %q %v %d", id, h.AppendResponse(nil), f.Kind, f.Length))
	case Away:
		p.events = append(p.events, fmt.Sprintf("away %v", e.Code))
	case Content:
		p.events = append(p.events, fmt.Sprintf("%d content %q over=%v", id, e.Data, e.Stream.Over()))
	case Trailers:
		p.events = append(p.events, fmt.Sprintf("%d trailers %q", id, e.Data))
	case Cancelled:
		p.events = append(p.events, fmt.Sprintf("%d cancelled %v", id, e.Code))
	case Refused:
		p.events = append(p.events, fmt.Sprintf("refused %v", e.Code))
	case Broken:
		p.events = append(p.events, fmt.Sprintf("%d broken %v err=%v", id, e.Code, e.Err))
	}
}

// said reads what the Conn has written, and empties it.
func (p *peer) said() (frames []string) {
	p.t.Helper()
	f := xhttp2.NewFramer(io.Discard, bytes.NewReader(p.conn.Out))
	f.SetMaxReadFrameSize(MaxFrame)
	f.ReadMetaHeaders = p.decoder
	for {
		frame, err := f.ReadFrame()
		if err == io.EOF {
			p.conn.Out = p.conn.Out[:0]
			return frames
		}
		if err != nil {
			p.t.Fatalf("%v after %q", err, frames)
		}
		h := frame.Header()
		switch v := frame.(type) {
		case *xhttp2.MetaHeadersFrame:
			var s []string
			for _, field := range v.Fields {
				s = append(s, field.Name+"="+field.Value)
			}
			frames = append(frames, fmt.Sprintf("%d headers %s end=%v", h.StreamID, strings.Join(s, " "), v.StreamEnded()))
		case *xhttp2.DataFrame:
			frames = append(frames, fmt.Sprintf("%d data %d end=%v", h.StreamID, len(v.Data()), v.StreamEnded()))
		case *xhttp2.RSTStreamFrame:
			frames = append(frames, fmt.Sprintf("%d reset %v", h.StreamID, Code(v.ErrCode)))
		case *xhttp2.GoAwayFrame:
			frames = append(frames, fmt.Sprintf("goaway %d %v %s", v.LastStreamID, Code(v.ErrCode), v.DebugData()))
		case *xhttp2.WindowUpdateFrame:
			frames = append(frames, fmt.Sprintf("%d window %d", h.StreamID, v.Increment))
		case *xhttp2.SettingsFrame:
			s := "settings"
			if v.IsAck() {
				s += " ack"
			}
			_ = v.ForeachSetting(func(set xhttp2.Setting) error { s += fmt.Sprintf(" %d=%d", set.ID, set.Val); return nil })
			frames = append(frames, s)
		case *xhttp2.PingFrame:
			frames = append(frames, fmt.Sprintf("ping ack=%v %q", v.IsAck(), v.Data[:]))
		default:
			frames = append(frames, fmt.Sprint(frame))
		}
	}
}

// wants compares lists of words, where … at the end of the wanted stands for anything.
func wants(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		prefix, open := strings.CutSuffix(want[i], "…")
		ok = got[i] == want[i] || open && strings.HasPrefix(got[i], prefix)
	}
	if !ok {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// response is a head as a server sends it.
func response(status int, f head.Framing, fields ...string) *head.Head {
	h := new(head.Head)
	_ = h.SetStatus(status, "")
	for i := 0; i < len(fields); i += 2 {
		_ = h.Add(fields[i], fields[i+1])
	}
	h.SetFraming(f)
	return h
}
