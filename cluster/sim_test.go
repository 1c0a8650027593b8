package cluster

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sim is a cluster in virtual time: replicas, a network that loses, delays, doubles and reorders, and a membership layer
// that notices after a second who can be reached. Everything follows from the seed.
type sim struct {
	t     *testing.T
	r     *rand.Rand
	now   time.Time
	nodes []*simNode
	queue simQueue
	sent  int

	loss, twice float64       // of datagrams
	delay       time.Duration // at most
}

// simNode is a node. Its clock is wrong by skew.
type simNode struct {
	name    string
	replica *Replica
	up      bool
	side    int // of a partition
	skew    time.Duration
	saved   uint64            // boot in its state file, 0 = lost
	said    map[Key]string    // what it says in this life
	differs map[string]int    // ticks for which another has been reachable and no member, or the other way round
	orders  *Commands         // what it knows of operators' orders
	disk    []Command         // in its state file
	refused map[string]string // errors of Absorb
}

type simEvent struct {
	at    time.Time
	order int
	do    func()
}

// simQueue is a heap of events by time.
type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

const simTick = TickInterval

func newSim(t *testing.T, nodes int, seed uint64) *sim {
	s := &sim{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: start, delay: 20 * time.Millisecond}
	for i := range nodes {
		n := &simNode{name: fmt.Sprintf("lb-%02d", i), differs: map[string]int{}}
		n.skew = time.Duration(s.r.IntN(7200)-3600) * time.Second
		s.nodes = append(s.nodes, n)
		s.boot(n)
		s.after(time.Duration(s.r.IntN(int(simTick))), func() { s.tick(n) })
	}
	return s
}

func (s *sim) after(d time.Duration, do func()) {
	s.sent++
	heap.Push(&s.queue, simEvent{s.now.Add(d), s.sent, do})
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for len(s.queue) > 0 && !s.queue[0].at.After(end) {
		e := heap.Pop(&s.queue).(simEvent)
		s.now = e.at
		e.do()
	}
	s.now = end
}

func (s *sim) clock(n *simNode) time.Time { return s.now.Add(n.skew) }

// boot starts a node, with nothing but its state file.
func (s *sim) boot(n *simNode) {
	boot := FirstBoot(s.clock(n), n.saved, uint16(s.r.Uint32()))
	n.replica, n.up, n.said, n.refused = NewReplica(n.name, boot), true, map[Key]string{}, map[string]string{}
	clear(n.differs)
	n.orders = NewCommands(n.name, n.disk)
	for _, c := range n.orders.All() {
		s.publish(n, c)
	}
	s.say(n)
}

func (s *sim) publish(n *simNode, c Command) {
	key, value := c.Cell()
	if err := n.replica.Set(key, value, s.clock(n)); err != nil {
		s.t.Error(err)
	}
	n.said[key] = string(value)
}

// say changes one of the node's statements.
func (s *sim) say(n *simNode) {
	key := Key(fmt.Sprint("k", s.r.IntN(20)))
	if s.r.IntN(4) == 0 {
		n.replica.Delete(key, s.clock(n))
		delete(n.said, key)
		return
	}
	value := fmt.Sprint(n.name, " ", s.r.IntN(1000))
	if err := n.replica.Set(key, []byte(value), s.clock(n)); err != nil {
		s.t.Error(err)
	}
	n.said[key] = value
}

// tick is what a node does every TickInterval: look who is there, and send what is due.
func (s *sim) tick(n *simNode) {
	s.after(simTick, func() { s.tick(n) })
	if !n.up {
		return
	}
	for _, o := range s.nodes {
		_, member := n.replica.Members()[o.name]
		if reachable := o.up && o.side == n.side; o == n || reachable == member {
			n.differs[o.name] = 0
			continue
		}
		if n.differs[o.name]++; n.differs[o.name] < 10 {
			continue
		}
		if member {
			n.replica.Leave(o.name, s.clock(n))
			continue
		}
		var boot uint64 // some membership layers tell, some do not
		if s.r.IntN(2) == 0 {
			boot = o.replica.Table().Boot()
		}
		s.send(n, n.replica.Join(o.name, boot))
	}
	n.saved = n.replica.Table().Boot()
	s.send(n, n.replica.Tick(s.clock(n)))
}

// send hands messages to the network.
func (s *sim) send(n *simNode, out []Outgoing) {
	for _, o := range out {
		packets, large := Pack(o.Message, 1300)
		switch {
		case o.Path == Stream || o.Path == Direct && (len(packets) > 8 || len(large) > 0):
			s.carry(n, o.To, Encode(o.Message), 0, s.delay)
		case o.Path == Direct:
			for _, p := range packets {
				s.datagram(n, o.To, p)
			}
		default:
			for _, p := range packets {
				s.gossip(n, p, 4)
			}
		}
	}
}

// gossip sends a packet to three members now, and again so many times.
func (s *sim) gossip(n *simNode, packet []byte, times int) {
	members := n.replica.Members().Names()
	for range min(3, len(members)-1) {
		s.datagram(n, members[s.r.IntN(len(members))], packet)
	}
	if replica := n.replica; times > 1 {
		s.after(100*time.Millisecond, func() {
			if n.up && n.replica == replica {
				s.gossip(n, packet, times-1)
			}
		})
	}
}

