package main_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

const (
	gossipPort   = 7946
	frontPort    = 5000 // where balancers take clients
	backendPort  = 6000 // of the first backend; the others follow
	backendCount = 4

	// whole is after how long the membership is whole again: twice the time after which a node tries anew to reach the others.
	whole = 2 * 5 * time.Second * haste
	// noticed is after how long all others have noticed that a node is gone.
	noticed = 5 * time.Second * haste
	// ejected is after how long a backend that died gets no more connections from any balancer. The probes of tier.config take
	// about a second to notice.
	ejected = 6 * time.Second * haste
	// returned is after how long a backend that came back is in use again. What went down stays so for a while that doubles each time.
	returned = soon + 10*time.Second
)

// Secrets of clusters.
var (
	rightKey = []byte("the secret of the right cluster.")
	wrongKey = []byte("the secret of some other cluster")
)

// tier is some balancers, a cluster, on a network with the backends that they share, and a client.
type tier struct {
	t       *testing.T
	network *weirtest.Network
	dir     string

	nodes    []*balancer
	backends []*weirtest.Backend
	servers  *weirtest.Host // where the backends are
	client   *weirtest.Host
}

// balancer is one weir of a tier.
type balancer struct {
	*weirtest.WeirProcess
	name string
	host *weirtest.Host
	t    *testing.T
}

// newTier starts a cluster and returns when its nodes know each other and find all backends up. ahead says by how much the clock
// of each node is ahead, the first one's first; those that are not named go right.
func newTier(t *testing.T, nodes int, ahead ...time.Duration) *tier {
	t.Helper()
	c := &tier{t: t, network: weirtest.NewNetwork(t), dir: t.TempDir()}
	c.servers, c.client = c.network.Host(), c.network.Host()
	for i := range backendCount {
		c.backends = append(c.backends, c.servers.Serve(backendPort+i, weirtest.WhoWhenAsked(backendName(i))))
	}
	for i := range nodes {
		c.nodes = append(c.nodes, &balancer{t: t, name: fmt.Sprintf("lb-%d", i+1), host: c.network.Host()})
	}
	for i, b := range c.nodes {
		wrong := time.Duration(0)
		if i < len(ahead) {
			wrong = ahead[i]
		}
		b.WeirProcess = b.host.PrepareWeir(wrong, c.config(b, rightKey))
	}
	startAll(c.nodes...)
	c.awaitMembers(soon, c.nodes...)
	c.awaitUp(soon, c.nodes...)
	return c
}

func backendName(i int) string { return fmt.Sprintf("b%d", i+1) }

// startAll starts balancers, or starts them again, all at once.
func startAll(nodes ...*balancer) {
	var all []*weirtest.Process
	for _, b := range nodes {
		all = append(all, b.Process)
	}
	weirtest.StartAll(all...)
}

// config returns the configuration of a balancer that looks for all nodes there are.
func (c *tier) config(b *balancer, secret []byte) string {
	c.t.Helper()
	keyFile := filepath.Join(c.dir, b.name+".key")
	if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	var servers, join []string
	for _, s := range c.backends {
		servers = append(servers, fmt.Sprintf("{ address: %q }", s.Addr))
	}
	for _, other := range c.nodes {
		if other != b {
			join = append(join, fmt.Sprintf("%q", other.gossipAddr()))
		}
	}
	return fmt.Sprintf(`
admin: { address: "127.0.0.1:9901" }
engine: { loops: 1 }
entryPoints: { front: { address: %q } }
tcp:
  routers: { front: { entryPoints: [front], rule: "HostSNI(%s)", service: who } }
  services:
    who:
      loadBalancer:
        servers: [ %s ]
        healthCheck: { interval: 1s, timeout: 500ms, fall: 2, rise: 2 }
        connect: { timeout: 1s }
        slowStart: 0s
cluster:
  name: tier
  node: %s
  bind: %q
  join: [ %s ]
  keyFile: %q
  stateFile: %q
`, b.frontAddr(), "`*`", strings.Join(servers, ", "), b.name, b.gossipAddr(), strings.Join(join, ", "), keyFile, filepath.Join(c.dir, b.name+".state"))
}

func (b *balancer) gossipAddr() string { return fmt.Sprintf("%s:%d", b.host.Addr, gossipPort) }
func (b *balancer) frontAddr() string  { return fmt.Sprintf("%s:%d", b.host.Addr, frontPort) }

// hosts returns where balancers are.
func hosts(nodes []*balancer) []*weirtest.Host {
	var all []*weirtest.Host
	for _, b := range nodes {
		all = append(all, b.host)
	}
	return all
}

// last returns the node with which things happen, and the others.
func (c *tier) last() (b *balancer, others []*balancer) {
	n := len(c.nodes) - 1
	return c.nodes[n], c.nodes[:n]
}

// memberView is what a balancer says of a node.
type memberView struct {
	Name, State string
	Self        bool
	Distrusted  bool
}

// members returns all nodes that a balancer knows.
func (b *balancer) members() []memberView {
	b.t.Helper()
	var all []memberView
	b.JSON("/api/v1/members", &all)
	return all
}

