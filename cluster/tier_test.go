package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// How the balancers of a tier probe: the defaults of package health.
const (
	tierService = "web"
	tierTimeout = time.Second
	tierFast    = 500 * time.Millisecond
	tierRise    = 2
	tierFall    = 3
	// tierLook is within which time a balancer looks that was told to.
	tierLook = 50 * time.Millisecond
)

// tier is a tier of whole balancers in virtual time: nodes with juries, that probe backends and have clients. What happens to
// it follows from the seed. What they ask of each other goes over the crew's network; the way to the backends is another.
type tier struct {
	*crew
	seed     uint64
	options  Options
	backends []*backend
	traffic  time.Duration // between two connections at one balancer; 0: there are none

	mu        sync.Mutex // of all that follows, the backends, and the balancers but for node and jury; nobody waits while holding it
	r         *rand.Rand
	balancers map[string]*balancer // that run
	died      map[string]time.Time // when a balancer was last stopped
	together  map[[2]string]time.Time
	told      []string // what has happened, for whoever reads of a failure
	broken    int      // invariants
	changed   time.Time
	lived     time.Duration // of all balancers that have ended
}

// condition is how a backend answers.
type condition byte

const (
	works   condition = iota
	refuses           // at once
	hangs             // nothing comes, until the timeout
)

func (c condition) String() string { return [...]string{"works", "refuses", "hangs"}[c] }

// backend is one that all balancers have in their pool.
type backend struct {
	name   string
	id     BackendID
	is     condition
	since  time.Time       // when that became so, or who reaches it
	apart  map[string]bool // balancers from which it hangs
	probes int
}

// balancer is one of the tier, in one life.
type balancer struct {
	*tier
	name  string
	spec  uint64 // of its probes
	skew  time.Duration
	node  *Node // set before anything runs
	jury  *Jury // used on the node's loop
	began time.Time
	stop  chan struct{}
	wake  chan struct{} // has room for one

	dead     bool
	named    map[Key]struct{}
	news     News           // without cells
	views    map[Key]*view  // one for each backend
	order    []*view        // the same
	reformed time.Time      // when it ceased to lie
	lie      func(s *Sight) // what it tells its jury, and so the others; nil: the truth
	lag      time.Duration  // by how much its probes begin late; they then fail, too
	lost     float64        // share of its probes that fail for no reason
	drained  map[netip.AddrPort]bool
}

// view is what a balancer knows of a backend: what package health, upstream and the server keep.
type view struct {
	*backend
	key     Key
	verdict Verdict
	duty    Duty
	seen    Sight     // what the jury was last told
	says    State     // what the others were last told
	down    time.Time // when they were last told that it is down, or when that ended
	changes []turn

	state    State // after rise and fall
	since    time.Time
	ok       bool
	run      int
	began    time.Time // the last probe
	probed   time.Time // and when it ended
	late     time.Duration
	asking   bool
	due      time.Time
	look     time.Time
	timer    *time.Timer
	failures int
	failed   time.Time
	served   time.Time
}

// turn is a verdict that has changed.
type turn struct {
	at    time.Time
	state State
}

// tiers runs a test of balancers in virtual time, and returns for how long they ran together.
func tiers(t *testing.T, seed uint64, backends int, f func(t *testing.T, s *tier)) (lived time.Duration) {
	t.Helper()
	weirtest.Bubble(t, func(t *testing.T) {
		s := &tier{
			crew: newCrew(t, seed), seed: seed, r: rand.New(rand.NewPCG(seed, 11)), balancers: map[string]*balancer{},
			died: map[string]time.Time{}, together: map[[2]string]time.Time{}, changed: time.Now(),
		}
		for i := range backends {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 80)
			s.backends = append(s.backends, &backend{
				name: fmt.Sprintf("b-%02d", i), id: IDOf(tierService, addr), since: time.Now(), apart: map[string]bool{},
			})
		}
		defer func() { lived = s.lived }()
		defer s.end()
		f(t, s)
	})
	return lived
}

// end stops everything, and says how much time has passed for the balancers.
func (s *tier) end() {
	for _, name := range s.running() {
		s.kill(name)
	}
	time.Sleep(time.Minute)
	s.t.Logf("seed %d: %.1f minutes of balancers", s.seed, s.lived.Minutes())
	if s.t.Failed() {
		first := slices.IndexFunc(s.told, func(line string) bool { return strings.Contains(line, "VIOLATED") })
		if first < 0 {
			first = len(s.told)
		}
		for _, line := range s.told[max(0, first-maxTold):min(len(s.told), first+10)] {
			s.t.Log(line)
		}
	}
}

