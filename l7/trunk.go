package l7

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http2"
)

const (
	maxTrunks    = 8    // to one backend, on each loop
	trunkStreams = 1000 // requests on one at one time, where the server allows more
	assumed      = 100  // that a server will allow which has not spoken yet: what RFC 9113 section 6.5.2 asks for
	trunkTick    = time.Second
	lingerTicks  = 5                // that a server may take to end a response of which all has come
	stuckTime    = 30 * time.Second // for which it may take nothing of what is written
	doubtTime    = 10 * time.Second // without a word, after which a request that is given up asks for one
	plainTime    = 10 * time.Minute // for which a server that has picked HTTP/1.1 is not offered HTTP/2 again
)

var (
	errHTTP1    = errors.New("server speaks HTTP/1.1")
	errNoStream = errors.New("too many requests wait for a stream")
	errSilent   = errors.New("server does not answer a PING")
	errStuck    = errors.New("server takes no bytes")
)

type trunkState uint8

const (
	trunkConnecting trunkState = iota
	trunkOpen
	trunkClosed
)

// trunk is a connection to a backend that speaks HTTP/2. It belongs to its place, and carries the requests of many clients,
// each on a branch; what they write is gathered, and leaves at the end of the loop's turn in one write.
type trunk struct {
	outlet
	place     *place
	transport *Transport
	carrier   *link // the connection itself
	timer     eventloop.Timer

	state   trunkState
	reading bool // frames are being taken in just now
	served  int  // requests
	fresh   bool // no request has been told yet that the attempt to connect has succeeded
	blamed  bool // the end of the connection is counted against the backend

	idle   int // ticks without a request
	silent int // ticks since the server has said something
	asked  int // ticks since a PING that nothing has come after; 0 = there is none
	unsent int // bytes that waited for the server at the last tick
	stuck  int // ticks for which they have
}

// trunk begins to connect to the backend. The error means that the attempt could not even start.
func (p *place) trunk(t *Transport, timeout time.Duration) error {
	w := p.worker
	k := &trunk{outlet: outlet{worker: w}, place: p, transport: t, fresh: true}
	k.carrier = w.newLink(k, p.backend, t)
	k.stream, k.ender = &k.carrier.stream, k
	err := w.admit(k.carrier)
	if err == nil {
		err = k.carrier.stream.Dial(w.loop, p.backend.Addr(), k.carrier)
	}
	if err != nil {
		k.carrier.give()
		return err
	}
	p.trunks = append(p.trunks, k)
	w.loop.Arm(&k.timer, timeout, k)
	return nil
}

// connected implements holder: it begins to speak, where the server has agreed to HTTP/2.
func (k *trunk) connected(err error) {
	w, p := k.worker, k.place
	if err != nil {
		k.close()
		p.attemptFailed(k.transport, err)
		return
	}
	if state, secure := k.carrier.stream.State(); secure && state.NegotiatedProtocol != "h2" {
		k.concede()
		return
	}
	k.state, k.sends = trunkOpen, true
	k.carrier.stream.SetHandler(k.carrier)
	k.carrier.stream.KeepAlive()
	k.touch()
	k.core.StartClient(http2.Options{Limits: k.transport.ResponseLimits, MaxStreams: trunkStreams, Texts: &w.texts}, time.Now())
	w.loop.Arm(&k.timer, trunkTick, k)
	p.match()
	k.read() // what came with the end of a handshake is not reported again
}

// concede ends a trunk whose server has picked HTTP/1.1: the connection is one for a single request at a time.
func (k *trunk) concede() {
	p, l := k.place, k.carrier
	p.plain, p.plainUntil = k.transport, time.Now().Add(plainTime)
	k.forget()
	l.stream.SetHandler(l)
	k.worker.rest(l, time.Now())
	p.failWaiting(errHTTP1)
}

