package flow

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Protocol says what kind of datagrams share sockets.
type Protocol uint8

// The protocols.
const (
	OneWay Protocol = iota // nothing comes back: syslog, statsd, NetFlow. What comes back nevertheless is dropped
	DNS                    // queries and answers, told apart by their identifier
	Auto                   // what is a query of DNS beyond doubt is DNS, everything else is OneWay
)

// SharedOptions are the options of a Shared.
type SharedOptions struct {
	Options  // a flow is a query of DNS that waits
	Protocol Protocol

	// Of queries alone.
	QueryTimeout time.Duration // until a query is given up; 0 = 5 s
	MaxQueries   int           // that wait for one backend, up to 65,536 and a power of two, or it is made one; 0 = 16,384
	Draw         func() uint32 // chance for identifiers; nil = the runtime's ChaCha8
}

const (
	defaultQueryTimeout = 5 * time.Second
	defaultMaxQueries   = 1 << 14
	maxQueries          = 1 << 16
)

func (o SharedOptions) withDefaults(old SharedOptions) SharedOptions {
	o.Options = o.Options.withDefaults(old.Options)
	if o.QueryTimeout <= 0 {
		o.QueryTimeout = defaultQueryTimeout
	}
	if o.MaxQueries <= 0 {
		o.MaxQueries = defaultMaxQueries
	}
	o.MaxQueries = 1 << bits.Len(uint(min(o.MaxQueries, maxQueries)-1))
	if o.Draw == nil {
		o.Draw = rand.Uint32
	}
	return o
}

// Shared leads datagrams of one entrypoint on one loop to backends, each for itself.
//
// Identifiers of DNS are replaced on the way to the backend and put back on the way to the client. Signatures stand that:
// TSIG covers the original one, which it carries (RFC 8945, section 4.2). An answer must come from the backend that was
// asked, carry the identifier and repeat the question. All queries to a backend leave from one port of each loop, so that
// somebody who can forge the backend's address has 16 bits to guess and not 32: the way to backends should be one's own.
type Shared struct {
	options  SharedOptions
	peers    map[*upstream.Backend]*Peer
	order    []*Peer // the same, for what must happen in order
	seed     maphash.Seed
	epoch    time.Time
	latest   time.Duration // since epoch; never goes back
	waiting  int
	stopping bool
}

// NewShared returns a Shared whose clock begins at now.
func NewShared(o SharedOptions, now time.Time) *Shared {
	return &Shared{
		options: o.withDefaults(SharedOptions{}),
		peers:   make(map[*upstream.Backend]*Peer),
		seed:    maphash.MakeSeed(),
		epoch:   now,
	}
}

// SetOptions replaces the options, but for Flows, Counters and Protocol, which stay. Timeouts hold at once,
// MaxQueries for sockets that are opened from now on.
func (s *Shared) SetOptions(o SharedOptions) {
	o.Protocol = s.options.Protocol
	s.options = o.withDefaults(s.options)
}

// Stop lets no new datagram in. Queries that wait get their answers.
func (s *Shared) Stop() { s.stopping = true }

// Len returns the number of queries that wait.
func (s *Shared) Len() int { return s.waiting }

// Counters returns where the Shared counts.
func (s *Shared) Counters() *Counters { return s.options.Counters }

func (s *Shared) tick(now time.Time) time.Duration {
	s.latest = max(s.latest, now.Sub(s.epoch))
	return s.latest
}

// FromClient appends to dst what is to be done with a datagram from a client. The identifier in msg is replaced.
func (s *Shared) FromClient(key Key, msg []byte, now time.Time, dst []Action) []Action {
	s.tick(now)
	why, service := Stopping, (*Counters)(nil)
	switch {
	case s.stopping:
	case s.options.Own != nil && s.options.Own(key.Client):
		why = Looped
	case s.asks(msg):
		dst, service, why = s.ask(key, msg, now, dst)
	default:
		dst, service, why = s.pass(key, len(msg), now, dst)
	}
	if why != Kept {
		s.options.Counters.Dropped(why)
		service.Dropped(why)
		return append(dst, Action{Kind: Drop, Cause: why})
	}
	s.options.Counters.in(len(msg))
	service.in(len(msg))
	return dst
}