// maxTold is how many lines are shown of what happened before something went wrong.
const maxTold = 300

// tell notes what happens. The lock is held.
func (s *tier) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.told = append(s.told, fmt.Sprintf("%8.3f %s", time.Since(start2000).Seconds(), line))
}

// start2000 is when all bubbles begin.
var start2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// violated reports that an invariant does not hold. The lock is held.
func (s *tier) violated(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	s.tell("VIOLATED %s", line)
	if s.broken++; s.broken <= 5 {
		s.t.Errorf("seed %d, after %.3f s: %s", s.seed, time.Since(start2000).Seconds(), line)
	}
}

// running returns the names of the balancers that run.
func (s *tier) running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.balancers))
}

func (s *tier) balancer(name string) *balancer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.balancers[name]
}

// raise starts so many balancers.
func (s *tier) raise(n int) {
	s.t.Helper()
	for i := range n {
		s.boot(fmt.Sprintf("lb-%02d", i), 1, nil)
	}
}

// boot starts a balancer that probes by spec and knows nothing.
func (s *tier) boot(name string, spec uint64, change func(*NodeOptions)) *balancer {
	s.t.Helper()
	b := &balancer{
		tier: s, name: name, spec: spec, jury: NewJury(name), began: time.Now(), stop: make(chan struct{}),
		wake: make(chan struct{}, 1), named: map[Key]struct{}{}, views: map[Key]*view{}, drained: map[netip.AddrPort]bool{},
	}
	var subjects []Subject
	for _, k := range s.backends {
		v := &view{backend: k, key: HealthKey(k.id, spec), timer: time.NewTimer(0)}
		v.timer.Stop()
		b.views[v.key] = v
		b.order = append(b.order, v)
		subjects = append(subjects, Subject{ID: k.id, Spec: spec, Look: func() Sight { return b.sight(v) }})
	}
	o := s.options
	o.Timeout = tierTimeout
	b.jury.Seat(tierService, o, subjects)
	var join []string
	for _, addr := range s.addrs {
		join = append(join, addr.String())
	}
	b.node = s.start(name, func(o *NodeOptions) {
		if o.Watch = b.watch; change != nil {
			change(o)
		}
	}, join...)
	s.mu.Lock()
	s.tell("%s starts", name)
	s.balancers[name] = b
	maps.DeleteFunc(s.together, func(pair [2]string, _ time.Time) bool { return pair[0] == name || pair[1] == name })
	s.mu.Unlock()
	go b.work()
	if s.traffic > 0 {
		go b.serve()
	}
	return b
}

// kill stops a balancer as a crash does.
func (s *tier) kill(name string) {
	s.t.Helper()
	s.mu.Lock()
	b := s.balancers[name]
	delete(s.balancers, name)
	s.died[name] = time.Now()
	s.lived += time.Since(b.began)
	s.tell("%s dies", name)
	b.dead = true
	for _, v := range b.order {
		v.timer.Stop()
	}
	s.mu.Unlock()
	close(b.stop)
	s.crash(name)
}

// set makes a backend answer otherwise, for all.
func (s *tier) set(k *backend, is condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.is != is {
		k.is, k.since, s.changed = is, time.Now(), time.Now()
		s.tell("%s %s", k.name, is)
	}
}

// part makes a backend unreachable from a balancer, or reachable again.
func (s *tier) part(k *backend, name string, apart bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.apart[name] != apart {
		k.apart[name], k.since, s.changed = apart, time.Now(), time.Now()
		s.tell("%s apart from %s: %t", k.name, name, apart)
	}
}

// fails reports whether a backend fails from a balancer. The lock is held.
func (k *backend) fails(name string) bool { return k.is != works || k.apart[name] }

// ask returns how a backend answers a balancer, and after which time. The lock is held.
func (b *balancer) ask(k *backend, probe bool) (ok bool, after time.Duration) {
	switch {
	case k.is == hangs, k.apart[b.name], probe && b.lag > 0:
		return false, tierTimeout
	case k.is == refuses, probe && b.r.Float64() < b.lost:
		return false, time.Millisecond
	}
	return true, time.Millisecond
}

// watch takes news from the node.
func (b *balancer) watch(n News) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range n.Cells {
		b.named[c.Key] = struct{}{}
	}
	if n.Members || n.Settled || n.Missed {
		for key := range b.views {
			b.named[key] = struct{}{}
		}
	}
	b.news.Commands = append(b.news.Commands, n.Commands...)
	b.rouse()
}

