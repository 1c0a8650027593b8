package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The cluster of these tests is A, who decides, and B to E. B, C and D have duty, unless a test says otherwise.

// live returns these members, confirmed a second ago.
func live(names ...string) Members {
	m := Members{}
	for _, name := range names {
		m[name] = Member{Boot: 7, Heard: after(-time.Second), Confirmed: after(-time.Second)}
	}
	return m
}

// with returns the members with one of them changed.
func (m Members) with(name string, change func(*Member)) Members {
	member := m[name]
	change(&member)
	m[name] = member
	return m
}

// says returns a sound vote that came a minute ago, so that nobody needs to verify it.
func says(observer string, s State) Vote {
	return Vote{Observer: observer, Boot: 7, At: after(-time.Minute),
		Report: Report{State: s, Age: time.Second, For: time.Minute}}
}

// but returns the vote changed.
func (v Vote) but(change func(*Vote)) Vote {
	change(&v)
	return v
}

func justNow(v Vote) Vote { return v.but(func(v *Vote) { v.At = start }) }

// Own evidence, all of it of a second ago. A member without duty has no state of its probes.
func ownProof() Evidence {
	return Evidence{Probe: Down, Probed: after(-time.Second), ProbeFailed: true}
}
func ownFailure() Evidence { return Evidence{Probed: after(-time.Second), ProbeFailed: true} }
func ownSuccess() Evidence { return Evidence{Probed: after(-time.Second)} }

// old is evidence that no longer counts.
func old(e Evidence) Evidence {
	e.Probed = e.Probed.Add(-time.Hour)
	return e
}

var (
	duty  = []string{"B", "C", "D"}
	five  = []string{"A", "B", "C", "D", "E"}
	roomy = Pool{Usable: 10, Total: 10}
	wasUp = Verdict{State: Up, Since: after(-time.Hour)}
	down1 = []Vote{says("B", Down)}
	down2 = []Vote{says("B", Down), says("C", Down)}
	down3 = []Vote{says("B", Down), says("C", Down), says("D", Down)}
	up2   = []Vote{says("B", Up), says("C", Up)}
)

