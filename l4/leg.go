package l4

import (
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/upstream"
)

// leg is the way of a session to its backend. It is apart from the session, because a connection that a Handler has, which
// may rest for hours between two requests, needs none. Like the session it is used again, and has 512 bytes.
type leg struct {
	server  eventloop.Stream
	relay   eventloop.Relay
	pool    *upstream.Pool
	backend *upstream.Backend
	ticket  *ticket // while queueing
	tried   []*upstream.Backend
	few     [3]*upstream.Backend // room for tried

	queued, connected time.Duration // waiting for slots; connecting, all tries together
}

// newLeg gives a blank leg.
func (w *worker) newLeg() *leg {
	w.taken.Add(1)
	n := len(w.legs)
	if n == 0 {
		g := new(leg)
		g.tried = g.few[:0]
		return g
	}
	g := w.legs[n-1]
	w.legs = w.legs[:n-1]
	return g
}

// giveLeg takes the leg of a finished session back.
func (w *worker) giveLeg(g *leg) {
	w.taken.Add(-1)
	*g = leg{server: g.server} // closed; it counts its lives
	g.tried = g.few[:0]
	if len(w.legs) < sessionsKept {
		w.legs = append(w.legs, g)
	}
}

// record enters what is known of the way to the backend.
func (g *leg) record(r *accesslog.Record) {
	r.Queue, r.Connect, r.Retries = g.queued, g.connected, max(len(g.tried)-1, 0)
	if n := len(g.tried); n > 0 {
		r.Backend = g.tried[n-1].Addr()
	}
}