// backendReady implements holder.
func (k *trunk) backendReady() {
	if k.state == trunkOpen {
		k.touch()
		k.read()
	}
}

// ends implements holder; nobody is named to a server that many share.
func (k *trunk) ends() (client, local netip.AddrPort) { return client, local }

// result implements holder; a trunk has no response of its own.
func (k *trunk) result() *head.Head { return nil }

// owner implements holder.
func (k *trunk) owner() rescuer { return k }

// rescue ends what an event has led to; it is deferred.
func (k *trunk) rescue() {
	if cause := recover(); cause != nil {
		k.worker.panicked(cause)
		defer func() { _ = recover() }() // the first panic is logged; this one may come from the same broken state
		k.fail(eventloop.ErrPanicked)
	}
}

// read takes in frames. Content is bounded by the windows of the requests, all else by what the server takes of the answers.
func (k *trunk) read() {
	k.core.Clock(time.Now())
	k.reading = true
	defer func() { k.reading = false }()
	for budget := turnBudget; k.state == trunkOpen; {
		s := &k.carrier.stream
		switch {
		case s.Buffered() > maxUnsent:
			return
		case budget <= 0:
			s.Again()
			return
		}
		err := s.Fill(readAhead)
		n := k.feed()
		budget -= n
		switch err {
		case nil, eventloop.ErrPeekFull: // what is full holds at least one frame
		case eventloop.ErrAgain:
			return
		default:
			if k.state == trunkOpen {
				k.fail(err)
			}
		}
	}
}

// feed gives complete frames to the core, and returns how many bytes they are.
func (k *trunk) feed() (n int) {
	for k.state == trunkOpen {
		size, e, err := k.core.Next(k.carrier.stream.Peeked()[n:])
		n += size
		if err == http2.ErrShort {
			break
		}
		k.silent, k.asked = 0, 0
		k.event(e)
		if err != nil {
			k.fail(err)
		}
	}
	if k.state == trunkOpen { // else all was dropped
		k.carrier.stream.Consume(n)
	}
	return n
}

// event deals with what a frame has come to.
func (k *trunk) event(e http2.Event) {
	switch e.Kind {
	case http2.Response:
		e.Stream.Owner.(*branch).head()
	case http2.Content:
		e.Stream.Owner.(*branch).content(e.Data)
	case http2.Trailers:
		e.Stream.Owner.(*branch).trailer(e.Data)
	case http2.Cancelled, http2.Broken:
		b := e.Stream.Owner.(*branch)
		if e.Kind == http2.Cancelled && e.Code == http2.HTTP11Required && k.transport.HTTP2 == OfferHTTP2 {
			k.place.plain, k.place.plainUntil = k.transport, time.Now().Add(plainTime)
			b.unserved = !b.heard
		}
		b.unserved = b.unserved || e.Kind == http2.Cancelled && e.Code == http2.RefusedStream && !b.heard
		b.lost(broken(e))
	case http2.Away:
		for s := range k.core.Unserved() {
			b := s.Owner.(*branch)
			b.unserved = true
			b.lost(errAway)
		}
	case http2.Room:
		if e.Stream != nil {
			k.wait(&e.Stream.Owner.(*branch).writer)
			return
		}
		k.place.most = k.core.Most()
		for s := range k.core.Streams() {
			k.wait(&s.Owner.(*branch).writer)
		}
	}
}

// EndTurn sends what the requests have written.
func (k *trunk) EndTurn() {
	defer k.rescue()
	k.pour()
	switch {
	case k.state != trunkOpen:
		return
	case k.carrier.stream.Failed() != nil:
		k.touch()
		k.read() // the server may have said why
		if k.state == trunkOpen {
			k.fail(k.carrier.stream.Failed())
		}
		return
	}
	k.settle()
	k.place.match()
}

// settle ends a trunk that is of no more use.
func (k *trunk) settle() {
	if k.core.Open() == 0 && (!k.takes() || k.transport.MaxIdle == 0 && k.served > 0 || k.worker.server.draining.Load() || k.place.backend.Draining()) {
		k.leave()
	}
}

