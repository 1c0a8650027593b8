package l7

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/http2"
)

// wire is a client of HTTP/2 that sends what frames a test likes.
type wire struct {
	*xhttp2.Framer
	t     testing.TB
	conn  net.Conn
	hpack *hpack.Encoder
	block bytes.Buffer
	got   map[uint32]*reply
	gone  *xhttp2.GoAwayFrame // the last one
	debug string
	mute  bool           // nothing is acknowledged any more
	room  map[uint32]int // bytes of content that may be sent, beyond those that a connection begins with; by stream, 0 = on all
}

// reply is what has come for a request.
type reply struct {
	status   string
	interims []string
	fields   []hpack.HeaderField
	body     bytes.Buffer
	trailers []hpack.HeaderField
	ended    bool
	code     *xhttp2.ErrCode
}

// plain makes a wire with prior knowledge, which has sent its settings.
func (b *bed) plain(settings ...xhttp2.Setting) *wire {
	b.t.Helper()
	return newWire(b.t, b.dial(), settings...)
}

func newWire(t testing.TB, c net.Conn, settings ...xhttp2.Setting) *wire {
	t.Helper()
	w := &wire{Framer: xhttp2.NewFramer(c, bufio.NewReader(c)), t: t, conn: c, got: make(map[uint32]*reply), room: make(map[uint32]int)}
	w.AllowIllegalWrites = true
	w.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.hpack = hpack.NewEncoder(&w.block)
	if _, err := io.WriteString(c, http2.Preface); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask sends a head; fields are names and values.
func (w *wire) ask(id uint32, end bool, fields ...string) error {
	w.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = w.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: w.block.Bytes(), EndStream: end, EndHeaders: true})
}

func requestOf(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "a", ":path", path}, more...)
}

func (w *wire) get(id uint32, path string) error { return w.ask(id, true, requestOf("GET", path)...) }

// read takes in a frame, and gives room for its content if that is wanted.
func (w *wire) read(grant bool) error {
	f, err := w.ReadFrame()
	if err != nil {
		return err
	}
	id := f.Header().StreamID
	r := w.got[id]
	if r == nil {
		r = new(reply)
		w.got[id] = r
	}
	switch f := f.(type) {
	case *xhttp2.MetaHeadersFrame:
		status := f.PseudoValue("status")
		switch {
		case len(status) == 3 && status[0] == '1':
			r.interims = append(r.interims, status)
		case status != "":
			r.status, r.fields = status, f.RegularFields()
		default:
			r.trailers = f.RegularFields()
		}
		r.ended = f.StreamEnded()
	case *xhttp2.DataFrame:
		r.body.Write(f.Data())
		r.ended = f.StreamEnded()
		if n := f.Header().Length; grant && n > 0 {
			_ = w.WriteWindowUpdate(0, n)
			_ = w.WriteWindowUpdate(id, n)
		}
	case *xhttp2.RSTStreamFrame:
		code := f.ErrCode
		r.code, r.ended = &code, true
	case *xhttp2.WindowUpdateFrame:
		w.room[id] += int(f.Increment)
	case *xhttp2.GoAwayFrame:
		w.gone, w.debug = f, string(f.DebugData())
	case *xhttp2.PingFrame:
		if !f.IsAck() && !w.mute {
			_ = w.WritePing(true, f.Data)
		}
	case *xhttp2.SettingsFrame:
		if !f.IsAck() && !w.mute {
			_ = w.WriteSettingsAck()
		}
	}
	return nil
}

// answer reads until a request is answered, as far as it will be.
func (w *wire) answer(id uint32) *reply {
	w.t.Helper()
	for w.got[id] == nil || !w.got[id].ended {
		if err := w.read(true); err != nil {
			w.t.Fatalf("stream %d is not answered: %v; %+v, %s", id, err, w.got[id], w.debug)
		}
	}
	return w.got[id]
}

// wants wants a request to be answered so.
func (w *wire) wants(id uint32, status, body string) {
	w.t.Helper()
	if r := w.answer(id); r.status != status || r.body.String() != body {
		w.t.Errorf("stream %d: %s %q, want %s %q", id, r.status, r.body.String(), status, body)
	}
}

// end reads until the connection ends.
func (w *wire) end() error {
	for {
		if err := w.read(false); err != nil {
			return err
		}
	}
}

// thrownOut wants the connection to end with a code and a word.
func (w *wire) thrownOut(code xhttp2.ErrCode, word string) {
	w.t.Helper()
	err := w.end()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || w.gone == nil || w.gone.ErrCode != code || w.debug != word {
		w.t.Errorf("ended by %v, %v %q, want %v %q", err, w.gone, w.debug, code, word)
	}
}