// call has the jury judge a backend soon. The lock is held.
func (b *balancer) call(v *view) {
	b.named[v.key] = struct{}{}
	b.rouse()
}

func (b *balancer) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// work holds sessions of the jury: when something is named, and every 100 ms.
func (b *balancer) work() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	b.obey()
	for {
		select {
		case <-b.stop:
			return
		case <-b.wake:
		case <-tick.C:
		}
		b.mu.Lock()
		keys := slices.Collect(maps.Keys(b.named))
		clear(b.named)
		orders := len(b.news.Commands) > 0
		b.news = News{}
		b.mu.Unlock()
		if orders {
			b.obey()
		}
		b.session(keys)
	}
}

// obey takes over what operators have ordered.
func (b *balancer) obey() {
	drained := map[netip.AddrPort]bool{}
	_ = b.node.Read(func(_ *Table, _ Members, c *Commands) {
		for _, k := range b.backends {
			drained[k.addr()] = c.Order(tierService, k.addr()).Drained
		}
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drained = drained
}

// addr is what IDOf was given.
func (k *backend) addr() netip.AddrPort {
	var i int
	_, _ = fmt.Sscanf(k.name, "b-%d", &i)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 80)
}

// session holds one, and does what it finds.
func (b *balancer) session(keys []Key) {
	f, err := b.node.Judge(b.jury, keys)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return
	}
	if err != nil {
		b.violated("%s: %v", b.name, err)
	}
	for name, distrust := range f.Distrust {
		b.tell("%s distrusts %s: %t", b.name, name, distrust)
	}
	for _, s := range f.Statements {
		v := b.views[s.Key]
		if v.says == Down {
			v.down = time.Now()
		}
		v.says = s.State
		if s.Gone {
			v.says = Unknown
		}
	}
	for _, r := range f.Rulings {
		b.rule(b.views[r.Key], r)
	}
}

// rule takes a ruling over. The lock is held.
func (b *balancer) rule(v *view, r Ruling) {
	now := time.Now()
	b.check(v, r, now)
	if r.Verdict.State != r.Was {
		v.changes = append(v.changes, turn{now, r.Verdict.State})
		if r.Was != Unknown || r.Verdict.State != Up {
			b.tell("%s: %s is %s: %s", b.name, v.name, r.Verdict.State, r.Verdict.Reason(now))
		}
	}
	v.verdict = r.Verdict
	if r.Duty != v.duty {
		v.duty, v.due = r.Duty, b.next(v, r.Duty, now)
		b.arm(v)
	}
	if r.Look && v.look.IsZero() {
		v.look = now.Add(time.Duration(b.r.Int64N(int64(tierLook))))
		b.arm(v)
	}
}

// next returns when the next probe is due, zero if others probe. It is what health.Checker does.
func (b *balancer) next(v *view, d Duty, now time.Time) time.Time {
	latest := func(a, b time.Time) time.Time {
		if a.Before(b) {
			return b
		}
		return a
	}
	interval := b.options.withDefaults().Interval
	switch {
	case !d.On:
		return time.Time{}
	case v.began.IsZero():
		return now
	case v.ok != (v.state == Up):
		return latest(now, v.began.Add(min(tierFast, interval)))
	default:
		from := latest(now, v.began.Add(interval/2)).Add(b.skew)
		return NextProbe(from, Phase(v.id, d.Rank, d.Of, interval), interval).Add(-b.skew)
	}
}

// arm sets the timer of the next probe. The lock is held.
func (b *balancer) arm(v *view) {
	v.timer.Stop()
	at := v.due
	if at.IsZero() || !v.look.IsZero() && v.look.Before(at) {
		at = v.look
	}
	if at.IsZero() || v.asking || b.dead {
		return
	}
	v.timer = time.AfterFunc(time.Until(at)+b.lag, func() { b.probe(v, at) })
}

// probe begins a probe that was due at a time.
func (b *balancer) probe(v *view, due time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.asking || b.dead || due != v.due && due != v.look {
		return
	}
	v.asking, v.began, v.late, v.look = true, time.Now(), time.Since(due), time.Time{}
	v.probes++
	ok, after := b.ask(v.backend, true)
	time.AfterFunc(after, func() { b.probed(v, ok) })
}