func (s *sim) datagram(n *simNode, to string, packet []byte) {
	s.carry(n, to, packet, s.loss, s.delay)
	if s.r.Float64() < s.twice {
		s.carry(n, to, packet, s.loss, 10*s.delay)
	}
}

// carry delivers bytes, if they are not lost and their receiver can be reached when they arrive.
func (s *sim) carry(n *simNode, to string, b []byte, loss float64, delay time.Duration) {
	if to == n.name || s.r.Float64() < loss {
		return
	}
	side := n.side
	s.after(time.Duration(s.r.Int64N(int64(delay)))+time.Millisecond, func() {
		i := slices.IndexFunc(s.nodes, func(o *simNode) bool { return o.name == to })
		if o := s.nodes[i]; o.up && o.side == side {
			s.receive(o, b)
		}
	})
}

func (s *sim) receive(n *simNode, b []byte) {
	m, err := Decode(b)
	if err != nil {
		s.t.Fatalf("%s got what it cannot read: %v", n.name, err)
	}
	news, out := n.replica.Receive(m, s.clock(n))
	s.send(n, out)
	orders, err := n.orders.Absorb(news, s.clock(n))
	if err != nil {
		n.refused[err.Error()] = m.From
	}
	n.disk = n.orders.All()
	for _, c := range orders {
		s.publish(n, c)
	}
}

// chaos lets everything happen for a while.
func (s *sim) chaos(d time.Duration) {
	s.loss, s.twice, s.delay = 0.2, 0.1, 300*time.Millisecond
	for end := s.now.Add(d); s.now.Before(end); s.run(time.Duration(s.r.IntN(200)) * time.Millisecond) {
		n := s.nodes[s.r.IntN(len(s.nodes))]
		switch what := s.r.IntN(40); {
		case what == 0 && n.up:
			n.up = false
		case what == 1 && !n.up:
			n.skew = time.Duration(s.r.IntN(7200)-3600) * time.Second
			if s.r.IntN(2) == 0 {
				n.saved = 0
			}
			s.boot(n)
		case what == 2:
			for _, o := range s.nodes {
				o.side = s.r.IntN(2)
			}
		case what == 3:
			s.heal()
		case n.up:
			s.say(n)
		}
	}
}

func (s *sim) heal() {
	for _, n := range s.nodes {
		n.side = 0
	}
}

// settle ends all trouble and lets the membership become whole and the last datagrams arrive.
func (s *sim) settle() {
	s.heal()
	for _, n := range s.nodes {
		if !n.up {
			s.boot(n)
		}
	}
	s.loss, s.twice, s.delay = 0, 0, 20*time.Millisecond
	s.run(4 * time.Second)
}

func (s *sim) names() []string {
	var names []string
	for _, n := range s.nodes {
		names = append(names, n.name)
	}
	return names
}

// statements is what a node holds of an observer.
func statements(t *Table, observer string) map[Key]string {
	said := map[Key]string{}
	for c := range t.All(observer) {
		if !c.Gone {
			said[c.Key] = string(c.Value)
		}
	}
	return said
}

// agree checks I5: all nodes hold the same, which is what each observer says in its present life, and all of it counts.
func (s *sim) agree() {
	s.t.Helper()
	want := s.nodes[0].replica.Table().Digest(s.names())
	for _, n := range s.nodes {
		if d := cmp.Diff(want, n.replica.Table().Digest(s.names())); d != "" {
			s.t.Errorf("%s holds something else than %s:\n%s", n.name, s.nodes[0].name, d)
		}
		for _, o := range s.nodes {
			if got := statements(n.replica.Table(), o.name); !maps.Equal(got, o.said) {
				s.t.Errorf("%s holds of %s:\n%s", n.name, o.name, cmp.Diff(o.said, got))
			}
			m := n.replica.Members()[o.name]
			if o != n && !m.stands(o.replica.Table().Boot(), s.clock(n)) {
				s.t.Errorf("what %s says does not count at %s: %+v", o.name, n.name, m)
			}
		}
	}
}

func TestConvergence(t *testing.T) {
	for _, tt := range []struct {
		nodes, seeds int
		chaos        time.Duration
	}{{2, 20, 40 * time.Second}, {3, 20, 40 * time.Second}, {5, 10, 40 * time.Second}, {10, 5, 40 * time.Second},
		{16, 3, 30 * time.Second},
		{17, 3, 30 * time.Second}, {30, 1, 30 * time.Second}, {50, 1, 20 * time.Second}} {
		for seed := range tt.seeds {
			t.Run(fmt.Sprintf("%d nodes, seed %d", tt.nodes, seed), func(t *testing.T) {
				s := newSim(t, tt.nodes, uint64(seed))
				s.chaos(tt.chaos)
				s.settle()
				s.run(2 * BeaconInterval)
				s.agree()
			})
		}
	}
}

