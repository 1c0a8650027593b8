package server

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/discovery"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// found is a configuration with one TCP service whose servers are looked for. keys go to its load balancer.
func found(keys string) string {
	return fmt.Sprintf(`entryPoints: { web: { address: "127.0.0.1:0" } }
tcp:
  routers: { app: { rule: "HostSNI(`+"`*`"+`)", service: app } }
  services: { app: { loadBalancer: { slowStart: 0s, %s } } }
`, keys)
}

func byFile(path string) string { return fmt.Sprintf("discovery: { file: { path: %q } }", path) }

// list writes a file of endpoints in one step.
func list(t *testing.T, path string, addrs ...string) {
	t.Helper()
	text := "[]"
	if len(addrs) > 0 {
		text = `["` + strings.Join(addrs, `", "`) + `"]`
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// known waits until the service has these backends in use, and no others.
func (r *running) known(addrs ...string) {
	r.t.Helper()
	r.eventually(func() bool {
		n := 0
		for _, b := range r.State().Backends {
			if !b.Draining {
				n++
			}
		}
		for _, a := range addrs {
			if b, ok := r.lookup(a); !ok || b.Draining {
				return false
			}
		}
		return n == len(addrs)
	}, fmt.Sprintf("the backends are %v", addrs))
}

func TestServersComeAndGo(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	path := filepath.Join(t.TempDir(), "servers.json")
	r := start(t, found(byFile(path)))
	web := r.addr("web")

	if conn, err := net.Dial("tcp", web); err == nil { // it may be reset before it is seen
		conn.Close()
	}
	r.eventually(func() bool { return r.State().Services[0].Ended["no-backend"] == 1 }, "a service without servers has no backend")

	list(t, path, a.Addr)
	r.known(a.Addr)
	old := dial(t, web)
	if got := old.say("x"); got != "a" {
		t.Fatalf("answer %q, want a", got)
	}

	list(t, path, a.Addr, b.Addr)
	r.known(a.Addr, b.Addr)
	if got := r.backend(a.Addr); got.Connections != 1 {
		t.Errorf("the backend that stayed counts %d connections", got.Connections)
	}

	list(t, path, b.Addr)
	r.known(b.Addr)
	if got := old.say("y"); got != "a" {
		t.Errorf("the old connection answers %q", got)
	}
	for range 3 {
		if got := dial(t, web).say("z"); got != "b" {
			t.Errorf("a new connection goes to %q, want b", got)
		}
	}

	if err := os.WriteFile(path, []byte(`["10.0.0`), 0o644); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() bool { return strings.Contains(r.log.String(), "discovery fails") }, "a broken file is told")
	r.known(b.Addr)

	list(t, path)
	r.known()
}

// TestListedAndFound: the list has the last word, and a server of the list stays when it is not found any more.
func TestListedAndFound(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	path := filepath.Join(t.TempDir(), "servers.json")
	list(t, path, a.Addr, b.Addr)
	r := start(t, found(fmt.Sprintf("servers: [ { address: %q, weight: 7 } ], ", a.Addr)+byFile(path)))
	r.known(a.Addr, b.Addr)
	if got := r.backend(a.Addr).Weight; got != 7 {
		t.Errorf("weight %d, want that of the list", got)
	}
	list(t, path, b.Addr)
	r.known(a.Addr, b.Addr)
	r.mustReload(found(byFile(path)))
	r.known(b.Addr)
	r.mustReload(found(fmt.Sprintf("servers: [ { address: %q } ]", a.Addr)))
	r.known(a.Addr)
}

// TestReloadKeepsWhatWasFound: sources that stay are not asked anew, and those that are replaced leave what they have found to
// their successor until that knows better.
func TestReloadKeepsWhatWasFound(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.json"), filepath.Join(dir, "two.json")
	list(t, one, a.Addr)
	r := start(t, found(byFile(one)))
	r.known(a.Addr)
	var before *source
	r.do(t.Context(), func() { before = r.pools["app"].sources[0] })

	r.mustReload(found("strategy: leastconn, " + byFile(one)))
	var after *source
	r.do(t.Context(), func() { after = r.pools["app"].sources[0] })
	if before != after {
		t.Error("another source asks after a reload that does not concern it")
	}
	r.known(a.Addr)

	r.mustReload(found(byFile(two))) // which is not there
	r.known(a.Addr)
	if got := dial(t, r.addr("web")).say("x"); got != "a" {
		t.Errorf("answer %q", got)
	}
	list(t, two, b.Addr)
	r.known(b.Addr)
}

// TestNotReadyWhileServersAreLookedUp: traffic is wanted when each source has been asked to the end, whatever came of it.
func TestNotReadyWhileServersAreLookedUp(t *testing.T) {
	answer := make(chan struct{})
	lists := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		http.Error(w, "out of order", http.StatusInternalServerError)
	}))
	defer lists.Close()
	r := launch(t, found(fmt.Sprintf("discovery: { http: { url: %q, timeout: 1m } }", lists.URL)))
	r.eventually(func() bool {
		s := r.State()
		return len(s.Entrypoints) == 1 && len(s.NotReady) == 1 && strings.Contains(s.NotReady[0], "app")
	}, "it says which servers are being looked up")
	select {
	case <-r.Ready():
		t.Error("ready before its sources have been asked")
	default:
	}
	close(answer)
	select {
	case <-r.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready after its sources have failed")
	}
	if s := r.State(); len(s.NotReady) != 0 {
		t.Errorf("not ready: %v", s.NotReady)
	}
}

