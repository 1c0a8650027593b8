package flow

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/upstream"
)

// step is one event in the life of client 1's flow, and what is to come of it.
type step struct {
	event string
	want  []string
}

// TestLife plays whole lives with three backends, which client 1 prefers in this order.
func TestLife(t *testing.T) {
	tests := []struct {
		name      string
		responses int
		factor    int
		pool      upstream.Options
		steps     []step
	}{
		{"a conversation that falls silent", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"client", []string{"backend"}},
			{"backend", []string{"client"}},
			{"59s", nil},
			{"backend", []string{"client"}},
			{"59s", nil},
			{"client", []string{"backend"}},
			{"59s", nil},
			{"2s", []string{"close", "end idle"}},
			{"client", []string{"open 1", "backend"}},
		}},
		{"a question and its answer", 1, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"backend", []string{"client", "close", "end done"}},
			{"client", []string{"open 1", "backend"}},
		}},
		{"two questions at once get two answers", 1, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"client", []string{"backend"}},
			{"backend", []string{"client"}},
			{"backend", []string{"client", "close", "end done"}},
		}},
		{"two answers to each", 2, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"backend", []string{"client"}},
			{"backend", []string{"client", "close", "end done"}},
		}},
		{"answers that the old backend owes do not count", 1, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"client", []string{"backend"}},
			{"down 1", nil},
			{"client", []string{"close", "open 2", "backend"}},
			{"backend", []string{"client", "close", "end done"}},
		}},
		{"refused once", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close"}},
			{"unreachable", nil},
			{"backend", []string{"drop late"}},
			{"client", []string{"open 2", "backend"}},
			{"backend", []string{"client"}},
		}},
		{"refused by all that may be tried", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close"}},
			{"client", []string{"open 2", "backend"}},
			{"unreachable", []string{"close"}},
			{"client", []string{"open 3", "backend"}},
			{"unreachable", []string{"close", "end unreachable"}},
			{"client", []string{"open 1", "backend"}},
		}},
		{"an answer clears what was before", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close"}},
			{"client", []string{"open 2", "backend"}},
			{"backend", []string{"client"}},
			{"unreachable", []string{"close"}},
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close"}},
			{"client", []string{"open 3", "backend"}},
		}},
		{"no retries", 0, 0, upstream.Options{}, []step{
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close", "end unreachable"}},
		}},
		{"refused, and then silent", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"unreachable", []string{"close"}},
			{"61s", []string{"end idle"}},
		}},
		{"refused, and nobody else", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"down 2", nil},
			{"down 3", nil},
			{"unreachable", []string{"close"}},
			{"client", []string{"drop no-backend", "end unreachable"}},
		}},
		{"its backend goes down", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"down 1", nil},
			{"backend", []string{"client"}},
			{"client", []string{"close", "open 2", "backend"}},
			{"client", []string{"backend"}},
		}},
		{"its backend drains", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"drain 1", nil},
			{"client", []string{"close", "open 2", "backend"}},
		}},
		{"all go down, one after the other", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"down 1", nil},
			{"down 2", nil},
			{"down 3", nil},
			{"client", []string{"drop no-backend", "close", "end no-backend"}},
			{"client", []string{"drop no-backend"}},
			{"up 3", nil},
			{"client", []string{"open 3", "backend"}},
		}},
		{"a pool that panics holds on to its flows", 0, 0, upstream.Options{PanicThreshold: 50}, []step{
			{"client", []string{"open 1", "backend"}},
			{"down 1", nil},
			{"down 2", nil},
			{"down 3", nil},
			{"client", []string{"backend"}},
			{"client", []string{"backend"}},
			{"up 1", nil},
			{"client", []string{"backend"}},
			{"up 2", nil},
			{"up 3", nil},
			{"down 1", nil},
			{"client", []string{"close", "open 2", "backend"}},
		}},
		{"new routes, to another backend and to the same", 0, 0, retries, []step{
			{"down 1", nil},
			{"client", []string{"open 2", "backend"}},
			{"up 1", nil},
			{"reroute", nil},
			{"client", []string{"close", "open 1", "backend"}},
			{"reroute", nil},
			{"client", []string{"backend"}},
		}},
		{"weir stops", 0, 0, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"stop", nil},
			{"client", []string{"backend"}},
			{"cut", []string{"close", "end stopped"}},
			{"client", []string{"drop stopping"}},
		}},
		{"this host is out of sockets", 0, 0, retries, []step{
			{"broken", nil},
			{"client", []string{"open 1", "backend", "end no-socket"}},
			{"mended", nil},
			{"client", []string{"open 1", "backend"}},
		}},
		{"an answer too large for a stranger", 0, 3, retries, []step{ // 128 bytes with headers: up to 384 back
			{"client", []string{"open 1", "backend"}},
			{"backend 357", []string{"drop amplified"}},
			{"backend 300", []string{"client"}},
			{"backend 29", []string{"drop amplified"}},
			{"client", []string{"backend"}},
			{"backend 65507", []string{"client"}},
		}},
		{"two datagrams before any answer prove nothing", 0, 3, retries, []step{
			{"client", []string{"open 1", "backend"}},
			{"client", []string{"backend"}},
			{"backend 741", []string{"drop amplified"}},
			{"backend 740", []string{"client"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLife(t, tt.pool, tt.responses, tt.factor)
			for i, s := range tt.steps {
				if diff := cmp.Diff(s.want, l.play(s.event)); diff != "" {
					t.Fatalf("step %d, %s (-want +got):\n%s", i, s.event, diff)
				}
			}
			l.leave()
		})
	}
}