// probed ends a probe.
func (b *balancer) probed(v *view, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if v.run == 0 || v.ok != ok {
		v.run = 0
	}
	v.asking, v.ok, v.probed = false, ok, now
	v.run++
	state, need := Down, tierFall
	if ok {
		state, need = Up, tierRise
	}
	if v.state != state && (v.run >= need || v.state == Unknown) {
		v.state, v.since = state, now
	}
	v.due = b.next(v, v.duty, now)
	b.arm(v)
	if !ok || v.run == 1 {
		b.call(v)
	}
}

// serve sends clients to backends, one after the other.
func (b *balancer) serve() {
	tick := time.NewTicker(b.traffic)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		b.mu.Lock()
		var usable []*view
		for _, v := range b.order {
			if v.verdict.Serves() {
				usable = append(usable, v)
			}
		}
		if len(usable) > 0 {
			v := usable[b.r.IntN(len(usable))]
			ok, after := b.ask(v.backend, false)
			time.AfterFunc(after, func() { b.connected(v, ok) })
		}
		b.mu.Unlock()
	}
}

// connected takes in how a connection went.
func (b *balancer) connected(v *view, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		v.failures, v.served = 0, time.Now()
		return
	}
	v.failures++
	v.failed = time.Now()
	if v.failures == 1 {
		b.call(v)
	}
}

// sight is what the jury is told.
func (b *balancer) sight(v *view) Sight {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Sight{Late: v.late, Drained: b.drained[v.addr()], Evidence: Evidence{
		Probe: v.state, Since: v.since, Probed: v.probed, ProbeFailed: v.run > 0 && !v.ok, Streak: v.run,
		Failures: v.failures, Failed: v.failed, Served: v.served,
	}}
	if b.lie != nil {
		b.lie(&s)
	}
	v.seen = s
	return s
}

// liars.
func saysDown(s *Sight) {
	s.Evidence = Evidence{Probe: Down, Since: s.Since, Probed: time.Now(), ProbeFailed: true, Streak: 9}
}
func saysUp(s *Sight) {
	s.Evidence = Evidence{Probe: Up, Since: s.Since, Probed: time.Now(), Streak: 9}
}
func saysOpposite(s *Sight) {
	if s.Probe == Down {
		saysUp(s)
	} else {
		saysDown(s)
	}
}

// verdicts returns how the balancers that tell the truth stand on a backend: who takes it for down and who does not.
func (s *tier) verdicts(k *backend) (down, up []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.balancers)) {
		b := s.balancers[name]
		if b.lie != nil {
			continue
		}
		if b.views[HealthKey(k.id, b.spec)].verdict.State == Down {
			down = append(down, name)
		} else {
			up = append(up, name)
		}
	}
	return down, up
}

// out checks that a backend is out of all balancers.
func (s *tier) out(k *backend) error {
	if _, up := s.verdicts(k); len(up) > 0 {
		return fmt.Errorf("%s is not down at %v", k.name, up)
	}
	return nil
}

// in checks that a backend is down at no balancer.
func (s *tier) in(k *backend) error {
	if down, _ := s.verdicts(k); len(down) > 0 {
		return fmt.Errorf("%s is down at %v", k.name, down)
	}
	return nil
}

// all checks something of each backend.
func (s *tier) all(check func(*backend) error) func() error {
	return func() error {
		for _, k := range s.backends {
			if err := check(k); err != nil {
				return err
			}
		}
		return nil
	}
}

// chance draws a time below d.
func (s *tier) chance(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.r.Int64N(int64(d)))
}

// asked returns how many probes a backend has had.
func (s *tier) asked(k *backend) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return k.probes
}

// followed returns how long it took from a moment until the last balancer had a backend in a state; false if one never had.
func (s *tier) followed(k *backend, from time.Time, state State) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last time.Duration
	for _, b := range s.balancers {
		changes := b.views[HealthKey(k.id, b.spec)].changes
		i := slices.IndexFunc(changes, func(c turn) bool { return !c.at.Before(from) && c.state == state })
		if i < 0 {
			return 0, false
		}
		last = max(last, changes[i].at.Sub(from))
	}
	return last, true
}

// ready waits until the tier is whole and all backends are known to work.
func (s *tier) ready() {
	s.t.Helper()
	s.within(20*time.Second, s.whole)
	s.within(20*time.Second, s.all(func(k *backend) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, b := range s.balancers {
			if v := b.views[HealthKey(k.id, b.spec)]; v.verdict.State != Up {
				return fmt.Errorf("%s is %s at %s: %s", k.name, v.verdict.State, b.name, v.verdict.Reason(time.Now()))
			}
		}
		return nil
	}))
}
