package upstream

import "time"

// MaxEjectionTime is the longest ejection, however many came before it.
const MaxEjectionTime = 300 * time.Second

// ejectionLimit returns how many of n backends may be ejected at one time: the
// given share, but always one of two or more, because the share of a small pool
// rounds to nothing, and never one of one.
func ejectionLimit(n, percent int) int {
	if n < 2 {
		return 0
	}
	return max(1, n*min(percent, 100)/100)
}

// settleEjections ends the ejections that are over, begins those that failing
// connections ask for, within the limits, and returns when the next one ends (zero:
// there is none). A trip that the limits refuse is forgotten; if the backend goes
// on failing it trips again.
func settleEjections(o PassiveOptions, backends []*Backend, now time.Time) time.Time {
	serving, usable, ejected := 0, 0, 0
	for _, b := range backends {
		if s := b.status.Load(); s.Ejected() && (o.MaxFailedAttempts <= 0 || !now.Before(s.EjectedUntil)) {
			b.readmit(now)
		}
		s := b.status.Load()
		if s.serves() {
			serving++
		}
		if s.usable() {
			usable++
		}
		if s.Ejected() {
			ejected++ // also one that drains: it may come back before its time is over
		}
	}

	limit := ejectionLimit(serving, o.MaxEjectionPercent)
	for _, b := range backends {
		if !b.tripped.Load() {
			continue
		}
		if o.MaxFailedAttempts > 0 && b.status.Load().usable() && ejected < limit && usable > 1 {
			b.eject(o.EjectionTime, now)
			ejected++
			usable--
		}
		// Last, so that no failure counts between the trip and the ejection.
		b.tripped.Store(false)
	}

	var next time.Time
	for _, b := range backends {
		s := b.status.Load()
		if !s.Ejected() {
			continue
		}
		if usable == 0 && s.Health != Down {
			// The others have gone since. What failing connections tell must never
			// empty a pool on its own.
			b.readmit(now)
			continue
		}
		next = earlier(next, s.EjectedUntil)
	}
	return next
}

// eject takes the backend out. Ejections are in a row when one begins no later
// after the end of the last than that one lasted.
func (b *Backend) eject(base time.Duration, now time.Time) {
	b.change(func(s *Status) {
		if s.ejectionRow > 0 && now.Sub(s.ejectionEnd) <= s.ejectionTime {
			s.ejectionRow++
		} else {
			s.ejectionRow = 1
		}
		s.ejectionTime = MaxEjectionTime
		if base < MaxEjectionTime/time.Duration(s.ejectionRow) {
			s.ejectionTime = base * time.Duration(s.ejectionRow)
		}
		s.ejectionEnd = now.Add(s.ejectionTime)
		s.EjectedUntil = s.ejectionEnd
		s.Ejections++
	})
	b.streak.Store(0)
}

// readmit ends an ejection; the backend starts slowly.
func (b *Backend) readmit(now time.Time) {
	b.change(func(s *Status) {
		s.EjectedUntil = time.Time{}
		s.ejectionEnd = now
		s.Since = now
	})
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
