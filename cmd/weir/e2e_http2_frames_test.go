package main_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/internal/weirtest"
)

// frames is a client of HTTP/2 that sends what frames a test likes. What comes is given out by read, one frame at a time.
type frames struct {
	*http2.Framer
	t     *testing.T
	conn  net.Conn
	hpack *hpack.Encoder
	block bytes.Buffer
	mu    sync.Mutex // of writing, where two goroutines do
}

// framesTo makes a connection over TLS to the server of a name at addr.
func framesTo(t *testing.T, ca *weirtest.Authority, addr, name string) *frames {
	t.Helper()
	c := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: name, NextProtos: []string{"h2"}})
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // so that a test ends by an error of its own
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newFrames(t, c)
}

func newFrames(t *testing.T, c net.Conn) *frames {
	t.Helper()
	f := &frames{Framer: http2.NewFramer(c, c), t: t, conn: c}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.hpack = hpack.NewEncoder(&f.block)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// ask sends a head; fields are names and values.
func (f *frames) ask(id uint32, end bool, fields ...string) {
	f.t.Helper()
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = f.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		f.t.Fatal(err)
	}
}

// read gives the next frame, acknowledges what is to be, and gives room for content.
func (f *frames) read() (http2.Frame, error) {
	frame, err := f.ReadFrame()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch v := frame.(type) {
	case *http2.PingFrame:
		if !v.IsAck() {
			_ = f.WritePing(true, v.Data)
		}
	case *http2.SettingsFrame:
		if !v.IsAck() {
			_ = f.WriteSettingsAck()
		}
	case *http2.DataFrame:
		if n := v.Header().Length; n > 0 {
			_ = f.WriteWindowUpdate(0, n)
			_ = f.WriteWindowUpdate(v.StreamID, n)
		}
	}
	return frame, nil
}

// answer reads until a request is answered, and returns its status and the GOAWAYs that have come meanwhile.
func (f *frames) answer(id uint32) (status string, last []uint32) {
	f.t.Helper()
	for {
		frame, err := f.read()
		if err != nil {
			f.t.Fatalf("stream %d: %v, GOAWAYs %d", id, err, last)
		}
		switch v := frame.(type) {
		case *http2.MetaHeadersFrame:
			if v.StreamID == id {
				status = v.PseudoValue("status")
			}
		case *http2.GoAwayFrame:
			last = append(last, v.LastStreamID)
		case *http2.RSTStreamFrame:
			if v.StreamID == id {
				return "reset " + v.ErrCode.String(), last
			}
		}
		if d, ok := frame.(interface{ StreamEnded() bool }); ok && frame.Header().StreamID == id && d.StreamEnded() {
			return status, last
		}
	}
}

// end reads to the end of the connection and returns the GOAWAYs that come before it.
func (f *frames) end() (last []uint32, err error) {
	for {
		frame, err := f.read()
		if err != nil {
			return last, err
		}
		if v, ok := frame.(*http2.GoAwayFrame); ok {
			last = append(last, v.LastStreamID)
		}
	}
}

// install puts a certificate in the place of another one, on disk.
func install(t *testing.T, renewed, at *weirtest.Certificate) {
	t.Helper()
	for from, to := range map[string]string{renewed.CertFile: at.CertFile, renewed.KeyFile: at.KeyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
}

// stream is one of a connection as bytes that come and go. One goroutine reads, one writes.
type stream struct {
	f      *frames
	id     uint32
	status string
	in     []byte // come and not read
	ended  bool

	more  *sync.Cond
	room  int // bytes that may be sent on the stream, and on all
	rooms int
}

func (f *frames) stream(id uint32) *stream {
	s := &stream{f: f, id: id, room: 65535, rooms: 65535}
	s.more = sync.NewCond(&f.mu)
	return s
}

// Read reads frames until there is content.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.in) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		frame, err := s.f.read()
		if err != nil {
			return 0, err
		}
		switch v := frame.(type) {
		case *http2.MetaHeadersFrame:
			s.status = v.PseudoValue("status")
		case *http2.DataFrame:
			s.in, s.ended = append(s.in, v.Data()...), v.StreamEnded()
		case *http2.RSTStreamFrame:
			return 0, fmt.Errorf("stream is reset: %v", v.ErrCode)
		case *http2.WindowUpdateFrame:
			s.f.mu.Lock()
			if v.StreamID == 0 {
				s.rooms += int(v.Increment)
			} else {
				s.room += int(v.Increment)
			}
			s.more.Signal()
			s.f.mu.Unlock()
		}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// Write waits for room.
func (s *stream) Write(p []byte) (n int, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for n < len(p) {
		size := min(s.room, s.rooms, len(p)-n, 16<<10)
		if size == 0 {
			s.more.Wait()
			continue
		}
		if err := s.f.WriteData(s.id, false, p[n:n+size]); err != nil {
			return n, err
		}
		s.room, s.rooms, n = s.room-size, s.rooms-size, n+size
	}
	return n, nil
}

// Close ends what is said.
func (s *stream) Close() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return s.f.WriteData(s.id, true, nil)
}
