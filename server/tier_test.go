package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/internal/weirtest"
)

// crew is several weirs of one cluster in the test's process.
type crew struct {
	t     *testing.T
	dir   string
	binds []string
	nodes []*running
}

// newCrew starts n nodes with one configuration, to which each adds its place in the cluster.
func newCrew(t *testing.T, n int, text string) *crew {
	t.Helper()
	c := &crew{t: t, dir: t.TempDir()}
	for range n {
		c.binds = append(c.binds, weirtest.FreeAddr(t))
	}
	for i := range n {
		c.nodes = append(c.nodes, launch(t, c.text(i, text)))
	}
	c.settle()
	return c
}

// text is the configuration of a node.
func (c *crew) text(i int, text string) string {
	return text + fmt.Sprintf("cluster: { name: test, node: lb-%d, bind: %q, join: [%q, %q], stateFile: %q }\n",
		i, c.binds[i], c.binds[0], c.binds[len(c.binds)-1], filepath.Join(c.dir, fmt.Sprintf("lb-%d.json", i)))
}

// settle waits until all are ready and know each other.
func (c *crew) settle() {
	c.t.Helper()
	for _, r := range c.nodes {
		select {
		case <-r.Ready():
		case <-r.done:
			c.t.Fatalf("Run: %v\n%s", r.err, r.log)
		}
		r.eventually(func() bool { return r.alive() == len(c.nodes) }, "all nodes are members")
	}
}

// alive is how many members a node sees.
func (r *running) alive() int {
	n := 0
	for _, m := range r.State().Cluster.Members {
		if m.State == "alive" {
			n++
		}
	}
	return n
}

// all waits until something holds at every node.
func (c *crew) all(what string, cond func(*running) bool) {
	c.t.Helper()
	for _, r := range c.nodes {
		r.eventually(func() bool { return cond(r) }, what)
	}
}

// stop stops a node as SIGTERM does, and waits for it.
func (c *crew) stop(i int) {
	c.t.Helper()
	c.nodes[i].cancel()
	<-c.nodes[i].done
	if err := c.nodes[i].err; err != nil {
		c.t.Fatalf("Run: %v", err)
	}
}

// shared is a configuration whose backends are probed at an interval of 300 ms.
func shared(keys string, servers ...string) string {
	return strings.Replace(simple("127.0.0.1:0", servers...), "slowStart: 0s",
		"slowStart: 0s, "+keys+"healthCheck: { interval: 300ms, timeout: 5s, fall: 3, rise: 2 }", 1)
}

// A backend that dies is out of service at every node, by what they tell each other, and comes back everywhere.
func TestClusterSharesHealth(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	c := newCrew(t, 3, shared("", a.Addr, b.Addr))
	health := func(addr, want string) func(*running) bool {
		return func(r *running) bool { return r.backend(addr).Health == want }
	}
	c.all("a is up", health(a.Addr, "up"))
	c.all("b is up", health(b.Addr, "up"))
	b.Refuse()
	c.all("b is down", health(b.Addr, "down"))
	for _, r := range c.nodes {
		r.caughtUp()
		for range 4 {
			if got := dial(t, r.addr("web")).say("x"); got != "a" {
				t.Errorf("answer %q while b is down", got)
			}
		}
		r.eventually(func() bool { // a node that has just been too busy to answer is suspected for a while
			s := r.backend(b.Addr)
			return s.Reason != "" && s.Duty && len(s.Probers) == 3 && len(s.Votes) == 2
		}, "it is explained by what all say")
	}
	b.Accept()
	c.all("b is up again", health(b.Addr, "up"))
	for _, r := range c.nodes {
		r.caughtUp()
		if n := strings.Count(r.log.String(), `msg="backend is down"`); n != 1 {
			t.Errorf("%d lines say that a backend is down", n)
		}
	}
}

// A refused connection of one node makes all look, long before a probe is due.
func TestClusterSharesFailedConnections(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	slow := strings.Replace(shared("", a.Addr, b.Addr), "interval: 300ms", "interval: 1h", 1)
	c := newCrew(t, 3, slow)
	c.all("b is up", func(r *running) bool { return r.backend(b.Addr).Health == "up" })
	b.Refuse()
	for range 2 { // one of them goes to b first, and then to a
		if got := dial(t, c.nodes[0].addr("web")).say("x"); got != "a" {
			t.Errorf("answer %q", got)
		}
	}
	c.all("b is down", func(r *running) bool { return r.backend(b.Addr).Health == "down" })
}

