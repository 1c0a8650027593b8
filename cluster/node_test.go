package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("a secret of the tests, long enough")

// crew is the nodes of a test on one network.
type crew struct {
	t       *testing.T
	network *network
	nodes   map[string]*Node
	addrs   map[string]netip.AddrPort
	dir     string
}

func newCrew(t *testing.T, seed uint64) *crew {
	return &crew{t: t, network: newNetwork(t, seed), nodes: map[string]*Node{}, addrs: map[string]netip.AddrPort{}, dir: t.TempDir()}
}

// start starts a node, at the address it had or a new one, that looks for the others at join.
func (c *crew) start(name string, change func(*NodeOptions), join ...string) *Node {
	c.t.Helper()
	if _, ok := c.addrs[name]; !ok {
		c.addrs[name] = c.network.address()
	}
	o := NodeOptions{
		Name: "test", Node: name, Bind: c.addrs[name], Keys: [][]byte{secret}, Join: join, Version: "v1",
		Transport: c.network.attach(c.addrs[name]),
	}
	if change != nil {
		change(&o)
	}
	n, err := New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[name] = n
	return n
}

// keeping gives a node a state file.
func (c *crew) keeping(name string) func(*NodeOptions) {
	return func(o *NodeOptions) { o.StateFile = filepath.Join(c.dir, name+".json") }
}

// launch starts nodes that all know the first.
func (c *crew) launch(n int) {
	c.t.Helper()
	for i := range n {
		name := fmt.Sprintf("lb-%02d", i)
		c.start(name, nil, c.seed()...)
	}
}

func (c *crew) seed() []string {
	if addr, ok := c.addrs["lb-00"]; ok {
		return []string{addr.String()}
	}
	return nil
}

// stop ends a node as a crash does.
func (c *crew) crash(name string) {
	c.t.Helper()
	if err := c.nodes[name].Close(); err != nil {
		c.t.Error(err)
	}
	delete(c.nodes, name)
}

func (c *crew) leave(name string) {
	c.t.Helper()
	if err := c.nodes[name].Leave(DefaultLeave); err != nil {
		c.t.Error(err)
	}
	delete(c.nodes, name)
}

// end closes all nodes, and lets what is on its way arrive nowhere.
func (c *crew) end() {
	for _, name := range c.names() {
		c.crash(name)
	}
	time.Sleep(time.Minute)
}

