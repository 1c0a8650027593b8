package server

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestReloadKeepsWhatItDoesNotConcern(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	web := r.addr("web")
	old := dial(t, web)
	if got := old.say("x"); got != "a" {
		t.Fatalf("answer %q, want a", got)
	}
	pool, member, live := r.pools["app"], r.pools["app"].members[0], r.entrypoints["web"].live

	r.mustReload(simple("127.0.0.1:0", a.Addr, b.Addr) + "accessLog: { path: " + t.TempDir() + "/access.log }\n")

	if got := old.say("y"); got != "a" {
		t.Errorf("the old connection answers %q", got)
	}
	if r.pools["app"] != pool || pool.members[0] != member || r.entrypoints["web"].live != live {
		t.Error("pool, backend or entrypoint are other objects after the reload")
	}
	if got := r.addr("web"); got != web {
		t.Errorf("entrypoint moved from %s to %s", web, got)
	}
	if got := r.backend(a.Addr); got.Connections != 1 || got.Active != 1 {
		t.Errorf("backend counts %d connections, %d active after the reload", got.Connections, got.Active)
	}
	r.eventually(func() bool { return r.backend(a.Addr).BytesOut == uint64(len("a\na\n")) }, "the bytes of the open connection are counted")
	seen := map[string]bool{}
	for range 4 {
		seen[dial(t, web).say("z")] = true
	}
	if !seen["a"] || !seen["b"] {
		t.Errorf("answers from %v, want both backends", seen)
	}
	if s := r.State(); s.Generation != 2 || s.Reloads.Succeeded != 1 || !s.Reloads.Last.OK {
		t.Errorf("generation %d, reloads %+v", s.Generation, s.Reloads)
	}
}

func TestFailedBindLeavesEverythingAsItWas(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	web := r.addr("web")
	old := dial(t, web)
	old.say("x")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := weirtest.FreeAddr(t)
	log := t.TempDir() + "/access.log"

	text := strings.Replace(simple("127.0.0.1:0", b.Addr), `entryPoints: {`,
		`entryPoints: { also: { address: "`+free+`" }, more: { address: "`+taken.Addr().String()+`" },`, 1)
	text = strings.Replace(text, "tcp:\n", "tcp:\n  middlewares: { m: { inFlightConn: { amount: 1 } } }\n", 1)
	text = strings.Replace(text, "services: {", "services: { extra: { loadBalancer: { servers: [ { address: \""+b.Addr+"\" } ] } },", 1)
	err = r.tryReload(text + "accessLog: { path: " + log + " }\n")

	if err == nil || !strings.Contains(err.Error(), "more") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("reload: %v, want it to name the entrypoint and the address", err)
	}
	if got := old.say("y"); got != "a" {
		t.Errorf("the old connection answers %q", got)
	}
	if got := dial(t, web).say("z"); got != "a" {
		t.Errorf("a new connection goes to %q, want the old backend", got)
	}
	s := r.State()
	if s.Generation != 1 || s.Reloads.Failed != 1 || s.Reloads.Last.OK || len(s.Entrypoints) != 1 || len(s.Services) != 1 || len(s.Backends) != 1 {
		t.Errorf("state after a failed reload: generation %d, %+v, %d entrypoints, %d services, %d backends",
			s.Generation, s.Reloads, len(s.Entrypoints), len(s.Services), len(s.Backends))
	}
	if ln, err := net.Listen("tcp", free); err != nil {
		t.Errorf("a socket of the failed reload stays open: %v", err)
	} else {
		ln.Close()
	}
	if len(r.middlewares) != 0 || len(r.pools) != 1 || len(r.services) != 1 || len(r.leaving) != 0 || r.accessLog.Format() != 0 {
		t.Errorf("left behind: %d middlewares, %d pools, %d services, %d leaving, access log %v",
			len(r.middlewares), len(r.pools), len(r.services), len(r.leaving), r.accessLog.Format())
	}
	r.mustReload(simple("127.0.0.1:0", a.Addr, b.Addr))
}

func TestEntrypointsComeAndGo(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	one := simple("127.0.0.1:0", a.Addr)
	two := strings.Replace(one, `entryPoints: {`, `entryPoints: { more: { address: "127.0.0.1:0", transport: { lifeCycle: { graceTimeOut: 100ms } } },`, 1)
	r := start(t, one)
	web := dial(t, r.addr("web"))
	r.mustReload(two)
	more := r.addr("more")
	guest := dial(t, more)
	if got := guest.say("x"); got != "a" {
		t.Fatalf("the new entrypoint answers %q", got)
	}
	r.mustReload(one)
	if _, err := net.Dial("tcp", more); err == nil {
		t.Error("the removed entrypoint still accepts")
	}
	guest.ends() // by its graceTimeOut
	if got := web.say("y"); got != "a" {
		t.Errorf("the other entrypoint's connection answers %q", got)
	}
}

func TestEntrypointMoves(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	first, second := weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	r := start(t, simple(first, a.Addr))
	old := dial(t, first)
	old.say("x")
	r.mustReload(simple(second, a.Addr))
	if _, err := net.Dial("tcp", first); err == nil {
		t.Error("the old address still accepts")
	}
	if old.say("y") != "a" || dial(t, second).say("z") != "a" {
		t.Error("old connection or new address do not answer")
	}
}