// Every row of the failure analysis is a test by its name.
func TestFailureAnalysis(t *testing.T) {
	wasDown := Verdict{State: Down, Since: after(-time.Hour)}
	tests := []struct {
		row, name string
		c         Case
		want      State
		cause     Cause
		verify    bool
	}{
		{"backend dies", "the first report, nothing seen here yet: look", Case{
			Last: wasUp, Own: old(ownSuccess()), Votes: []Vote{justNow(says("B", Down))}}, Up, NoMajority, true},
		{"backend dies", "the look failed: two witnesses", Case{
			Last: wasUp, Own: ownFailure(), Votes: down1}, Down, TwoWitnesses, false},
		{"backend dies", "a majority, before the look ended", Case{
			Last: wasUp, Own: old(ownSuccess()), Votes: []Vote{says("B", Down), justNow(says("C", Down))}},
			Down, Majority, true},
		{"backend dies", "own probes conclude", Case{Last: wasUp, Own: ownProof()}, Down, OwnFailure, false},
		{"backend dies", "own connections fail", Case{
			Last: wasUp, Own: Evidence{Failures: 3, Failed: after(-time.Second), Probed: after(-time.Second)}},
			Down, OwnFailure, false},
		{"backend dies", "fewer connections than prove it", Case{
			Last: wasUp, Own: Evidence{Failures: 2, Failed: start, Probed: after(-time.Second)}}, Up, NoMajority, false},

		{"A cannot reach b, others can", "A takes it out", Case{
			Last: wasUp, Own: ownProof(), Votes: up2}, Down, OwnFailure, false},
		{"backend dies", "nobody looks more often than four times in an interval", Case{
			Last: lookedUp(-499 * time.Millisecond), Own: ownSuccess(), Votes: []Vote{justNow(says("B", Down))}},
			Up, OwnSuccess, false},
		{"backend dies", "nor more seldom, if they have cause to", Case{
			Last: lookedUp(-500 * time.Millisecond), Own: ownSuccess(), Votes: []Vote{justNow(says("B", Down))}},
			Up, OwnSuccess, true},
		{"backend dies", "who has just probed looks again: that was before", Case{
			Last: wasUp, Own: Evidence{Probed: after(-time.Millisecond)}, Votes: []Vote{justNow(says("B", Down))}},
			Up, OwnSuccess, true},
		{"backend dies", "a failure is followed soon", Case{
			Last: wasUp, Own: Evidence{Probed: after(-500 * time.Millisecond), ProbeFailed: true}}, Up, NoMajority, true},
		{"backend dies", "but not at once", Case{
			Last: wasUp, Own: Evidence{Probed: after(-499 * time.Millisecond), ProbeFailed: true}}, Up, NoMajority, false},
		{"backend dies", "the majority says so still, and the pool is small", Case{
			Last: wasDown, Own: old(ownSuccess()).probedNow(), Votes: down2, Pool: Pool{Usable: 1, Total: 10}},
			Down, Majority, true},
		{"backend dies", "own probes have stopped", Case{
			Last: wasUp, Own: old(ownProof()).probedNow()}, Up, NoMajority, true},
		{"A cannot reach b, others can", "A alone has one failure", Case{
			Last: wasUp, Own: ownFailure(), Votes: up2}, Up, Majority, true},
		{"A cannot reach b, others can", "A follows its own failure", Case{
			Last: wasDown, Own: Evidence{Probe: Down, Probed: after(-2 * time.Second), ProbeFailed: true},
			Votes: up2}, Down, OwnFailure, true},
		{"A cannot reach b, others can", "the others keep it: one vote is no majority", Case{
			Last: wasUp, Votes: []Vote{says("B", Down), says("C", Up), says("D", Up)}, Own: old(ownSuccess()).probedNow()},
			Up, Majority, false},

		{"gossip cut, data intact", "peers are dead: their word has no effect", Case{
			Last: wasUp, Members: live("A"), Probers: []string{"A"}, Votes: down3}, Up, NoMajority, false},
		{"gossip cut, data intact", "peers are silent, not dead yet: neither", Case{
			Last: wasUp, Members: live("A").with("B", silentFor(6*time.Second)).with("C",
				silentFor(6*time.Second)), Votes: down2,
			Own: old(ownSuccess()).probedNow()}, Up, NoMajority, false},
		{"gossip cut, data intact", "what they said last stands for five seconds", Case{
			Last: wasUp, Members: live("A").with("B", silentFor(5*time.Second)).with("C",
				silentFor(5*time.Second)), Votes: down2},
			Down, Majority, true},
		{"gossip cut, data intact", "A alone decides by its own probes", Case{
			Last: wasUp, Members: live("A"), Probers: []string{"A"}, Own: ownProof()}, Down, OwnFailure, false},
		{"gossip cut, data intact", "down by a majority that is gone: stays until something is known", Case{
			Last: wasDown, Members: live("A"), Probers: []string{"A"}, Votes: down3}, Down, NoMajority, true},
		{"gossip cut, data intact", "and its own probe brings it back", Case{
			Last: wasDown, Members: live("A"), Probers: []string{"A"}, Votes: down3, Own: ownSuccess()},
			Up, OwnSuccess, false},

		{"2/2 or 1/2 split", "the other side's votes have no effect", Case{
			Last: wasUp, Members: live("A", "B"), Probers: []string{"A", "B"}, Votes: []Vote{says("C", Down),
				says("D", Down)}},
			Up, NoMajority, false},
		{"2/2 or 1/2 split", "one of two is no majority", Case{
			Last: wasUp, Members: live("A", "B"), Probers: []string{"A",
				"B"}, Votes: down1, Own: old(ownSuccess()).probedNow()},
			Up, NoMajority, false},
		{"2/2 or 1/2 split", "one of two, and own proof", Case{
			Last: wasUp, Members: live("A", "B"), Probers: []string{"A", "B"}, Votes: down1, Own: ownFailure()},
			Down, TwoWitnesses, false},
		{"2/2 or 1/2 split", "one alone needs its own proof, and looks for it", Case{
			Last: wasUp, Members: live("A"), Probers: []string{"A"}, Own: ownFailure()}, Up, NoMajority, true},

		{"one-way loss", "beacons come by a third: votes count", Case{Last: wasUp, Votes: down2}, Down, Majority, true},
		{"one-way loss", "cells come, but nothing confirms them", Case{
			Last: wasUp, Members: live(five...).with("B", silentFor(0)).with("C", silentFor(0)), Votes: down2},
			Up, NoMajority, true},

		{"flapping backend", "up again while it is held", Case{
			Last: Verdict{State: Down, Falls: 3, Until: after(time.Second)}, Own: ownSuccess()}, Down, Held, false},
		{"flapping backend", "held by what the others saw: the look can wait", Case{
			Last: Verdict{State: Down, Falls: 3, Until: after(time.Second)}, Own: old(ownFailure()).recovered(), Votes: up2},
			Down, Held, false},
		{"flapping backend", "the hold is over", Case{
			Last: Verdict{State: Down, Falls: 3, Until: start}, Own: ownSuccess()}, Up, OwnSuccess, false},
		{"flapping backend", "down again at any time", Case{
			Last: Verdict{State: Up, Falls: 3, Until: after(time.Hour)}, Own: ownProof()}, Down, OwnFailure, false},

		{"lying or buggy observer", "all down, but it works from here", Case{
			Last: wasUp, Own: ownSuccess(), Votes: down3}, Up, OwnSuccess, false},
		{"lying or buggy observer", "all down, but connections work", Case{
			Last: wasUp, Own: Evidence{Served: after(-time.Second)}, Votes: down3}, Up, OwnSuccess, true},
		{"lying or buggy observer", "down by their word, overruled by a look", Case{
			Last: Verdict{State: Down, Remote: true, Falls: 1, Until: after(time.Minute)}, Own: ownSuccess(), Votes: down3},
			Up, OwnSuccess, false},
		{"lying or buggy observer", "just overruled: not again at once", Case{
			Last: Verdict{State: Up, Falls: 1, Until: after(time.Minute)}, Votes: down3, Own: old(ownSuccess()).probedNow()},
			Up, Overruled, false},
		{"lying or buggy observer", "all up, but it fails from here", Case{
			Last: wasUp, Own: ownProof(), Votes: up2}, Down, OwnFailure, false},
		{"lying or buggy observer", "found wrong too often: neither counted nor looked after", Case{
			Last: wasUp, Members: live(five...).with("B", distrustedOne).with("C", distrustedOne),
			Votes: []Vote{justNow(says("B", Down)), justNow(says("C", Down))}}, Up, NoMajority, false},
		{"lying or buggy observer", "the whole pool, by their word alone", Case{
			Last: wasUp, Votes: down3, Pool: Pool{Usable: 5, Total: 10}, Own: old(ownSuccess()).probedNow()},
			Up, PanicSpared, false},
		{"lying or buggy observer", "the whole pool, while a probe from here is lost", Case{
			Last: wasUp, Own: ownFailure(), Votes: down3, Pool: Pool{Usable: 5, Total: 10}}, Up, PanicSpared, true},
		{"lying or buggy observer", "the whole pool, and three looks say so too", Case{
			Last: wasUp, Own: ownFailure().inARow(3), Votes: down3, Pool: Pool{Usable: 1, Total: 10}},
			Down, OwnFailure, false},
		{"lying or buggy observer", "two looks do not", Case{
			Last: wasUp, Own: ownFailure().inARow(2), Votes: up2}, Up, Majority, true},
		{"lying or buggy observer", "down to the threshold they may", Case{
			Last: wasUp, Votes: down3, Pool: Pool{Usable: 6, Total: 10}}, Down, Majority, true},

		{"stale state after restart", "nothing known: neither up nor down", Case{}, Unknown, NoMajority, false},
		{"stale state after restart", "the view of the majority, down", Case{Votes: down2}, Down, Majority, true},
		{"stale state after restart", "the view of the majority, up", Case{Votes: up2}, Up, Majority, false},
		{"stale state after restart", "votes of an observer's former life", Case{
			Last: wasUp, Votes: []Vote{says("B", Down).but(formerOne), says("C", Down).but(formerOne)}},
			Up, NoMajority, false},

		{"prober itself overloaded", "votes of the unsure", Case{
			Last: wasUp, Members: live(five...).with("B", unsureOne).with("C", unsureOne), Votes: down2},
			Up, NoMajority, true},
		{"prober itself overloaded", "votes cast when unsure", Case{
			Last: wasUp, Votes: []Vote{says("B", Down).but(castUnsure), says("C", Down).but(castUnsure)}},
			Up, NoMajority, true},
		{"prober itself overloaded", "the unsure are no witnesses either", Case{
			Last: wasUp, Own: ownFailure(), Members: live(five...).with("B", unsureOne), Votes: down1},
			Up, NoMajority, true},
		{"prober itself overloaded", "votes whose probes are old", Case{
			Last: wasUp, Votes: []Vote{says("B", Down).but(castLate), says("C", Down).but(castLate)}}, Up, NoMajority, true},

		{"operator", "drained, and up", Case{Last: wasUp, Own: ownSuccess(), Drained: true}, Up, OwnSuccess, false},

		{"nobody has duty", "those without duty are no majority", Case{
			Last: wasUp, Votes: []Vote{says("E", Down), says("B", Up), says("C", Up)}, Own: old(ownSuccess()).probedNow()},
			Up, Majority, false},
		{"nobody has duty", "but witnesses", Case{
			Last: wasUp, Own: ownFailure(), Votes: []Vote{says("E", Down)}}, Down, TwoWitnesses, false},
		{"nobody has duty", "passive failures are a hint", Case{
			Last: wasUp, Votes: []Vote{says("E", Down).but(unprobedOne)}}, Up, NoMajority, true},
	}
	for _, tt := range tests {
		t.Run(tt.row+"/"+tt.name, func(t *testing.T) {
			if tt.c.Members == nil {
				tt.c.Members = live(five...)
			}
			if tt.c.Probers == nil {
				tt.c.Probers = duty
			}
			if tt.c.Pool == (Pool{}) {
				tt.c.Pool = roomy
			}
			v := Decide(tt.c, Options{}, start)
			if v.State != tt.want || v.Cause != tt.cause || v.Verify != tt.verify || v.Drained != tt.c.Drained {
				t.Errorf("%s (cause %d, drained %t, verify %t): %s; want %s (cause %d, verify %t)\n%s",
					v.State, v.Cause, v.Drained, v.Verify, v.Reason(start), tt.want, tt.cause, tt.verify,
					strings.Join(tt.c.Explain(Options{}, start), "\n"))
			}
			if v.Serves() != (tt.want != Down && !tt.c.Drained) {
				t.Errorf("serves: %t", v.Serves())
			}
		})
	}
}