func (c *crew) names() []string {
	var names []string
	for name := range c.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// alive returns whom a node takes for alive.
func (c *crew) alive(name string) string {
	c.t.Helper()
	views, err := c.nodes[name].Members()
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, v := range views {
		if v.State == MemberAlive {
			names = append(names, v.Name)
		}
	}
	return strings.Join(names, " ")
}

// whole checks that each node takes exactly the nodes that there are for alive.
func (c *crew) whole() error {
	c.t.Helper()
	want := strings.Join(c.names(), " ")
	for _, name := range c.names() {
		if got := c.alive(name); got != want {
			return fmt.Errorf("for %s there are [%s], want [%s]", name, got, want)
		}
	}
	return nil
}

// within waits in virtual time until check finds nothing wrong.
func (c *crew) within(limit time.Duration, check func() error) {
	c.t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			c.t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// digests returns what a node holds of all members, in one line.
func (c *crew) digests(name string) string {
	c.t.Helper()
	var line string
	err := c.nodes[name].Read(func(t *Table, m Members, _ *Commands) {
		for _, s := range t.Digest(m.Names()) {
			line += fmt.Sprintf("%s:%d.%d.%x ", s.Observer, s.Boot, s.Seq, s.Hash)
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}

// converged checks that all nodes hold the same.
func (c *crew) converged() error {
	c.t.Helper()
	first := c.digests(c.names()[0])
	for _, name := range c.names()[1:] {
		if got := c.digests(name); got != first {
			return fmt.Errorf("%s holds %s\nand %s %s", c.names()[0], first, name, got)
		}
	}
	return nil
}

// ring checks that all nodes use these keys, read no others, and know that of each other.
func (c *crew) ring(want ...string) error {
	c.t.Helper()
	for _, name := range c.names() {
		s, err := c.nodes[name].Keys()
		if err != nil || !slices.Equal(s.Fingerprints, want) || len(s.Retiring) > 0 || len(s.Acks.Missing) > 0 {
			return fmt.Errorf("%s has %+v, want %s; %v", name, s, want, err)
		}
	}
	return nil
}

func (c *crew) set(name, key, value string) {
	c.t.Helper()
	if err := c.nodes[name].Set(Key(key), []byte(value)); err != nil {
		c.t.Fatal(err)
	}
}

// get returns what one node holds of what another said.
func (c *crew) get(name, observer, key string) string {
	c.t.Helper()
	var value string
	if err := c.nodes[name].Read(func(t *Table, _ Members, _ *Commands) {
		cell, _ := t.Get(observer, Key(key))
		value = string(cell.Value)
	}); err != nil {
		c.t.Fatal(err)
	}
	return value
}

func (c *crew) view(name, of string) MemberView {
	c.t.Helper()
	views, err := c.nodes[name].Members()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range views {
		if v.Name == of {
			return v
		}
	}
	return MemberView{}
}

func (c *crew) stats(name string) Stats {
	c.t.Helper()
	s, err := c.nodes[name].Stats()
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// bubble runs a test of nodes in virtual time.
func bubble(t *testing.T, seed uint64, f func(t *testing.T, c *crew)) {
	t.Helper()
	weirtest.Bubble(t, func(t *testing.T) {
		c := newCrew(t, seed)
		defer c.end()
		f(t, c)
	})
}

// I5: after all is quiet, all nodes hold the same within two beacons, whatever the network loses.
func TestNodesConverge(t *testing.T) {
	tests := []struct {
		nodes int
		loss  float64
		delay time.Duration
	}{
		{3, 0, time.Millisecond},
		{5, 0.05, time.Millisecond},
		{7, 0.2, 5 * time.Millisecond},
		{20, 0.05, 2 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d nodes, %.0f %% lost", tt.nodes, tt.loss*100), func(t *testing.T) {
			bubble(t, uint64(tt.nodes), func(t *testing.T, c *crew) {
				c.network.loss, c.network.delay = tt.loss, tt.delay
				c.launch(tt.nodes)
				c.within(15*time.Second, c.whole)
				for round := range 10 {
					for _, name := range c.names() {
						c.set(name, fmt.Sprint("k", round%4), fmt.Sprint(name, " ", round))
					}
					time.Sleep(30 * time.Millisecond)
				}
				if err := c.nodes["lb-01"].Delete("k3"); err != nil {
					t.Fatal(err)
				}
				limit := 2*BeaconInterval + 500*time.Millisecond
				if tt.loss > 0 {
					limit *= 3 // a beacon may be lost too
				}
				c.within(limit, c.converged)
				if got, want := c.get("lb-00", "lb-01", "k1"), "lb-01 9"; got != want {
					t.Errorf("k1 of lb-01 is %q, want %q", got, want)
				}
				if got := c.get("lb-00", "lb-01", "k3"); got != "" {
					t.Errorf("k3 of lb-01 is %q after it was deleted", got)
				}
				if worst := c.network.worst; worst > 1400 {
					t.Errorf("a packet of %d bytes", worst)
				}
			})
		})
	}
}

// Without loss a change is with all others after one way through the network.
func TestChangeTakesOneWay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *crew) {
		c.launch(5)
		c.within(5*time.Second, c.whole)
		c.within(5*time.Second, c.converged)
		c.set("lb-03", "k", "now")
		time.Sleep(2 * c.network.delay)
		synctest.Wait()
		for _, name := range c.names() {
			if got := c.get(name, "lb-03", "k"); got != "now" {
				t.Errorf("%s holds %q", name, got)
			}
		}
	})
}

func TestNodeLeavesAndFails(t *testing.T) {
	bubble(t, 2, func(t *testing.T, c *crew) {
		c.launch(5)
		c.within(5*time.Second, c.whole)
		c.set("lb-03", "k", "v")
		c.leave("lb-04")
		c.within(2*time.Second, c.whole)
		if s := c.view("lb-00", "lb-04").State; s != MemberLeft {
			t.Errorf("lb-04 has %s, want left", s)
		}
		c.crash("lb-03")
		c.within(4*time.Second, c.whole)
		if s := c.view("lb-00", "lb-03").State; s != MemberFailed {
			t.Errorf("lb-03 has %s, want failed", s)
		}
		if err := c.nodes["lb-00"].Leave(DefaultLeave); err != nil {
			t.Error(err)
		}
		if err := c.nodes["lb-00"].Set("k", nil); err != ErrStopped {
			t.Errorf("a node that has left takes cells: %v", err)
		}
		if err := c.nodes["lb-00"].Leave(DefaultLeave); err != nil {
			t.Errorf("leaving twice: %v", err)
		}
	})
}

// I6: what a dead node said has no effect from five seconds after its last word on, and its next life supersedes it.
func TestDeadNodeHasNoEffect(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *crew) {
		c.launch(4)
		c.within(5*time.Second, c.whole)
		c.within(5*time.Second, c.converged)
		key := HealthKey(IDOf("s", netip.MustParseAddrPort("10.9.9.9:80")), 1)
		c.set("lb-03", string(key), string(Report{State: Down}.Append(nil)))
		stands := func() bool {
			var stands bool
			_ = c.nodes["lb-00"].Read(func(t *Table, m Members, _ *Commands) {
				for _, v := range t.Votes(key) {
					stands = stands || m["lb-03"].stands(v.Boot, time.Now())
				}
			})
			return stands
		}
		time.Sleep(2 * BeaconInterval)
		if !stands() {
			t.Fatal("the vote of a member does not stand")
		}
		former := c.view("lb-00", "lb-03").Boot
		c.crash("lb-03")
		time.Sleep(MaxSilence)
		if stands() {
			t.Error("the vote of a dead node stands")
		}
		c.start("lb-03", nil, c.seed()...)
		c.within(5*time.Second, c.whole)
		c.within(3*time.Second, c.converged)
		if boot := c.view("lb-00", "lb-03").Boot; boot <= former {
			t.Errorf("boot %d after %d", boot, former)
		}
		if got := c.get("lb-00", "lb-03", string(key)); got != "" {
			t.Error("what the former life said is still there")
		}
	})
}

