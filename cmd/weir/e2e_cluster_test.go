package main_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// clustersAtOnce is how many clusters run side by side. They mostly wait: a balancer of a quiet cluster needs about a hundredth of a
// processor.
const clustersAtOnce = 6

// clusterScenario is something that happens to a cluster.
type clusterScenario struct {
	name  string
	takes time.Duration // about
	ahead []time.Duration
	run   func(c *tier)
}

func clusterScenarios() []clusterScenario {
	all := []clusterScenario{
		{name: "killed", takes: 15 * time.Second, run: killed},
		{name: "stopped", takes: 15 * time.Second, run: stopped},
		{name: "restarted in turn", takes: 30 * time.Second, run: restartedInTurn},
		{name: "restarted at once", takes: 15 * time.Second, run: restartedAtOnce},
		{name: "one direction lost", takes: 30 * time.Second, run: oneDirectionLost},
		{name: "datagrams lost", takes: 45 * time.Second, run: lossy(weirtest.Fault{Protocol: "udp"})},
		{name: "connections lost", takes: 30 * time.Second, run: lossy(weirtest.Fault{Protocol: "tcp"})},
		{name: "a fifth lost", takes: 30 * time.Second, run: lossy(weirtest.Fault{Percent: 20})},
		{name: "gossip lost", takes: 30 * time.Second, run: gossipLost},
		{name: "clocks wrong", takes: 60 * time.Second, ahead: []time.Duration{time.Hour, -time.Hour}, run: clocksWrong},
		{name: "wrong key", takes: 20 * time.Second, run: strangerWithWrongKey},
		{name: "backend unreachable from one", takes: 30 * time.Second, run: unreachableFromOne},
		{name: "backend flaps", takes: 90 * time.Second, run: flaps},
		{name: "liar", takes: 60 * time.Second, run: lying(false)},
		{name: "inventive liar", takes: 45 * time.Second, run: lying(true)},
	}
	for _, d := range partitions {
		all = append(all, clusterScenario{name: fmt.Sprintf("parted for %v", d), takes: d + 20*time.Second, run: parted(d)})
	}
	slices.SortStableFunc(all, longestFirst)
	return all
}

// TestCluster has things happen to clusters of real processes, each on a network of its own, and looks at what has to hold
// whatever happens: a backend that is down gets nothing from any balancer that can know, one that is up is not taken out by what
// others say or cease to say, orders of operators are not lost, and the membership is whole again soon after.
//
// A partition takes the time that it takes, so clusters run side by side, more of them than tests do elsewhere.
func TestCluster(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	slots := make(chan struct{}, clustersAtOnce)
	for _, s := range clusterScenarios() {
		for _, n := range clusterSizes {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				t.Run(fmt.Sprintf("%s/%d", s.name, n), func(t *testing.T) { s.run(newTier(t, n, s.ahead...)) })
			})
		}
	}
	all.Wait()
}

// killed: a node dies without a word. The others notice, and go on; it comes back and knows what it knew.
func killed(c *tier) {
	victim, others := c.last()
	c.order(victim, "drain", 3, c.nodes...)
	before := c.opinions(others...)
	victim.Kill()
	start := time.Now()
	c.awaitMembers(noticed, others...)
	c.t.Logf("a node has died, and after %v all know", time.Since(start).Round(time.Millisecond))
	c.unchanged(before, -1)
	c.awaitDraining(0, 3, true, others...)
	c.dies(0, 3, ejected, others...)
	c.unchanged(before, 0)
	victim.Start()
	c.awaitMembers(whole, c.nodes...)
	c.awaitDraining(soon, 3, true, victim)
	c.awaitVerdict(ejected, 0, "down", victim)
	c.serve(c.nodes, 1, 2)
	c.returns(0, c.nodes...)
	c.unchanged(before, 0)
}