// lookedUp is the verdict up of a node that others made look at a time.
func lookedUp(at time.Duration) Verdict {
	v := wasUp
	v.Looked = after(at)
	return v
}

// probedNow returns old evidence of a node that has looked all the same, without a result that counts: the votes need no
// look.
func (e Evidence) probedNow() Evidence {
	e.Probed = after(-5 * time.Second)
	return e
}

// recovered returns evidence whose last probe was a success as long ago as it was a failure before.
func (e Evidence) recovered() Evidence {
	e.ProbeFailed = false
	return e
}

// inARow is evidence of so many probes that ended alike.
func (e Evidence) inARow(n int) Evidence {
	e.Streak = n
	return e
}

func silentFor(d time.Duration) func(*Member) {
	return func(m *Member) {
		*m = Member{Boot: 7}
		if d > 0 {
			m.Heard, m.Confirmed = after(-d), after(-d)
		}
	}
}

func distrustedOne(m *Member) { m.Distrust = true }
func unsureOne(m *Member)     { m.Doubt = Late }
func castUnsure(v *Vote)      { v.Doubt = MostFailed }
func castLate(v *Vote)        { v.Age = 5 * time.Second }
func unprobedOne(v *Vote)     { v.Age = -1 }
func formerOne(v *Vote)       { v.Boot = 6 }