// A node that is restarted before anybody has noticed begins a new life all the same.
func TestQuickRestart(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *crew) {
		c.launch(3)
		c.within(5*time.Second, c.whole)
		c.set("lb-02", "k", "old")
		c.within(3*time.Second, c.converged)
		c.crash("lb-02")
		c.start("lb-02", nil, c.seed()...)
		c.set("lb-02", "other", "new")
		c.within(5*time.Second, func() error {
			if got := c.get("lb-00", "lb-02", "other"); got != "new" {
				return fmt.Errorf("of the new life lb-00 holds %q", got)
			}
			if got := c.get("lb-00", "lb-02", "k"); got != "" {
				return fmt.Errorf("of the old life lb-00 holds %q", got)
			}
			return c.whole()
		})
	})
}

// A node that comes back at another address gets its name again once the others have noticed that it died.
func TestReaddressedNode(t *testing.T) {
	bubble(t, 5, func(t *testing.T, c *crew) {
		c.launch(3)
		c.within(5*time.Second, c.whole)
		c.crash("lb-02")
		delete(c.addrs, "lb-02")
		n := c.start("lb-02", nil, c.seed()...)
		c.within(20*time.Second, func() error {
			for _, name := range []string{"lb-00", "lb-01"} {
				if got := c.view(name, "lb-02").Addr; got != n.Addr() {
					return fmt.Errorf("for %s lb-02 is at %s, want %s", name, got, n.Addr())
				}
			}
			return c.whole()
		})
		for _, conflict := range c.stats("lb-00").Conflicts {
			if conflict.Alarm {
				t.Errorf("an alarm for a node that moved: %+v", conflict)
			}
		}
	})
}

