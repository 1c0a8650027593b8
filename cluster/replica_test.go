package cluster

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newReplica returns the replica of a node whose members are the named ones.
func newReplica(t *testing.T, self string, others ...string) *Replica {
	t.Helper()
	r := NewReplica(self, 5)
	for _, name := range others {
		if out := r.Join(name, 0); len(out) != 1 || out[0].Path != Stream || out[0].To != name || len(out[0].Pull) == 0 {
			t.Fatalf("joining %s sends %+v", name, out)
		}
	}
	return r
}

func set(t *testing.T, r *Replica, key Key, value string, now time.Time) {
	t.Helper()
	if err := r.Set(key, []byte(value), now); err != nil {
		t.Fatal(err)
	}
}

// talk carries messages between two replicas until there are none.
func talk(t *testing.T, a, b *Replica, now time.Time, fromA ...Outgoing) {
	t.Helper()
	fromB := []Outgoing(nil)
	for range 20 {
		var answersA, answersB []Outgoing
		for _, m := range fromA {
			_, out := b.Receive(m.Message, now)
			answersB = append(answersB, out...)
		}
		for _, m := range fromB {
			_, out := a.Receive(m.Message, now)
			answersA = append(answersA, out...)
		}
		if fromA, fromB = answersA, answersB; len(fromA)+len(fromB) == 0 {
			return
		}
	}
	t.Fatal("they never stop talking")
}

// beaconOf returns the next beacon of a replica, as a message to all.
func beaconOf(r *Replica) Outgoing {
	return Outgoing{Message: Message{From: r.Table().Self(), Beacons: []Beacon{r.beacon()}}}
}

// I6: what an observer said has no effect from the moment it left, and five seconds after it fell silent.
func TestGoneObserversHaveNoEffect(t *testing.T) {
	a, b := newReplica(t, "a", "b"), newReplica(t, "b", "a")
	set(t, b, "k", "said", start)
	talk(t, b, a, start, b.Tick(start)...)
	stands := func(d time.Duration) bool { return a.Members()["b"].stands(5, after(d)) }
	if !stands(0) || !stands(MaxSilence) {
		t.Error("what b just said does not stand")
	}
	if stands(MaxSilence + 1) {
		t.Error("what b said stands although it has been silent for more than five seconds")
	}
	old := beaconOf(b)
	talk(t, b, a, after(4*time.Second), old)
	if !stands(8 * time.Second) {
		t.Error("a beacon does not renew what b said")
	}
	talk(t, b, a, after(8*time.Second), old) // a late copy
	if stands(4*time.Second + MaxSilence + 1) {
		t.Error("a late copy of a beacon renews what b said")
	}

	set(t, b, "k", "said, and lost", after(9*time.Second))
	a.Receive(beaconOf(b).Message, after(9*time.Second))
	if stands(4*time.Second + MaxSilence + 1) {
		t.Error("a beacon confirms what it does not agree with")
	}

	a.Leave("b", after(9*time.Second))
	if stands(9 * time.Second) {
		t.Error("what b said stands although it has left")
	}
	if _, ok := a.Table().Get("b", "k"); !ok {
		t.Error("b's cells are dropped at once")
	}
	a.Tick(after(9*time.Second + forgetAfter))
	if _, ok := a.Table().Get("b", "k"); ok {
		t.Error("b's cells are kept for ever")
	}
	news, _ := a.Receive(Message{From: "c", Cells: []Cell{cell("b", "k", 5, 9)}}, after(2*time.Minute))
	if _, ok := a.Table().Get("b", "k"); ok || len(news) > 0 {
		t.Error("cells of a stranger are taken")
	}
}

// I6: a restarted observer supersedes its former life, also one whose boots were higher, and one that now has nothing to
// say.
func TestRestartedObserver(t *testing.T) {
	tests := []struct {
		name   string
		boot   uint64
		leaves bool // the membership noticed the restart
		says   bool
		asks   bool // its question when it joins arrives, whose answer has its former life
	}{
		{"later", 6, true, true, true},
		{"later, unnoticed", 6, false, true, true},
		{"later, with nothing to say", 6, false, false, true},
		{"with its clock put back", 2, true, true, true},
		{"with its clock put back, unnoticed", 2, false, true, true},
		{"with its clock put back and nothing to say", 2, true, false, true},
		{"with its clock put back, and nobody answers it", 2, true, true, false},
		{"with the boot it had", 5, true, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newReplica(t, "a", "b"), newReplica(t, "b", "a")
			set(t, b, "k", "of the former life", start)
			set(t, b, "l", "of the former life", start)
			talk(t, b, a, start, b.Tick(start)...)

			b = NewReplica("b", tt.boot)
			if tt.leaves {
				a.Leave("b", after(time.Second))
				a.Join("b", tt.boot)
			}
			if joining := b.Join("a", 0); tt.asks {
				talk(t, b, a, after(time.Second), joining...)
			}
			want := map[Key]string{}
			if tt.says {
				set(t, b, "l", "of this life", after(time.Second))
				want["l"] = "of this life"
			}
			for i := range 3 {
				now := after(time.Duration(2+i) * time.Second)
				talk(t, b, a, now, b.Tick(now)...)
				talk(t, a, b, now, a.Tick(now)...)
			}
			if got := statements(a.Table(), "b"); !maps.Equal(got, want) {
				t.Errorf("a holds of b:\n%s", cmp.Diff(want, got))
			}
			if m := a.Members()["b"]; !m.stands(b.Table().Boot(), after(4*time.Second)) {
				t.Errorf("what b says does not count: %+v, its boot is %d", m, b.Table().Boot())
			}
		})
	}
}