// An order that is given to one node is carried out by all, and outlives the restart of all.
func TestClusterObeysOrders(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	text := shared("", a.Addr, b.Addr)
	c := newCrew(t, 3, text)
	yes, no, five := true, false, 5
	done, err := c.nodes[1].order(t.Context(), admin.Order{Service: "app", Backend: b.Addr, Drain: &yes, By: "the test"})
	if err != nil || len(done.Acked) != 3 || len(done.Missing) != 0 || done.Backends != 1 {
		t.Fatalf("drain: %+v, %v", done, err)
	}
	if _, err := c.nodes[2].order(t.Context(), admin.Order{Service: "app", Protocol: "tcp", Backend: a.Addr, Weight: &five}); err != nil {
		t.Fatal(err)
	}
	obeyed := func(r *running) bool { return r.backend(b.Addr).Draining && r.backend(a.Addr).Weight == 5 }
	c.all("b is drained, a has its weight", obeyed)
	drain := func(o admin.StandingOrder) bool {
		return o.Drained && o.Backend == b.Addr && o.By == "the test" && o.Node == "lb-1"
	}
	if got := c.nodes[0].allOrders(); len(got) != 2 || !slices.ContainsFunc(got, drain) {
		t.Errorf("orders: %+v", got)
	}
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.nodes[i] = launch(t, c.text(i, text))
	}
	c.settle()
	for _, r := range c.nodes {
		if !obeyed(r) {
			t.Error("a restart of all forgets orders")
		}
		for range 4 {
			if got := dial(t, r.addr("web")).say("x"); got != "a" {
				t.Errorf("answer %q while b is drained", got)
			}
		}
	}
	done, err = c.nodes[0].order(t.Context(), admin.Order{Service: "app", Backend: b.Addr, Drain: &no})
	if err != nil || len(done.Acked) != 3 {
		t.Fatalf("undrain: %+v, %v", done, err)
	}
	c.all("b is back", func(r *running) bool { return !r.backend(b.Addr).Draining })
	if _, err = c.nodes[0].order(t.Context(), admin.Order{Service: "app", Backend: a.Addr, ResetWeight: true}); err != nil {
		t.Fatal(err)
	}
	c.all("a has its own weight", func(r *running) bool { return r.backend(a.Addr).Weight == 1 })
}