// I9: after a partition heals, the membership is whole within two rejoin periods, however long it lasted: the membership
// layer has forgotten the others after a minute. Only one node of each side is in anybody's settings.
func TestPartitionHeals(t *testing.T) {
	for _, lasts := range []time.Duration{2 * time.Second, 5 * time.Second, 40 * time.Second, 3 * time.Minute} {
		for _, nodes := range []int{2, 3, 6} {
			t.Run(fmt.Sprintf("%d nodes, %s", nodes, lasts), func(t *testing.T) {
				bubble(t, uint64(lasts)+uint64(nodes), func(t *testing.T, c *crew) {
					c.launch(nodes)
					c.within(5*time.Second, c.whole)
					names := c.names()
					for _, name := range names[nodes/2:] {
						c.network.cut(1, c.addrs[name])
					}
					time.Sleep(lasts)
					if here, there := c.alive(names[0]), c.alive(names[nodes-1]); lasts > 4*time.Second && here == there {
						t.Errorf("both sides see [%s]", here)
					}
					c.set(names[0], "k", "of one side")
					c.set(names[nodes-1], "k", "of the other")
					for _, name := range names {
						c.network.cut(0, c.addrs[name])
					}
					timing, _ := LAN.timing()
					c.within(2*timing.rejoin+2*time.Second, c.whole)
					c.within(3*time.Second, c.converged)
				})
			})
		}
	}
}

// All nodes are killed and come back at once, none of them first, with nothing in their settings but what is remembered.
func TestMassRestart(t *testing.T) {
	bubble(t, 6, func(t *testing.T, c *crew) {
		for i := range 5 {
			name := fmt.Sprintf("lb-%02d", i)
			c.start(name, c.keeping(name), c.seed()...)
		}
		c.within(5*time.Second, c.whole)
		drain := Command{Target: Target{Service: "orders"}, Aspect: Drain, On: true, By: "ops"}
		drain, err := c.nodes["lb-02"].Issue(drain)
		if err != nil {
			t.Fatal(err)
		}
		c.within(2*time.Second, func() error {
			acks, err := c.nodes["lb-02"].Acks(drain)
			if len(acks.Holders) != 5 {
				return fmt.Errorf("%s, %v", acks, err)
			}
			return nil
		})
		time.Sleep(2 * keepInterval) // peers are written now and then
		for _, name := range c.names() {
			c.crash(name)
		}
		for i := range 5 {
			name := fmt.Sprintf("lb-%02d", i)
			c.start(name, c.keeping(name))
		}
		timing, _ := LAN.timing()
		c.within(2*timing.rejoin, c.whole)
		c.within(3*time.Second, c.converged)
		for _, name := range c.names() {
			_ = c.nodes[name].Read(func(_ *Table, _ Members, commands *Commands) {
				if !commands.Order("orders", netip.AddrPort{}).Drained {
					t.Errorf("%s has forgotten the drain", name)
				}
			})
		}
	})
}

