package l7

import "github.com/weirlb/weir/internal/limit"

// seat is a place that the exchange has in a limit until it ends, however that is.
type seat struct {
	of  *limit.InFlight
	key limit.Key
}

// enter takes a place in a limit for as long as the exchange lasts, and reports whether there was one.
func (x *Exchange) enter(f *limit.InFlight, k limit.Key) bool {
	admitted, counted := f.EnterKey(k)
	if counted {
		x.seats = append(x.seats, seat{f, k})
	}
	return admitted
}

// vacate gives all places back.
func (x *Exchange) vacate() {
	for _, h := range x.seats {
		h.of.LeaveKey(h.key)
	}
	x.seats = x.seats[:0]
}

// Keep keeps a value for as long as the exchange lasts, in place of the one that m has kept before. It is for what a
// middleware's Request hook has to tell its other hooks.
func (x *Exchange) Keep(m *Middleware, value any) { x.keepNote(m, value) }

// Kept is what m has kept, nil if nothing.
func (x *Exchange) Kept(m *Middleware) any { return x.noteOf(m) }

// note is what a middleware keeps of a request until its response.
type note struct {
	by    *Middleware
	value any
}

// keepNote keeps a value of a middleware's own, in place of the one before.
func (x *Exchange) keepNote(by *Middleware, value any) {
	for i := range x.notes {
		if x.notes[i].by == by {
			x.notes[i].value = value
			return
		}
	}
	x.notes = append(x.notes, note{by, value})
}

// noteOf is what a middleware has kept, nil if nothing.
func (x *Exchange) noteOf(by *Middleware) any {
	for i := range x.notes {
		if x.notes[i].by == by {
			return x.notes[i].value
		}
	}
	return nil
}
