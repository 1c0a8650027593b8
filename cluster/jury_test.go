package cluster

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hall is the jury of node A with one pool of backends, and what A sees of them.
type hall struct {
	*Jury
	table  *Table
	now    time.Time
	sights map[string]*Sight
	keys   map[string]Key
}

const hallSpec = 9

// newHall seats backends of those names.
func newHall(names ...string) *hall {
	h := &hall{Jury: NewJury("A"), table: NewTable("A", 7), now: start, sights: map[string]*Sight{}, keys: map[string]Key{}}
	var subjects []Subject
	for i, name := range names {
		sight := &Sight{}
		id := IDOf("web", netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80))
		h.sights[name], h.keys[name] = sight, HealthKey(id, hallSpec)
		subjects = append(subjects, Subject{ID: id, Spec: hallSpec, Look: func() Sight { return *sight }})
	}
	h.Seat("web", Options{}, subjects)
	return h
}

// probe is a probe of node A that ends now.
func (h *hall) probe(name string, ok bool) {
	s := h.sights[name]
	if s.Probed.IsZero() || s.ProbeFailed == ok {
		s.Streak = 0
	}
	s.Streak++
	s.Probed, s.ProbeFailed, s.Since = h.now, !ok, h.now
	switch {
	case ok:
		s.Probe = Up
	case s.Streak >= 3:
		s.Probe = Down
	}
}

// judge holds a session in a cluster of those members, each heard just now, and returns the ruling on a backend.
func (h *hall) judge(name string, members ...string) (Ruling, Findings) {
	m := live(members...)
	for n := range m {
		m = m.with(n, func(m *Member) { m.Heard, m.Confirmed = h.now, h.now })
	}
	f := h.Judge(h.table, m, []Key{h.keys[name]}, 0, h.now)
	for _, r := range f.Rulings {
		if r.Key == h.keys[name] {
			return r, f
		}
	}
	return Ruling{}, f
}

func (h *hall) hear(observer, name string, r Report) {
	seq := uint64(h.now.Sub(start)) + 1
	h.table.Merge([]Cell{{Key: h.keys[name], Observer: observer, Version: Version{7, seq}, Value: r.Append(nil)}}, h.now)
}

func (h *hall) pass(d time.Duration) { h.now = h.now.Add(d) }

// A node alone probes everything, and its own proof decides.
func TestJuryAlone(t *testing.T) {
	h := newHall("a", "b", "c")
	r, f := h.judge("a", "A")
	if want := (Duty{On: true, Of: 1}); r.Duty != want || r.Verdict.State != Unknown || len(f.Statements) != 0 {
		t.Fatalf("at first: %+v, %+v", r, f.Statements)
	}
	h.pass(time.Second)
	h.probe("a", true)
	r, f = h.judge("a", "A")
	want := []Statement{{Key: h.keys["a"], Report: Report{State: Up, Streak: 1}}}
	if d := cmp.Diff(want, f.Statements); d != "" || r.Verdict.State != Up {
		t.Fatalf("after a probe %+v (-want +got):\n%s", r, d)
	}
	for range 3 {
		h.pass(500 * time.Millisecond)
		h.probe("a", false)
		r, f = h.judge("a", "A")
	}
	if r.Verdict.State != Down || r.Verdict.Cause != OwnFailure || r.Was != Up {
		t.Errorf("after three failures: %+v", r)
	}
}

// The first failure of anybody is heard at once, and makes the others look.
func TestJuryTwoWitnesses(t *testing.T) {
	h := newHall("a", "b", "c")
	h.probe("a", true)
	h.judge("a", "A", "B")
	h.pass(1500 * time.Millisecond)
	h.hear("B", "a", Report{State: Down, Streak: 1})
	r, _ := h.judge("a", "A", "B")
	if r.Verdict.State == Down || !r.Look {
		t.Fatalf("on hearsay: %+v", r)
	}
	h.pass(20 * time.Millisecond)
	h.probe("a", false)
	r, f := h.judge("a", "A", "B")
	if r.Verdict.State != Down || r.Verdict.Cause != TwoWitnesses {
		t.Errorf("after a look: %+v", r)
	}
	if len(f.Statements) != 1 || f.Statements[0].State != Down {
		t.Errorf("says %+v", f.Statements)
	}
}