// I13: nodes come and go a thousand times, by leaving and by crashing, and those that stay hold no more than before.
func TestChurn(t *testing.T) {
	bubble(t, 8, func(t *testing.T, c *crew) {
		c.launch(3)
		c.within(5*time.Second, c.whole)
		measure := func() (uint64, int) {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			least := runtime.NumGoroutine() // some come and go with every probe and every exchange
			for range 100 {
				time.Sleep(70 * time.Millisecond)
				least = min(least, runtime.NumGoroutine())
			}
			return m.HeapAlloc, least
		}
		cycle := func(i int) {
			name := fmt.Sprint("guest-", i%7)
			c.start(name, nil, c.seed()...)
			c.set(name, "k", strings.Repeat("v", 400))
			time.Sleep(300 * time.Millisecond)
			if i%3 == 0 {
				c.crash(name)
			} else {
				c.leave(name)
			}
			time.Sleep(200 * time.Millisecond)
		}
		for i := range 100 {
			cycle(i)
		}
		time.Sleep(2 * time.Minute)
		heap, routines := measure()
		for i := range 1000 {
			cycle(i)
		}
		time.Sleep(2 * time.Minute)
		after, now := measure()
		t.Logf("heap %d -> %d KiB, goroutines %d -> %d", heap>>10, after>>10, routines, now)
		if after > heap+heap/2+4<<20 {
			t.Errorf("the heap grew from %d to %d bytes", heap, after)
		}
		if now > routines+5 {
			t.Errorf("goroutines grew from %d to %d", routines, now)
		}
		c.within(5*time.Second, c.whole)
	})
}

func TestStrangersAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*NodeOptions)
		count  func(Refused) uint64
	}{
		{"another key", func(o *NodeOptions) { o.Keys = [][]byte{[]byte("another secret, as long")} },
			func(r Refused) uint64 { return r.WrongKey }},
		{"another cluster", func(o *NodeOptions) { o.Name = "other" }, func(r Refused) uint64 { return r.WrongLabel }},
		{"no key", func(o *NodeOptions) {
			o.Keys, o.Bind = nil, netip.MustParseAddrPort("127.0.0.1:7946") // as if it were alone on its host
		}, func(r Refused) uint64 { return r.WrongKey }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 9, func(t *testing.T, c *crew) {
				c.launch(2)
				c.within(5*time.Second, c.whole)
				c.start("stranger", tt.change, c.seed()...)
				time.Sleep(20 * time.Second)
				if got := c.alive("lb-00"); got != "lb-00 lb-01" {
					t.Errorf("members: %s", got)
				}
				if got := c.alive("stranger"); got != "stranger" {
					t.Errorf("for the stranger: %s", got)
				}
				s := c.stats("lb-00")
				if tt.count(s.Refused) == 0 {
					t.Errorf("nothing is counted: %+v", s.Refused)
				}
			})
		})
	}
}

// Two nodes of one name: the second is not let in, and both sides raise the alarm.
func TestNameTakenTwice(t *testing.T) {
	bubble(t, 10, func(t *testing.T, c *crew) {
		var alarms []Conflict
		c.start("lb-00", func(o *NodeOptions) {
			o.Watch = func(n News) { alarms = append(alarms, n.Conflicts...) }
		})
		c.start("lb-01", nil, c.seed()...)
		c.within(5*time.Second, c.whole)
		first := c.nodes["lb-01"]
		delete(c.addrs, "lb-01")
		second := c.start("lb-01", nil, c.seed()...)
		defer first.Close()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if len(alarms) != 1 || alarms[0].Name != "lb-01" || alarms[0].Claimant != second.Addr() || alarms[0].Holder != first.Addr() {
			t.Errorf("alarms: %+v", alarms)
		}
		if s := c.stats("lb-00"); len(s.Conflicts) != 1 || s.Conflicts[0].Count < 2 {
			t.Errorf("conflicts: %+v", s.Conflicts)
		}
		if s := c.stats("lb-01"); len(s.Conflicts) == 0 {
			t.Error("the second does not notice")
		}
		if got := c.view("lb-00", "lb-01").Addr; got != first.Addr() {
			t.Errorf("lb-01 is at %s, want %s", got, first.Addr())
		}
	})
}

