package cluster

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// check holds a ruling against the invariants of cluster.md section 6, by what is true in the tier and not by what the jury
// was told. The lock is held, and v is as it was before the ruling.
func (b *balancer) check(v *view, r Ruling, now time.Time) {
	if b.lie != nil || now.Sub(b.reformed) < time.Second { // its jury still goes by what it was told last
		return
	}
	if r.Was != v.verdict.State {
		b.violated("%s: %s was %s, not %s", b.name, v.name, v.verdict.State, r.Was)
	}
	b.checkOwn(v, r, now)
	if r.Verdict.State == Down && r.Was != Down && (r.Verdict.Cause == Majority || r.Verdict.Cause == TwoWitnesses) {
		b.checkRemote(v, r, now)
	}
	// I6: who is dead has no effect after five seconds. It takes some time to be noticed, and longer where it is not.
	others := b.lately(now.Add(-MaxSilence - 3*time.Second))
	if n := r.Verdict.Up + r.Verdict.Down; n > others {
		b.violated("I6: at %s %d votes count on %s, of %d others", b.name, n, v.name, others)
	}
	// I11: whatever happens, a verdict changes so often in a minute at most.
	recent := slices.DeleteFunc(slices.Clone(v.changes), func(c turn) bool { return now.Sub(c.at) >= time.Minute })
	if r.Verdict.State != r.Was && len(recent)+1 > maxChangesPerMinute {
		b.violated("I11: at %s %s has changed %d times within a minute", b.name, v.name, len(recent)+1)
	}
	if v.seen.Drained && r.Verdict.Serves() {
		b.violated("I8: %s uses %s, which is drained", b.name, v.name)
	}
}

// checkOwn checks I3: what a balancer sees fail itself is out in the same session.
func (b *balancer) checkOwn(v *view, r Ruling, now time.Time) {
	fresh := func(at time.Time) bool { return !at.IsZero() && now.Sub(at) <= 2*b.options.withDefaults().Interval }
	probes := v.duty.On && r.Duty.On && v.seen.Probe == Down && v.seen.Streak >= tierFall && v.seen.ProbeFailed && fresh(v.seen.Probed)
	if (probes || v.seen.Failures >= DefaultFailures && fresh(v.seen.Failed)) && r.Verdict.State != Down {
		b.violated("I3: %s has proof that %s fails, but: %s", b.name, v.name, r.Verdict.Reason(now))
	}
}

// checkRemote checks what the word of others may do: I2, I4, and the panic threshold.
func (b *balancer) checkRemote(v *view, r Ruling, now time.Time) {
	last := v.seen.Failed
	if v.seen.ProbeFailed && v.seen.Probed.After(last) {
		last = v.seen.Probed
	}
	if v.seen.Served.After(last) && now.Sub(v.seen.Served) <= 2*b.options.withDefaults().Interval {
		b.violated("I2: %s serves with success by %s, but: %s", b.name, v.name, r.Verdict.Reason(now))
	}
	need := 1
	if r.Verdict.Cause == Majority {
		need = max(2, r.Verdict.Quorum) // of one who has duty others cannot be a majority
	}
	if heard := b.accusers(v, now); len(heard) < need {
		b.violated("I4: %s: %s, %d needed, but only %v say so who can be heard", b.name, r.Verdict.Reason(now), need, heard)
	}
	usable := 0
	for _, o := range b.order {
		if o != v && o.verdict.State != Down && !o.seen.Drained {
			usable++
		}
	}
	if usable*2 < len(b.order) {
		b.violated("panic: %s keeps %d of %d: %s", b.name, usable, len(b.order), r.Verdict.Reason(now))
	}
}

// lately returns how many other balancers have run since a time.
func (b *balancer) lately(since time.Time) int {
	n := len(b.balancers) - 1
	for _, at := range b.died {
		if !at.Before(since) {
			n++
		}
	}
	return n
}

// accusers returns who has lately said that a backend is down, and could be heard since. What was said stands for MaxSilence, and what
// is on its way when a partition begins comes with some delay.
func (b *balancer) accusers(v *view, now time.Time) []string {
	var names []string
	for name, o := range b.balancers {
		stood := now.Add(-MaxSilence - time.Second)
		ov := o.views[v.key]
		if o == b || ov == nil || ov.says != Down && ov.down.Before(stood) {
			continue
		}
		if at, known := b.together[[2]string{name, b.name}]; known && at.Before(stood) {
			continue
		}
		names = append(names, name)
	}
	for name, at := range b.died { // what these said is gone with them
		if !at.Before(now.Add(-MaxSilence - time.Second)) {
			names = append(names, name)
		}
	}
	return names
}

