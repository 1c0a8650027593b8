package eventloop

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLead(t *testing.T) {
	l := startLoop(t, nil)
	s, peer := accepted(t, l, nil)
	for _, tt := range []struct {
		name     string
		next     func() error
		segments uint32
		want     string
	}{
		{"with what is written next", func() error { return s.Write([]byte("next")) }, 1, "lead next"},
		{"pushed", func() error { s.Push(); return s.Write([]byte("next")) }, 2, "lead next"},
		{"pushed twice", func() error { s.Push(); s.Push(); return nil }, 1, "lead "},
		{"with the end", s.CloseWrite, 1, "lead "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := segmentsIn(t, peer)
			on(t, l, func() {
				s.Lead([]byte("lead "))
				if !s.HasRoom() {
					t.Error("what leads takes the room of what follows")
				}
				if err := tt.next(); err != nil || s.Buffered() != 0 || !s.finish && !s.HasRoom() {
					t.Errorf("%v, %d bytes are still here", err, s.Buffered())
				}
			})
			got := make([]byte, len(tt.want))
			if n, err := io.ReadFull(peer, got); err != nil || string(got) != tt.want {
				t.Fatalf("got %q, %v", got[:n], err)
			}
			if n := segmentsIn(t, peer) - before; n != tt.segments {
				t.Errorf("%d segments, want %d", n, tt.segments)
			}
		})
	}
	if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

// segmentsIn counts the segments with data that a socket has received.
func segmentsIn(t *testing.T, c *net.TCPConn) (n uint32) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Data_segs_in
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What leads reaches the backend whatever the client has done or not done by then.
func TestRelayWithALead(t *testing.T) {
	large := string(pattern(3*readBufferSize, 1))
	for _, tt := range []struct {
		name   string
		said   string
		then   func(*net.TCPConn)
		resets bool
	}{
		{"silent", "", nil, false},
		{"has spoken", "hello", nil, false},
		{"has said much", large, nil, false},
		{"has ended", "", func(c *net.TCPConn) { _ = c.CloseWrite() }, false},
		{"has spoken and ended", "hello", func(c *net.TCPConn) { _ = c.CloseWrite() }, false},
		{"has left", "", abort, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := startLoop(t, nil)
			told, h := arrivals()
			a, client := accepted(t, l, h)
			b, backend := accepted(t, l, nil)
			if _, err := client.Write([]byte(tt.said)); err != nil {
				t.Fatal(err)
			}
			if tt.then != nil {
				tt.then(client)
			}
			if tt.said != "" || tt.then != nil {
				await(t, told, "what the client has done")
			}
			over := make(chan End, 1)
			var r Relay
			on(t, l, func() {
				b.Lead([]byte("lead "))
				r.Start(a, b, 0, relayedFunc(func(_ *Relay, end End) { over <- end }))
			})
			want := "lead " + tt.said
			got := make([]byte, len(want))
			if n, err := io.ReadFull(backend, got); err != nil || string(got) != want {
				t.Fatalf("the backend got %d of %d bytes: %.20q, %v", n, len(want), got, err)
			}
			on(t, l, func() {
				if ab, _ := r.Moved(); ab != int64(len(tt.said)) {
					t.Errorf("%d bytes counted of the client's %d", ab, len(tt.said))
				}
			})
			switch {
			case tt.resets:
				if _, err := backend.Read(got); !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("the backend learns of the client's reset: %v", err)
				}
			case tt.then != nil:
				if _, err := backend.Read(got); err != io.EOF {
					t.Errorf("the backend learns of the client's end: %v", err)
				}
			}
			_ = backend.CloseWrite()
			if tt.then == nil {
				_ = client.CloseWrite()
			}
			await(t, over, "the end")
		})
	}
}