// TestReadyWithoutASourceThatWasTakenAway: a source that never ends its first look is not waited for when a reload removes it.
func TestReadyWithoutASourceThatWasTakenAway(t *testing.T) {
	lists := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer lists.Close()
	r := launch(t, found(fmt.Sprintf("discovery: { http: { url: %q, timeout: 1h } }", lists.URL)))
	r.eventually(func() bool { return len(r.State().Entrypoints) == 1 }, "entrypoints are open")
	select {
	case <-r.Ready():
		t.Fatal("ready before its source has been asked")
	default:
	}
	r.mustReload(found(`servers: [ { address: "127.0.0.1:1" } ]`))
	select {
	case <-r.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready when the source is gone")
	}
}

// TestHealthIsRemembered: a server that was down and comes back within minutes is not taken for well.
func TestHealthIsRemembered(t *testing.T) {
	well := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	down := weirtest.Refused(t)
	path := filepath.Join(t.TempDir(), "servers.json")
	list(t, path, well.Addr, down)
	r := start(t, found("healthCheck: { interval: 1h, fastInterval: 10ms, fall: 2, rise: 1 }, "+byFile(path)))
	r.known(well.Addr, down)
	r.eventually(func() bool { return r.backend(down).Health == "down" }, "it is down")
	checks := r.backend(down).Checks
	list(t, path, well.Addr)
	r.eventually(func() bool { _, there := r.lookup(down); return !there }, "it is gone")
	list(t, path, well.Addr, down)
	r.known(well.Addr, down)
	if got := r.backend(down); got.Health != "down" || got.Checks < checks {
		t.Errorf("it is %s after %d checks, want down after %d", got.Health, got.Checks, checks)
	}
}

func TestRecollectionsEnd(t *testing.T) {
	topo := newTopology(nil, web{}, nil, nil)
	now := time.Now()
	k := upstream.Key{Service: "app", Addr: netip.MustParseAddrPort("10.0.0.1:1")}
	m := &member{backend: upstream.NewBackend("app", upstream.Endpoint{Addr: k.Addr})}
	m.status.Health = upstream.Down
	topo.recollect(m, now)
	topo.forgetOld(now.Add(recollectFor - time.Second))
	if len(topo.recollections) != 1 {
		t.Fatal("it is forgotten too soon")
	}
	if got := topo.newMember(k, upstream.Endpoint{Addr: k.Addr}, now.Add(recollectFor)); got.backend.Health() != upstream.Unknown {
		t.Errorf("it is %v by what is too old", got.backend.Health())
	}
	topo.recollect(m, now)
	topo.forgetOld(now.Add(recollectFor))
	if len(topo.recollections) != 0 {
		t.Error("it is not forgotten")
	}
}