// observe notes, until stop is closed, who can hear whom, be it by way of others.
func (s *tier) observe(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(250 * time.Millisecond):
		}
		s.mu.Lock()
		for from := range s.balancers {
			for to := range s.hearers(from) {
				s.together[[2]string{from, to}] = time.Now()
			}
		}
		s.mu.Unlock()
	}
}

// hearers returns who can hear a balancer. The lock is held.
func (s *tier) hearers(from string) map[string]bool {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	heard := map[string]bool{from: true}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		here := s.addrs[next[0]]
		for to := range s.balancers {
			there := s.addrs[to]
			open := !s.network.muted(here, there, false) || !s.network.muted(here, there, true)
			if !heard[to] && open && s.network.parts[here] == s.network.parts[there] {
				heard[to] = true
				next = append(next, to)
			}
		}
	}
	return heard
}

// right checks that what each balancer thinks of each backend is so. A balancer that has seen nothing of one lets it be.
func (s *tier) right() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(s.balancers)) {
		b := s.balancers[name]
		for _, v := range b.order {
			fails, state := v.fails(name), v.verdict.State
			if held := state == Down && now.Before(v.verdict.Until.Add(5*time.Second)); fails == (state == Down) || !fails && held {
				continue
			}
			return fmt.Errorf("at %s %s is %s, and it %s: %s (%+v; on duty %t; says %s)", name, v.name, state, v.is,
				v.verdict.Reason(now), v.seen.Evidence, v.duty.On, v.says)
		}
	}
	return nil
}

// held returns until when backends are held down that work.
func (s *tier) held() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Now()
	for _, b := range s.balancers {
		for _, v := range b.order {
			if v.verdict.State == Down && v.verdict.Until.After(until) {
				until = v.verdict.Until
			}
		}
	}
	return until
}

// dutiful checks that all balancers agree who probes what, and that those who should probe do: min(3, N) of those who know a
// backend by one probe.
func (s *tier) dutiful() error {
	names := s.running()
	probers := map[BackendID][]string{}
	for _, name := range names {
		b := s.balancer(name)
		var wrong error
		err := b.node.Read(func(t *Table, m Members, _ *Commands) {
			for _, v := range b.order {
				o, _ := b.jury.Explain(v.key, t, m, time.Now())
				if first, ok := probers[v.id]; ok && !slices.Equal(first, o.Probers) {
					wrong = fmt.Errorf("%s: %v probe at %s, and %v elsewhere", v.name, o.Probers, name, first)
				}
				probers[v.id] = o.Probers
				if on := slices.Contains(o.Probers, name); on && !o.Duty.On || len(o.Probers) != min(DefaultProbers, len(names)) {
					wrong = fmt.Errorf("%s: %v probe, and at %s duty is %+v", v.name, o.Probers, name, o.Duty)
				}
				if s.same() && o.Duty.On && !slices.Contains(o.Probers, name) {
					wrong = fmt.Errorf("%s: %s probes, and has no duty among %v", v.name, name, o.Probers)
				}
			}
		})
		if err != nil || wrong != nil {
			return fmt.Errorf("%w, %v", wrong, err)
		}
	}
	return nil
}

// same reports whether all balancers probe in the same way.
func (s *tier) same() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.balancers {
		if b.spec != 1 {
			return false
		}
	}
	return true
}

// calm checks I14: nothing waits for long anywhere, and nothing was lost for want of room.
func (s *tier) calm() {
	s.t.Helper()
	for _, name := range s.running() {
		st := s.stats(name)
		if st.InboxWait > 100*time.Millisecond || st.GossipAge > 3*time.Second || st.GossipQueue > 100 ||
			st.Dropped.Inbox+st.Dropped.Overflow+st.Dropped.Connections+st.Dropped.Large > 0 {
			s.t.Errorf("I14: seed %d: %s: inbox %s, gossip %d for %s, dropped %+v", s.seed, name, st.InboxWait, st.GossipQueue,
				st.GossipAge, st.Dropped)
		}
	}
}
