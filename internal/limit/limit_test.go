package limit

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

func TestInFlightCountsPerClient(t *testing.T) {
	f := NewInFlight(2)
	admit := func(client netip.Addr, want bool) {
		t.Helper()
		if got := f.Enter(client); got != want {
			t.Fatalf("Enter(%s) = %v, want %v", client, got, want)
		}
	}
	admit(alice, true)
	admit(alice, true)
	admit(alice, false)
	admit(bob, true)
	f.Leave(alice)
	admit(alice, true)
	admit(alice, false)

	// One customer commands a whole /64: its addresses count together.
	admit(netip.MustParseAddr("2001:db8::1"), true)
	admit(netip.MustParseAddr("2001:db8::2"), true)
	admit(netip.MustParseAddr("2001:db8::3"), false)
	admit(netip.MustParseAddr("2001:db8:0:1::3"), true)
}

// TestInFlightProperty holds the table against a plain map.
func TestInFlightProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		f := NewInFlight(limit)
		open := map[netip.Addr]int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			client := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "client")})
			if open[client] > 0 && rapid.Bool().Draw(t, "leave") {
				f.Leave(client)
				open[client]--
				continue
			}
			want := true
			if open[client] >= limit {
				want = false
			} else {
				open[client]++
			}
			if got := f.Enter(client); got != want {
				t.Fatalf("with %d open, Enter = %v, want %v", open[client], got, want)
			}
		}
	})
}

func TestInFlightFromManyLoops(t *testing.T) {
	const loops, rounds, limit = 8, 2000, 5
	f := NewInFlight(limit)
	var wg sync.WaitGroup
	for i := range loops {
		client := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 2)})
		wg.Go(func() {
			for range rounds {
				if f.Enter(client) {
					f.Leave(client)
				}
			}
		})
	}
	wg.Wait()
	if n := f.Total(); n != 0 {
		t.Fatalf("%d are still counted", n)
	}
}

// TestSourcesOverflow fills the table beyond its size: clients go uncounted, nobody is turned away, memory stays.
func TestSourcesOverflow(t *testing.T) {
	f := NewInFlight(1)
	now := time.Unix(0, 0)
	l := NewRate(1, 1, time.Hour, now)
	mistaken := 0
	for i := range 4 * sourceSlots {
		client := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if !f.Enter(client) {
			t.Fatalf("client %d is turned away", i)
		}
		if l.Admit(client, now) > 0 {
			mistaken++
		}
	}
	// With a full table about one new client in 30,000 has the tag of a neighbour.
	if mistaken > 100 {
		t.Errorf("Rate took %d clients for others", mistaken)
	}
	for i := range 4 * sourceSlots {
		f.Leave(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := f.Total(); n != 0 {
		t.Fatalf("%d are still counted", n)
	}
}

func TestRate(t *testing.T) {
	start := time.Unix(1000, 0)
	l := NewRate(10, 3, time.Second, start)
	for i, step := range []struct {
		after  time.Duration
		client netip.Addr
		passes bool
	}{
		{0, alice, true},
		{0, alice, true},
		{0, alice, true}, // the burst
		{0, alice, false},
		{0, bob, true},
		{90 * time.Millisecond, alice, false},
		{110 * time.Millisecond, alice, true}, // one is paid for by now
		{120 * time.Millisecond, alice, false},
		{10 * time.Second, alice, true},
		{10 * time.Second, alice, true},
		{10 * time.Second, alice, true},
		{10 * time.Second, alice, false}, // rest does not add up beyond the burst
	} {
		if wait := l.Admit(step.client, start.Add(step.after)); wait <= 0 != step.passes {
			t.Errorf("step %d at %v: wait %v, should pass: %v", i, step.after, wait, step.passes)
		}
	}
}

func TestRateWithoutAverageIsNone(t *testing.T) {
	l := NewRate(0, 1, time.Second, time.Unix(0, 0))
	for range 1000 {
		if wait := l.Admit(alice, time.Unix(0, 0)); wait != 0 {
			t.Fatalf("wait %v", wait)
		}
	}
}

// TestRateProperty: over any run, no more connections pass than the burst and what the time pays for, and a client
// that keeps the pace always passes.
func TestRateProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		average := rapid.IntRange(1, 1000).Draw(t, "average")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		now := time.Unix(0, 0)
		l := NewRate(average, burst, time.Second, now)
		passed, begin := 0, now
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "pause")) * time.Microsecond)
			if l.Admit(alice, now) == 0 {
				passed++
			}
		}
		// A tick is rounded down, so the rate may be higher by a tick in an interval.
		interval := max(time.Second/time.Duration(average)/rateTick*rateTick, rateTick)
		if allowed := burst + int(now.Sub(begin)/interval) + 1; passed > allowed {
			t.Fatalf("%d passed in %v, at most %d should", passed, now.Sub(begin), allowed)
		}
	})
}

// TestRateWait: whoever waits as long as it is told passes, and not much earlier.
func TestRateWait(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		l := NewRate(rapid.IntRange(1, 1000).Draw(t, "average"), rapid.IntRange(1, 50).Draw(t, "burst"), time.Second, now)
		for range 100 {
			wait := l.Admit(alice, now)
			if wait == 0 {
				continue
			}
			if early := l.Admit(alice, now.Add(wait-2*rateTick)); early == 0 && wait > 2*rateTick {
				t.Fatalf("passes %v before the time it is told", 2*rateTick)
			}
			now = now.Add(wait)
			if again := l.Admit(alice, now); again != 0 {
				t.Fatalf("waits %v more after %v", again, wait)
			}
		}
	})
}

// TestRateForgets: whose debt is over gives its place to others, so that a table that was full once counts again.
func TestRateForgets(t *testing.T) {
	now := time.Unix(0, 0)
	l := NewRate(1, 1, time.Hour, now)
	client := func(net byte, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{net, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := range 4 * sourceSlots {
		l.Admit(client(10, i), now)
	}
	uncounted := func(net byte, at time.Time) (n int) {
		for i := range 1000 {
			if l.Admit(client(net, i), at); l.Admit(client(net, i), at) == 0 {
				n++
			}
		}
		return n
	}
	if n := uncounted(11, now); n < 900 {
		t.Errorf("in a full table, %d of 1000 clients are not counted: it is not full", n)
	}
	if n := uncounted(12, now.Add(2*time.Hour)); n > 0 {
		t.Errorf("when all debts are over, %d of 1000 clients are not counted", n)
	}
}

// TestKeys: sources that are told apart by bytes are counted as addresses are.
func TestKeys(t *testing.T) {
	f, now := NewInFlight(1), time.Unix(0, 0)
	a, b := f.Key([]byte("a")), f.Key([]byte("b"))
	enter := func(k Key, want bool) {
		t.Helper()
		if admitted, counted := f.EnterKey(k); admitted != want || counted != want {
			t.Errorf("admitted %v, counted %v, want %v", admitted, counted, want)
		}
	}
	enter(a, true)
	enter(a, false)
	enter(b, true)
	f.LeaveKey(a)
	enter(a, true)
	l := NewRate(1, 1, time.Second, now)
	if w := l.AdmitKey(l.Key([]byte("a")), now); w != 0 {
		t.Errorf("the first waits %v", w)
	}
	if w := l.AdmitKey(l.Key([]byte("a")), now); w <= 0 {
		t.Error("the second does not wait")
	}
	if w := l.AdmitKey(l.Key([]byte("b")), now); w != 0 {
		t.Errorf("another waits %v", w)
	}
}
