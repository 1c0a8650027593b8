package l7

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/l7/head"
)

const (
	maxMirrors     = 64       // of one service
	maxCopies      = 256      // on their way at one time, on each loop
	maxCopiedBytes = 64 << 20 // in all of them, on each loop
)

// Mirror leads to the main service and sends copies of requests to others, whose responses are dropped. A copy is sent
// when the request has been sent to the main service as a whole, and never delays or fails it: where too much is on its
// way already the copy is left out, and counted as dropped on the mirror's service. It must not be copied after its first
// use. Of mirrors below each other the outermost sends copies.
type Mirror struct {
	Main    *Service
	Mirrors []Reflection // at most 64; further ones get nothing
	// Body says that copies have the request's body. Without it they have an empty one.
	Body bool
	// MaxBody is how many bytes of body a request may have, framing included, so that copies with it are sent. 0 = none,
	// negative = DefaultMaxReplay.
	MaxBody int64

	seen atomic.Uint64 // requests
}

// Reflection is a service that gets copies of a part of the requests.
type Reflection struct {
	Service *Service
	Percent int // of the requests, evenly spread; 100 or more = all
}

func (m *Mirror) choose(x *Exchange) choice {
	c := m.Main.choose(x)
	c.mirror = m
	return c
}

// turns counts a request and returns the mirrors that get a copy of it, as bits.
func (m *Mirror) turns() (bits uint64) {
	n := m.seen.Add(1)
	for i, r := range m.Mirrors[:min(len(m.Mirrors), maxMirrors)] {
		p := uint64(min(max(r.Percent, 0), 100))
		if n*p/100 != (n-1)*p/100 {
			bits |= 1 << i
		}
	}
	return bits
}

// plan decides whether copies of the request will be sent. One that asks to switch protocols cannot be copied: what makes
// it is said later.
func (x *Exchange) plan(m *Mirror) {
	if m == nil || x.req.Upgrade() != nil {
		return
	}
	if f := x.req.Framing(); m.Body && f.HasBody() && f.Length > allowance(m.MaxBody) {
		return
	}
	x.mirror, x.copies = m, m.turns()
}

// reflect sends the copies, now that the request has been sent as a whole.
func (x *Exchange) reflect() {
	m, bits := x.mirror, x.copies
	x.copies = 0
	body := x.replay.sent
	if !m.Body || x.bodyIn == 0 {
		body = nil
	} else if !x.replayable(m.MaxBody) {
		return // longer than it said
	}
	for i, r := range m.Mirrors[:min(len(m.Mirrors), maxMirrors)] {
		if bits>>i&1 != 0 {
			x.worker.mirror(x, r.Service, body)
		}
	}
}

// mirror sends a copy of x's request to a service.
func (w *worker) mirror(x *Exchange, v *Service, body []byte) {
	if len(w.copies) >= maxCopies || w.copied+len(body) > maxCopiedBytes || w.server.draining.Load() {
		v.counters.shares[w.loop.ID()].dropped.Add(1)
		return
	}
	c := x.ask(v)
	m := &mirrorCall{worker: w, service: v, leaf: c.service, lb: c.lb, client: x.Client(), local: x.conn.localAddr(), body: body}
	if x.traced.by != nil {
		m.traced = traced{by: x.traced.by, Context: x.traced.Context, attempt: x.call(time.Now())}
	}
	m.index = len(w.copies)
	w.copies = append(w.copies, m)
	w.copied += len(body)
	defer m.rescue()
	if c.offer == nothing || !m.read(x.template, x.req.Framing().HasBody()) {
		m.end(503)
		return
	}
	m.start()
}

// read takes the request's head from what has been sent to the main service. hadBody says that the request has a body.
func (m *mirrorCall) read(template []byte, hadBody bool) bool {
	if _, err := m.parser.Request(template, &m.req); err != nil {
		return false
	}
	m.req.Discard(head.Expect) // the body comes in any case
	m.traced.pass(m.worker, &m.req)
	if hadBody && len(m.body) == 0 {
		m.req.SetFraming(head.Framing{Kind: head.Length})
	}
	return true
}

// stopMirrors ends the copies that are meant.
func (w *worker) stopMirrors(meant func(*mirrorCall) bool) {
	for i := len(w.copies) - 1; i >= 0; i-- { // the one that ends changes place with the last one, which was looked at
		if m := w.copies[i]; meant(m) {
			m.end(0)
		}
	}
}

var _ holder = (*mirrorCall)(nil)

// ends are the addresses of the client's connection.
func (m *mirrorCall) ends() (client, local netip.AddrPort) { return m.client, m.local }