// A backend of which others speak by another probe is not touched, and the difference is seen.
func TestFailureAnalysisConfigDiffers(t *testing.T) {
	here, there := HealthKey(1, SpecOf("tcp")), HealthKey(1, SpecOf("http /healthz"))
	r := NewReplica("A", 1)
	var cells []Cell
	for _, name := range duty {
		r.Join(name, 7)
		cells = append(cells, Cell{Key: there, Observer: name, Version: Version{7, 1}, Value: says(name, Down).Append(nil)})
	}
	r.Receive(Message{From: "B", Cells: cells}, start)
	if votes := r.Table().Votes(here); len(votes) > 0 {
		t.Errorf("votes by another probe are counted: %v", votes)
	}
	if votes := r.Table().Votes(there); len(votes) != 3 {
		t.Errorf("%d votes under their own key", len(votes))
	}
	if d := cmp.Diff(duty, r.Table().OtherProbes(here, r.Members())); d != "" {
		t.Errorf("who probes otherwise (-want +got):\n%s", d)
	}
	r.Join("B", 8) // it has restarted, and may have been told to probe as we do
	if d := cmp.Diff(duty[1:], r.Table().OtherProbes(here, r.Members())); d != "" {
		t.Errorf("after a restart (-want +got):\n%s", d)
	}
	if others := r.Table().OtherProbes(there, r.Members()); others != nil {
		t.Errorf("%v probe otherwise than themselves", others)
	}
}