func TestCaps(t *testing.T) {
	backends := backendsOf(1)
	o := Options{Pick: through(poolOf(retries, backends...), 0, nil), Flows: NewBudget(3)}
	one, other := newShell(t, o), newShell(t, o)
	expect(t, "first", one.client(1, 1), "open 1", "backend")
	expect(t, "second", other.client(2, 1), "open 1", "backend")
	expect(t, "third", one.client(3, 1), "open 1", "backend")
	expect(t, "one more than both may have", one.client(4, 1), "drop too-many")
	expect(t, "the other likewise", other.client(4, 1), "drop too-many")
	expect(t, "one that lives", one.client(3, 1), "backend")
	expect(t, "its end", one.run(one.table.end(one.flow(3), Done, nil)), "close", "end done")
	expect(t, "its place", other.client(4, 1), "open 1", "backend")
	if got := Sum(one.table.Counters(), other.table.Counters()); got.Dropped[TooMany] != 2 || got.Active != 3 {
		t.Errorf("%d are dropped, want 2; %d live, want 3", got.Dropped[TooMany], got.Active)
	}
}

// TestCapOfAll: the sockets of a process are bounded for tables of different entrypoints together.
func TestCapOfAll(t *testing.T) {
	sockets := NewBudget(2)
	o := Options{Pick: through(poolOf(retries, backendsOf(1)...), 0, nil), Sockets: sockets}
	one, other := newShell(t, o), newShell(t, o)
	expect(t, "first", one.client(1, 1), "open 1", "backend")
	expect(t, "second", other.client(2, 1), "open 1", "backend")
	expect(t, "third", one.client(3, 1), "drop too-many")
	if n := one.table.options.Flows.Used(); n != 1 {
		t.Errorf("%d flows are counted for the first entrypoint, want 1", n)
	}
	one.after(idle)
	other.after(idle)
	if n := sockets.Used(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// limited is a gate that lets each source have some flows.
type limited struct {
	most    int
	sources map[netip.Addr]int
}

func (l *limited) Enter(a netip.Addr, _ time.Time) Cause {
	if l.sources[a] >= l.most {
		return TooManySource
	}
	l.sources[a]++
	return Kept
}

func (l *limited) Leave(a netip.Addr) {
	if l.sources[a]--; l.sources[a] == 0 {
		delete(l.sources, a)
	}
}

func newLimited(most int) *limited { return &limited{most, map[netip.Addr]int{}} }

func TestCapOfSource(t *testing.T) {
	gate := newLimited(2)
	s := newShell(t, Options{Pick: through(poolOf(retries, backendsOf(1)...), 0, nil), Gate: gate})
	send := func(client string, want ...string) {
		t.Helper()
		key := Key{netip.MustParseAddrPort(client), local}
		expect(t, client, s.run(s.table.FromClient(key, 1, s.now, nil)), want...)
	}
	send("10.0.0.1:1", "open 1", "backend")
	send("10.0.0.1:2", "open 1", "backend")
	send("10.0.0.1:3", "drop too-many-of-source")
	send("10.0.0.1:2", "backend")
	send("10.0.0.2:3", "open 1", "backend")
	if n := s.table.options.Flows.Used(); n != 3 {
		t.Errorf("%d flows are counted, want 3", n)
	}
	s.after(idle)
	send("10.0.0.1:3", "open 1", "backend")
	s.after(idle)
	if len(gate.sources) != 0 {
		t.Errorf("%v is left", gate.sources)
	}
}

// TestGateIsReplaced: a flow leaves the gate that let it in and passes the new one, and stays where it is.
func TestGateIsReplaced(t *testing.T) {
	first, second := newLimited(2), newLimited(1)
	o := Options{Pick: through(poolOf(retries, backendsOf(2)...), 0, nil), Gate: first}
	s := newShell(t, o)
	one, other := keyOf(1), keyOf(1)
	other.Client = netip.AddrPortFrom(other.Client.Addr(), 4001)
	send := func(key Key) []string { return s.run(s.table.FromClient(key, 1, s.now, nil)) }
	send(one)
	send(other)
	o.Gate = second
	s.table.SetOptions(o)
	expect(t, "the first comes again", send(one), "backend")
	expect(t, "so does the second", send(other), "drop too-many-of-source", "close", "end excluded")
	if len(first.sources) != 0 {
		t.Errorf("%v is left at the first gate", first.sources)
	}
	s.after(idle)
	if len(second.sources) != 0 {
		t.Errorf("%v is left at the second gate", second.sources)
	}
}

func TestCutBackend(t *testing.T) {
	backends := backendsOf(2)
	s := newShell(t, Options{Pick: through(poolOf(retries, backends...), 0, nil)})
	for i := range 4 {
		s.client(i+1, 1)
	}
	actions, more := s.table.CutBackend(backends[0], Lost, s.now, nil)
	expect(t, "those of the backend", s.run(actions), "close", "end lost", "close", "end lost")
	if more || s.table.Len() != 2 || backends[0].Active() != 0 || backends[1].Active() != 2 {
		t.Errorf("more: %v; %d flows, %d and %d slots; want false, 2, 0 and 2",
			more, s.table.Len(), backends[0].Active(), backends[1].Active())
	}
}

func TestCutBackendInPortions(t *testing.T) {
	const flows = expireBudget + 3
	backends := backendsOf(1)
	s := newShell(t, Options{Pick: through(poolOf(retries, backends...), 0, nil)})
	for i := range flows {
		s.client(i+1, 1)
	}
	for _, want := range []int{flows - expireBudget, 0} {
		actions, more := s.table.CutBackend(backends[0], Lost, s.now, nil)
		s.run(actions)
		if s.table.Len() != want || more != (want > 0) {
			t.Fatalf("%d flows are left, more: %v; want %d", s.table.Len(), more, want)
		}
	}
}

// TestRefusalTakesNothing: what is refused after it was counted is given back.
func TestRefusalTakesNothing(t *testing.T) {
	full := backendsOf(1)
	full[0].SetEndpoint(upstream.Endpoint{Weight: 1, MaxConnections: 1})
	gate := newLimited(9)
	s := newShell(t, Options{Pick: through(poolOf(retries, full...), 0, nil), Gate: gate})
	expect(t, "first", s.client(1, 1), "open 1", "backend")
	expect(t, "second", s.client(2, 1), "drop no-room")
	if n, entered := s.table.options.Flows.Used(), len(gate.sources); n != 1 || entered != 1 || full[0].Active() != 1 {
		t.Errorf("%d flows, %d entered, %d slots; want one of each", n, entered, full[0].Active())
	}
	spare := backendsOf(2)
	spare[1].SetEndpoint(upstream.Endpoint{Weight: 1, MaxConnections: 1})
	p := poolOf(retries, spare[1])
	mustTake(t, p)
	full[0].SetDraining(true, s.now)
	s.table.options.Pick = through(p, 0, nil)
	expect(t, "nowhere to move", s.client(1, 1), "drop no-room", "close", "end no-room")
	if len(gate.sources) != 0 {
		t.Errorf("%d are entered after the end", len(gate.sources))
	}
}

func TestStrangeSenders(t *testing.T) {
	own := netip.MustParseAddrPort("192.0.2.1:53")
	s := newShell(t, Options{
		Pick: through(poolOf(retries, backendsOf(1)...), 0, nil),
		Own:  func(a netip.AddrPort) bool { return a == own },
	})
	for _, tt := range []struct{ name, client, want string }{
		{"ourselves", "192.0.2.1:53", "drop looped"},
		{"no port", "10.0.0.1:0", "drop unanswerable"},
		{"nobody", "0.0.0.0:7", "drop unanswerable"},
		{"nobody of IPv6", "[::]:7", "drop unanswerable"},
		{"everybody", "255.255.255.255:7", "drop unanswerable"},
		{"a group", "224.0.0.1:7", "drop unanswerable"},
		{"a group of IPv6", "[ff02::1]:7", "drop unanswerable"},
		{"our host, another port", "192.0.2.1:54", "open 1"},
		{"a link-local address", "[fe80::1%eth0]:7", "open 1"},
		{"the same on another link", "[fe80::1%eth1]:7", "open 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.run(s.table.FromClient(Key{netip.MustParseAddrPort(tt.client), local}, 1, s.now, nil))
			expect(t, tt.client, got[:1], tt.want)
		})
	}
}

func TestFlowsOfOneClientToTwoAddresses(t *testing.T) {
	s := newShell(t, Options{Pick: through(poolOf(retries, backendsOf(2)...), 0, nil)})
	key := keyOf(1)
	s.run(s.table.FromClient(key, 1, s.now, nil))
	key.Local = netip.MustParseAddrPort("192.0.2.2:53")
	expect(t, "second address", s.run(s.table.FromClient(key, 1, s.now, nil)), "open 2", "backend")
}

func TestRecord(t *testing.T) {
	backends := backendsOf(2)
	p := poolOf(retries, backends...)
	s := newShell(t, Options{Pick: through(p, 0, nil)})
	s.client(1, 100)
	s.client(1, 0)
	s.now = s.now.Add(time.Second)
	s.backend(1, 65507)
	backends[0].SetHealth(upstream.Down, s.now)
	s.client(1, 7)
	s.after(idle)
	want := []Record{{
		Key: keyOf(1), Backend: backends[1], Start: start, Total: idle + time.Second,
		In: Traffic{3, 107}, Out: Traffic{1, 65507}, Moves: 1, Reason: Idle,
	}}
	if diff := cmp.Diff(want, s.records, cmp.Comparer(func(a, b *upstream.Backend) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if a, b := backends[0].Stats(), backends[1].Stats(); a.BytesIn != 100 || a.BytesOut != 65507 || b.BytesIn != 7 {
		t.Errorf("the backends count %d, %d and %d bytes, want 100, 65507 and 7", a.BytesIn, a.BytesOut, b.BytesIn)
	}
	got := Sum(s.table.Counters())
	if got.In != (Traffic{3, 107}) || got.Out != (Traffic{1, 65507}) || got.Moved != 1 || got.Ended[Idle] != 1 {
		t.Errorf("the entrypoint counts %+v", got)
	}
}

// TestPassiveFailure: refusals eject a backend, and answers prove that it is well.
func TestPassiveFailure(t *testing.T) {
	failed := 0
	o := retries
	o.Passive = upstream.PassiveOptions{MaxFailedAttempts: 2, EjectionTime: time.Minute}
	backends := backendsOf(1)
	p := upstream.NewPool("dns", func(*upstream.Backend) { failed++ })
	p.Update(o, backends, start)
	s := newShell(t, Options{Pick: through(p, 0, nil)})
	for n := 1; n <= 3; n++ {
		s.client(n, 1)
	}
	s.unreachable(1)
	s.backend(2, 1)
	s.unreachable(2)
	if failed != 0 {
		t.Fatal("ejected although it has answered in between")
	}
	s.unreachable(3)
	if failed != 1 || backends[0].Stats().ConnectFailures != 3 {
		t.Fatalf("%d ejections after %d failures, want 1 after 3", failed, backends[0].Stats().ConnectFailures)
	}
}

func TestExpireEndsABoundedNumberInOrder(t *testing.T) {
	const grain = time.Second / 64
	s := newShell(t, Options{Pick: through(poolOf(retries, backendsOf(1)...), 0, nil), IdleTimeout: time.Second})
	for n := range 2*expireBudget + 10 {
		s.client(n, 1)
	}
	s.now = s.now.Add(grain - 1)
	s.client(1, 1) // too soon to count
	s.now = s.now.Add(1)
	s.client(0, 1) // which makes it the last
	for _, want := range []int{expireBudget + 10, 10, 1} {
		s.now = start.Add(time.Second + grain)
		s.run(s.table.Expire(s.now, nil))
		if n := s.table.Len(); n != want {
			t.Fatalf("%d live, want %d", n, want)
		}
	}
	if at, any := s.table.Next(); !any || !at.Equal(start.Add(time.Second+2*grain)) {
		t.Errorf("the last one ends at %v", at)
	}
	for i, r := range s.records {
		if r.Key != keyOf(i+1) {
			t.Fatalf("the end number %d is that of %v, want %v", i, r.Key, keyOf(i+1))
		}
	}
}

func TestSetOptions(t *testing.T) {
	first, second := backendsOf(2), poolOf(retries, backendsOf(3)[2])
	o := Options{Pick: through(poolOf(retries, first[0]), 0, nil), Flows: NewBudget(3)}
	s := newShell(t, o)
	s.client(1, 1)
	s.client(2, 1)
	o.Pick, o.IdleTimeout = through(second, 0, nil), time.Second
	o.Flows.SetMost(1)
	s.table.SetOptions(o)
	expect(t, "a new one", s.client(3, 1), "drop too-many")
	expect(t, "an old one", s.client(1, 1), "backend")
	s.table.Reroute()
	expect(t, "an old one, rerouted", s.client(1, 1), "close", "open 3", "backend")
	expect(t, "the new timeout", s.after(idle/60), "close", "end idle", "close", "end idle")
	expect(t, "room again", s.client(3, 1), "open 3", "backend")
}

func TestTimeThatGoesBack(t *testing.T) {
	s := newShell(t, Options{Pick: through(poolOf(retries, backendsOf(1)...), 0, nil)})
	s.client(1, 1)
	s.now = start.Add(-time.Hour)
	s.client(2, 1)
	if at, _ := s.table.Next(); !at.Equal(start.Add(idle)) {
		t.Errorf("the first ends at %v", at)
	}
	s.now = start
	expect(t, "both end", s.after(idle), "close", "end idle", "close", "end idle")
}

func TestFree(t *testing.T) {
	s := newShell(t, Options{Pick: through(poolOf(retries, backendsOf(1)...), 0, nil)})
	s.client(1, 1)
	f := s.flow(1)
	s.table.Free(f) // lives
	expect(t, "goes on", s.client(1, 1), "backend")
	s.after(idle)
	s.table.Free(f) // was freed
	if s.table.blanks != 1 {
		t.Fatalf("%d flows are blank, want 1", s.table.blanks)
	}
	expect(t, "after the end", s.run(s.table.FromBackend(f, 1, s.now, nil)), "drop late")
	expect(t, "refused after the end", s.run(s.table.Unreachable(f, s.now, nil)))
	expect(t, "no socket after the end", s.run(s.table.NoSocket(f, s.now, nil)))
}

func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(NumReasons) {
		seen[r.String()] = true
	}
	for c := range Cause(NumCauses) {
		seen[c.String()] = true
	}
	// no-backend, no-room and no-socket are both.
	if want := NumReasons + NumCauses - 3; len(seen) != want || seen[""] {
		t.Errorf("%d words, want %d: %v", len(seen), want, seen)
	}
	if Reason(200).String() != "invalid" || Cause(200).String() != "invalid" {
		t.Error("a value out of range has a word")
	}
}

// TestServiceCountersFollow: a flow that moves to another service is counted there, and here no more.
func TestServiceCountersFollow(t *testing.T) {
	var old, next Counters
	backends := backendsOf(2)
	o := Options{Pick: through(poolOf(retries, backends[0]), 0, &old)}
	s := newShell(t, o)
	s.client(1, 10)
	s.backend(1, 20)
	o.Pick = through(poolOf(retries, backends[1]), 0, &next)
	s.table.SetOptions(o)
	s.table.Reroute()
	s.client(1, 30)
	a, b := Sum(&old), Sum(&next)
	if a.Opened != 1 || a.Active != 0 || a.Ended[Removed] != 1 || a.In != (Traffic{1, 10}) || a.Out != (Traffic{1, 20}) {
		t.Errorf("the old service counts %+v", a)
	}
	if b.Opened != 1 || b.Active != 1 || b.Moved != 1 || b.In != (Traffic{1, 30}) {
		t.Errorf("the next service counts %+v", b)
	}
}

// TestRetryBudget: when a whole pool refuses, flows end that the budget does not let try again.
func TestRetryBudget(t *testing.T) {
	p := poolOf(retries, backendsOf(2)...)
	s := newShell(t, Options{Pick: through(p, 0, nil)})
	allowed, ended := 0, 0
	for n := range 200 {
		s.client(n, 1)
	}
	for n := range 200 {
		if said := s.unreachable(n); said[len(said)-1] == "end unreachable" {
			ended++
		} else {
			allowed++
		}
	}
	if allowed == 0 || ended == 0 || p.Stats().RetriesRefused != uint64(ended) {
		t.Errorf("%d may try again, %d may not, the pool refused %d", allowed, ended, p.Stats().RetriesRefused)
	}
}

// TestBackendLearnsOfBytes: a flow that never ends is seen nevertheless.
func TestBackendLearnsOfBytes(t *testing.T) {
	backends := backendsOf(1)
	s := newShell(t, Options{Pick: through(poolOf(retries, backends...), 0, nil)})
	for range tallyLimit {
		s.client(1, 65507)
	}
	if got := backends[0].Stats().BytesIn; got != tallyLimit*65507 {
		t.Errorf("the backend counts %d bytes, want %d", got, tallyLimit*65507)
	}
}
