package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

var (
	testHold = holdOptions{limits: ttlLimits{time.Second, time.Minute}, obsolete: 30 * time.Second, empty: 30 * time.Second}
	dawn     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first    = netip.MustParseAddrPort("10.9.0.1:53")
	second   = netip.MustParseAddrPort("10.9.0.2:53")
	errAsked = errors.New("asked in vain")
)

// set makes endpoints of last bytes: "1 2" is 10.0.0.1:1 of h1 and 10.0.0.2:1 of h2.
func set(text string) []upstream.Endpoint {
	var list []upstream.Endpoint
	for field := range strings.FieldsSeq(text) {
		list = append(list, upstream.Endpoint{Addr: netip.MustParseAddrPort("10.0.0." + field + ":1"), Weight: 1, Name: "h" + field})
	}
	return list
}

func ok(text string) finding {
	return finding{outcome: OK, set: set(text), ttl: 10 * time.Second, server: first}
}

func confirmed(text string) finding {
	f := ok(text)
	f.reliable = true
	return f
}

func empty(by netip.AddrPort) finding {
	return finding{outcome: Empty, ttl: 10 * time.Second, server: by}
}

// unsure is ok with targets of which not all addresses are known.
func unsure(text string, unknown ...string) finding {
	f := ok(text)
	f.err, f.unknown = errAsked, map[string]bool{}
	for _, u := range unknown {
		f.unknown[u] = true
	}
	return f
}

// shownSet is the inverse of set.
func shownSet(list []upstream.Endpoint) string {
	var fields []string
	for _, e := range list {
		fields = append(fields, strings.TrimPrefix(e.Name, "h"))
	}
	return strings.Join(fields, " ")
}

func TestHistory(t *testing.T) {
	type step struct {
		at   int // seconds from dawn
		f    *finding
		want string // the set, then a blank and H or HS if it is held or stale as well
	}
	do := func(at int, f finding, want string) step { return step{at, &f, want} }
	look := func(at int, want string) step { return step{at, nil, want} }
	tests := []struct {
		name   string
		change func(*holdOptions)
		steps  []step
	}{
		{name: "additions at once", steps: []step{do(0, ok("1 2"), "1 2"), do(1, ok("1 2 3"), "1 2 3")}},
		{name: "what vanished is kept, then goes", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1 2"), "1 2 3 H"), look(34, "1 2 3 H"), look(35, "1 2")}},
		{name: "not kept", change: func(o *holdOptions) { o.obsolete = 0 }, steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1 2"), "1 2")}},
		{name: "what comes back is as before", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1 2"), "1 2 3 H"), do(9, ok("1 2 3"), "1 2 3"), look(60, "1 2 3")}},
		{name: "the time of one that vanishes again begins again", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1 2"), "1 2 3 H"), do(9, ok("1 2 3"), "1 2 3"),
			do(20, ok("1 2"), "1 2 3 H"), look(49, "1 2 3 H"), look(50, "1 2")}},
		{name: "half may go", steps: []step{do(0, ok("1 2"), "1 2"), do(5, ok("1"), "1 2 H"), look(35, "1")}},
		{name: "more than half may not", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1"), "1 2 3 H"), look(100, "1 2 3 H")}},
		{name: "more than half may, confirmed", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, confirmed("1"), "1 2 3 H"), look(35, "1")}},
		{name: "doubted additions come at once", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("4"), "1 2 3 4 H"), look(100, "1 2 3 4 H")}},
		{name: "what a doubted answer left out goes when confirmed", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1"), "1 2 3 H"), do(50, confirmed("1"), "1 2 3 H"), look(80, "1")}},
		{name: "half, and then half of the rest", steps: []step{do(0, ok("1 2 3 4"), "1 2 3 4"), do(5, ok("1 2"), "1 2 3 4 H"), do(6, ok("1"), "1 2 3 4 H"), look(35, "1 2 H"), look(36, "1")}},

		{name: "a failure changes nothing", steps: []step{do(0, ok("1 2"), "1 2"), do(5, failed(errAsked), "1 2 HS"), do(5000, failed(errAsked), "1 2 HS"), do(5001, ok("1 2"), "1 2")}},
		{name: "what vanished goes during a failure", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, ok("1 2"), "1 2 3 H"), do(9, failed(errAsked), "1 2 3 HS"), look(35, "1 2 HS")}},
		{name: "stale without limit ends with one", change: func(o *holdOptions) { o.maxStale = time.Minute },
			steps: []step{do(0, ok("1 2"), "1 2"), do(5, failed(errAsked), "1 2 HS"), look(59, "1 2 HS"), look(60, ""), do(61, ok("1"), "1")}},
		{name: "stale counts from the last answer", change: func(o *holdOptions) { o.maxStale = time.Minute },
			steps: []step{do(0, ok("1 2"), "1 2"), do(30, empty(first), "1 2 H"), do(50, failed(errAsked), "1 2 HS"), look(89, "1 2 HS"), look(90, "")}},
		{name: "an answer holds for longer than stale ones do", change: func(o *holdOptions) { o.maxStale = time.Second },
			steps: []step{do(0, ok("1 2"), "1 2"), look(9, "1 2"), do(10, failed(errAsked), "")}},
		{name: "an answer without endpoints is a failure", steps: []step{do(0, ok("1 2"), "1 2"), do(5, finding{outcome: OK, reliable: true}, "1 2 HS")}},

		{name: "one server's empty answer", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), do(34, empty(first), "1 2 H"), do(35, empty(first), "")}},
		{name: "two servers' empty answers", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), do(6, empty(second), "")}},
		{name: "empty answers with a failure between", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), do(6, failed(errAsked), "1 2 HS"), do(7, empty(second), "1 2 H"),
			do(36, empty(second), "1 2 H"), do(37, empty(second), "")}},
		{name: "empty answers with another between", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), do(6, ok("1 2"), "1 2"), do(7, empty(second), "1 2 H")}},
		{name: "time alone believes nothing", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), look(1000, "1 2 H")}},
		{name: "empty and back", steps: []step{do(0, ok("1 2"), "1 2"), do(5, empty(first), "1 2 H"), do(6, empty(second), ""), do(7, failed(errAsked), ""), do(8, ok("3"), "3")}},
		{name: "empty from the start", steps: []step{do(0, empty(first), ""), do(1, ok("1"), "1")}},

		{name: "a target without an answer keeps its endpoints", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, unsure("1 2", "h3"), "1 2 3 H"), look(100, "1 2 3 H")}},
		{name: "it is not among those lost", steps: []step{do(0, ok("1 2 3"), "1 2 3"), do(5, unsure("1", "h3"), "1 2 3 H"), look(35, "1 3 H")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hold := testHold
			if tt.change != nil {
				tt.change(&hold)
			}
			h := newHistory("test", hold)
			for i, s := range tt.steps {
				now := dawn.Add(time.Duration(s.at) * time.Second)
				if s.f != nil {
					h.apply(*s.f, now, 0)
				} else {
					h.expire(now)
				}
				u := h.update()
				got := shownSet(u.Endpoints)
				if u.Status.Held {
					got += " H"
				}
				if u.Status.Stale {
					got += "S"
				}
				if got != s.want {
					t.Fatalf("step %d, at %d s: got %q, want %q", i, s.at, got, s.want)
				}
			}
		})
	}
}

