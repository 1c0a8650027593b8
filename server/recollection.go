package server

import (
	"maps"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/upstream"
)

const (
	recollectFor     = 5 * time.Minute // what is known of a backend that is gone
	maxRecollections = 10_000
)

// recollection is what is known of the health of a backend that has left a pool. Servers that an answer leaves out come back
// with the next one often enough, and one that was down should not be taken for well then.
type recollection struct {
	status health.Status
	until  time.Time
}

// recollect keeps what is known of a backend that has left.
func (t *topology) recollect(m *member, now time.Time) {
	if m.status.Health == upstream.Unknown || len(t.recollections) >= maxRecollections {
		return
	}
	t.recollections[m.backend.Key()] = recollection{m.status, now.Add(recollectFor)}
}

// newMember makes a backend, which takes up what is known of an earlier one.
func (t *topology) newMember(k upstream.Key, e upstream.Endpoint, now time.Time) *member {
	m := &member{backend: upstream.NewBackend(k.Service, e)}
	if r, ok := t.recollections[k]; ok {
		delete(t.recollections, k)
		if now.Before(r.until) {
			m.status = r.status
			m.backend.SetHealth(r.status.Health, now)
		}
	}
	return m
}

// forgetOld lets go of what is too old to be true.
func (t *topology) forgetOld(now time.Time) {
	maps.DeleteFunc(t.recollections, func(_ upstream.Key, r recollection) bool { return !now.Before(r.until) })
}