// stopped: a node stands still for three seconds and goes on as if nothing had been.
func stopped(c *tier) {
	victim, others := c.last()
	before := c.opinions(c.nodes...)
	victim.Pause()
	time.Sleep(3 * time.Second)
	c.unchanged(subset(before, others), -1)
	victim.Resume()
	c.awaitMembers(whole, c.nodes...)
	c.unchanged(before, -1)
	c.dies(0, -1, ejected, c.nodes...)
	c.unchanged(before, 0)
}

func subset(of opinions, nodes []*balancer) opinions {
	some := opinions{}
	for _, b := range nodes {
		some[b] = of[b]
	}
	return some
}

// restartedInTurn: one node after the other is stopped politely and started again. Orders stand, and the others serve.
func restartedInTurn(c *tier) {
	c.order(c.nodes[0], "drain", 3, c.nodes...)
	for i, b := range c.nodes {
		others := slices.Delete(slices.Clone(c.nodes), i, i+1)
		before := c.opinions(others...)
		b.Stop()
		if code := b.ExitCode(soon); code != 0 {
			c.t.Errorf("%s ends with code %d", b.name, code)
		}
		c.awaitMembers(noticed, others...)
		c.serve(others, 0, 1, 2)
		b.Start()
		c.awaitMembers(whole, c.nodes...)
		c.awaitDraining(soon, 3, true, c.nodes...)
		c.awaitUp(soon, b)
		c.unchanged(before, -1)
	}
	c.dies(0, 3, ejected, c.nodes...)
}

// restartedAtOnce: all nodes die at one time, as by a power cut, and come back.
func restartedAtOnce(c *tier) {
	c.order(c.nodes[0], "drain", 3, c.nodes...)
	for _, b := range c.nodes {
		b.Kill()
	}
	startAll(c.nodes...)
	c.awaitMembers(whole, c.nodes...)
	c.awaitDraining(soon, 3, true, c.nodes...)
	c.awaitUp(soon, c.nodes...)
	c.serve(c.nodes, 0, 1, 2)
	c.dies(0, 3, ejected, c.nodes...)
}

// parted: the network falls into two parts for a time; the backends are reached from both. Each part knows of its own nodes, takes out
// what it sees fail itself, and takes orders. Afterwards both are one again, and the orders stand everywhere.
func parted(d time.Duration) func(c *tier) {
	return func(c *tier) {
		left, right := c.nodes[:len(c.nodes)/2], c.nodes[len(c.nodes)/2:]
		before := c.opinions(c.nodes...)
		start := time.Now()
		heal := c.network.Part(weirtest.Fault{}, hosts(left), hosts(right))
		dead, drained := -1, -1
		if d > 30*time.Second { // there is time for something to happen meanwhile
			dead, drained = 0, 3
			c.awaitMembers(noticed, left...)
			c.awaitMembers(noticed, right...)
			c.unchanged(before, -1)
			c.dies(dead, -1, ejected, c.nodes...)
			c.order(left[0], "drain", drained, left...)
			c.awaitDraining(soon, drained, true, left...)
		}
		time.Sleep(time.Until(start.Add(d)))
		c.unchanged(before, dead)
		heal()
		healed := time.Now()
		c.awaitMembers(whole, c.nodes...)
		c.t.Logf("whole again after %v", time.Since(healed).Round(time.Millisecond))
		if drained >= 0 {
			c.awaitDraining(soon, drained, true, c.nodes...)
			c.order(right[0], "undrain", drained, c.nodes...)
			c.awaitDraining(soon, drained, false, c.nodes...)
			c.returns(dead, c.nodes...)
		}
		c.dies(1, -1, ejected, c.nodes...)
		if dead < 0 {
			c.unchanged(before, 1)
		}
	}
}

// oneDirectionLost: one node does not hear another, who hears it. With a third node to ask, neither takes the other for dead for long.
func oneDirectionLost(c *tier) {
	deaf, others := c.last()
	before := c.opinions(c.nodes...)
	end := deaf.host.Lose(weirtest.Fault{}, others[0].host)
	c.during(10*time.Second, func() string { return c.changed(before, -1) })
	if len(c.nodes) > 2 {
		c.awaitMembers(whole, c.nodes...)
	}
	c.dies(0, -1, ejected, c.nodes...)
	c.unchanged(before, 0)
	end()
	c.awaitMembers(whole, c.nodes...)
	c.unchanged(before, 0)
}