// asks reports whether msg is treated as a query.
func (s *Shared) asks(msg []byte) bool {
	return s.options.Protocol == DNS || s.options.Protocol == Auto && isQuery(msg)
}

// pass leads a datagram that nothing comes back to. It holds its slot, and its place at the gate, for no time.
func (s *Shared) pass(key Key, size int, now time.Time, dst []Action) ([]Action, *Counters, Cause) {
	if gate := s.options.Gate; gate != nil {
		if why := gate.Enter(key.Client.Addr(), now); why != Kept {
			return dst, nil, why
		}
		gate.Leave(key.Client.Addr())
	}
	c, err := s.options.Pick(key, nil, now)
	if err != nil {
		return dst, nil, causeOf(err)
	}
	c.Pool.Release(c.Backend)
	p, dst := s.peer(c, dst)
	p.tally.add(p.Backend, size, 0)
	return append(dst, Action{Kind: ToBackend, Peer: p}), c.Counters, Kept
}

// ask leads a query of DNS. A message that says it is a response is nobody's query: to forward it is how loops between
// servers begin.
func (s *Shared) ask(key Key, msg []byte, now time.Time, dst []Action) ([]Action, *Counters, Cause) {
	if !key.answerable() {
		return dst, nil, Unanswerable
	}
	m, sound := parseMessage(msg, s.seed)
	if !sound || m.response {
		return dst, nil, Malformed
	}
	if why := s.options.admit(key.Client.Addr(), now); why != Kept {
		return dst, nil, why
	}
	c, err := s.options.Pick(key, nil, now)
	if err != nil {
		s.options.leave(key.Client.Addr(), s.options.Gate)
		return dst, nil, causeOf(err)
	}
	p, dst := s.peer(c, dst)
	id, added := p.queries.add(query{
		key: key, pool: c.Pool, counters: c.Counters, gate: s.options.Gate, sent: s.latest, question: m.question, original: m.id,
	})
	if !added {
		s.options.leave(key.Client.Addr(), s.options.Gate)
		c.Pool.Release(c.Backend)
		return dst, c.Counters, TooManyWaiting
	}
	s.waiting++
	s.options.Counters.open()
	c.Counters.open()
	p.tally.add(p.Backend, len(msg), 0)
	binary.BigEndian.PutUint16(msg, id)
	return append(dst, Action{Kind: ToBackend, Peer: p}), c.Counters, Kept
}

// peer returns the backend's peer, and has its socket opened if it is new.
func (s *Shared) peer(c Choice, dst []Action) (*Peer, []Action) {
	p := s.peers[c.Backend]
	if p == nil {
		p = &Peer{Backend: c.Backend}
		if s.options.Protocol == OneWay {
			p.queries = queries{head: none, tail: none}
		} else {
			p.queries = newQueries(s.options.MaxQueries, s.options.Draw)
		}
		s.peers[c.Backend] = p
		s.order = append(s.order, p)
		dst = append(dst, Action{Kind: Open, Peer: p})
	}
	p.pool, p.used = c.Pool, s.latest
	return p, dst
}

// FromBackend says what is to be done with a datagram from a backend: if the cause is Kept, it is to be sent to to.Client
// from to.Local, with the identifier of the client's query in place of that in msg; else it was dropped.
func (s *Shared) FromBackend(p *Peer, msg []byte, now time.Time) (to Key, why Cause) {
	at := s.tick(now)
	e := s.match(p, msg)
	if e == nil {
		s.options.Counters.Dropped(Unasked)
		return Key{}, Unasked
	}
	p.used = at
	p.tally.add(p.Backend, 0, len(msg))
	binary.BigEndian.PutUint16(msg, e.original)
	s.options.Counters.out(len(msg))
	e.counters.out(len(msg))
	e.pool.Succeeded(p.Backend, now)
	p.Backend.AddFirstByte(at - e.sent)
	s.end(p, e, Done)
	return e.key, Kept
}