func drawMoment(t *rapid.T, name string) time.Time {
	if rapid.IntRange(0, 4).Draw(t, name+" never") == 0 {
		return time.Time{}
	}
	return after(-time.Duration(rapid.IntRange(0, 10_000).Draw(t, name)) * time.Millisecond)
}

func drawEvidence(t *rapid.T) Evidence {
	e := Evidence{
		Probe:  State(rapid.IntRange(0, 2).Draw(t, "probe")),
		Probed: drawMoment(t, "probed"), ProbeFailed: rapid.Bool().Draw(t, "failed"),
		Streak:   rapid.IntRange(0, 5).Draw(t, "streak"),
		Failures: rapid.IntRange(0, 5).Draw(t, "failures"), Served: drawMoment(t, "served"),
	}
	if e.Failures > 0 {
		e.Failed = drawMoment(t, "failure")
	}
	return e
}

// drawCase draws any case at all: members who are there, silent, doubtful or not there, votes of every kind.
func drawCase(t *rapid.T) Case {
	c := Case{Own: drawEvidence(t), Members: Members{"A": {Boot: 7}}, Drained: rapid.Bool().Draw(t, "drained")}
	for _, name := range five[1:] {
		if rapid.IntRange(0, 4).Draw(t, name+" is there") > 0 {
			c.Members[name] = Member{Boot: rapid.Uint64Range(6, 8).Draw(t, "boot"), Confirmed: drawMoment(t, "confirmed"),
				Doubt: Doubt(rapid.IntRange(0, 1).Draw(t, "doubt")), Distrust: rapid.IntRange(0, 5).Draw(t, "distrust") == 0}
		}
		if rapid.IntRange(0, 4).Draw(t, name+" votes") > 0 {
			v := says(name, State(rapid.IntRange(0, 2).Draw(t, "state")))
			v.At = after(-time.Duration(rapid.IntRange(0, 20_000).Draw(t, "at")) * time.Millisecond)
			v.Age = time.Duration(rapid.IntRange(-1, 6).Draw(t, "age")) * time.Second
			c.Votes = append(c.Votes, v)
		}
	}
	c.Probers = Probers(BackendID(rapid.Uint64().Draw(t, "id")), c.Members.Names(), 3)
	c.Last = Verdict{State: State(rapid.IntRange(0, 2).Draw(t, "last")), Since: after(-time.Minute),
		Remote: rapid.Bool().Draw(t, "remote"),
		Falls:  rapid.IntRange(0, 9).Draw(t, "falls"),
		Until:  after(time.Duration(rapid.IntRange(-60, 60).Draw(t, "until")) * time.Second)}
	c.Last.Remote = c.Last.Remote && c.Last.State == Down
	c.Pool = Pool{Usable: rapid.IntRange(0, 10).Draw(t, "usable"), Total: 10}
	return c
}

