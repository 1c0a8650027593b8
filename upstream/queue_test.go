package upstream

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// line is a queue of numbered waiters and what they were granted, in order.
type line struct {
	waiters []*Waiter
	granted []int
	from    []*Backend
}

// wait adds a waiter, which must be let in.
func (l *line) wait(t testing.TB, p *Pool, tried ...*Backend) *Waiter {
	t.Helper()
	n := len(l.waiters)
	w := &Waiter{Tried: tried, Grant: func(b *Backend) {
		l.granted = append(l.granted, n)
		l.from = append(l.from, b)
	}}
	l.waiters = append(l.waiters, w)
	if err := p.Wait(w); err != nil {
		t.Fatalf("waiter %d: %v", n, err)
	}
	return w
}

func (l *line) expect(t testing.TB, want ...int) {
	t.Helper()
	if diff := cmp.Diff(want, l.granted); diff != "" {
		t.Fatalf("granted (-want +got):\n%s", diff)
	}
}

// fullPool returns a pool of backends with one slot each, all taken.
func fullPool(t testing.TB, n, queue int) (*Pool, []*Backend) {
	t.Helper()
	backends := backendsOf(equal(n)...)
	limitAll(backends, 1)
	p := poolOf(Options{Queue: QueueOptions{Limit: queue}}, backends...)
	for range backends {
		mustAcquire(t, p, 0, start)
	}
	return p, backends
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	p, backends := fullPool(t, 2, 10)
	var l line
	for range 4 {
		l.wait(t, p)
	}
	if got := p.Stats().Waiting; got != 4 {
		t.Fatalf("%d waiting, want 4", got)
	}
	p.Release(backends[1])
	p.Release(backends[0])
	l.expect(t, 0, 1)
	if l.from[0] != backends[1] || l.from[1] != backends[0] {
		t.Error("not given the slots that were released")
	}
	p.Release(backends[0])
	p.Release(backends[0])
	l.expect(t, 0, 1, 2, 3)
	p.Release(backends[0])
	p.Release(backends[1])
	for i, b := range backends {
		if b.Active() != 0 {
			t.Errorf("backend %d ends with %d connections", i, b.Active())
		}
	}
}