// A node whose judgement is doubtful is not believed: most of its backends failed at once.
func TestJuryDoubtsItself(t *testing.T) {
	h := newHall("a", "b", "c", "d", "e")
	for name := range h.sights {
		h.judge(name, "A")
	}
	h.pass(time.Second)
	for name := range h.sights {
		h.probe(name, name == "a")
	}
	if _, f := h.judge("a", "A"); f.Doubt != MostFailed {
		t.Errorf("it %s", f.Doubt)
	}
}

// What a jury said of backends that have gone is taken back, and the verdict on one that is probed in another way stays.
func TestJurySeats(t *testing.T) {
	h := newHall("a", "b")
	for _, name := range []string{"a", "b"} {
		h.judge(name, "A")
	}
	for _, name := range []string{"a", "b"} {
		h.pass(time.Second)
		h.probe(name, true)
		h.judge(name, "A")
	}
	old := h.keys["a"]
	id, _, _ := old.backend()
	h.keys["a"] = HealthKey(id, hallSpec+1)
	h.Seat("web", Options{}, []Subject{{ID: id, Spec: hallSpec + 1, Look: func() Sight { return Sight{} }}})
	r, f := h.judge("a", "A")
	gone := map[Key]bool{}
	for _, s := range f.Statements {
		gone[s.Key] = s.Gone
	}
	if d := cmp.Diff(map[Key]bool{old: true, h.keys["b"]: true}, gone); d != "" || r.Verdict.State != Up {
		t.Errorf("%+v (-want +got):\n%s", r, d)
	}
	if o, ok := h.Explain(h.keys["a"], h.table, live("A"), h.now); !ok || o.Reason == "" {
		t.Errorf("explained as %+v", o)
	}
}

// Whoever has no duty probes all the same while those who have it say nothing of the backend: they do not know it.
func TestJuryOrphans(t *testing.T) {
	h := newHall("a")
	id, _, _ := h.keys["a"].backend()
	members := []string{"A", "B", "C", "D", "E", "F", "G"}
	probers := Probers(id, members, DefaultProbers)
	if h.self = "A"; probers[0] == "A" || probers[1] == "A" || probers[2] == "A" {
		h.self = "B"
	}
	if r, _ := h.judge("a", members...); !r.Duty.On {
		t.Fatalf("nobody probes: %+v", r)
	}
	h.hear(probers[1], "a", Report{State: Up, Age: time.Second})
	if r, _ := h.judge("a", members...); r.Duty.On {
		t.Errorf("still probes: %+v", r)
	}
}

// outsider is a hall whose node has no duty for backend a, and the names of the members and of those who have it.
func outsider() (h *hall, members, probers []string) {
	h = newHall("a", "b", "c", "d")
	id, _, _ := h.keys["a"].backend()
	members = []string{"A", "B", "C", "D", "E", "F"}
	probers = Probers(id, members, DefaultProbers)
	for _, name := range members {
		if h.self = name; name != probers[0] && name != probers[1] && name != probers[2] {
			break
		}
	}
	h.table = NewTable(h.self, 7)
	return h, members, probers
}