// A node that learns of a former life of its own tells the others at once that it has risen above it.
func TestRenewalIsAnnounced(t *testing.T) {
	r := newReplica(t, "a", "b")
	_, out := r.Receive(Message{From: "b", Cells: []Cell{cell("a", "k", 8, 1)}}, start)
	if d := paths(out, 1, 0, 0); d != "" || out[0].Beacons[0].Boot != 9 {
		t.Errorf("%s: %+v", d, out)
	}
}

// paths counts messages by path.
func paths(out []Outgoing, direct, gossip, stream int) string {
	got := [3]int{}
	for _, o := range out {
		got[o.Path]++
	}
	if want := [3]int{Gossip: gossip, Direct: direct, Stream: stream}; got != want {
		return fmt.Sprintf("gossip, direct, stream: %v, want %v", got, want)
	}
	return ""
}

func TestSpread(t *testing.T) {
	tests := []struct {
		members        int
		direct, gossip int
	}{
		{1, 0, 2}, // gossip that nobody takes
		{2, 1 + 1, 1},
		{directMembers, 15 + 15, 1},
		{directMembers + 1, 16, 1},
		{directBeacons, 63, 1},
		{directBeacons + 1, 0, 2},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.members, " members"), func(t *testing.T) {
			r := newReplica(t, "lb-00", names(tt.members)[1:]...)
			set(t, r, "k", "v", start)
			out := r.Tick(start)
			if tt.members == 1 {
				tt.gossip = 1
			}
			if d := paths(out, tt.direct, tt.gossip, 0); d != "" {
				t.Error(d)
			}
			for _, o := range out {
				if o.To == "lb-00" || o.From != "lb-00" || (o.Path == Gossip) != (o.To == "") {
					t.Errorf("sends %+v", o)
				}
			}
		})
	}
}

// A cell that changes all the time is sent ten times a second, each time as it is then.
func TestPace(t *testing.T) {
	r := newReplica(t, "a", "b")
	r.Tick(start) // the beacon
	var sent []string
	for ms := range 1000 {
		now := after(time.Duration(ms) * time.Millisecond)
		set(t, r, "k", fmt.Sprint(ms), now)
		for _, o := range r.Tick(now) {
			for _, c := range o.Cells {
				if o.Path == Direct {
					sent = append(sent, string(c.Value))
				}
			}
		}
	}
	if d := cmp.Diff([]string{"0", "100", "200", "300", "400", "500", "600", "700", "800", "900"}, sent); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	r.Delete("k", after(time.Second))
	if out := r.Tick(after(time.Second)); len(out) == 0 || !out[0].Cells[0].Gone {
		t.Errorf("the deletion is sent as %+v", out)
	}
}

// What is news is passed on once, and what is not is not.
func TestGossip(t *testing.T) {
	r := newReplica(t, "a", "b", "c")
	m := Message{From: "b", Cells: []Cell{cell("b", "k", 7, 1), cell("c", "k", 7, 1), cell("stranger", "k", 7, 1)}}
	news, out := r.Receive(m, start)
	if d := cmp.Diff(m.Cells[:2], news); d != "" {
		t.Errorf("news (-want +got):\n%s", d)
	}
	want := []Outgoing{{Path: Gossip, Message: Message{From: "a", Cells: m.Cells[:2]}}}
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	if news, out := r.Receive(m, start); len(news)+len(out) > 0 {
		t.Errorf("the second time: %v, %v", news, out)
	}
}

// In a cluster too large for each to hear each, beacons are passed on while they are news.
func TestGossipOfBeacons(t *testing.T) {
	r := newReplica(t, "lb-00", names(directBeacons + 1)[1:]...)
	b := Beacon{Summary: Summary{"lb-07", 3, 0, 0}, Beat: 9}
	_, out := r.Receive(Message{From: "lb-01", Beacons: []Beacon{b}}, start)
	if d := cmp.Diff([]Outgoing{{Path: Gossip, Message: Message{From: "lb-00", Beacons: []Beacon{b}}}}, out); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	if _, out := r.Receive(Message{From: "lb-02", Beacons: []Beacon{b}}, start); len(out) > 0 {
		t.Errorf("the second time: %v", out)
	}
}