func TestQueueLimit(t *testing.T) {
	tests := []struct {
		name  string
		limit int
	}{{"none", 0}, {"one", 1}, {"three", 3}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := fullPool(t, 1, tt.limit)
			var l line
			for range tt.limit {
				l.wait(t, p)
			}
			over := &Waiter{Grant: func(*Backend) { t.Error("granted") }}
			if err := p.Wait(over); !errors.Is(err, ErrQueueFull) {
				t.Errorf("beyond the limit: %v, want ErrQueueFull", err)
			}
			if p.Cancel(over) {
				t.Error("cancelled what never waited")
			}
			if got := p.Stats(); got.Waiting != int64(tt.limit) || got.QueueOverflows != 1 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	p, backends := fullPool(t, 1, 10)
	var l line
	for range 4 {
		l.wait(t, p)
	}
	for _, i := range []int{1, 3} { // from the middle and the end
		if !p.Cancel(l.waiters[i]) {
			t.Errorf("waiter %d: not cancelled", i)
		}
		if p.Cancel(l.waiters[i]) {
			t.Errorf("waiter %d: cancelled twice", i)
		}
	}
	for range 3 {
		p.Release(backends[0])
	}
	l.expect(t, 0, 2)
	if p.Cancel(l.waiters[0]) {
		t.Error("cancelled what was granted")
	}
	if got := p.Stats().Waiting; got != 0 {
		t.Errorf("%d waiting at the end", got)
	}
	// A waiter may wait again.
	mustAcquire(t, p, 0, start)
	if err := p.Wait(l.waiters[1]); err != nil {
		t.Fatal(err)
	}
	p.Release(backends[0])
	l.expect(t, 0, 2, 1)
}

// A slot that became free between Acquire and Wait is granted within Wait.
func TestWaitLooksAgain(t *testing.T) {
	p, backends := fullPool(t, 2, 10)
	if _, err := p.Acquire(0, nil, start); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	p.Release(backends[0])
	var l line
	l.wait(t, p)
	l.expect(t, 0)
	if got := p.Stats().Waiting; got != 0 {
		t.Errorf("%d waiting", got)
	}
}

// One who has tried what is free does not hold up the others.
func TestQueuePassesOverTheTried(t *testing.T) {
	p, backends := fullPool(t, 2, 10)
	var l line
	l.wait(t, p, backends[0])
	l.wait(t, p, backends[0])
	l.wait(t, p)
	p.Release(backends[0])
	l.expect(t, 2)
	p.Release(backends[0])
	l.expect(t, 2) // nobody can use it
	if _, err := p.Acquire(0, nil, start); !errors.Is(err, ErrFull) {
		t.Errorf("Acquire while others wait: %v, want ErrFull", err)
	}
	l.wait(t, p)
	l.expect(t, 2, 3) // who comes can
	if _, err := p.Acquire(0, backends, start); !errors.Is(err, ErrNoBackend) {
		t.Errorf("all tried while others wait: %v, want ErrNoBackend", err)
	}
	p.Release(backends[1])
	l.expect(t, 2, 3, 0)
}

// Capacity that Update brings goes to those who wait.
func TestUpdateServesTheQueue(t *testing.T) {
	tests := []struct {
		name   string
		change func(backends []*Backend) []*Backend
		want   []int
	}{
		{"a higher limit", func(b []*Backend) []*Backend { limitAll(b[:1], 3); return b[:1] }, []int{0, 1}},
		{"another backend", func(b []*Backend) []*Backend { return b }, []int{0}},
		{"no limit", func(b []*Backend) []*Backend { limitAll(b[:1], 0); return b[:1] }, []int{0, 1, 2}},
		{"nothing new", func(b []*Backend) []*Backend { return b[:1] }, nil},
		{"no backend", func([]*Backend) []*Backend { return nil }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backends := backendsOf(1, 1)
			limitAll(backends, 1)
			o := Options{Queue: QueueOptions{Limit: 10}}
			p := poolOf(o, backends[0])
			mustAcquire(t, p, 0, start)
			var l line
			for range 3 {
				l.wait(t, p)
			}
			p.Update(o, tt.change(backends), start)
			l.expect(t, tt.want...)
		})
	}
}

// A slot on a backend that no longer gets connections is not passed on.
func TestReleaseOfARemovedBackend(t *testing.T) {
	p, backends := fullPool(t, 2, 10)
	var l line
	l.wait(t, p)
	backends[0].SetDraining(true, start)
	p.Update(p.Options(), backends, start)
	p.Release(backends[0])
	l.expect(t)
	p.Release(backends[1])
	l.expect(t, 0)
	if got := backends[0].Active(); got != 0 {
		t.Errorf("%d connections on the drained one", got)
	}
}

// queueModel is what a pool with a queue must agree with.
type queueModel struct {
	pool     *Pool
	backends []*Backend
	limits   []int
	queue    int
	held     []*Backend
	waiting  []*Waiter
}

// connect acquires, or waits if the pool is full.
func (m *queueModel) connect(t *rapid.T) {
	var tried []*Backend
	if rapid.Bool().Draw(t, "retries") {
		tried = []*Backend{rapid.SampledFrom(m.backends).Draw(t, "tried")}
	}
	b, err := m.pool.Acquire(0, tried, start)
	if err == nil {
		m.held = append(m.held, b)
	}
	if !errors.Is(err, ErrFull) {
		return
	}
	w := &Waiter{Tried: tried}
	w.Grant = func(b *Backend) { m.granted(t, w, b) }
	m.waiting = append(m.waiting, w)
	had := len(m.waiting)
	if err := m.pool.Wait(w); err != nil {
		if had <= m.queue {
			t.Fatalf("refused with %d waiting of %d", had-1, m.queue)
		}
		m.waiting = m.waiting[:len(m.waiting)-1]
	}
}