// match returns the query that msg answers, or nil.
func (s *Shared) match(p *Peer, msg []byte) *query {
	if s.options.Protocol == OneWay || s.peers[p.Backend] != p {
		return nil
	}
	m, sound := parseMessage(msg, s.seed)
	if !sound {
		return nil
	}
	e := p.queries.find(m.id)
	if e == nil || !m.answers(e.question) {
		return nil
	}
	return e
}

// end ends the waiting of a query.
func (s *Shared) end(p *Peer, e *query, why Reason) {
	p.queries.remove(e)
	s.waiting--
	s.options.leave(e.key.Client.Addr(), e.gate)
	e.pool.Release(p.Backend)
	s.options.Counters.end(why)
	e.counters.end(why)
}

// Unreachable tells that the peer's socket reported that the backend turns datagrams away, or is out of reach. It counts
// against the backend. Whose datagram it was is not known: queries go on waiting, and clients ask again.
func (s *Shared) Unreachable(p *Peer, now time.Time) {
	s.tick(now)
	p.Backend.AddConnectFailure(false)
	p.pool.Failed(p.Backend, now)
}

// NoSocket tells that this host could not open the peer's socket. Its queries end; the next datagram tries again.
func (s *Shared) NoSocket(p *Peer, now time.Time) {
	s.tick(now)
	if s.peers[p.Backend] == p {
		s.forget(p, NoSocket)
	}
}

// forget lets go of a peer and of the queries that wait for it.
func (s *Shared) forget(p *Peer, why Reason) {
	for e := p.queries.oldest(); e != nil; e = p.queries.oldest() {
		s.end(p, e, why)
	}
	p.tally.flush(p.Backend)
	delete(s.peers, p.Backend)
	s.order = slices.DeleteFunc(s.order, func(q *Peer) bool { return q == p })
}

// Next returns when Expire should be called, and false while nothing is open. It looks at every peer.
func (s *Shared) Next() (time.Time, bool) {
	if len(s.order) == 0 {
		return time.Time{}, false
	}
	next := s.order[0].due(&s.options)
	for _, p := range s.order[1:] {
		next = min(next, p.due(&s.options))
	}
	return s.epoch.Add(next), true
}

// Expire gives up queries that have waited too long, at most 256 at once, and has sockets closed that are idle and wait for
// nothing.
func (s *Shared) Expire(now time.Time, dst []Action) []Action {
	at := s.tick(now)
	budget := expireBudget
	for i := len(s.order) - 1; i >= 0; i-- { // backwards, for forget takes out
		p := s.order[i]
		e := p.queries.oldest()
		for ; e != nil && at-e.sent >= s.options.QueryTimeout && budget > 0; budget-- {
			s.end(p, e, Idle)
			e = p.queries.oldest()
		}
		if e == nil && at-p.used >= s.options.IdleTimeout {
			s.forget(p, Idle)
			dst = append(dst, Action{Kind: Close, Peer: p})
		}
	}
	return dst
}

// Cut ends everything at once: the entrypoint or its router was taken away (Removed), or weir stops (Stopped).
func (s *Shared) Cut(why Reason, now time.Time, dst []Action) []Action {
	s.tick(now)
	for len(s.order) > 0 {
		p := s.order[len(s.order)-1]
		s.forget(p, why)
		dst = append(dst, Action{Kind: Close, Peer: p})
	}
	return dst
}

// CutBackend ends what waits for a backend, and has its socket closed.
func (s *Shared) CutBackend(b *upstream.Backend, why Reason, now time.Time, dst []Action) []Action {
	s.tick(now)
	p := s.peers[b]
	if p == nil {
		return dst
	}
	s.forget(p, why)
	return append(dst, Action{Kind: Close, Peer: p})
}

// Sync brings the counters of backends, which lag behind by a few datagrams, up to date.
func (s *Shared) Sync() {
	for _, p := range s.order {
		p.tally.flush(p.Backend)
	}
}
