package server

import (
	"slices"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/upstream"
)

// leaving is something that no plan asks for any more, but whose connections go on for a while: exactly one of a backend,
// a pool and an entrypoint.
//
// A backend that was taken out of its pool gets nothing new. A pool that nothing leads to any more is left as it is:
// connections that were accepted before are still routed by the table of that moment, and may come to it. An entrypoint
// has stopped accepting. Each keeps its connections for the grace time of the plan under which they came in: an
// entrypoint for its own graceTimeOut, a backend or a pool for the longest of all entrypoints'. Backends and pools that
// come back before that are the same objects again.
type leaving struct {
	until      time.Time
	member     *member
	pool       *pool
	entrypoint *entrypoint
}

// lookAgain is how often leavers are looked at, to let go of those that have nothing left before their time is up.
const lookAgain = time.Second

// empty reports whether it is known that nothing is left of a leaver. Connections of TCP do not know by which table they
// will be led while they are looked at, so pools and entrypoints of TCP are waited for.
func (l *leaving) empty() bool {
	switch {
	case l.member != nil:
		return l.member.backend.Active() == 0
	case l.entrypoint != nil && l.entrypoint.udp != nil:
		return l.entrypoint.udp.Flows() == 0
	}
	return false
}

// release lets go of those whose time is up, and of those that have nothing left.
func (t *topology) release(now time.Time) {
	t.leaving = slices.DeleteFunc(t.leaving, func(l *leaving) bool {
		if now.Before(l.until) && !l.empty() {
			return false
		}
		t.cut(l, now) // for a backend without connections too: HTTP keeps idle ones, and counters
		return true
	})
}

// cut ends the connections of a leaver.
func (t *topology) cut(l *leaving, now time.Time) {
	switch {
	case l.entrypoint != nil:
		t.cutEntrypoint(l.entrypoint, accesslog.Drain)
	case l.member != nil:
		t.closeBackend(l.member.backend, accesslog.Drain)
		t.recollect(l.member, now)
	case l.pool != nil:
		for _, m := range l.pool.members {
			t.closeBackend(m.backend, accesslog.Drain)
		}
	}
}

// nextRelease is when release should be called again, zero if nothing leaves.
func (t *topology) nextRelease(now time.Time) time.Time {
	var next time.Time
	for _, l := range t.leaving {
		next = earlier(next, l.until)
		if l.member != nil || l.entrypoint != nil && l.entrypoint.udp != nil {
			next = earlier(next, now.Add(lookAgain))
		}
	}
	return next
}

// reclaim takes a backend back that was leaving, nil if it was not.
func (t *topology) reclaim(k upstream.Key) *leaving {
	return t.takeBack(func(l *leaving) bool { return l.member != nil && l.member.backend.Key() == k })
}

// reclaimPool takes a pool back that was leaving, nil if it was not.
func (t *topology) reclaimPool(service string) *leaving {
	return t.takeBack(func(l *leaving) bool { return l.pool != nil && l.pool.live.Service() == service })
}

func (t *topology) takeBack(wanted func(*leaving) bool) *leaving {
	i := slices.IndexFunc(t.leaving, wanted)
	if i < 0 {
		return nil
	}
	l := t.leaving[i]
	t.leaving = slices.Delete(t.leaving, i, i+1)
	return l
}