// TestFirstEmptyAnswerOfASuccessor: one word of a source that has just taken over does not empty a pool.
func TestFirstEmptyAnswerOfASuccessor(t *testing.T) {
	s := &source{inherited: true, found: []upstream.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:1"), Weight: 1}}}
	p := newPool("app", func() {})
	p.sources = []*source{s}
	topo := newTopology(nil, web{}, nil, nil)
	topo.plan = &plan{services: map[string]servicePlan{"app": {pool: &poolPlan{}}}}
	topo.pools["app"] = p
	topo.fill(p, "app", upstream.Options{}, p.endpoints(nil), time.Now())
	tell := func(o discovery.Outcome, want int) {
		t.Helper()
		u := discovery.Update{Status: s.status}
		u.Status.Outcome, u.Status.Answered = o, time.Now()
		u.Status.Counters.Count(o)
		if _, ok := topo.found(s, u, time.Now()); !ok || len(p.members) != want {
			t.Errorf("after %v: %v, %d backends, want %d", o, ok, len(p.members), want)
		}
	}
	tell(discovery.Empty, 1)
	tell(discovery.Empty, 0)
	if _, ok := topo.found(&source{}, discovery.Update{}, time.Now()); ok {
		t.Error("a source that nobody asks is listened to")
	}
}

// TestDiscoveryOfUDPAndHTTP: all kinds of services find their servers.
func TestDiscoveryOfUDPAndHTTP(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "found") }))
	defer site.Close()
	dir := t.TempDir()
	pages, shouts := filepath.Join(dir, "pages.json"), filepath.Join(dir, "shouts.json")
	list(t, pages, site.Listener.Addr().String())
	list(t, shouts, shout(t, "a"))
	r := start(t, fmt.Sprintf(`entryPoints: { web: { address: "127.0.0.1:0" }, e: { address: "127.0.0.1:0/udp" } }
http:
  routers: { pages: { rule: "PathPrefix(`+"`/`"+`)", service: s } }
  services: { s: { loadBalancer: { %s } } }
udp:
  routers: { r: { service: s } }
  services: { s: { loadBalancer: { %s } } }
`, byFile(pages), byFile(shouts)))
	r.eventually(func() bool { return len(r.State().Backends) == 2 }, "both are found")
	if got := r.datagrams("e").ask(); got != "a" {
		t.Errorf("UDP: answer from %q", got)
	}
	resp, err := http.Get("http://" + r.addr("web") + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("HTTP: status %d", resp.StatusCode)
	}
}

// TestUnchangedAnswerIsNoNews: what most answers say makes no new snapshot of a pool and no new view.
func TestUnchangedAnswerIsNoNews(t *testing.T) {
	s := new(source)
	p := newPool("app", func() {})
	p.sources = []*source{s}
	topo := newTopology(nil, web{}, nil, nil)
	topo.plan = &plan{services: map[string]servicePlan{"app": {pool: &poolPlan{}}}}
	topo.pools["app"] = p
	tell := func(weight int) foundChange {
		t.Helper()
		u := discovery.Update{Endpoints: []upstream.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:1"), Weight: weight}}}
		u.Status.Outcome, u.Status.Answered = discovery.OK, time.Now()
		c, ok := topo.found(s, u, time.Now())
		if !ok {
			t.Fatal("it is not listened to")
		}
		return c
	}
	if c := tell(1); !c.news() || len(c.added) != 1 {
		t.Errorf("the first answer: %+v", c)
	}
	if c := tell(1); c.news() {
		t.Errorf("the same again: %+v", c)
	}
	if c := tell(2); !c.news() || len(c.added) != 0 || p.members[0].backend.Endpoint().Weight != 2 {
		t.Errorf("another weight: %+v", c)
	}
}

// TestTroubleOfSourcesIsTold: once when it begins, and once when it ends.
func TestTroubleOfSourcesIsTold(t *testing.T) {
	log := new(safeBuffer)
	s := &Server{log: NewLog(log).Logger}
	from := &source{plan: sourcePlan{file: "/f"}}
	tell := func(o discovery.Outcome, wrong string) string {
		before := from.status
		from.status.Outcome, from.status.Error = o, wrong
		already := len(log.String())
		s.logFound(foundChange{key: "app", source: from, before: before})
		return log.String()[already:]
	}
	for _, step := range []struct {
		outcome     discovery.Outcome
		wrong, want string // want is empty where nothing is to be said
	}{
		{discovery.OK, "", ""},
		{discovery.OK, "2 of 3 are left out", "discovery answers in part"},
		{discovery.OK, "2 of 3 are left out still", ""},
		{discovery.Failed, "nobody answers", "discovery fails"},
		{discovery.Failed, "nobody answers again", ""},
		{discovery.OK, "", "discovery works again"},
		{discovery.Empty, "", "there are no servers"},
		{discovery.Empty, "", ""},
	} {
		got := tell(step.outcome, step.wrong)
		if step.want == "" && got != "" || !strings.Contains(got, step.want) {
			t.Errorf("%v %q: %q is logged, want %q", step.outcome, step.wrong, got, step.want)
		}
	}
}
