package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/weirlb/weir/bench/proc"
)

// deathLimit is how long the news of a death may take.
const deathLimit = 30 * time.Second

// clusterWork is one thing to measure, with crews of several sizes.
type clusterWork struct {
	name, title string
	aim         time.Duration // of the 99th percentile; 0 is none
	rhythm      bool          // it takes a crew that probes in its rhythm
	sizes       []crewSize
	do          func(context.Context, *crew, int, *clusterRow) error
}

// crewSize is how large a crew is, and what is done with it.
type crewSize struct {
	nodes, origins int
	times          int // how many deaths
}

// clusterPlan is how much is measured.
type clusterPlan struct {
	interval, timeout time.Duration // of probes
	rhythm            time.Duration // how long a crew takes to find it
	aftermath         time.Duration // how long what is sent is still counted when all know of a mass of deaths
	idle              time.Duration // how long a cluster is watched in which nothing happens
	refused, silent   []crewSize    // backends die
	traffic           []crewSize    // and a client notices
	watched           []crewSize    // nothing happens
	losses            []crewSize    // nodes die
	mass              []crewSize    // many backends die at once
}

// fullPlan takes a quarter of an hour.
//
// With 64 backends, 30 deaths leave more than half of them, of which the word
// of others takes no more. Of 1,100 backends 500 deaths leave more than half,
// of 550 less: then it is for each node to find out for itself.
//
// All nodes probe all backends when they start, and then wait for their turn,
// which is up to one and a half intervals away.
func fullPlan() clusterPlan {
	sizes := func(nodes ...int) []crewSize {
		var all []crewSize
		for _, n := range nodes {
			all = append(all, crewSize{n, 64, 30})
		}
		return all
	}
	return clusterPlan{
		interval: 2 * time.Second, timeout: 300 * time.Millisecond, rhythm: 3 * time.Second, aftermath: 3 * time.Second, idle: 20 * time.Second,
		refused: sizes(1, 2, 3, 5), silent: sizes(1, 2, 3, 5), traffic: sizes(1, 2, 3, 5),
		watched: []crewSize{{1, 100, 0}, {3, 100, 0}, {5, 100, 0}, {10, 100, 0}, {3, 500, 0}, {3, 1000, 0}},
		losses:  []crewSize{{3, 4, 20}, {5, 4, 20}},
		mass:    []crewSize{{3, 1100, 500}, {3, 550, 500}},
	}
}

// quickPlan is for a look within a minute.
func quickPlan() clusterPlan {
	p := fullPlan()
	p.idle = 4 * time.Second
	p.refused, p.silent = []crewSize{{1, 16, 2}, {3, 16, 4}}, []crewSize{{3, 16, 3}}
	p.traffic = []crewSize{{3, 32, 6}}
	p.watched = []crewSize{{1, 50, 0}, {3, 50, 0}}
	p.losses = []crewSize{{3, 4, 2}}
	p.mass = []crewSize{{3, 500, 200}}
	return p
}

// works are all there is to measure.
func (p clusterPlan) works() []clusterWork {
	const news, collision = 1500 * time.Millisecond, 100 * time.Millisecond
	return []clusterWork{
		{
			name: "refused", title: "a backend dies and refuses connections: until the last balancer has it down, without traffic",
			aim: news, rhythm: true, sizes: p.refused, do: refusals,
		},
		{
			name: "silent", title: "a backend dies and answers nothing: until the last balancer has it down, without traffic",
			aim: news, rhythm: true, sizes: p.silent, do: silences,
		},
		{
			name: "traffic", title: "a client of one balancer comes upon a dead backend: until the last balancer has it down",
			aim: collision, rhythm: true, sizes: p.traffic, do: collisions,
		},
		{
			name: "balancers", title: "a balancer is killed: until the last of the others knows it",
			aim: news, sizes: p.losses, do: losses,
		},
		{
			name: "idle", title: "nothing happens: what backends get, and what each node sends and uses",
			rhythm: true, sizes: p.watched, do: p.watch,
		},
		{
			name: "mass", title: "many backends die at once: until the last balancer has each of them down, and what each node sends and uses",
			sizes: p.mass, do: p.masses,
		},
	}
}

// leisure waits for a random time between two deaths, up to half of the
// interval of probes: so they come at all moments between two probes, and no
// faster than a balancer tries again for its clients, which is ten times in a
// second.
func (c *crew) leisure(ctx context.Context) error {
	least, most := c.spec.interval/8, c.spec.interval/2
	return pause(ctx, least+rand.N(most-least))
}

