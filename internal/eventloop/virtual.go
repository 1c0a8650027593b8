package eventloop

import (
	"io"
	"net/netip"
)

// Peer is the other end of a virtual stream, which has no descriptor: a session that carries many streams on one
// connection. What a socket does for other streams a Peer does for this one, on the same loop. It has four methods, against
// the rule, because it stands for one thing: what the kernel is asked to do with a socket.
type Peer interface {
	// Take is offered what is written and returns how much of it was taken. Where that is not all, the peer calls Resume
	// once it has room again. p is the caller's.
	Take(p []byte) int
	// Consumed tells that n more of the bytes given by Deliver were read.
	Consumed(n int)
	// Finished tells that CloseWrite was called and everything written before it was taken.
	Finished()
	// Closed tells that the stream is closed; where reset is set what was written is not the whole. What was delivered and
	// not consumed is dropped.
	Closed(reset bool)
}

// OpenVirtual starts the life of a stream whose bytes come from and go to p. It never moves bytes by splice;
// all else is as with a socket. remote is what Remote answers.
func (s *Stream) OpenVirtual(l *Loop, remote netip.AddrPort, p Peer, h Handler) {
	s.begin(l, -1, remote, h)
	s.peer, s.writable, s.noDelay = p, true, true
}

// The methods below are for the peer of a virtual stream. Only Notify calls the stream's Handler.

// Deliver makes p, which is copied, the next bytes to be read. The peer bounds what it has delivered and was not Consumed.
func (s *Stream) Deliver(p []byte) {
	if s.open {
		s.in = append(s.loop.buffers.grow(s.in, len(p)), p...)
	}
}

// DeliverEnd ends what is to be read.
func (s *Stream) DeliverEnd() { s.ended = true }

// Break makes writing fail by err from now on, and reading too once what was delivered is read: what a reset does.
func (s *Stream) Break(err error) {
	if s.open && s.failed == nil {
		s.failed = err
	}
}

// Resume offers what Take has refused once more, now that there is room.
func (s *Stream) Resume() {
	if s.open {
		s.writable = true
		s.flush()
	}
}

// Notify tells the Handler that the stream may have made progress.
func (s *Stream) Notify() {
	if s.open && s.handler != nil {
		s.handler.Ready(s)
	}
}

// receiveVirtual is what reading says when nothing that was delivered is left.
func (s *Stream) receiveVirtual() (int, error) {
	switch {
	case !s.open:
		return 0, ErrClosed
	case s.failed == nil && s.ended:
		return 0, io.EOF
	}
	return 0, s.again()
}

// notifyLater tells the Handler in another turn, unless the stream has another life then.
func (s *Stream) notifyLater() {
	gen := s.gen
	_ = s.loop.Post(func() { // fails only when the loop is about to end
		if s.gen == gen {
			s.Notify()
		}
	})
}

func (s *Stream) takeVirtual(p []byte) int {
	n := s.peer.Take(p)
	s.writable = n == len(p)
	return n
}

// TurnEnder is told when everything that came at once was dealt with, before the loop waits for more. It is for work that
// is cheaper done once for all of that, such as writing to a connection that carries many streams.
type TurnEnder interface {
	EndTurn()
}

const turnRounds = 4 // of telling, for those who ask to be told while they are told

// AtTurnEnd has e told at the end of this turn, once. Whoever asks while it is told is told again, soon.
func (l *Loop) AtTurnEnd(e TurnEnder) { l.enders = append(l.enders, e) }

// tellEnders tells those who have asked. After some rounds the others on the loop get their turn.
func (l *Loop) tellEnders() {
	for round := 0; len(l.enders) > 0; round++ {
		if round == turnRounds {
			_ = l.Post(func() {}) // so that the loop does not wait; it fails only when the loop is about to end
			return
		}
		told := l.enders
		l.enders = l.spareEnders[:0]
		for i, e := range told {
			told[i] = nil
			l.tellEnder(e)
		}
		l.spareEnders = told[:0]
	}
}

func (l *Loop) tellEnder(e TurnEnder) {
	defer l.rescue(-1)
	e.EndTurn()
}
