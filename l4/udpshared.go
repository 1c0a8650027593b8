package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// sharedForwarder leads each datagram by itself, and carries out what a flow.Shared asks for.
type sharedForwarder struct {
	door    *udpDoor
	shared  *flow.Shared
	actions []flow.Action // memory for the next ones
}

func newSharedForwarder(d *udpDoor, set *udpSettings) *sharedForwarder {
	return &sharedForwarder{door: d, shared: flow.NewShared(sharedOptions(d, set), time.Now())}
}

func sharedOptions(d *udpDoor, set *udpSettings) flow.SharedOptions {
	o := flow.SharedOptions{
		Options: d.flowOptions(set), Protocol: set.route.Shared.Protocol, QueryTimeout: set.route.Shared.QueryTimeout,
	}
	o.Sockets = nil // there are as many as backends
	return o
}

func (s *sharedForwarder) forward(key flow.Key, p []byte, now time.Time) {
	actions := s.shared.FromClient(key, p, now, s.actions)
	for i := range actions {
		if a := &actions[i]; a.Kind == flow.ToBackend {
			s.toBackend(a.Peer, key, p)
		} else {
			s.carryOut(a, now)
		}
	}
	s.done(actions)
}

// carryOut does what there is to be done to sockets.
func (s *sharedForwarder) carryOut(a *flow.Action, now time.Time) {
	switch a.Kind {
	case flow.Open:
		s.open(a.Peer, now)
	case flow.Close:
		if w, ok := a.Peer.Socket.(*peerWire); ok {
			a.Peer.Socket = nil
			w.hangUp(s.door.worker)
		}
	}
}

// done keeps the memory of actions.
func (s *sharedForwarder) done(actions []flow.Action) {
	clear(actions)
	s.actions = actions[:0]
}

func (s *sharedForwarder) open(p *flow.Peer, now time.Time) {
	w := &peerWire{forwarder: s, peer: p}
	switch err := w.dial(s.door.worker, p.Backend.Addr(), w, w); {
	case err == nil:
		w.Widen()
		p.Socket = w
	case unreachable(err):
		s.shared.Unreachable(p, now)
		s.shared.NoSocket(p, now)
	default:
		s.shared.NoSocket(p, now)
	}
}

func (s *sharedForwarder) toBackend(p *flow.Peer, key flow.Key, msg []byte) {
	w, ok := p.Socket.(*peerWire)
	if !ok {
		s.door.counters.Dropped(flow.WithoutSocket)
		return
	}
	w.send(s.door.worker, p.Pool(), key, msg)
}

func (s *sharedForwarder) adopt(set *udpSettings, _ bool) {
	s.shared.SetOptions(sharedOptions(s.door, set))
}
func (s *sharedForwarder) next() (time.Time, bool) { return s.shared.Next() }
func (s *sharedForwarder) stop()                   { s.shared.Stop() }
func (s *sharedForwarder) sync()                   { s.shared.Sync() }

func (s *sharedForwarder) expire(now time.Time) { s.close(s.shared.Expire(now, s.actions), now) }

func (s *sharedForwarder) cut(why flow.Reason, now time.Time) (more bool) {
	s.close(s.shared.Cut(why, now, s.actions), now)
	return false
}

func (s *sharedForwarder) cutBackend(b *upstream.Backend, now time.Time) (more bool) {
	s.close(s.shared.CutBackend(b, flow.Lost, now, s.actions), now)
	return false
}

// close carries out actions that only close sockets.
func (s *sharedForwarder) close(actions []flow.Action, now time.Time) {
	for i := range actions {
		s.carryOut(&actions[i], now)
	}
	s.done(actions)
}

// peerWire is the socket towards a backend that all clients of the loop share.
type peerWire struct {
	wire
	forwarder *sharedForwarder
	peer      *flow.Peer
}

// Received passes the backend's answers on to those who asked.
func (w *peerWire) Received(_ *eventloop.Datagrams, batch []eventloop.Datagram) {
	s, now := w.forwarder, time.Now()
	for i := range batch {
		if batch[i].Truncated {
			s.door.counters.Dropped(flow.Truncated)
			continue
		}
		if to, why := s.shared.FromBackend(w.peer, batch[i].Bytes, now); why == flow.Kept {
			s.door.answer(to, batch[i].Bytes)
		}
	}
}

// Lost learns that the backend turned datagrams away, or that some could not be sent to it.
func (w *peerWire) Lost(_ *eventloop.Datagrams, _ netip.AddrPort, n int, err error) {
	w.forwarder.door.counters.DroppedMany(flow.Unsent, uint64(n))
	if blames(n, err) {
		w.forwarder.shared.Unreachable(w.peer, time.Now())
	}
}