// granted checks that nobody before w could have used the slot.
func (m *queueModel) granted(t *rapid.T, w *Waiter, b *Backend) {
	i := slices.Index(m.waiting, w)
	for _, before := range m.waiting[:i] {
		if !slices.Contains(before.Tried, b) {
			t.Fatalf("a waiter was overtaken for %v", b.Addr())
		}
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
	m.held = append(m.held, b)
}

func (m *queueModel) release(t *rapid.T) {
	i := rapid.IntRange(0, len(m.held)-1).Draw(t, "release")
	b := m.held[i]
	m.held = slices.Delete(m.held, i, i+1)
	m.pool.Release(b)
}

func (m *queueModel) cancel(t *rapid.T) {
	i := rapid.IntRange(0, len(m.waiting)-1).Draw(t, "cancel")
	if !m.pool.Cancel(m.waiting[i]) {
		t.Fatal("a waiter could not be cancelled")
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
}

// check compares all counts, and looks for a slot left free while somebody waits for it.
func (m *queueModel) check(t *rapid.T) {
	for i, b := range m.backends {
		active := 0
		for _, h := range m.held {
			if h == b {
				active++
			}
		}
		if b.Active() != int64(active) || active > m.limits[i] {
			t.Fatalf("backend %d counts %d, holds %d of %d", i, b.Active(), active, m.limits[i])
		}
		for _, w := range m.waiting {
			if active < m.limits[i] && !slices.Contains(w.Tried, b) {
				t.Fatalf("a slot on backend %d is free while one who could use it waits", i)
			}
		}
	}
	if got := m.pool.Stats().Waiting; got != int64(len(m.waiting)) {
		t.Fatalf("%d waiting, counted %d", len(m.waiting), got)
	}
}

// Who waits is served in order of arrival, never while a slot it could use stays
// free, and never beyond a limit.
func TestQueueInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := queueModel{
			backends: backendsOf(equal(rapid.IntRange(1, 4).Draw(t, "n"))...),
			queue:    5,
		}
		for _, b := range m.backends {
			limit := rapid.IntRange(1, 2).Draw(t, "limit")
			m.limits = append(m.limits, limit)
			edit(b, func(e *Endpoint) { e.MaxConnections = limit })
		}
		m.pool = poolOf(Options{Queue: QueueOptions{Limit: m.queue}}, m.backends...)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 3).Draw(t, "what"); {
			case what <= 1:
				m.connect(t)
			case what == 2 && len(m.held) > 0:
				m.release(t)
			case what == 3 && len(m.waiting) > 0:
				m.cancel(t)
			}
			m.check(t)
		}
	})
}

// swarm is many connections at once on a pool whose limits, members and options
// change under them. Each one acquires, or waits and then cancels or is granted.
type swarm struct {
	pool                       *Pool
	served, refused, cancelled atomic.Int64
}

// connect is one connection from beginning to end.
func (s *swarm) connect(r *rand.Rand, patience int) {
	b, err := s.pool.Acquire(r.Uint64(), nil, start)
	if err == nil {
		s.use(b)
		return
	}
	granted := make(chan *Backend, 1)
	w := &Waiter{Key: r.Uint64(), Grant: func(b *Backend) { granted <- b }}
	if errors.Is(err, ErrNoBackend) || s.pool.Wait(w) != nil {
		s.refused.Add(1)
		return
	}
	for range patience {
		select {
		case b := <-granted:
			s.use(b)
			return
		default:
			runtime.Gosched()
		}
	}
	if s.pool.Cancel(w) {
		s.cancelled.Add(1)
		return
	}
	s.use(<-granted) // hangs, and so fails, if both Grant and Cancel lost
}

func (s *swarm) use(b *Backend) {
	if limit := b.Endpoint().MaxConnections; limit > 0 && b.Active() > 4 {
		panic("over the highest limit there ever was")
	}
	s.served.Add(1)
	runtime.Gosched()
	s.pool.Release(b)
}

// churn changes limits, members and options until done.
func (s *swarm) churn(o Options, backends []*Backend, done <-chan struct{}) {
	r := rand.New(rand.NewPCG(2, 2))
	for now := start; ; now = now.Add(time.Second) {
		select {
		case <-done:
			return
		default:
		}
		i := r.IntN(len(backends))
		edit(backends[i], func(e *Endpoint) { e.MaxConnections = 1 + r.IntN(4) })
		backends[i].SetDraining(i > 0 && r.IntN(2) == 0, now) // the first one always serves
		s.pool.Update(o, backends[:1+r.IntN(len(backends))], now)
		runtime.Gosched()
	}
}