// refusals lets backends die, one after the other.
func refusals(ctx context.Context, c *crew, times int, row *clusterRow) error {
	return deaths(ctx, c, times, row, (*origin).refuse)
}

func silences(ctx context.Context, c *crew, times int, row *clusterRow) error {
	return deaths(ctx, c, times, row, (*origin).fallSilent)
}

func deaths(ctx context.Context, c *crew, times int, row *clusterRow, die func(*origin) (time.Time, error)) error {
	for _, o := range c.origins[:times] {
		if err := c.leisure(ctx); err != nil {
			return err
		}
		mark := c.log.mark()
		died, err := c.bury(o, die)
		if err != nil {
			return err
		}
		if err := c.learn(ctx, mark, died, []string{o.addr}, backendDown, row); err != nil {
			return err
		}
	}
	return nil
}

// bury has a backend die.
func (c *crew) bury(o *origin, die func(*origin) (time.Time, error)) (time.Time, error) {
	c.log.add(entry{At: time.Now(), Message: killed, Backend: o.addr})
	return die(o)
}

// learn waits until all nodes have learned of deaths.
func (c *crew) learn(ctx context.Context, mark int, died time.Time, subjects []string, message string, row *clusterRow) error {
	ctx, cancel := context.WithTimeout(ctx, deathLimit)
	defer cancel()
	heard, err := c.hear(ctx, mark, tale{message, c.names(), subjects})
	if err != nil {
		return err
	}
	row.Spans = append(row.Spans, spansOf(died, subjects, heard)...)
	return nil
}

// collisions has a client come upon a backend that has just died. The client
// is always sent to the same one, so it is asked which that is before.
func collisions(ctx context.Context, c *crew, times int, row *clusterRow) error {
	for i := range times {
		if err := c.leisure(ctx); err != nil {
			return err
		}
		via := c.nodes[i%len(c.nodes)]
		addr, err := ask(ctx, via.listens)
		if err != nil {
			return fmt.Errorf("a client of %s: %w", via.name, err)
		}
		at := slices.IndexFunc(c.origins, func(o *origin) bool { return o.addr == addr })
		if at < 0 {
			return fmt.Errorf("a client of %s is answered by %q", via.name, addr)
		}
		mark := c.log.mark()
		if _, err := c.bury(c.origins[at], (*origin).refuse); err != nil {
			return err
		}
		asked := time.Now()
		if other, err := ask(ctx, via.listens); err != nil || other == addr {
			row.Missed++
		}
		if err := c.learn(ctx, mark, asked, []string{addr}, backendDown, row); err != nil {
			return err
		}
		failures, err := via.connectFailures(ctx, addr)
		if err != nil {
			return err
		}
		if failures == 0 { // a probe was faster, and the client has gone elsewhere
			row.Spans = row.Spans[:len(row.Spans)-1]
		}
	}
	return nil
}

// connectFailures is how many connections of clients to a backend have
// failed at a node.
func (n *node) connectFailures(ctx context.Context, addr string) (uint64, error) {
	var all []struct {
		Address         string `json:"address"`
		ConnectFailures uint64 `json:"connectFailures"`
	}
	if err := n.get(ctx, "/api/v1/backends", &all); err != nil {
		return 0, err
	}
	for _, b := range all {
		if b.Address == addr {
			return b.ConnectFailures, nil
		}
	}
	return 0, fmt.Errorf("%s knows no backend %s", n.name, addr)
}