// alive returns the names of those that a balancer takes for alive, in order.
func (b *balancer) alive() string {
	b.t.Helper()
	var names []string
	for _, m := range b.members() {
		if m.State == "alive" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// awaitMembers waits until each of the nodes takes just these for alive.
func (c *tier) awaitMembers(d time.Duration, nodes ...*balancer) {
	c.t.Helper()
	c.awaitAlive(d, nodes)
}

// awaitAlive waits until each of the nodes takes just these and some more, by name, for alive.
func (c *tier) awaitAlive(d time.Duration, nodes []*balancer, more ...string) {
	c.t.Helper()
	weirtest.Await(c.t, d, func() string { return notAlive(nodes, more...) })
}

// notAlive says which of the nodes takes others for alive than these and some more; empty: none.
func notAlive(nodes []*balancer, more ...string) string {
	names := slices.Clone(more)
	for _, b := range nodes {
		names = append(names, b.name)
	}
	slices.Sort(names)
	want := strings.Join(names, " ")
	for _, b := range nodes {
		if got := b.alive(); got != want {
			return fmt.Sprintf("%s takes for alive: %s; want %s", b.name, got, want)
		}
	}
	return ""
}

// verdict is what a balancer says of a backend.
type verdict struct {
	Address, Health, Reason      string
	Since                        time.Time
	EjectedUntil                 time.Time
	Draining                     bool
	Connections, ConnectFailures int
}

// verdicts returns what a balancer says of the backends, in their order.
func (c *tier) verdicts(b *balancer) []verdict {
	c.t.Helper()
	var all []verdict
	b.JSON("/api/v1/backends", &all)
	var sorted []verdict
	for _, s := range c.backends {
		i := slices.IndexFunc(all, func(v verdict) bool { return v.Address == s.Addr })
		if i < 0 {
			c.t.Fatalf("%s says nothing of backend %s: %+v", b.name, s.Addr, all)
		}
		sorted = append(sorted, all[i])
	}
	return sorted
}

// awaitVerdict waits until the nodes hold that a backend is up, or down.
func (c *tier) awaitVerdict(d time.Duration, backend int, health string, nodes ...*balancer) {
	c.t.Helper()
	weirtest.Await(c.t, d, func() string {
		for _, b := range nodes {
			if v := c.verdicts(b)[backend]; v.Health != health {
				return fmt.Sprintf("%s holds that %s is %s (%s), want %s", b.name, backendName(backend), v.Health, v.Reason, health)
			}
		}
		return ""
	})
}

// awaitUp waits until the nodes hold that all backends are up, and since when: a verdict that is told without is being reached.
func (c *tier) awaitUp(d time.Duration, nodes ...*balancer) {
	c.t.Helper()
	weirtest.Await(c.t, d, func() string {
		for _, b := range nodes {
			for i, v := range c.verdicts(b) {
				if v.Health != "up" || v.Since.IsZero() {
					return fmt.Sprintf("%s holds that %s is %s since %s (%s)", b.name, backendName(i), v.Health, v.Since, v.Reason)
				}
			}
		}
		return ""
	})
}

// opinions are the verdicts of some balancers at one time.
type opinions map[*balancer][]verdict

func (c *tier) opinions(nodes ...*balancer) opinions {
	c.t.Helper()
	all := opinions{}
	for _, b := range nodes {
		all[b] = c.verdicts(b)
	}
	return all
}

// changed says which verdict is another than before, or was in the meantime, leaving out one backend, -1 for none; empty: none.
// A verdict that was changed and changed back tells by the time since which it stands.
func (c *tier) changed(before opinions, except int) string {
	c.t.Helper()
	for b, old := range before {
		for i, now := range c.verdicts(b) {
			if i != except && (now.Health != old[i].Health || !now.Since.Equal(old[i].Since) || !now.EjectedUntil.IsZero()) {
				return fmt.Sprintf("%s held that %s was %s since %s, and now that it is %s since %s (%s), ejected until %s", b.name, backendName(i),
					old[i].Health, old[i].Since.Format(time.TimeOnly), now.Health, now.Since.Format(time.TimeOnly), now.Reason, now.EjectedUntil)
			}
		}
	}
	return ""
}

// unchanged fails the test if a verdict has changed.
func (c *tier) unchanged(before opinions, except int) {
	c.t.Helper()
	if what := c.changed(before, except); what != "" {
		c.t.Error(what)
	}
}

// during fails the test if something is wrong within a time that is part of what is tested.
func (c *tier) during(d time.Duration, wrong func() string) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if what := wrong(); what != "" {
			c.t.Fatal(what)
		}
	}
}

// ask opens a connection by way of a balancer and returns which backend answers.
func (c *tier) ask(b *balancer) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), soon)
	defer cancel()
	conn, err := c.client.Dial(ctx, "tcp", b.frontAddr())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return "", err
	}
	return tryAsk(conn, "who")
}