// Whatever happens at the same time, no connection and no slot is lost: every
// connection ends in exactly one way and all counts return to zero.
func TestPoolUnderConcurrency(t *testing.T) {
	const loops, each = 16, 2000
	for _, strategy := range every() {
		t.Run(string(strategy), func(t *testing.T) {
			backends := backendsOf(1, 2, 3, 4)
			limitAll(backends, 2)
			o := Options{Strategy: strategy, Queue: QueueOptions{Limit: 8}, Passive: passive}
			s := swarm{pool: poolOf(o, backends...)}
			var wg sync.WaitGroup
			for loop := range loops {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(1, uint64(loop)))
					for i := range each {
						s.connect(r, r.IntN(30))
						if i%64 == 0 {
							s.pool.Failed(backends[r.IntN(len(backends))], start)
						}
					}
				})
			}
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			s.churn(o, backends, done)

			if got := s.served.Load() + s.refused.Load() + s.cancelled.Load(); got != loops*each {
				t.Errorf("%d connections ended of %d", got, loops*each)
			}
			if s.served.Load() == 0 {
				t.Error("nobody was served: the test did not test")
			}
			t.Logf("served %d, cancelled %d, refused %d", s.served.Load(), s.cancelled.Load(), s.refused.Load())
			for i, b := range backends {
				if b.Active() != 0 {
					t.Errorf("backend %d ends with %d connections", i, b.Active())
				}
			}
			if got := s.pool.Stats().Waiting; got != 0 {
				t.Errorf("%d waiting at the end", got)
			}
		})
	}
}

// linger spends some nanoseconds, each time a few more or fewer, so that what loops
// do at the same time meets in every possible way.
func linger(i int) {
	for n := i % 61; n > 0; n-- {
		lingered.Add(0)
	}
}

var lingered atomic.Int64 // keeps linger from being optimised away

// Patient waiters without anybody to cancel: every one of them must be served, so a
// single lost slot or wake-up hangs the test. With few connections there is nobody
// else whose Release would make up for a lost one.
func TestNoWakeUpIsLost(t *testing.T) {
	tests := []struct {
		name               string
		slots, loops, each int
	}{
		{"many", 2, 16, 5000},
		{"two for one slot", 1, 2, 100000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := backendsOf(1)[0]
			limitAll([]*Backend{b}, tt.slots)
			p := poolOf(Options{Queue: QueueOptions{Limit: tt.loops}}, b)
			var holders atomic.Int64
			var wg sync.WaitGroup
			for range tt.loops {
				wg.Go(func() {
					granted := make(chan *Backend, 1)
					w := &Waiter{Grant: func(b *Backend) { granted <- b }}
					for i := range tt.each {
						b, err := p.Acquire(0, nil, start)
						if errors.Is(err, ErrFull) {
							if err := p.Wait(w); err != nil {
								t.Errorf("Wait: %v", err)
								return
							}
							b = <-granted
						}
						if n := holders.Add(1); n > int64(tt.slots) {
							t.Errorf("%d connections in %d slots", n, tt.slots)
						}
						linger(i)
						holders.Add(-1)
						p.Release(b)
					}
				})
			}
			wg.Wait()
			want := BackendStats{Connections: uint64(tt.loops * tt.each)}
			if diff := cmp.Diff(want, b.Stats()); diff != "" {
				t.Errorf("stats at the end (-want +got):\n%s", diff)
			}
		})
	}
}

// Loops that acquire at the same moment never get more than the limit.
func TestLimitHoldsUnderConcurrency(t *testing.T) {
	const limit = 1
	b := backendsOf(1)[0]
	limitAll([]*Backend{b}, limit)
	p := poolOf(Options{}, b)
	var holders atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100000 {
				b, err := p.Acquire(0, nil, start)
				if err != nil {
					continue
				}
				linger(i)
				if n := holders.Add(1); n > limit {
					t.Errorf("%d connections, limit %d", n, limit)
				}
				holders.Add(-1)
				p.Release(b)
			}
		})
	}
	wg.Wait()
	if got := b.Active(); got != 0 {
		t.Errorf("%d connections at the end", got)
	}
}