// The measured delay is that of the network, and members say how they are.
func TestDelayIsMeasured(t *testing.T) {
	bubble(t, 11, func(t *testing.T, c *crew) {
		c.network.delay = 10 * time.Millisecond
		c.launch(3)
		c.within(5*time.Second, c.whole)
		if err := c.nodes["lb-01"].SetConfig(0xabc, 7); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		v := c.view("lb-00", "lb-01")
		// A beacon that another member has passed on took as long as gossip takes, which counts: that is what is measured.
		if v.Delay < 5*time.Millisecond || v.Delay > time.Second || v.RTT < 20*time.Millisecond || v.RTT > 40*time.Millisecond {
			t.Errorf("delay %s, round trip %s; a way takes 10 to 20 ms, and gossip longer", v.Delay, v.RTT)
		}
		if !v.Configured || v.Config != 0xabc || v.Generation != 7 || v.Version != "v1" || v.Doubt != Sure || v.Confirmed.IsZero() {
			t.Errorf("%+v", v)
		}
		if self := c.view("lb-01", "lb-01"); !self.Self || self.Config != 0xabc || self.Addr != c.addrs["lb-01"] {
			t.Errorf("of itself: %+v", self)
		}
	})
}

// A node says that it doubts itself until it has heard the others.
func TestSettle(t *testing.T) {
	settled := func(n *Node) bool {
		select {
		case <-n.Settled():
			return true
		default:
			return false
		}
	}
	bubble(t, 12, func(t *testing.T, c *crew) {
		alone := c.start("lb-00", nil)
		time.Sleep(2 * TickInterval)
		if !settled(alone) {
			t.Error("a node that knows no others waits for them")
		}
		c.network.cut(1, c.network.address())
		lost := c.start("lb-01", nil, "10.0.0.2") // nobody is there
		time.Sleep(4 * time.Second)
		if settled(lost) || c.view("lb-01", "lb-01").Doubt != NotConverged {
			t.Error("a node that finds nobody does not wait for anybody")
		}
		time.Sleep(3 * time.Second)
		if !settled(lost) {
			t.Error("a node that finds nobody waits for ever")
		}
		joined := c.start("lb-02", nil, c.seed()...)
		time.Sleep(2500 * time.Millisecond)
		if !settled(joined) {
			t.Error("a node that has joined has not settled")
		}
		if d := c.view("lb-00", "lb-02").Doubt; d != Sure && d != NotConverged {
			t.Errorf("lb-02 %s", d)
		}
	})
}

// A node that was there when the keys changed knows them after a restart, whatever its settings say; one that was not finds
// its way back only until the new key is used.
func TestKeysSurviveRestart(t *testing.T) {
	bubble(t, 13, func(t *testing.T, c *crew) {
		for _, name := range []string{"lb-00", "lb-01", "lb-02"} {
			c.start(name, c.keeping(name), c.seed()...)
		}
		c.within(5*time.Second, c.whole)
		acked := func(want ...string) {
			t.Helper()
			c.within(5*time.Second, func() error { return c.ring(want...) })
		}
		before, _ := c.nodes["lb-00"].Keys()
		old := before.Fingerprints[0]
		c.crash("lb-02")
		c.within(5*time.Second, c.whole)
		print, err := c.nodes["lb-00"].InstallKey([]byte("the secret that comes after"))
		if err != nil {
			t.Fatal(err)
		}
		acked(old, print)
		c.start("lb-02", c.keeping("lb-02"), c.seed()...)
		c.within(5*time.Second, c.whole)
		acked(old, print)
		if err := c.nodes["lb-01"].UseKey(print); err != nil {
			t.Fatal(err)
		}
		acked(print, old)
		if err := c.nodes["lb-00"].RemoveKey(old); err != nil {
			t.Fatal(err)
		}
		acked(print)
		for _, name := range c.names() {
			c.crash(name)
		}
		for _, name := range []string{"lb-00", "lb-01", "lb-02"} {
			c.start(name, c.keeping(name), c.seed()...)
		}
		c.within(10*time.Second, c.whole)
		if s, err := c.nodes["lb-02"].Keys(); err != nil || len(s.Fingerprints) != 1 || s.Fingerprints[0] != print {
			t.Errorf("after the restart: %+v, %v", s, err)
		}
	})
}

