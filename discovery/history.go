package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/upstream"
)

// A finding is what one attempt to look a name up found.
type finding struct {
	outcome  Outcome // OK, Empty or Failed
	set      []upstream.Endpoint
	unknown  map[string]bool // targets, by the Name of their endpoints, whose addresses could not all be found out
	ttl      time.Duration
	server   netip.AddrPort // whose word it is
	reliable bool           // nobody beside the path can have forged or cut it
	err      error          // Failed: why; OK: what is missing
}

// failed is a finding of nothing.
func failed(err error) finding { return finding{outcome: Failed, err: err} }

// silent reports whether the finding says nothing about an endpoint, neither that it is there nor that it is gone.
func (f finding) silent(e upstream.Endpoint) bool { return f.unknown[e.Name] }

// holdOptions say how long what was once found is kept.
type holdOptions struct {
	limits   ttlLimits
	obsolete time.Duration // after an answer without them, endpoints stay this long
	empty    time.Duration // answers that there are none are believed when they have come for so long
	maxStale time.Duration // without any answer, the set stays this long; 0 = without limit
}

// A member is an endpoint of the set shown.
type member struct {
	endpoint upstream.Endpoint
	named    bool      // by the last good answer
	gone     time.Time // when an answer that is believed first left it out; zero = none did
}

// history decides what set to show. It is pure: time is an argument, and so is chance.
//
//   - An answer with endpoints adds what is new at once. What it leaves out stays for holdOptions.obsolete; if that is more than
//     half of the set it stays until a reliable answer leaves it out too.
//   - An answer that there are none empties the set when a second server says the same right after the first, or when nobody has
//     said anything else for holdOptions.empty.
//   - No answer changes nothing, unless holdOptions.maxStale is set and over.
type history struct {
	hold    holdOptions
	members map[netip.AddrPort]*member // writer: apply and expire
	status  Status

	failures  int            // attempts in a row that left something to be desired
	heard     time.Time      // when the last answer came, of whatever kind
	emptyFrom time.Time      // when the answers that there are none began; zero = the last answer was another, or was believed
	emptyBy   netip.AddrPort // who gave the last answer that there are none
}

func newHistory(source string, hold holdOptions) *history {
	return &history{hold: hold, members: make(map[netip.AddrPort]*member), status: Status{Source: source}}
}

// update is what to emit now.
func (h *history) update() Update {
	set := make([]upstream.Endpoint, 0, len(h.members))
	held := false
	for _, m := range h.members {
		set = append(set, m.endpoint)
		held = held || !m.named
	}
	Sort(set)
	u := Update{Endpoints: set, Status: h.status}
	u.Status.Stale = len(set) > 0 && h.status.Outcome == Failed
	u.Status.Held = len(set) > 0 && (held || h.status.Outcome != OK)
	return u
}

// doubts reports whether a finding should be confirmed by a reliable one before all of it is applied: it leaves out more than half.
func (h *history) doubts(f finding) bool {
	lost, live := h.lost(f)
	return f.outcome == OK && !f.reliable && 2*lost > live
}

// lost counts the members not yet known to be gone, and those of them that the finding leaves out.
func (h *history) lost(f finding) (lost, live int) {
	named := make(map[netip.AddrPort]bool, len(f.set))
	for _, e := range f.set {
		named[e.Addr] = true
	}
	for addr, m := range h.members {
		if !m.gone.IsZero() {
			continue
		}
		live++
		if !named[addr] && !f.silent(m.endpoint) {
			lost++
		}
	}
	return lost, live
}

var errNoEndpoint = errors.New("the answer has no endpoint that can be used")

// apply takes in what an attempt found that ended now; r, from [0, 1), spreads the next one.
func (h *history) apply(f finding, now time.Time, r float64) {
	if f.outcome == OK && len(f.set) == 0 {
		f = failed(together(errNoEndpoint, f.err))
	}
	h.status.Outcome, h.status.Asked, h.status.Error = f.outcome, now, ""
	h.status.Counters.Count(f.outcome)
	if f.err != nil {
		h.status.Error = f.err.Error()
	}
	if f.outcome != Failed {
		h.heard = now
	}
	if f.outcome != Empty {
		h.emptyFrom = time.Time{}
	}
	switch f.outcome {
	case OK:
		h.status.Next = now.Add(h.applyOK(f, now, r))
	case Empty:
		h.status.Next = now.Add(h.applyEmpty(f, now, r))
	default:
		h.failures++
		h.status.Next = now.Add(retryIn(h.failures, r))
	}
	h.expire(now)
}