// A weir on its own takes orders, too, and refuses those that it cannot carry out.
func TestOrdersAlone(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	r := start(t, checked("", a.Addr, b.Addr))
	yes, heavy := true, 1<<30
	wrong := []struct {
		name string
		o    admin.Order
		want string
	}{
		{"no such service", admin.Order{Service: "none", Drain: &yes}, "no service has servers of its own and this name: none"},
		{"another protocol", admin.Order{Service: "app", Protocol: "udp", Drain: &yes}, "no udp service"},
		{"no such backend", admin.Order{Service: "app", Backend: "10.0.0.1:1", Drain: &yes}, "it has " + a.Addr},
		{"too heavy", admin.Order{Service: "app", Weight: &heavy}, "weight 1073741824"},
	}
	for _, tt := range wrong {
		if _, err := r.order(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	done, err := r.order(t.Context(), admin.Order{Service: "app", Drain: &yes})
	if err != nil || done.Backends != 2 || len(done.Acked) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if !r.backend(a.Addr).Draining || !r.backend(b.Addr).Draining {
		t.Error("the service is not drained")
	}
	// What comes later is drained, too, and a reload changes nothing of it.
	d := weirtest.Serve(t, weirtest.WhoWhenAsked("d"))
	r.mustReload(checked("", a.Addr, d.Addr))
	if !r.backend(a.Addr).Draining || !r.backend(d.Addr).Draining {
		t.Error("a reload forgets an order")
	}
	if conn, err := net.Dial("tcp", r.addr("web")); err == nil { // else it was faster
		wrap(t, conn).ends()
	}
	no := false
	if _, err := r.order(t.Context(), admin.Order{Service: "app", Drain: &no}); err != nil {
		t.Fatal(err)
	}
	dial(t, r.addr("web")).say("x")
	if _, err := r.keys(t.Context()); err == nil || !strings.Contains(err.Error(), "not in a cluster") {
		t.Errorf("keys: %v", err)
	}
}

// Nodes say which configuration they run, and by which tables they choose.
func TestClusterShowsDrift(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	text := shared("strategy: maglev, ", a.Addr, b.Addr)
	c := newCrew(t, 2, text)
	same := func(r *running) bool {
		s := r.State().Cluster
		return s.Members[0].SameConfig && s.Members[1].SameConfig && len(s.Tables) == 1 && len(s.Tables[0].Groups) == 1 &&
			len(s.Tables[0].Groups[0].Members) == 2 && s.Tables[0].Groups[0].Sum != ""
	}
	c.all("all is the same", same)
	c.nodes[0].mustReload(c.text(0, strings.Replace(text, b.Addr+`"`, b.Addr+`", weight: 3`, 1)))
	c.all("it differs", func(r *running) bool {
		s := r.State().Cluster
		return !(s.Members[0].SameConfig && s.Members[1].SameConfig) && len(s.Tables[0].Groups) == 2
	})
	c.nodes[1].mustReload(c.text(1, strings.Replace(text, b.Addr+`"`, b.Addr+`", weight: 3`, 1)))
	c.all("all is the same again", same)
}

// A node that goes is missed by the others, who probe on; when only one is left, it decides alone.
func TestClusterShrinks(t *testing.T) {
	a, b := weirtest.Serve(t, weirtest.WhoWhenAsked("a")), weirtest.Serve(t, weirtest.WhoWhenAsked("b"))
	c := newCrew(t, 2, shared("", a.Addr, b.Addr))
	c.stop(0)
	last := c.nodes[1]
	last.eventually(func() bool { return last.alive() == 1 }, "the other has left")
	b.Refuse()
	last.eventually(func() bool { return last.backend(b.Addr).Health == "down" }, "b is down")
	if s := last.State().Cluster.Members[0]; s.Name != "lb-0" || s.State != "left" {
		t.Errorf("the other is %+v", s)
	}
}

func TestClusterStartFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ keys, want string }{
		"an address of nobody here": {`bind: "192.0.2.1:7946", keyFile: KEY`, "192.0.2.1:7946"},
		"a state file in a file":    {`bind: "127.0.0.1:0", stateFile: "` + file + `/state.json"`, "cluster.stateFile"},
	} {
		t.Run(name, func(t *testing.T) {
			key := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(key, []byte("AAECAwQFBgcICQoLDA0ODw==\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			keys := strings.ReplaceAll(tt.keys, "KEY", key)
			if !strings.Contains(keys, "stateFile") {
				keys += ", stateFile: " + filepath.Join(t.TempDir(), "state.json")
			}
			r := launch(t, simple("127.0.0.1:0", "127.0.0.1:1")+"cluster: { name: x, node: y, "+keys+" }\n")
			select {
			case <-r.done:
				if r.err == nil || !strings.Contains(r.err.Error(), tt.want) {
					t.Errorf("Run: %v", r.err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it runs")
			}
		})
	}
}

func TestUsualStateFile(t *testing.T) {
	env := func(values ...string) func(string) string {
		return func(key string) string {
			for i := 0; i < len(values); i += 2 {
				if values[i] == key {
					return values[i+1]
				}
			}
			return ""
		}
	}
	if got, want := usualStateFile("a/b", "n", env("STATE_DIRECTORY", "/s:/t")), "/s/cluster-a%2Fb-n.json"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Nodes find each other by the names of hosts and by SRV records, which weir itself asks for.
func TestClusterJoinsByName(t *testing.T) {
	a := weirtest.Serve(t, weirtest.WhoWhenAsked("a"))
	for _, name := range []string{"lb-0.example.test:%s", "srv+_weir._tcp.example.test"} {
		t.Run(name[:4], func(t *testing.T) {
			c := &crew{t: t, dir: t.TempDir(), binds: []string{weirtest.FreeAddr(t), weirtest.FreeAddr(t)}}
			_, port, err := net.SplitHostPort(c.binds[0])
			if err != nil {
				t.Fatal(err)
			}
			dns := weirtest.Knot(t, weirtest.DNSZone{
				Origin: "example.test", Records: "lb-0 A 127.0.0.1\n_weir._tcp SRV 0 1 " + port + " lb-0",
			})
			join := name
			if strings.Contains(name, "%s") {
				join = fmt.Sprintf(name, port)
			}
			text := shared("", a.Addr) + fmt.Sprintf("resolvers: { default: { nameservers: [%q] } }\n", dns.Addr)
			first, second := c.text(0, text), c.text(1, text)
			second = regexp.MustCompile(`join: \[[^]]*\]`).ReplaceAllString(second, fmt.Sprintf("join: [%q]", join))
			c.nodes = append(c.nodes, launch(t, regexp.MustCompile(`join: \[[^]]*\], `).ReplaceAllString(first, "")), launch(t, second))
			c.settle()
		})
	}
}

func TestPeersRefuseBadPorts(t *testing.T) {
	if got, err := (peers{}).resolve(t.Context(), "host:no"); err == nil {
		t.Errorf("a port that is none: %v", got)
	}
}
