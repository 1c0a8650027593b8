package eventloop

import (
	"errors"
	"io"
	"net/netip"
	"testing"
)

// end is the other side of a virtual stream.
type end struct {
	room     int
	took     []byte
	consumed int
	finished bool
	closed   int
	reset    bool
}

func (e *end) Take(p []byte) int {
	n := min(len(p), e.room)
	e.took = append(e.took, p[:n]...)
	e.room -= n
	return n
}

func (e *end) Consumed(n int) { e.consumed += n }
func (e *end) Finished()      { e.finished = true }
func (e *end) Closed(reset bool) {
	e.closed++
	e.reset = e.reset || reset
}

// notified counts what a handler was told.
type notified int

func (n *notified) Ready(*Stream) { *n++ }

// onLoop runs do on a running loop.
func onLoop(t *testing.T, do func(l *Loop)) {
	t.Helper()
	l := startLoop(t, nil)
	if err := l.Call(func() { do(l) }); err != nil {
		t.Fatal(err)
	}
}

func TestVirtualStream(t *testing.T) {
	onLoop(t, func(l *Loop) {
		remote := netip.MustParseAddrPort("192.0.2.1:99")
		var s Stream
		var n notified
		e := &end{room: 4}
		s.OpenVirtual(l, remote, e, &n)
		if s.Remote() != remote || s.Local().IsValid() || !s.HasRoom() || s.PeerLeft() || s.Gone() {
			t.Error("a fresh one is not as it should be")
		}
		if err := s.Write([]byte("abcdef")); err != nil || string(e.took) != "abcd" || s.Buffered() != 2 || s.HasRoom() {
			t.Errorf("%v, %q taken, %d kept", err, e.took, s.Buffered())
		}
		_ = s.CloseWrite()
		if e.finished {
			t.Error("finished before all is taken")
		}
		e.room = 10
		s.Resume()
		if string(e.took) != "abcdef" || !e.finished || s.Buffered() != 0 {
			t.Errorf("%q taken, finished %v", e.took, e.finished)
		}

		if _, err := s.Receive(10); err != ErrAgain {
			t.Error(err)
		}
		s.Deliver([]byte("hello "))
		s.Deliver([]byte("world"))
		b, err := s.Receive(100)
		if string(b) != "hello world" || err != ErrAgain || e.consumed != 0 {
			t.Errorf("%q %v, %d consumed", b, err, e.consumed)
		}
		s.Hold(b[6:])
		if e.consumed != 6 {
			t.Errorf("%d consumed", e.consumed)
		}
		s.DeliverEnd()
		var p [3]byte
		if n, err := s.Read(p[:]); n != 3 || err != nil || e.consumed != 9 {
			t.Error(n, err, e.consumed)
		}
		if b, err := s.Receive(100); string(b) != "ld" || err != io.EOF {
			t.Errorf("%q %v", b, err)
		}
		s.Notify()
		if n != 1 {
			t.Errorf("told %d times", n)
		}
		s.Close()
		s.Close()
		s.Deliver([]byte("x"))
		s.Resume()
		s.Notify()
		if e.closed != 1 || e.reset || n != 1 || s.Write(nil) != ErrClosed {
			t.Errorf("%+v", e)
		}
	})
}

// A stream that the peer breaks says so once what came before is read, and one that is reset says that it was.
func TestVirtualStreamBreaks(t *testing.T) {
	broken := errors.New("broken")
	onLoop(t, func(l *Loop) {
		var s Stream
		e := new(end)
		s.OpenVirtual(l, netip.AddrPort{}, e, nil)
		s.Deliver([]byte("x"))
		s.Break(broken)
		b, err := s.Receive(10)
		if string(b) != "x" || err != broken || s.Write([]byte("y")) != broken || s.Failed() != broken || !s.PeerLeft() {
			t.Errorf("%q %v", b, err)
		}
		s.Reset()
		if e.closed != 1 || !e.reset {
			t.Errorf("%+v", e)
		}
	})
}

// Bytes go from a socket into a virtual stream and back by copying, within what either side takes.
func TestFlowThroughVirtualStreams(t *testing.T) {
	onLoop(t, func(l *Loop) {
		var a, b Stream
		from, to := new(end), &end{room: 1 << 20}
		a.OpenVirtual(l, netip.AddrPort{}, from, nil)
		b.OpenVirtual(l, netip.AddrPort{}, to, nil)
		var f Flow
		f.Open(&a, &b)
		for range 2 * bulkReads {
			a.Deliver(make([]byte, readBufferSize))
			if n, err := f.Move(1 << 30); n != readBufferSize || err != nil {
				t.Fatal(n, err)
			}
		}
		if n, err := f.Move(1 << 30); n != 0 || err != ErrAgain {
			t.Error(n, err)
		}
		a.DeliverEnd()
		if n, err := f.Move(1 << 30); n != 0 || err != io.EOF {
			t.Error(n, err)
		}
		if want := 2 * bulkReads * readBufferSize; len(to.took) != want || from.consumed != want {
			t.Errorf("%d taken, %d consumed, of %d", len(to.took), from.consumed, want)
		}
	})
}

