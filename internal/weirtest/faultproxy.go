package weirtest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A FaultProxy relays TCP to a target and spoils it as told. Every control acts on open connections too, from their next bytes on.
// Its methods may be called from any goroutine.
type FaultProxy struct {
	*Backend // Addr, Accepted, Active, Refuse, Accept, ResetAll, Kill, Stop

	target  string
	delay   atomic.Int64 // nanoseconds each piece is held back
	rate    atomic.Int64 // bytes a second in each direction, 0 = no limit
	piece   atomic.Int64 // largest piece relayed at once, 0 = as read
	pauseMu sync.Mutex
	paused  chan struct{} // non-nil while stalled, closed by Flow
}

// NewFaultProxy starts a proxy in front of target that spoils nothing yet.
func NewFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	p := &FaultProxy{target: target}
	p.Backend = Serve(t, p.relay)
	t.Cleanup(p.Flow) // runs before the backend's stop, which waits for the relays
	return p
}

// SetDelay holds every piece back for d in each direction.
func (p *FaultProxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// SetRate limits each direction of each connection to n bytes a second; 0 lifts the limit.
func (p *FaultProxy) SetRate(n int) { p.rate.Store(int64(n)) }

// SetPiece cuts what is relayed into pieces of at most n bytes, each its own segment; 0 relays as read. SetPiece(1) with SetDelay is a dribble.
func (p *FaultProxy) SetPiece(n int) { p.piece.Store(int64(n)) }

// Stall stops relaying: connections stay open, bytes stay where they are, until Flow.
func (p *FaultProxy) Stall() {
	p.pauseMu.Lock()
	defer p.pauseMu.Unlock()
	if p.paused == nil {
		p.paused = make(chan struct{})
	}
}

// Flow undoes Stall.
func (p *FaultProxy) Flow() {
	p.pauseMu.Lock()
	defer p.pauseMu.Unlock()
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
}

// EndAll ends the direction towards the clients of every open connection with FIN, while the other goes on.
func (p *FaultProxy) EndAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = closeWrite(conn)
	}
}

func (p *FaultProxy) relay(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		Reset(client)
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { p.pump(server, client) })
	wg.Go(func() { p.pump(client, server) })
	wg.Wait()
}

// pump relays one direction to its end. A reset is passed on as a reset.
func (p *FaultProxy) pump(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.send(to, buf[:n]) {
			Reset(from)
			return
		}
		if err == io.EOF {
			_ = closeWrite(to)
			return
		}
		if err != nil {
			Reset(to)
			return
		}
	}
}

func (p *FaultProxy) send(to net.Conn, b []byte) bool {
	for len(b) > 0 {
		p.pauseMu.Lock()
		paused := p.paused
		p.pauseMu.Unlock()
		if paused != nil {
			<-paused
		}
		n := len(b)
		if piece := int(p.piece.Load()); piece > 0 {
			n = min(n, piece)
		}
		pause := time.Duration(p.delay.Load())
		if rate := p.rate.Load(); rate > 0 {
			n = min(n, max(1, int(rate/50)))
			pause += time.Duration(n) * time.Second / time.Duration(rate)
		}
		time.Sleep(pause)
		if _, err := to.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}