// Invariants of every verdict, whatever happens around it.
func TestDecideInvariants(t *testing.T) {
	o := Options{}.withDefaults()
	invariants := []struct {
		name  string
		check func(t *rapid.T, c Case, v Verdict)
	}{
		{"I2: what works from here is not taken out by the word of others", func(t *rapid.T, c Case, v Verdict) {
			if c.Own.succeeds(o, start) && !c.Own.proves(o, start) && c.Last.State != Down && v.State == Down {
				t.Fatalf("down: %s", v.Reason(start))
			}
		}},
		{"I2: nor kept out by it", func(t *rapid.T, c Case, v Verdict) {
			if c.Own.succeeds(o, start) && !c.Own.proves(o, start) && c.Last.Remote && v.State == Down {
				t.Fatalf("still down: %s", v.Reason(start))
			}
		}},
		{"I3: own proof wins at once", func(t *rapid.T, c Case, v Verdict) {
			if c.Own.proves(o, start) && v.State != Down {
				t.Fatalf("%s: %s", v.State, v.Reason(start))
			}
		}},
		{"I4: who cannot be heard takes nothing out", func(t *rapid.T, c Case, v Verdict) {
			heard := slices.DeleteFunc(slices.Clone(c.Votes), func(v Vote) bool {
				m, ok := c.Members[v.Observer]
				return !ok || m.Boot != v.Boot || m.Confirmed.IsZero() || start.Sub(m.Confirmed) > MaxSilence
			})
			c.Votes = heard
			if without := Decide(c, Options{}, start); without.State != v.State {
				t.Fatalf("%s, but %s without the votes that have no effect", v.State, without.State)
			}
		}},
		{"I4: less than a majority of those on duty takes nothing out alone", func(t *rapid.T, c Case, v Verdict) {
			votes := 0
			for _, vote := range c.Votes {
				if slices.Contains(c.Probers, vote.Observer) && vote.State == Down {
					votes++
				}
			}
			if c.Own.failure().IsZero() && votes <= len(c.Probers)/2 && c.Last.State != Down && v.State == Down &&
				!c.Own.proves(o, start) {
				t.Fatalf("down by %d of %d: %s", votes, len(c.Probers), v.Reason(start))
			}
		}},
		{"panic: the word of others leaves half of the pool", func(t *rapid.T, c Case, v Verdict) {
			if c.Last.State != Down && v.State == Down && v.Cause != OwnFailure && c.Pool.Usable-1 < 5 {
				t.Fatalf("%d of 10 usable, and one more is taken out", c.Pool.Usable)
			}
		}},
		{"an operator wins", func(t *rapid.T, c Case, v Verdict) {
			if c.Drained && (v.Serves() || v.Reason(start) != "drained by an operator") {
				t.Fatalf("drained, but: %s", v.Reason(start))
			}
		}},
		{"a verdict is one state, with a reason and a line for each vote", func(t *rapid.T, c Case, v Verdict) {
			if v.State > Down || v.Reason(start) == "" || len(c.Explain(Options{}, start)) != len(c.Votes) {
				t.Fatalf("state %d: %s", v.State, v.Reason(start))
			}
			if v.State != c.Last.State && v.Since != start || v.State == c.Last.State && v.Since != c.Last.Since {
				t.Fatalf("%s since %s, was %s since %s", v.State, v.Since, c.Last.State, c.Last.Since)
			}
		}},
	}
	for _, tt := range invariants {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c := drawCase(t)
				tt.check(t, c, Decide(c, Options{}, start))
			})
		})
	}
}