func TestRemovedBackendDrains(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	grace := func(text string) string {
		return strings.Replace(text, `address: "127.0.0.1:0" }`, `address: "127.0.0.1:0", transport: { lifeCycle: { graceTimeOut: 2s } } }`, 1)
	}
	both, only := grace(simple("127.0.0.1:0", a.Addr, b.Addr)), grace(simple("127.0.0.1:0", a.Addr))
	r := start(t, both)
	web := r.addr("web")
	stays, goes := dial(t, web), dial(t, web)
	if stays.say("x") == "b" {
		stays, goes = goes, stays
		stays.say("x")
	} else {
		goes.say("x")
	}
	r.mustReload(only)
	if got := r.backend(b.Addr); !got.Draining || got.Active != 1 {
		t.Errorf("removed backend: draining %v, %d active", got.Draining, got.Active)
	}
	if got := goes.say("still"); got != "b" {
		t.Errorf("a connection of the removed backend answers %q", got)
	}
	for range 3 {
		if got := dial(t, web).say("new"); got != "a" {
			t.Errorf("a new connection goes to %q", got)
		}
	}
	goes.ends()
	if got := stays.say("y"); got != "a" {
		t.Errorf("the other backend's connection answers %q", got)
	}
	r.eventually(func() bool { _, ok := r.lookup(b.Addr); return !ok }, "the drained backend is gone")
	if n := r.State().Ended["drain"]; n != 1 {
		t.Errorf("%d connections ended by drain, want 1", n)
	}
}

func TestBackendThatComesBackIsTheSame(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	both, only := simple("127.0.0.1:0", a.Addr, b.Addr), simple("127.0.0.1:0", a.Addr)
	r := start(t, both)
	web := r.addr("web")
	var goes *line
	for goes == nil {
		if c := dial(t, web); c.say("x") == "b" {
			goes = c
		}
	}
	before := r.backend(b.Addr)
	r.mustReload(only)
	r.mustReload(both)
	if got := r.backend(b.Addr); got.Draining || got.Connections != before.Connections || got.Active != 1 {
		t.Errorf("came back as draining %v, %d connections, %d active; was %+v", got.Draining, got.Connections, got.Active, before)
	}
	if got := goes.say("y"); got != "b" {
		t.Errorf("its connection answers %q", got)
	}
}

func TestRemovedServiceServesOldTableAndComesBack(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	first := simple("127.0.0.1:0", a.Addr)
	second := strings.ReplaceAll(simple("127.0.0.1:0", b.Addr), "app", "other")
	r := start(t, first)
	pool := r.pools["app"]
	old := dial(t, r.addr("web"))
	old.say("x")
	r.mustReload(second)
	if got := dial(t, r.addr("web")).say("y"); got != "b" {
		t.Errorf("a new connection goes to %q", got)
	}
	if got := old.say("z"); got != "a" {
		t.Errorf("the connection of the removed service answers %q", got)
	}
	r.mustReload(first)
	if r.pools["app"] != pool {
		t.Error("the service that came back has another pool")
	}
	if got := r.backend(a.Addr); got.Connections != 1 {
		t.Errorf("its backend counts %d connections, want 1", got.Connections)
	}
}

func TestBrokenConfigurationChangesNothing(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	err := r.tryReload(strings.Replace(simple("127.0.0.1:0", a.Addr), "service: app", "service: nobody", 1))
	if err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("reload: %v", err)
	}
	if got := dial(t, r.addr("web")).say("x"); got != "a" {
		t.Errorf("answer %q", got)
	}
}

func TestRestartKeysAreNamedAndTheRestApplies(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	started := r.started
	now := started
	now.loops, now.maxConnections, now.admin = 9, 8, "127.0.0.1:7"
	got := restartKeys(started, now)
	if strings.Join(got, " ") != "admin.address engine.loops engine.maxConnections" {
		t.Errorf("keys %v", got)
	}
	text := strings.Replace(head, "loops: 2", "loops: 5", 1) + simple("127.0.0.1:0", b.Addr)
	cfg := parse(t, text)
	plan, err := compile(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.loads <- loaded{number: r.loadings.Add(1), origin: "test", watched: true, cfg: cfg, plan: plan, hash: strings.Repeat("0", 64)}
	r.eventually(func() bool { return r.State().Generation == 2 }, "the configuration is in force")
	r.caughtUp()
	if got := dial(t, r.addr("web")).say("x"); got != "b" {
		t.Errorf("answer %q", got)
	}
	if log := r.log.String(); strings.Count(log, "engine.loops") != 1 {
		t.Errorf("the log does not name engine.loops once:\n%s", log)
	}
}

func TestSIGHUPReloadsAndSIGUSR1Reopens(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	b := weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	log := t.TempDir() + "/access.log"
	tail := "accessLog: { path: " + log + " }\n"
	r := start(t, simple("127.0.0.1:0", a.Addr)+tail)
	r.mu.Lock()
	r.text = simple("127.0.0.1:0", b.Addr) + tail
	r.mu.Unlock()
	r.signals <- syscall.SIGHUP
	r.eventually(func() bool { return r.State().Generation == 2 }, "SIGHUP reloads")
	if got := dial(t, r.addr("web")).say("x"); got != "b" {
		t.Errorf("answer %q", got)
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGUSR1
	r.eventually(func() bool { _, err := os.Stat(log); return err == nil }, "SIGUSR1 opens the log anew")
	c := dial(t, r.addr("web"))
	c.say("y")
	c.Close()
	r.eventually(func() bool { b, _ := os.ReadFile(log); return strings.Contains(string(b), `"app"`) }, "records go to the new file")
}

func TestOverlappingReloadsAreAllAnswered(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	r := start(t, simple("127.0.0.1:0", a.Addr))
	answers := make(chan error, 20)
	for range cap(answers) {
		go func() { answers <- r.Server.Reload(t.Context()) }()
	}
	for range cap(answers) {
		select {
		case err := <-answers:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a reload is not answered")
		}
	}
}