// losses kills nodes, one after the other, and starts each again.
func losses(ctx context.Context, c *crew, times int, row *clusterRow) error {
	for i := range times {
		n := c.nodes[i%len(c.nodes)]
		mark := c.log.mark()
		died := c.kill(n)
		if err := c.learn(ctx, mark, died, []string{n.name}, memberGone, row); err != nil {
			return err
		}
		if err := c.revive(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// count is what has been used up to one moment, by all nodes together.
type count struct {
	at    time.Time
	sent  traffic
	cpu   time.Duration
	rss   int64
	taken []uint64 // connections, by each backend
}

func (c *crew) count(ctx context.Context) (count, error) {
	var now count
	for _, n := range c.nodes {
		used, err := proc.Measure(n.p.PID)
		if err != nil {
			return now, err
		}
		now.cpu += used.CPU
		now.rss += used.RSS
		if len(c.nodes) == 1 {
			continue
		}
		s, err := n.standing(ctx)
		if err != nil {
			return now, err
		}
		now.sent.Packets += s.Sent.Packets
		now.sent.PacketBytes += s.Sent.PacketBytes
		now.sent.Streams += s.Sent.Streams
		now.sent.StreamBytes += s.Sent.StreamBytes
	}
	for _, o := range c.origins {
		now.taken = append(now.taken, o.taken.Load())
	}
	now.at = time.Now()
	return now, nil
}

// probers is how many nodes probe each backend, where there are so many.
const probers = 3

// watch counts what a cluster does when nothing happens, and what its nodes
// said to each other when they started has gone round.
func (p clusterPlan) watch(ctx context.Context, c *crew, _ int, row *clusterRow) error {
	c.hush(ctx)
	before, err := c.count(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, p.idle); err != nil {
		return err
	}
	after, err := c.count(ctx)
	if err != nil {
		return err
	}
	q := &quietness{Elapsed: after.at.Sub(before.at), Due: float64(min(len(c.nodes), probers)) / p.interval.Seconds()}
	seconds := q.Elapsed.Seconds()
	for i := range after.taken {
		rate := float64(after.taken[i]-before.taken[i]) / seconds
		if i == 0 || rate < q.Least {
			q.Least = rate
		}
		q.Most = max(q.Most, rate)
		q.Probes += rate / float64(len(after.taken))
	}
	each := seconds * float64(len(c.nodes))
	q.Packets = float64(after.sent.Packets-before.sent.Packets) / each
	q.Bytes = float64(after.sent.bytes()-before.sent.bytes()) / each
	q.Streams = float64(after.sent.Streams-before.sent.Streams) / each
	q.CPU = (after.cpu - before.cpu).Seconds() / each
	q.RSS = float64(after.rss) / float64(len(c.nodes))
	row.Quiet = q
	return nil
}

func (t traffic) bytes() uint64 { return t.PacketBytes + t.StreamBytes }

// masses lets many backends die at once, and counts what the nodes send until
// shortly after the last has heard of the last.
func (p clusterPlan) masses(ctx context.Context, c *crew, times int, row *clusterRow) error {
	c.hush(ctx)
	before, err := c.count(ctx)
	if err != nil {
		return err
	}
	mark, died := c.log.mark(), time.Now()
	var subjects []string
	for _, o := range c.origins[:times] {
		if _, err := c.bury(o, (*origin).refuse); err != nil {
			return err
		}
		subjects = append(subjects, o.addr)
	}
	if err := c.learn(ctx, mark, died, subjects, backendDown, row); err != nil {
		return err
	}
	if err := pause(ctx, p.aftermath); err != nil {
		return err
	}
	after, err := c.count(ctx)
	if err != nil {
		return err
	}
	each := float64(len(c.nodes))
	row.Mass = &massEvent{
		Deaths: times, Elapsed: after.at.Sub(before.at),
		Packets: float64(after.sent.Packets-before.sent.Packets) / each,
		Bytes:   float64(after.sent.bytes()-before.sent.bytes()) / each,
		Streams: float64(after.sent.Streams-before.sent.Streams) / each,
		CPU:     (after.cpu - before.cpu).Seconds() / each,
	}
	return nil
}

// run does a work with a crew of one size.
func (w clusterWork) run(ctx context.Context, weir, scratch string, p clusterPlan, size crewSize) (*clusterRow, error) {
	row := &clusterRow{Nodes: size.nodes, Origins: size.origins}
	dir, err := os.MkdirTemp(scratch, w.name+"-")
	if err != nil {
		return row, err
	}
	c, err := newCrew(ctx, weir, dir, crewSpec{size.nodes, size.origins, p.interval, p.timeout})
	if err != nil {
		return row, err
	}
	defer c.stop()
	if w.rhythm {
		if err := pause(ctx, p.rhythm); err != nil {
			return row, err
		}
	}
	d, err := disturb()
	if err != nil {
		return row, err
	}
	done := w.do(ctx, c, size.times, row)
	row.Others, err = d.others()
	row.Odd = c.odd()
	return row, errors.Join(done, err)
}

// disturbed is what had been used at one moment, by all there is and by this
// process and its children.
type disturbed struct {
	at        time.Time
	all, ours time.Duration
}

func disturb() (disturbed, error) {
	used, err := proc.Measure(os.Getpid())
	if err != nil {
		return disturbed{}, err
	}
	all, err := proc.Busy()
	return disturbed{time.Now(), all, used.CPU}, err
}

// others returns how many CPUs other programs have used since.
func (d disturbed) others() (float64, error) {
	now, err := disturb()
	if err != nil {
		return 0, err
	}
	theirs := max(0, now.all-d.all-(now.ours-d.ours))
	return over(theirs.Seconds(), now.at.Sub(d.at).Seconds()), nil
}