// Two operators change the keys at once, in ways that exclude each other. One of them wins, and nobody is locked out.
func TestKeyChangesAtOnce(t *testing.T) {
	bubble(t, 16, func(t *testing.T, c *crew) {
		c.launch(3)
		c.within(5*time.Second, c.whole)
		print, err := c.nodes["lb-00"].InstallKey([]byte("the secret that comes after"))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.nodes["lb-00"].Keys()
		c.within(5*time.Second, func() error { return c.ring(s.Fingerprints...) })
		if err := c.nodes["lb-01"].UseKey(print); err != nil {
			t.Fatal(err)
		}
		if err := c.nodes["lb-00"].RemoveKey(print); err != nil {
			t.Fatal(err)
		}
		c.within(5*time.Second, func() error { return c.ring(print, s.Fingerprints[0]) })
		time.Sleep(10 * time.Second)
		if err := c.whole(); err != nil {
			t.Error(err)
		}
	})
}

// Without keys there is nothing to change, and a change that has not reached all is waited for.
func TestKeyChangesAreOrdered(t *testing.T) {
	bubble(t, 14, func(t *testing.T, c *crew) {
		c.launch(2)
		c.within(5*time.Second, c.whole)
		n := c.nodes["lb-00"]
		s, _ := n.Keys()
		if err := n.UseKey(s.Fingerprints[0]); !errors.Is(err, ErrRing) {
			t.Errorf("using a key that only the settings have: %v", err)
		}
		if _, err := n.InstallKey(secret[:MinSecret-1]); !errors.Is(err, ErrRing) {
			t.Errorf("a short secret: %v", err)
		}
		c.network.cut(1, c.addrs["lb-01"])
		print, err := n.InstallKey([]byte("the secret that comes after"))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.UseKey(print); !errors.Is(err, ErrRing) || !strings.Contains(err.Error(), "lb-01") {
			t.Errorf("using a key that lb-01 does not have: %v", err)
		}
		if err := n.UseKey("nonsense"); !errors.Is(err, ErrRing) {
			t.Errorf("using a key that nobody has: %v", err)
		}
		plain := c.start("plain", func(o *NodeOptions) { o.Keys, o.Bind = nil, netip.MustParseAddrPort("127.0.0.1:7946") })
		if _, err := plain.InstallKey(secret); !errors.Is(err, ErrPlain) {
			t.Errorf("a key for a cluster without: %v", err)
		}
	})
}

// What cannot be written is not acknowledged, and is passed on once it can be.
func TestBrokenDisk(t *testing.T) {
	bubble(t, 15, func(t *testing.T, c *crew) {
		dir := filepath.Join(c.dir, "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c.start("lb-00", func(o *NodeOptions) { o.StateFile = filepath.Join(dir, "file") })
		c.start("lb-01", nil, c.seed()...)
		c.within(5*time.Second, c.whole)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		drain := Command{Target: Target{Service: "orders"}, Aspect: Drain, On: true}
		if _, err := c.nodes["lb-00"].Issue(drain); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("issued on a broken disk: %v", err)
		}
		time.Sleep(3 * time.Second)
		drained := func() bool {
			var o Order
			_ = c.nodes["lb-01"].Read(func(_ *Table, _ Members, commands *Commands) { o = commands.Order("orders", netip.AddrPort{}) })
			return o.Drained
		}
		if drained() || c.stats("lb-00").SavesFailed < 2 {
			t.Errorf("passed on: %t, writings that failed: %d", drained(), c.stats("lb-00").SavesFailed)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c.within(3*time.Second, func() error {
			if !drained() {
				return errors.New("the drain is not passed on")
			}
			return nil
		})
		if _, err := New(NodeOptions{Name: "test", Node: "x", Bind: c.addrs["lb-00"], Keys: [][]byte{secret},
			StateFile: filepath.Join(c.dir, "nowhere", "file")}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a node that can keep nothing starts: %v", err)
		}
	})
}