func TestHistoryAsksAgain(t *testing.T) {
	with := func(f finding, ttl time.Duration) finding {
		f.ttl = ttl
		return f
	}
	tests := []struct {
		name     string
		findings []finding // one after the other at dawn
		r        float64
		want     time.Duration
	}{
		{"by TTL", []finding{with(ok("1"), 30*time.Second)}, 1, 30 * time.Second},
		{"by TTL, early", []finding{with(ok("1"), 30*time.Second)}, 0, 24 * time.Second},
		{"at the least", []finding{with(ok("1"), 0)}, 1, time.Second},
		{"at the most", []finding{with(ok("1"), time.Hour)}, 1, time.Minute},
		{"a failure", []finding{failed(errAsked)}, 1, time.Second},
		{"two", []finding{failed(errAsked), failed(errAsked)}, 1, 2 * time.Second},
		{"two, early", []finding{failed(errAsked), failed(errAsked)}, 0, 1600 * time.Millisecond},
		{"many", repeat(failed(errAsked), 100), 1, time.Minute},
		{"after a recovery", []finding{failed(errAsked), failed(errAsked), ok("1"), failed(errAsked)}, 1, time.Second},
		{"something is missing", []finding{with(unsure("1", "h2"), 30*time.Second)}, 1, time.Second},
		{"something is missing for long", repeat(with(unsure("1", "h2"), 30*time.Second), 50), 1, 30 * time.Second},
		{"doubted", []finding{ok("1 2 3"), with(ok("1"), 30*time.Second)}, 1, time.Second},
		{"nothing there", []finding{with(empty(first), 20*time.Second)}, 1, 20 * time.Second},
		{"to confirm that nothing is there", []finding{ok("1"), with(empty(first), time.Hour)}, 1, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory("test", testHold)
			for _, f := range tt.findings {
				h.apply(f, dawn, tt.r)
			}
			if got := h.status.Next.Sub(dawn); got != tt.want {
				t.Errorf("asks again after %v, want %v", got, tt.want)
			}
		})
	}
}

func repeat(f finding, n int) []finding {
	list := make([]finding, n)
	for i := range list {
		list[i] = f
	}
	return list
}