// lossy: of all that goes between the nodes something is lost. Membership bears that, or is whole again soon; what one node is told,
// all get to know.
func lossy(f weirtest.Fault) func(c *tier) {
	return func(c *tier) {
		before := c.opinions(c.nodes...)
		end := c.network.Among(f, hosts(c.nodes)...)
		c.during(5*time.Second, func() string { return c.changed(before, -1) })
		c.awaitMembers(whole, c.nodes...)
		within, known := ejected, soon
		if f.Protocol == "udp" {
			within, known = soon*haste, time.Minute // only full exchanges are left, with one other node every ten seconds
		}
		c.dies(0, -1, within, c.nodes...)
		start := time.Now()
		acked, _ := c.tryOrder(c.nodes[0], "drain", 3)
		c.awaitDraining(known, 3, true, c.nodes...)
		c.t.Logf("an order was acked by %v, and after %v all carry it out", acked, time.Since(start).Round(time.Millisecond))
		c.unchanged(before, 0)
		end()
		c.awaitMembers(whole, c.nodes...)
		c.unchanged(before, 0)
		c.returns(0, c.nodes...)
	}
}

// gossipLost: no node hears of another, but everything else goes on. Each is alone, and judges by what it sees itself.
func gossipLost(c *tier) {
	before := c.opinions(c.nodes...)
	end := c.network.Among(weirtest.Fault{Port: gossipPort}, hosts(c.nodes)...)
	for _, b := range c.nodes {
		c.awaitMembers(noticed, b)
	}
	c.dies(0, -1, ejected, c.nodes...)
	c.unchanged(before, 0)
	end()
	c.awaitMembers(whole, c.nodes...)
	c.unchanged(before, 0)
	c.returns(0, c.nodes...)
}

// clocksWrong: one node's clock is an hour ahead, another's an hour behind. What is given later by the clock on the wall of the operator
// counts all the same.
func clocksWrong(c *tier) {
	var status struct{ Started time.Time }
	c.nodes[0].JSON("/api/v1/status", &status)
	if ahead := time.Until(status.Started); ahead < 50*time.Minute {
		c.t.Fatalf("the clock of %s is ahead by %v", c.nodes[0].name, ahead)
	}
	before := c.opinions(c.nodes...)
	c.dies(0, -1, ejected, c.nodes...)
	c.unchanged(before, 0)
	last, _ := c.last()
	c.order(c.nodes[0], "drain", 3, c.nodes...)
	c.awaitDraining(soon, 3, true, c.nodes...)
	c.order(last, "undrain", 3, c.nodes...)
	c.awaitDraining(soon, 3, false, c.nodes...)
	c.order(last, "drain", 3, c.nodes...)
	c.order(c.nodes[0], "undrain", 3, c.nodes...)
	c.awaitDraining(soon, 3, false, c.nodes...)
	c.nodes[0].Kill()
	c.awaitMembers(noticed, c.nodes[1:]...)
	c.nodes[0].Start()
	c.awaitMembers(whole, c.nodes...)
	c.returns(0, c.nodes...)
}

// strangerWithWrongKey: a node of the same name of cluster and another key is never let in, and changes nothing.
func strangerWithWrongKey(c *tier) {
	before := c.opinions(c.nodes...)
	refused := map[*balancer]uint64{}
	for _, b := range c.nodes {
		refused[b] = b.refusedKeys()
	}
	stranger := &balancer{t: c.t, name: "stranger", host: c.network.Host()}
	stranger.WeirProcess = stranger.host.Weir(c.config(stranger, wrongKey))
	c.during(whole, func() string {
		if what := notAlive(c.nodes); what != "" {
			return what
		}
		return notAlive([]*balancer{stranger})
	})
	for _, b := range c.nodes {
		if b.refusedKeys() == refused[b] {
			c.t.Errorf("%s has not counted what it could not decrypt", b.name)
		}
	}
	c.unchanged(before, -1)
	c.dies(0, -1, ejected, append(slices.Clone(c.nodes), stranger)...)
	c.unchanged(before, 0)
}

