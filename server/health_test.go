package server

import (
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// checked is simple with fast health checks and further keys of the load balancer.
func checked(keys string, servers ...string) string {
	return strings.Replace(simple("127.0.0.1:0", servers...), "slowStart: 0s",
		"slowStart: 0s, panicThreshold: 0, "+keys+"healthCheck: { interval: 20ms, fastInterval: 10ms, timeout: 1s, fall: 2, rise: 2 }", 1)
}

func TestChecksTakeBackendsDownAndUp(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, checked("", a.Addr, b.Addr))
	health := func(want string) func() bool {
		return func() bool { return r.backend(b.Addr).Health == want }
	}
	r.eventually(func() bool { return r.backend(a.Addr).Health == "up" }, "a is up")
	r.eventually(health("up"), "b is up")
	kept := dial(t, r.addr("web"))
	for kept.say("x") != "b" {
		kept = dial(t, r.addr("web"))
	}
	b.Refuse()
	r.eventually(health("down"), "b is down")
	r.caughtUp()
	for range 4 {
		if got := dial(t, r.addr("web")).say("x"); got != "a" {
			t.Errorf("answer %q while b is down", got)
		}
	}
	if got := kept.say("y"); got != "b" {
		t.Errorf("with onUnhealthy: keep, b's connection answers %q", got)
	}
	b.Accept()
	r.eventually(health("up"), "b is up again")
	r.caughtUp()
	seen := map[string]bool{}
	for range 4 {
		seen[dial(t, r.addr("web")).say("x")] = true
	}
	if !seen["b"] {
		t.Error("b is up and gets nothing")
	}
	log := r.log.String()
	if strings.Count(log, "backend is down") != 1 || strings.Count(log, "backend is up") != 3 {
		t.Errorf("not one line for each change:\n%s", log)
	}
}

func TestOnUnhealthyCloseEndsConnections(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, checked("onUnhealthy: close, ", a.Addr))
	r.eventually(func() bool { return r.backend(a.Addr).Health == "up" }, "a is up")
	c := dial(t, r.addr("web"))
	c.say("x")
	a.Refuse()
	c.ends()
	r.eventually(func() bool { return r.State().Ended["backend-down"] == 1 }, "the connection ended because its backend is down")
}

func TestHealthSurvivesReload(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	b.Refuse()
	slow := func(text string) string { return strings.Replace(text, "interval: 20ms", "interval: 1h", 1) }
	r := start(t, slow(checked("", a.Addr, b.Addr)))
	r.eventually(func() bool { return r.backend(b.Addr).Health == "down" && r.backend(a.Addr).Health == "up" }, "the first probes decide")
	checker := r.pools["app"].members[1].checker
	probes := r.backend(b.Addr).Checks

	r.mustReload(slow(checked("queue: { limit: 5 }, ", a.Addr, b.Addr)))
	if r.pools["app"].members[1].checker != checker {
		t.Error("a reload that does not concern the check replaces the checker")
	}
	if got := r.backend(b.Addr); got.Health != "down" {
		t.Errorf("b is %s after a reload", got.Health)
	}
	r.mustReload(strings.Replace(slow(checked("", a.Addr, b.Addr)), "fall: 2", "fall: 3", 1))
	if got := r.backend(b.Addr); got.Health != "down" || got.Checks < probes {
		t.Errorf("b is %s with %d probes after its check changed, had %d", got.Health, got.Checks, probes)
	}
	r.mustReload(simple("127.0.0.1:0", a.Addr, b.Addr))
	if got := r.backend(b.Addr); got.Health != "unknown" {
		t.Errorf("b is %s without a check", got.Health)
	}
}

// sparedWhileEjected makes four connections and wants none of them to try a backend that is ejected. It says false where
// they tell nothing, because the backend was not ejected for all of their time.
func sparedWhileEjected(t *testing.T, r *running, addr string) bool {
	t.Helper()
	r.caughtUp()
	before := r.backend(addr)
	for range 4 {
		dial(t, r.addr("web")).say("x")
	}
	after := r.backend(addr)
	if !time.Now().Before(before.EjectedUntil) {
		return false
	}
	if after.ConnectFailures != before.ConnectFailures {
		t.Errorf("an ejected backend was connected to: %d failures, had %d", after.ConnectFailures, before.ConnectFailures)
	}
	return true
}

func TestPassiveEjectionEndToEnd(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	refused := weirtest.Refused(t)
	text := strings.Replace(simple("127.0.0.1:0", a.Addr, refused), "slowStart: 0s",
		"slowStart: 0s, passiveHealthCheck: { maxFailedAttempts: 2, ejectionTime: 300ms }", 1)
	r := start(t, text)
	for range 8 {
		if got := dial(t, r.addr("web")).say("x"); got != "a" {
			t.Fatalf("answer %q", got)
		}
	}
	r.eventually(func() bool { return r.backend(refused).Ejections > 0 }, "the failing backend is ejected")
	r.eventually(func() bool { return sparedWhileEjected(t, r, refused) }, "four connections come within one ejection")
	r.eventually(func() bool { return r.backend(refused).EjectedUntil.IsZero() }, "the ejection ends by itself")
	if !strings.Contains(r.log.String(), "ejected") {
		t.Error("the log does not tell of the ejection")
	}
}