func TestHistoryStatus(t *testing.T) {
	h := newHistory("dnsSRV x", testHold)
	if u := h.update(); len(u.Endpoints) != 0 || u.Status != (Status{Source: "dnsSRV x"}) {
		t.Errorf("at first %+v", u)
	}
	h.apply(ok("1 2 3"), dawn, 1)
	h.apply(ok("3"), dawn.Add(time.Second), 1)
	h.apply(failed(errAsked), dawn.Add(5*time.Second), 1)
	got := h.update().Status
	want := Status{
		Source: "dnsSRV x", Outcome: Failed, Error: "asked in vain", Asked: dawn.Add(5 * time.Second), Answered: dawn.Add(time.Second),
		TTL: 10 * time.Second, Next: dawn.Add(7 * time.Second), Counters: Counters{OK: 2, Failed: 1}, Held: true, Stale: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	h.apply(ok("3"), dawn.Add(6*time.Second), 1)
	if got := h.update().Status.Error; !strings.HasPrefix(got, "2 of 3 endpoints are left out") {
		t.Errorf("a doubted answer says %q", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory("test", testHold)
	for round := range 3 {
		f := finding{outcome: OK, ttl: time.Second, reliable: round == 1}
		for i := range MaxEndpoints {
			addr := netip.AddrFrom4([4]byte{10, byte(round), byte(i >> 8), byte(i)})
			f.set = append(f.set, upstream.Endpoint{Addr: netip.AddrPortFrom(addr, 1), Weight: 1, Name: fmt.Sprint(round, i)})
		}
		h.apply(f, dawn, 0)
		u := h.update()
		if len(u.Endpoints) != MaxEndpoints {
			t.Fatalf("round %d: %d endpoints", round, len(u.Endpoints))
		}
		for _, e := range u.Endpoints {
			if e.Addr.Addr().As4()[1] != byte(round) {
				t.Fatalf("round %d: %v was kept at the cost of what the answer names", round, e.Addr)
			}
		}
	}
}

// TestHistoryNeverEmpties holds the promise: whatever answers, failures and partial answers come in whatever order, a set that once
// had an endpoint keeps one, unless two servers in a row, or one for the whole hold, said that there are none.
func TestHistoryNeverEmpties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := testHold
		hold.obsolete = rapid.SampledFrom([]time.Duration{0, time.Second, 30 * time.Second}).Draw(t, "obsolete")
		h, now := newHistory("test", hold), dawn
		had := false
		var denials []netip.AddrPort // in a row
		var denied time.Time         // the first of them
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			var f finding
			if rapid.Bool().Draw(t, "only time passes") {
				h.expire(now)
			} else {
				f = drawFinding(t)
				h.apply(f, now, rapid.Float64Range(0, 1).Draw(t, "r"))
				if f.outcome != Empty {
					denials = nil
				} else if denials = append(denials, f.server); len(denials) == 1 {
					denied = now
				}
			}
			u := h.update()
			checkUpdate(t, h, u, f, now)
			if len(u.Endpoints) > 0 {
				had = true
				continue
			}
			if had && !believable(denials, now.Sub(denied) >= hold.empty) {
				t.Fatalf("emptied after denials by %v over %v", denials, now.Sub(denied))
			}
			had = false
		}
	})
}

// believable reports whether answers that there are none were given by two servers, or for long enough.
func believable(denials []netip.AddrPort, long bool) bool {
	for _, d := range denials {
		if d != denials[0] {
			return true
		}
	}
	return len(denials) > 1 && long
}

func checkUpdate(t *rapid.T, h *history, u Update, f finding, now time.Time) {
	for i := 1; i < len(u.Endpoints); i++ {
		if Compare(u.Endpoints[i-1], u.Endpoints[i]) >= 0 {
			t.Fatalf("not sorted: %v", lines(u.Endpoints))
		}
	}
	if u.Status.Stale && !u.Status.Held {
		t.Fatalf("stale and not held")
	}
	if h.wake().After(h.status.Next) {
		t.Fatalf("wakes at %v, after the next attempt at %v", h.wake(), h.status.Next)
	}
	if u.Status.Asked.Equal(now) && !h.status.Next.After(now) {
		t.Fatalf("asks again at once")
	}
	if u.Status.Asked.Equal(now) && f.outcome == OK && u.Status.Outcome == OK {
		for _, e := range f.set {
			if _, there := h.members[e.Addr]; !there {
				t.Fatalf("%v is in the answer and not in the set", e)
			}
		}
	}
}

func drawFinding(t *rapid.T) finding {
	server := rapid.SampledFrom([]netip.AddrPort{first, second}).Draw(t, "server")
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return failed(errAsked)
	case 1:
		return empty(server)
	default:
		f := finding{outcome: OK, server: server, reliable: rapid.Bool().Draw(t, "reliable"), ttl: time.Duration(rapid.IntRange(0, 90).Draw(t, "ttl")) * time.Second}
		named := ""
		for i := 1; i <= 6; i++ {
			if rapid.Bool().Draw(t, "named") {
				named += fmt.Sprint(i, " ")
			}
		}
		f.set = set(named)
		if rapid.Bool().Draw(t, "unsure") {
			f.err, f.unknown = errAsked, map[string]bool{fmt.Sprint("h", rapid.IntRange(1, 6).Draw(t, "unknown")): true}
		}
		return f
	}
}