// takes reports whether further requests may go on the trunk, now or when others have ended.
func (k *trunk) takes() bool {
	t := k.transport
	return k.state == trunkConnecting || k.state == trunkOpen && k.core.Lasting() && (t.MaxRequests == 0 || k.served < t.MaxRequests)
}

// vacant reports whether a request can go on it now.
func (k *trunk) vacant() bool { return k.state == trunkOpen && k.takes() && k.core.Vacant() > 0 }

// doubt asks a server that has not said anything for a while whether it is there: a request was given up.
func (k *trunk) doubt() {
	if k.state == trunkOpen && k.asked == 0 && time.Duration(k.silent)*trunkTick >= doubtTime {
		k.ping()
	}
}

func (k *trunk) ping() {
	k.touch()
	k.core.Ping()
	k.asked = 1
}

// Expired looks at the timeouts.
func (k *trunk) Expired(*eventloop.Timer) {
	defer k.rescue()
	switch k.state {
	case trunkConnecting:
		k.connected(syscall.ETIMEDOUT)
	case trunkOpen:
		k.tick()
	}
	if k.state == trunkOpen {
		k.worker.loop.Arm(&k.timer, trunkTick, k)
	}
}

func (k *trunk) tick() {
	k.touch()
	k.silent++
	if k.core.Open() > 0 {
		k.idle = 0
	} else if k.idle++; k.transport.IdleTimeout > 0 && time.Duration(k.idle)*trunkTick > k.transport.IdleTimeout || k.idle > 1 && k.worker.server.crowded() {
		k.leave()
		return
	}
	if n := k.carrier.stream.Buffered(); n == 0 || n != k.unsent {
		k.unsent, k.stuck = n, 0
	} else if k.stuck++; time.Duration(k.stuck)*trunkTick > stuckTime {
		k.fail(errStuck)
		return
	}
	t := k.transport
	switch {
	case k.asked > 0:
		if k.asked++; t.PingTimeout > 0 && time.Duration(k.asked)*trunkTick > t.PingTimeout {
			k.fail(errSilent)
			return
		}
	case t.PingAfter > 0 && k.core.Open() > 0 && time.Duration(k.silent)*trunkTick >= t.PingAfter:
		k.ping()
	}
	for s := range k.core.Streams() {
		s.Owner.(*branch).tick()
	}
}

// leave ends a trunk without requests.
func (k *trunk) leave() {
	k.touch()
	k.core.LeaveNow()
	k.flush()
	k.close()
}

// fail ends the connection in the middle, and with it what is under way on it. Each request is told; the backend is blamed
// once.
func (k *trunk) fail(err error) {
	if k.state == trunkClosed {
		return
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	k.touch()
	k.flush()
	k.close()
	for s := range k.core.Streams() {
		s.Owner.(*branch).lost(err)
	}
	k.place.match()
}

// forget takes the trunk out of its place.
func (k *trunk) forget() {
	k.state, k.sends = trunkClosed, false
	k.worker.loop.Disarm(&k.timer)
	for i, other := range k.place.trunks {
		if other == k {
			k.place.trunks = append(k.place.trunks[:i], k.place.trunks[i+1:]...)
			break
		}
	}
	k.discard()
}

// close closes the connection.
func (k *trunk) close() {
	if k.state == trunkClosed {
		return
	}
	k.forget()
	k.carrier.close()
}

// accountable reports whether what has gone wrong on a branch of the trunk is to be counted against the backend: the end of
// the connection is, once.
func (k *trunk) accountable() bool {
	if k.state != trunkClosed {
		return true
	}
	first := !k.blamed
	k.blamed = true
	return first
}

var (
	_ eventloop.TurnEnder = (*trunk)(nil)
	_ holder              = (*trunk)(nil)
)