// A backend that was taken out, answered while it was held down, and of which nobody speaks any more, is looked at again. Else it
// would stay out for ever.
func TestJuryLooksWhereNobodyUpholds(t *testing.T) {
	h, members, probers := outsider()
	h.probe("a", true)
	h.hear(probers[0], "a", Report{State: Up})
	h.judge("a", members...)
	h.pass(time.Second)
	h.hear(probers[0], "a", Report{State: Down})
	h.probe("a", false)
	if r, _ := h.judge("a", members...); r.Verdict.State != Down {
		t.Fatalf("two witnesses: %+v", r)
	}
	h.pass(time.Second)
	h.hear(probers[0], "a", Report{State: Up})
	h.probe("a", true)
	if r, _ := h.judge("a", members...); r.Verdict.Cause != Held {
		t.Fatalf("a success that comes soon: %+v", r)
	}
	h.pass(time.Minute)
	if r, _ := h.judge("a", members...); r.Verdict.State != Down || r.Verdict.Cause != NoMajority || !r.Look {
		t.Fatalf("a minute later, with one of three who report it up: %+v", r)
	}
	h.pass(tierLook)
	h.probe("a", true)
	if r, _ := h.judge("a", members...); r.Verdict.State != Up {
		t.Errorf("after a look: %+v", r)
	}
}

// Who distrusts all that have duty probes itself.
func TestJuryDistrustsAllProbers(t *testing.T) {
	h, members, probers := outsider()
	h.hear(probers[0], "a", Report{State: Up})
	m := live(members...)
	if f := h.Judge(h.table, m, []Key{h.keys["a"]}, 0, h.now); f.Rulings[0].Duty.On {
		t.Fatalf("has duty: %+v", f.Rulings)
	}
	m.with(probers[0], distrustedOne)
	if f := h.Judge(h.table, m, []Key{h.keys["a"]}, 0, h.now.Add(time.Second)); !f.Rulings[0].Duty.On {
		t.Errorf("nobody who is believed probes: %+v", f.Rulings)
	}
}

// Who has no duty says what it saw fail until a majority of those with duty does, and takes it back when it is over.
func TestJuryOutsidersAreBrief(t *testing.T) {
	h, members, probers := outsider()
	h.hear(probers[0], "a", Report{State: Up})
	h.probe("a", false)
	_, f := h.judge("a", members...)
	if len(f.Statements) != 1 || f.Statements[0].State != Down {
		t.Fatalf("says %+v of a failure that nobody else saw", f.Statements)
	}
	h.pass(time.Second)
	h.probe("a", true)
	if _, f = h.judge("a", members...); len(f.Statements) != 1 || !f.Statements[0].Gone {
		t.Fatalf("says %+v when it is over", f.Statements)
	}
	h.pass(time.Second)
	for _, name := range probers {
		h.hear(name, "a", Report{State: Down})
	}
	h.probe("a", false)
	for range 2 {
		if r, f := h.judge("a", members...); r.Verdict.State != Down || len(f.Statements) != 0 {
			t.Errorf("%+v; says %+v, which all know", r, f.Statements)
		}
		h.pass(time.Second)
	}
	h.hear(probers[0], "a", Report{State: Up})
	h.hear(probers[1], "a", Report{State: Up})
	if _, f := h.judge("a", members...); len(f.Statements) != 1 || f.Statements[0].State != Down {
		t.Errorf("says %+v of what one other still sees fail", f.Statements)
	}
}

// Backends that recover one after the other do not make those who see it a little later liars.
func TestJuryBearsWithTheSlow(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	h := newHall(names...)
	for _, name := range names {
		for range 3 { // both see it fail, for longer than two intervals
			h.hear("B", name, Report{State: Down})
			h.probe(name, false)
			h.judge(name, "A", "B")
			h.pass(3 * time.Second)
		}
		h.hear("B", name, Report{State: Down, Age: time.Second})
		h.pass(5 * time.Second)
		h.probe(name, true) // and A sees the end of it first
		h.judge(name, "A", "B")
		h.pass(time.Second)
		h.hear("B", name, Report{State: Up})
	}
	if percent, distrust := h.trust.Wrong("B", h.now); percent > 0 || distrust {
		t.Errorf("B is wrong in %d %% of the cases", percent)
	}
	if h.Disagreements() != 0 {
		t.Errorf("%d disagreements", h.Disagreements())
	}
}