// A whole cluster of liars leaves half of every pool in service, because a pool is counted after each decision.
func TestLiarsCannotEmptyPools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 20).Draw(t, "backends")
		o := Options{PanicThreshold: rapid.SampledFrom([]int{0, -1}).Draw(t, "threshold")}
		pool := Pool{Usable: total, Total: total}
		for range total {
			c := Case{Last: wasUp, Votes: down3, Members: live(five...), Probers: duty, Pool: pool}
			if Decide(c, o, start).State == Down {
				pool.Usable--
			}
		}
		if o.PanicThreshold == 0 && pool.Usable*2 < total || pool.Usable < 1 {
			t.Fatalf("%d of %d left", pool.Usable, total)
		}
	})
}

// maxChangesPerMinute is I11: how often a verdict may change in any one minute, by default options, whatever the backend
// and the other nodes do. A fall n that is held lasts 2s<<(n-1). One that is overruled is followed, until that time is
// over, by proof of the node's own only, which is held for 2s<<n. So the falls come at the earliest after 0, 2, 2, 10, 10,
// 42, 42 and 170 seconds: seven falls within a minute, and as many returns.
const maxChangesPerMinute = 14

func TestFlappingIsBounded(t *testing.T) {
	worst := 0
	rapid.Check(t, func(t *rapid.T) {
		var changes []time.Time
		c := Case{Last: wasUp, Members: live(five...), Probers: duty, Pool: roomy}
		mood := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 40).Draw(t, "moods")
		step := time.Duration(rapid.IntRange(50, 2000).Draw(t, "step")) * time.Millisecond
		for i, now := 0, start; now.Before(after(5 * time.Minute)); i, now = i+1, now.Add(step) {
			c.Own, c.Votes = Evidence{}, nil
			for _, name := range duty {
				c.Members = c.Members.with(name, func(m *Member) { m.Confirmed = now })
			}
			switch mood[i%len(mood)] {
			case 0:
				c.Own = Evidence{Probe: Down, Probed: now, ProbeFailed: true}
			case 1:
				c.Own = Evidence{Probed: now}
			case 2:
				c.Votes = down3
			case 3:
				c.Votes = up2
			case 4:
				c.Own, c.Votes = Evidence{Probed: now, ProbeFailed: true}, down1
			}
			v := Decide(c, Options{}, now)
			if v.State != c.Last.State {
				changes = append(changes, now)
			}
			c.Last = v
		}
		for i := range changes {
			n := 0
			for _, at := range changes[i:] {
				if at.Sub(changes[i]) < time.Minute {
					n++
				}
			}
			if worst = max(worst, n); n > maxChangesPerMinute {
				t.Fatalf("%d changes within a minute", n)
			}
		}
	})
	t.Logf("at worst %d changes within a minute", worst)
}

// A backend that flaps once a second, seen by this node's own probes, and one that does not.
func TestFlappingAtOneHertz(t *testing.T) {
	v, changes := wasUp, 0
	var downFor time.Duration
	for now := start; now.Before(after(time.Minute)); now = now.Add(500 * time.Millisecond) {
		own := Evidence{Probed: now}
		if now.Second()%2 == 0 {
			own = Evidence{Probe: Down, Probed: now, ProbeFailed: true}
		}
		next := Decide(Case{Last: v, Own: own, Members: live("A"), Probers: []string{"A"}, Pool: roomy}, Options{}, now)
		if next.State != v.State {
			changes++
		}
		if v = next; v.State == Down {
			downFor += 500 * time.Millisecond
		}
	}
	if changes < 4 || changes > 12 || downFor < 40*time.Second {
		t.Errorf("%d changes, %s down in a minute", changes, downFor)
	}
}