// I5: two digest periods after the network is sound again, everything that was lost has been repaired.
func TestRepairTakesTwoPeriods(t *testing.T) {
	for _, nodes := range []int{2, 3, 5, 20} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			s := newSim(t, nodes, 1)
			s.settle()
			s.loss = 1
			for range 40 * nodes {
				s.say(s.nodes[s.r.IntN(nodes)])
				s.run(20 * time.Millisecond)
			}
			s.run(time.Second) // the last repetition of gossip is lost too
			s.loss = 0
			s.run(2*BeaconInterval + 3*s.delay)
			s.agree()
		})
	}
}

// A change reaches all of a small cluster in one way through the network, without any gossip.
func TestDirectDelivery(t *testing.T) {
	s := newSim(t, directMembers, 1)
	s.settle()
	n := s.nodes[3]
	s.say(n)
	s.send(n, n.replica.Tick(s.clock(n)))
	s.run(s.delay + time.Millisecond)
	for _, o := range s.nodes {
		if got := statements(o.replica.Table(), n.name); !maps.Equal(got, n.said) {
			t.Errorf("after one delay %s holds\n%s", o.name, cmp.Diff(n.said, got))
		}
	}
}

// A node between which and another the path is broken both ways hears of it through the third, often enough for what it
// says to stand.
func TestBrokenPath(t *testing.T) {
	s := newSim(t, 3, 1)
	s.settle()
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	// From here on a and b exchange nothing but what c passes on.
	cut := func(n, o *simNode, out []Outgoing) (rest []Outgoing) {
		for _, m := range out {
			if m.To != o.name && (m.Path != Gossip || n == c) {
				rest = append(rest, m)
			}
		}
		return rest
	}
	for i := range 200 {
		s.now = s.now.Add(simTick)
		if i%10 == 0 {
			s.say(a)
			s.say(b)
		}
		deliver := func(n *simNode, out []Outgoing) {
			for _, m := range out {
				for _, o := range s.nodes {
					if o == n || m.To != "" && m.To != o.name {
						continue
					}
					_, answers := o.replica.Receive(m.Message, s.clock(o))
					for _, answer := range answers {
						if answer.To == n.name {
							n.replica.Receive(answer.Message, s.clock(n))
						}
						if answer.Path == Gossip && o == c {
							a.replica.Receive(answer.Message, s.clock(a))
							b.replica.Receive(answer.Message, s.clock(b))
						}
					}
				}
			}
		}
		deliver(a, cut(a, b, a.replica.Tick(s.clock(a))))
		deliver(b, cut(b, a, b.replica.Tick(s.clock(b))))
		deliver(c, c.replica.Tick(s.clock(c)))
		if m := a.replica.Members()[b.name]; i > 50 && !m.stands(b.replica.Table().Boot(), s.clock(a)) {
			t.Fatalf("after %d ticks: what %s says does not count: %+v", i, b.name, m)
		}
	}
	if got := statements(a.replica.Table(), b.name); !maps.Equal(got, b.said) {
		t.Errorf("a holds of b:\n%s", cmp.Diff(b.said, got))
	}
}

// order issues a drain at a node, as its shell does: saved first, then published.
func (s *sim) order(n *simNode, service string, on bool) Command {
	s.t.Helper()
	c, err := n.orders.Issue(Command{Target: Target{Service: service}, Aspect: Drain, On: on, By: "anna"}, s.clock(n))
	if err != nil {
		s.t.Fatal(err)
	}
	n.disk = n.orders.All()
	s.publish(n, c)
	return c
}

// I8: a drain that all have acknowledged survives the loss of any node with its disk, and the restart of all, with clocks
// that are up to an hour apart.
func TestDrainSurvives(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := newSim(t, 3, seed)
			s.settle()
			c := s.order(s.nodes[s.r.IntN(3)], "orders", true)
			s.run(2 * BeaconInterval)
			for _, n := range s.nodes {
				if got := n.replica.Table().Acks(c, n.replica.Members()).String(); got != "acked 3/3" {
					t.Errorf("at %s: %s", n.name, got)
				}
			}

			lost := s.nodes[s.r.IntN(3)]
			lost.up = false
			s.run(5 * time.Second)
			lost.disk, lost.saved = nil, 0
			s.boot(lost)
			s.settle()
			s.drained("orders", true)

			for _, n := range s.nodes {
				n.up = false
			}
			s.run(5 * time.Second)
			for _, n := range s.nodes {
				n.skew = time.Duration(s.r.IntN(7200)-3600) * time.Second
				s.boot(n)
			}
			s.drained("orders", true)
			s.settle()
			s.drained("orders", true)

			// Whoever has seen the drain can take it back, however late its clock is.
			s.order(s.nodes[s.r.IntN(3)], "orders", false)
			s.settle()
			s.drained("orders", false)
			s.run(2 * BeaconInterval)
			s.agree()
		})
	}
}

// drained checks what stands for a service on all nodes.
func (s *sim) drained(service string, want bool) {
	s.t.Helper()
	for _, n := range s.nodes {
		if got := n.orders.Order(service, addr("10.0.0.1:80")).Drained; got != want {
			s.t.Errorf("%s drained at %s: %t, want %t (refused: %v)", service, n.name, got, want, n.refused)
		}
	}
}