// serve has each of the nodes serve some clients, and fails the test unless just these backends do so.
func (c *tier) serve(nodes []*balancer, backends ...int) {
	c.t.Helper()
	var want []string
	for _, i := range backends {
		want = append(want, backendName(i))
	}
	for _, b := range nodes {
		seen := map[string]bool{}
		for range 4 * backendCount {
			name, err := c.ask(b)
			if err != nil {
				c.t.Errorf("a client of %s is not served: %v", b.name, err)
				continue
			}
			seen[name] = true
		}
		for _, name := range want {
			if !seen[name] {
				c.t.Errorf("%s gets no connection from %s", name, b.name)
			}
			delete(seen, name)
		}
		if len(seen) > 0 {
			c.t.Errorf("%s sends clients to %v too, want %v", b.name, seen, want)
		}
	}
}

// allBut returns the backends without some.
func allBut(without ...int) []int {
	var all []int
	for i := range backendCount {
		if !slices.Contains(without, i) {
			all = append(all, i)
		}
	}
	return all
}

// dies ends a backend. Within some time each of the nodes holds that it is down, and from then on none tries to connect to it. drained
// gets none anyway, -1 for none.
func (c *tier) dies(backend, drained int, within time.Duration, nodes ...*balancer) {
	c.t.Helper()
	start := time.Now()
	c.backends[backend].Kill()
	c.awaitVerdict(within, backend, "down", nodes...)
	c.t.Logf("%s has died, and after %v all know", backendName(backend), time.Since(start).Round(time.Millisecond))
	before := c.opinions(nodes...)
	c.serve(nodes, allBut(backend, drained)...)
	for b, old := range before {
		if now := c.verdicts(b)[backend]; now.ConnectFailures != old[backend].ConnectFailures || now.Connections != old[backend].Connections {
			c.t.Errorf("%s sent clients to a backend that it holds for %s: %+v, before %+v", b.name, old[backend].Health, now, old[backend])
		}
	}
}

// returns undoes dies.
func (c *tier) returns(backend int, nodes ...*balancer) {
	c.t.Helper()
	c.backends[backend].Accept()
	c.awaitVerdict(returned, backend, "up", nodes...)
}

// order gives an operator's order at a node, which has to have it on the disks of just these nodes before it answers.
func (c *tier) order(at *balancer, verb string, backend int, nodes ...*balancer) {
	c.t.Helper()
	var want []string
	for _, b := range nodes {
		want = append(want, b.name)
	}
	slices.Sort(want)
	if acked, missing := c.tryOrder(at, verb, backend); len(missing) > 0 || !slices.Equal(acked, want) {
		c.t.Errorf("%s of %s at %s: acked by %v, missing %v, want %v", verb, backendName(backend), at.name, acked, missing, want)
	}
}

// tryOrder gives an order at a node, and returns who has it on disk when the node answers, and who has not yet.
func (c *tier) tryOrder(at *balancer, verb string, backend int) (acked, missing []string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]string{"service": "who", "backend": c.backends[backend].Addr, "by": "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	status, answer := at.Post("/api/v1/"+verb, string(body))
	var done struct{ Acked, Missing []string }
	if err := json.Unmarshal([]byte(answer), &done); status != http.StatusOK || err != nil {
		c.t.Fatalf("%s of %s at %s: status %d: %s", verb, backendName(backend), at.name, status, answer)
	}
	slices.Sort(done.Acked)
	return done.Acked, done.Missing
}

// awaitDraining waits until the nodes all give a backend no new connections by an operator's will, or all do not.
func (c *tier) awaitDraining(d time.Duration, backend int, want bool, nodes ...*balancer) {
	c.t.Helper()
	weirtest.Await(c.t, d, func() string {
		for _, b := range nodes {
			if got := c.verdicts(b)[backend].Draining; got != want {
				return fmt.Sprintf("%s drains %s: %v, want %v", b.name, backendName(backend), got, want)
			}
		}
		return ""
	})
}

// refusedKeys returns how much a balancer could not decrypt.
func (b *balancer) refusedKeys() uint64 {
	b.t.Helper()
	var view struct{ Refused map[string]uint64 }
	b.JSON("/api/v1/cluster", &view)
	var sum uint64
	for reason, n := range view.Refused {
		if strings.Contains(reason, "key") {
			sum += n
		}
	}
	return sum
}

// lie starts a liar among the nodes, and returns when they have it as a member and it lies about all backends.
func (c *tier) lie(anew bool) {
	c.t.Helper()
	host := c.network.Host()
	l := lie{Cluster: "tier", Bind: fmt.Sprintf("%s:%d", host.Addr, gossipPort), Keys: [][]byte{rightKey}, Anew: anew}
	for _, b := range c.nodes {
		l.Join = append(l.Join, b.gossipAddr())
	}
	host.Start(os.Args[0], nil, []string{l.env(c.t)}, func(p *weirtest.Process) bool {
		return strings.Contains(p.Log(), fmt.Sprintf("lying about %d\n", len(c.backends)))
	})
	c.awaitAlive(soon, c.nodes, liarName)
}

// longestFirst sorts scenarios, so that those that take longest begin first.
func longestFirst(a, b clusterScenario) int { return cmp.Compare(b.takes, a.takes) }