func TestHold(t *testing.T) {
	o := Options{}.withDefaults()
	for falls, want := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second,
		9: 5 * time.Minute, 1 << 30: 5 * time.Minute} {
		if got := o.hold(falls); got != want {
			t.Errorf("fall %d holds for %s, want %s", falls, got, want)
		}
	}
	remote := Verdict{State: Down, Remote: true, Falls: 1, Until: after(time.Minute)}
	confirmed := Decide(Case{Last: remote, Own: ownProof()}, Options{}, start)
	if v := Decide(Case{Last: confirmed, Own: ownSuccess()}, Options{}, start); v.Cause != Held {
		t.Errorf("after proof of its own, a success ends what others began: %s", v.Reason(start))
	}
	proof := Case{Last: Verdict{State: Up, Since: after(-5 * time.Minute), Falls: 6}, Own: ownProof()}
	if v := Decide(proof, Options{}, start); v.Falls != 1 {
		t.Errorf("after five calm minutes it is fall %d", v.Falls)
	}
	proof.Last.Since = after(-4 * time.Minute)
	if v := Decide(proof, Options{}, start); v.Falls != 7 || v.Until != after(2*time.Second<<6) {
		t.Errorf("after four it is fall %d, until %s", v.Falls, v.Until)
	}
}

func TestReasons(t *testing.T) {
	until := after(90 * time.Second)
	tests := []struct {
		v    Verdict
		want string
	}{
		{Verdict{}, "nothing is known of it yet"},
		{Verdict{State: Up, Up: 1, Quorum: 2}, "no majority: 1 report it up, 0 down, 2 needed; stays up"},
		{Verdict{State: Down, Cause: OwnFailure}, "fails from here"},
		{Verdict{State: Down, Cause: TwoWitnesses}, "another node reports it down and the last attempt from here failed"},
		{Verdict{State: Up, Cause: OwnSuccess}, "works from here"},
		{Verdict{State: Up, Cause: OwnSuccess, Down: 2, Quorum: 2},
			"works from here, although 2 of those who probe it report it down"},
		{Verdict{State: Down, Cause: Majority, Down: 3, Up: 1, Quorum: 2}, "3 of those who probe it report it down, 2 needed"},
		{Verdict{State: Up, Cause: Majority, Up: 2, Quorum: 2}, "2 of those who probe it report it up, 2 needed"},
		{Verdict{State: Up, Cause: PanicSpared, Down: 3}, "others report it down, but too few of the pool would be left"},
		{Verdict{State: Up, Cause: Overruled, Down: 2, Until: until},
			"2 of those who probe it report it down, but it worked from here when they last did; their word counts again in 1m30s"},
		{Verdict{State: Down, Cause: Held, Falls: 4, Until: until}, "went down 4 times lately; stays down for another 1m30s"},
		{Verdict{State: Up, Drained: true}, "drained by an operator"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.v.Reason(start); got != tt.want {
				t.Errorf("reason %q", got)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	members := live("A", "B", "C", "D", "E", "F", "G", "I").with("C", unsureOne).with("D", distrustedOne).
		with("E", silentFor(9*time.Second)).with("I", silentFor(0)).
		with("G", func(m *Member) { m.Confirmed = after(-time.Minute) })
	c := Case{Members: members, Probers: duty, Votes: []Vote{says("B", Down), says("C", Up), says("D", Up), says("E", Up),
		says("F", Down),
		says("G", Up), says("H", Up), says("I", Up), says("B", Up).but(formerOne), says("B", Down).but(unprobedOne)}}
	want := []string{
		"B: down for 2m0s; counts",
		"C: up for 2m0s; does not count: it probes late",
		"D: up for 2m0s; does not count: often wrong lately",
		"E: up for 2m0s; does not count: not heard for 9s",
		"F: down for 2m0s; a witness, without duty here",
		"G: up for 2m0s; does not count: not all that it said has arrived",
		"H: up for 2m0s; does not count: not a live member",
		"I: up for 2m0s; does not count: not heard yet",
		"B: up for 2m0s; does not count: restarted since",
		"B: down for 2m0s; a hint only: it did not probe",
	}
	if d := cmp.Diff(want, c.Explain(Options{}, start)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
