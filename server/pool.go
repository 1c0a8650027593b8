package server

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/upstream"
)

// pool is the live side of a service with backends of its own. Only the owner of the topology touches it, but for tripped.
type pool struct {
	live    *upstream.Pool
	options upstream.Options
	members []*member
	sources []*source   // where further members are looked for
	next    time.Time   // when live wants to be updated though nothing changed; zero = never
	tripped atomic.Bool // a backend failed so often that it should be ejected; writer: the data path

	updates   uint64      // of live, ever
	suspected atomic.Bool // a connection failed to a backend to which they did not before; writer: the data path
}

// member is a backend in a pool, and whoever probes it.
type member struct {
	backend *upstream.Backend
	check   *checkPlan      // what checker does; nil = nothing
	checker *health.Checker // nil = not probed
	cancel  context.CancelFunc
	done    chan struct{} // closed when the checker has ended
	status  health.Status // what the last checker knew

	duty    cluster.Duty // that the checker was told
	judged  bool         // by a jury, to which the checker's verdict is one of several
	hearsay bool         // it is down by the word of other nodes only
}

// probing is who hears of probes.
type probing struct {
	emit func(context.Context, health.Transition) // of verdicts; must give up when the context ends
	// looked is told of a backend whose probe failed, or came out otherwise than the one before. It must not block. nil: emit
	// decides; else a jury does.
	looked func(cluster.Key)
}

// newPool returns a pool without backends. wake is called on the data path when something is to be done because of failing
// connections; it must not block.
func newPool(service string, wake func()) *pool {
	p := &pool{}
	p.live = upstream.NewPool(service, func(*upstream.Backend) {
		p.tripped.Store(true)
		wake()
	})
	return p
}

// heed has wake called, too, when a connection to a backend fails that did not before. It is for a new pool.
func (p *pool) heed(wake func()) {
	p.live.Watch(func(*upstream.Backend) {
		p.suspected.Store(true)
		wake()
	})
}

// set replaces options and members.
func (p *pool) set(o upstream.Options, members []*member, now time.Time) {
	p.options, p.members = o, members
	p.update(now)
}

// update makes what was set on the backends count.
func (p *pool) update(now time.Time) {
	p.tripped.Store(false)
	backends := make([]*upstream.Backend, len(p.members))
	for i, m := range p.members {
		backends[i] = m.backend
	}
	p.next = p.live.Update(p.options, backends, now)
	p.updates++
}

// find returns the member with an address, nil if there is none.
func (p *pool) find(addr netip.AddrPort) *member {
	i := slices.IndexFunc(p.members, func(m *member) bool { return m.backend.Addr() == addr })
	if i < 0 {
		return nil
	}
	return p.members[i]
}

// watch has every member probed as c says; a checker that does so already goes on. Members that are not probed any more are
// neither up nor down.
func (p *pool) watch(c *checkPlan, who probing, now time.Time) error {
	if c == nil {
		for _, m := range p.members {
			m.unwatch()
			m.status = health.Status{}
			m.backend.SetHealth(upstream.Unknown, now)
		}
		p.update(now)
		return nil
	}
	prober, err := c.prober()
	if err != nil {
		return err
	}
	o := c.options
	o.Prober = prober
	for _, m := range p.members {
		if m.checker == nil || !same(m.check, c) {
			m.unwatch()
			m.watch(c, o, who)
		}
	}
	return nil
}

// prober makes the prober of a check.
func (c *checkPlan) prober() (health.Prober, error) {
	params := c.params
	if c.secure != nil {
		t := newClientTLS(c.secure)
		params.TLS = &health.TLS{
			ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify, RootCAs: t.RootCAs, Certificates: t.Certificates, Verify: true,
		}
	}
	return health.New(c.kind, params)
}

// watch starts a checker that knows what the last one knew.
func (m *member) watch(c *checkPlan, o health.Options, who probing) {
	ctx, cancel := context.WithCancel(context.Background())
	m.check, m.cancel, m.done, m.duty = c, cancel, make(chan struct{}), cluster.Duty{}
	m.checker = health.NewChecker(m.backend, o, func(t health.Transition) {
		if who.looked == nil {
			who.emit(ctx, t)
		}
	})
	if m.judged = who.looked != nil; m.judged {
		key := cluster.HealthKey(cluster.IDOf(m.backend.Key().Service, m.backend.Addr()), cluster.SpecOf(c.spec))
		m.checker.Watch(func() { who.looked(key) })
	}
	m.checker.Resume(m.status)
	go func(c *health.Checker, done chan struct{}) {
		defer close(done)
		c.Run(ctx)
	}(m.checker, m.done)
}

// unwatch ends the checker and keeps what it knew.
func (m *member) unwatch() {
	if m.checker == nil {
		return
	}
	m.cancel()
	<-m.done
	// A verdict whose transition nobody took in is not the backend's: the next checker has to find it again.
	if status := m.checker.Status(); m.judged || status.Health == m.backend.Health() {
		m.status = status
	}
	m.check, m.checker, m.cancel, m.done = nil, nil, nil, nil
}

// unwatch ends all checkers.
func (p *pool) unwatch() {
	for _, m := range p.members {
		m.unwatch()
	}
}