// applyOK merges a set and returns when to ask again.
func (h *history) applyOK(f finding, now time.Time, r float64) time.Duration {
	doubted := h.doubts(f)
	lost, live := h.lost(f)
	for _, m := range h.members {
		m.named = false
	}
	for _, e := range f.set {
		h.members[e.Addr] = &member{endpoint: e, named: true}
	}
	for _, m := range h.members {
		if !m.named && m.gone.IsZero() && !doubted && !f.silent(m.endpoint) {
			m.gone = now
		}
	}
	h.bound(now)
	h.status.Answered, h.status.TTL = now, f.ttl
	again := h.hold.limits.refreshIn(f.ttl, r)
	if doubted {
		h.status.Error = fmt.Sprintf("%d of %d endpoints are left out, and no answer over TCP confirms it: they are kept; "+
			"check that the name servers can be reached on their TCP port", lost, live)
		if f.err != nil {
			h.status.Error += ": " + f.err.Error()
		}
	}
	if f.err == nil && !doubted {
		h.failures = 0
		return again
	}
	h.failures++
	return min(again, retryIn(h.failures, r))
}

// bound drops what the last answer did not name as far as there are too many members, the earliest gone first.
func (h *history) bound(now time.Time) {
	excess := len(h.members) - MaxEndpoints
	if excess <= 0 {
		return
	}
	var kept []*member
	for _, m := range h.members {
		if !m.named {
			kept = append(kept, m)
		}
	}
	since := func(m *member) time.Time {
		if m.gone.IsZero() {
			return now
		}
		return m.gone
	}
	slices.SortFunc(kept, func(a, b *member) int {
		return cmp.Or(since(a).Compare(since(b)), Compare(a.endpoint, b.endpoint))
	})
	for _, m := range kept[:min(excess, len(kept))] {
		delete(h.members, m.endpoint.Addr)
	}
}

// applyEmpty believes or notes that there are none, and returns when to ask again.
func (h *history) applyEmpty(f finding, now time.Time, r float64) time.Duration {
	h.failures = 0
	again := h.hold.limits.refreshIn(f.ttl, r)
	before := h.emptyBy
	h.emptyBy = f.server
	if h.emptyFrom.IsZero() {
		h.emptyFrom, before = now, f.server
	}
	if len(h.members) == 0 || f.server != before || now.Sub(h.emptyFrom) >= h.hold.empty {
		clear(h.members)
		h.emptyFrom = time.Time{}
		h.status.Answered, h.status.TTL = now, f.ttl
		return again
	}
	return min(again, h.emptyFrom.Add(h.hold.empty).Sub(now))
}

// awaiting returns the server whose answer that there are none another should confirm, or deny; the zero value is none. An empty
// set is checked on too: one server may know of new records before the others do.
func (h *history) awaiting() netip.AddrPort {
	if h.status.Outcome != Empty {
		return netip.AddrPort{}
	}
	return h.emptyBy
}

// expire drops what was kept long enough.
func (h *history) expire(now time.Time) {
	for addr, m := range h.members {
		if !m.gone.IsZero() && now.Sub(m.gone) >= h.hold.obsolete {
			delete(h.members, addr)
		}
	}
	if end := h.staleEnd(); !end.IsZero() && !now.Before(end) {
		clear(h.members)
	}
}

// staleEnd returns when a set that nobody confirms any more is dropped; zero is never.
func (h *history) staleEnd() time.Time {
	if h.hold.maxStale <= 0 || h.status.Outcome != Failed || len(h.members) == 0 {
		return time.Time{}
	}
	return h.heard.Add(h.hold.maxStale)
}

// wake returns when something is to be done: to ask, or to expire what is kept.
func (h *history) wake() time.Time {
	at := h.status.Next
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	for _, m := range h.members {
		if !m.gone.IsZero() {
			sooner(m.gone.Add(h.hold.obsolete))
		}
	}
	if end := h.staleEnd(); !end.IsZero() {
		sooner(end)
	}
	return at
}