// unreachableFromOne: one balancer does not reach a backend that all others reach. It takes it out, they do not.
func unreachableFromOne(c *tier) {
	alone, others := c.last()
	before := c.opinions(c.nodes...)
	end := c.servers.Lose(weirtest.Fault{Port: backendPort}, alone.host)
	// A node that is not among those who probe the backend learns of it from its clients.
	weirtest.Await(c.t, soon, func() string {
		if _, err := c.ask(alone); err != nil {
			return err.Error()
		}
		if v := c.verdicts(alone)[0]; v.Health != "down" && v.EjectedUntil.IsZero() {
			return fmt.Sprintf("%s holds that %s is %s (%s)", alone.name, backendName(0), v.Health, v.Reason)
		}
		return ""
	})
	c.serve([]*balancer{alone}, allBut(0)...)
	c.during(10*time.Second, func() string { return c.changed(subset(before, others), -1) })
	c.serve(others, allBut()...)
	c.unchanged(before, 0)
	end()
	weirtest.Await(c.t, returned, func() string {
		if v := c.verdicts(alone)[0]; v.Health != "up" || v.EjectedUntil.After(time.Now()) {
			return fmt.Sprintf("%s holds that %s is %s (%s), ejected until %s", alone.name, backendName(0), v.Health, v.Reason, v.EjectedUntil)
		}
		return ""
	})
}

// flaps: a backend dies and comes back every second. Verdicts change at most fourteen times a minute, clients are served, and of
// the other backends nobody thinks otherwise.
func flaps(c *tier) {
	const most = 14
	before := c.opinions(c.nodes...)
	latest := c.opinions(c.nodes...)
	changes := map[*balancer]int{}
	count := func() {
		for _, b := range c.nodes {
			now := c.verdicts(b)
			if !now[0].Since.Equal(latest[b][0].Since) {
				changes[b]++
			}
			latest[b] = now
		}
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		for _, do := range []func(){c.backends[0].Kill, c.backends[0].Accept} {
			do()
			for half := time.Now().Add(500 * time.Millisecond); time.Now().Before(half); time.Sleep(50 * time.Millisecond) {
				count()
			}
			for _, b := range c.nodes {
				// One that dies with a connection open cannot be helped.
				if _, err := c.ask(b); err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
					c.t.Errorf("a client of %s is not served: %v", b.name, err)
				}
			}
		}
	}
	some := 0
	for _, b := range c.nodes {
		c.t.Logf("%s has changed its verdict %d times", b.name, changes[b])
		if some += changes[b]; changes[b] > most {
			c.t.Errorf("%s has changed its verdict %d times, at most %d", b.name, changes[b], most)
		}
	}
	if some == 0 {
		c.t.Error("nobody has noticed anything")
	}
	c.unchanged(before, 0)
	c.awaitVerdict(70*time.Second, 0, "up", c.nodes...)
	c.unchanged(before, 0)
}

// lying: a member says of all backends that they are down. The balancers look for themselves and go on, also about one that dies in
// truth. Who repeats one lie is found out; who says something new each second is not believed either.
func lying(anew bool) func(c *tier) {
	return func(c *tier) {
		before := c.opinions(c.nodes...)
		c.lie(anew)
		c.during(15*time.Second, func() string { return c.changed(before, -1) })
		c.serve(c.nodes, allBut()...)
		if !anew {
			weirtest.Await(c.t, time.Minute, func() string {
				for _, b := range c.nodes {
					if !slices.ContainsFunc(b.members(), func(m memberView) bool { return m.Name == liarName && m.Distrusted }) {
						return b.name + " trusts the liar"
					}
				}
				return ""
			})
		}
		c.dies(0, -1, ejected, c.nodes...)
		c.unchanged(before, 0)
		c.returns(0, c.nodes...)
		c.unchanged(before, 0)
	}
}