// laterTold is told of the end of a turn, and asks again as often as it says.
type laterTold struct {
	l     *Loop
	again int
	times int
	done  chan struct{}
	panic bool
}

func (e *laterTold) EndTurn() {
	e.times++
	if e.panic {
		panic("test")
	}
	if e.again--; e.again >= 0 {
		e.l.AtTurnEnd(e)
	} else {
		close(e.done)
	}
}

// Whoever asks is told at the end of the turn, however often, also by one who panics before; and Again has a virtual
// stream's handler told in another turn, unless the stream is another one by then.
func TestTurnEnd(t *testing.T) {
	l := startLoop(t, nil)
	bad, good := &laterTold{l: l, panic: true}, &laterTold{l: l, again: 20, done: make(chan struct{})}
	var s, gone Stream
	var n, none notified
	if err := l.Call(func() {
		l.AtTurnEnd(bad)
		l.AtTurnEnd(good)
		s.OpenVirtual(l, netip.AddrPort{}, new(end), &n)
		gone.OpenVirtual(l, netip.AddrPort{}, new(end), &none)
		s.Again()
		gone.Again()
		gone.Close()
		gone.OpenVirtual(l, netip.AddrPort{}, new(end), &none)
		if good.times != 0 || n != 0 {
			t.Error("told before the end of the turn")
		}
	}); err != nil {
		t.Fatal(err)
	}
	<-good.done
	if err := l.Call(func() {
		if n != 1 || none != 0 || good.times != 21 || bad.times != 1 || l.Panics() != 1 {
			t.Errorf("told %d and %d times, at ends %d and %d, %d panics", n, none, good.times, bad.times, l.Panics())
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// relayed notes how a relay ended.
type relayed struct{ end *End }

func (r *relayed) Relayed(_ *Relay, end End) { r.end = &end }

// A relay moves bytes between virtual streams, waits for room on either side, passes each end on by itself, and says the
// last one before it closes.
func TestRelayOfVirtualStreams(t *testing.T) {
	onLoop(t, func(l *Loop) {
		var a, b Stream
		client, server := &end{room: 3}, &end{room: 1 << 20}
		a.OpenVirtual(l, netip.AddrPort{}, client, nil)
		b.OpenVirtual(l, netip.AddrPort{}, server, nil)
		a.Deliver([]byte("early "))
		var r Relay
		var h relayed
		r.Start(&a, &b, 0, &h)
		a.Deliver([]byte("late"))
		a.Notify()
		if string(server.took) != "early late" || client.consumed != 10 {
			t.Errorf("%q has come, %d consumed", server.took, client.consumed)
		}
		a.DeliverEnd()
		a.Notify()
		if !server.finished || h.end != nil {
			t.Error("the client's end is not passed on by itself")
		}
		for range 3 { // the first is more than the client takes; nothing is taken of the others
			b.Deliver([]byte("answer"))
			b.Notify()
		}
		if string(client.took) != "ans" || server.consumed != 6 {
			t.Errorf("%q has come back, %d consumed", client.took, server.consumed)
		}
		b.DeliverEnd()
		b.Notify()
		if client.finished || h.end != nil {
			t.Error("the end overtakes what comes before it")
		}
		client.room = 100
		a.Resume()
		a.Notify()
		if string(client.took) != "answeransweranswer" || !client.finished || client.reset || client.closed != 1 || server.reset || server.closed != 1 {
			t.Errorf("%+v, %+v", client, server)
		}
		if in, out := r.Moved(); h.end == nil || *h.end != (End{By: SideA}) || in != 10 || out != 18 {
			t.Errorf("%+v, %d and %d bytes", h.end, in, out)
		}
	})
}

// A virtual stream that breaks is heard to the end of what was delivered, and resets the other side.
func TestRelayOfVirtualStreamThatBreaks(t *testing.T) {
	broken := errors.New("broken")
	onLoop(t, func(l *Loop) {
		var a, b Stream
		client, server := new(end), &end{room: 3}
		a.OpenVirtual(l, netip.AddrPort{}, client, nil)
		b.OpenVirtual(l, netip.AddrPort{}, server, nil)
		var r Relay
		var h relayed
		r.Start(&a, &b, 0, &h)
		a.Deliver([]byte("last words"))
		a.Break(broken)
		a.Notify()
		if h.end != nil || string(server.took) != "las" {
			t.Errorf("%+v, %q", h.end, server.took)
		}
		server.room = 100
		b.Resume()
		b.Notify()
		if h.end == nil || *h.end != (End{By: SideA, Err: broken}) || string(server.took) != "last words" || !server.reset || !client.reset {
			t.Errorf("%+v, %+v, %+v", h.end, server, client)
		}
	})
}