// A node asks about an observer once in a while, however many beacons tell it that it lacks something.
func TestPullIsPaced(t *testing.T) {
	r := newReplica(t, "a", "b")
	asked := 0
	for i := range 20 {
		b := Beacon{Summary: Summary{"b", 3, uint64(i + 1), 1}, Beat: uint64(i + 1)}
		_, out := r.Receive(Message{From: "b", Beacons: []Beacon{b}}, after(time.Duration(i)*100*time.Millisecond))
		asked += len(out)
		for _, o := range out {
			if d := cmp.Diff(Digest{{"b", 3, 0, 0}}, o.Pull); d != "" || o.Path != Stream || o.To != "b" {
				t.Errorf("asks %+v", o)
			}
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times in 2 s, want 4", asked)
	}
}

// A full exchange with one node that knows everything is enough, in both directions, and nothing is sent that is there.
func TestState(t *testing.T) {
	a, b := newReplica(t, "a", "b", "c"), newReplica(t, "b", "a", "c")
	set(t, a, "k", "of a", start)
	set(t, b, "k", "of b", start)
	b.Receive(Message{From: "c", Cells: []Cell{cell("c", "k", 9, 1)},
		Beacons: []Beacon{{Summary: tableOf(cell("c", "k", 9, 1)).Summary("c"), Beat: 4}}}, start)
	ofA, ofB := a.State(), b.State()
	if len(ofA.Cells)+len(ofB.Cells) > 0 {
		t.Error("cells are sent before anybody has asked for them")
	}
	_, fromA := a.Receive(ofB, start)
	_, fromB := b.Receive(ofA, start)
	talk(t, a, b, start, fromA...)
	talk(t, b, a, start, fromB...)
	for name, want := range map[string]string{"b": "of b", "c": "k 9.1"} {
		if c, _ := a.Table().Get(name, "k"); string(c.Value) != want {
			t.Errorf("of %s: %q, want %q", name, c.Value, want)
		}
	}
	if m := a.Members()["b"]; m.Confirmed != start {
		t.Errorf("b is confirmed at %s", m.Confirmed)
	}
	if c, _ := b.Table().Get("a", "k"); string(c.Value) != "of a" {
		t.Errorf("b holds %q of a", c.Value)
	}
	_, out := a.Receive(b.State(), start)
	for _, o := range out {
		if len(o.Cells) > 0 {
			t.Errorf("sent although it is there: %v", o.Cells)
		}
	}
}

// An observer whose backends come and go for ever does not fill anybody's memory.
func TestChurnIsBounded(t *testing.T) {
	a, b := newReplica(t, "a", "b"), newReplica(t, "b", "a")
	for i := range 1000 {
		now := after(time.Duration(i) * time.Second)
		for j := range 10 {
			set(t, b, Key(fmt.Sprint("pod ", i, j)), "up", now)
			if i > 0 {
				b.Delete(Key(fmt.Sprint("pod ", i-1, j)), now)
			}
		}
		talk(t, b, a, now, b.Tick(now)...)
	}
	if n := len(a.table.observers["b"].cells); n > 2*compactAbove+20 {
		t.Errorf("a holds %d cells of b", n)
	}
	if d := cmp.Diff(b.Table().Summary("b"), a.Table().Summary("b")); d != "" {
		t.Errorf("summary (-b +a):\n%s", d)
	}
	if len(b.sent)+len(b.pending) > 40 {
		t.Errorf("b remembers %d cells sent, %d to send", len(b.sent), len(b.pending))
	}
}

func TestMembersAreBounded(t *testing.T) {
	r := NewReplica("lb-00", 1)
	for i := range MaxMembers + 50 {
		r.Join(fmt.Sprint("node ", i), 0)
	}
	if n := len(r.Members()); n != MaxMembers {
		t.Errorf("%d members", n)
	}
	if out := r.Join("lb-00", 9); out != nil {
		t.Errorf("joining itself sends %v", out)
	}
	if r.Leave("lb-00", start); !slices.Contains(r.Members().Names(), "lb-00") {
		t.Error("it has left itself")
	}
}

func TestDoubtAndDistrust(t *testing.T) {
	a, b := newReplica(t, "a", "b"), newReplica(t, "b", "a")
	b.Doubt(MostFailed)
	talk(t, b, a, start, b.Tick(start)...)
	if d := a.Members()["b"].Doubt; d != MostFailed {
		t.Errorf("b %s", d)
	}
	a.Distrust("b", true)
	a.Distrust("stranger", true)
	b = NewReplica("b", 99) // a restart does not make it honest
	b.Join("a", 0)
	talk(t, b, a, start, b.Tick(start)...)
	if m := a.Members()["b"]; !m.Distrust || m.Boot != 99 {
		t.Errorf("after a restart: %+v", m)
	}
}
