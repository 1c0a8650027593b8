package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/upstream"
)

const (
	// ackWait is how long an order waits for the other nodes to say that they have it.
	ackWait = 3 * time.Second
	ackPoll = 20 * time.Millisecond
)

// orders are what operators have ordered, as this node knows it.
func (t *tier) orders() *cluster.Commands {
	var all []cluster.Command
	// An error says that the node has stopped, and so does weir.
	_ = t.node.Read(func(_ *cluster.Table, _ cluster.Members, c *cluster.Commands) { all = c.All() })
	return cluster.NewCommands(t.plan.node, all)
}

// takeOrders does what operators have ordered here or at another node.
func (s *Server) takeOrders(n cluster.News) {
	s.orders = s.tier.orders()
	for name := range s.pools {
		if n.Missed || slices.ContainsFunc(n.Commands, func(c cluster.Command) bool { return c.Service == name }) {
			s.obey(name)
		}
	}
}

// obey gives the backends of a pool what operators have ordered.
func (t *topology) obey(name string) {
	p, plan := t.pools[name], t.plan.pool(name)
	t.fill(p, name, plan.options, p.endpoints(plan.endpoints), time.Now()) // the same backends: none comes or goes
}

// orderText is an order in words.
func orderText(c cluster.Command) string {
	name, _ := cutKey(c.Service)
	target := "service " + name
	if c.Backend.IsValid() {
		target = upstream.Show(c.Backend) + " of " + target
	}
	switch {
	case c.Aspect == cluster.Drain && c.On:
		return "drain " + target
	case c.Aspect == cluster.Drain:
		return "undrain " + target
	case c.On:
		return fmt.Sprintf("weight %d for %s", c.Value, target)
	}
	return "configured weight for " + target
}

// order carries an operator's order out here, and on all nodes of the cluster. It is called by the admin endpoint.
func (s *Server) order(ctx context.Context, o admin.Order) (admin.Ordered, error) {
	c, err := commandOf(o)
	if err != nil {
		return admin.Ordered{}, err
	}
	var concerned int
	var wrong error
	if !s.do(ctx, func() {
		if concerned, wrong = s.address(&c, o); wrong == nil && s.tier == nil {
			wrong = s.orderHere(c)
		}
	}) {
		return admin.Ordered{}, errStopping
	}
	if wrong != nil {
		return admin.Ordered{}, wrong
	}
	if s.tier == nil {
		return orderedState(cluster.Acks{Holders: []string{hostName()}}, concerned), nil
	}
	if c, err = s.tier.node.Issue(c); err != nil {
		return admin.Ordered{}, orderError(err)
	}
	// The node tells Run's goroutine of it as of any other; whoever has ordered it sees it done when this returns.
	s.do(ctx, func() { s.takeOrders(cluster.News{Commands: []cluster.Command{c}}) })
	acks, err := s.acked(ctx, c)
	return orderedState(acks, concerned), err
}

// commandOf is what an order comes to, without its target.
func commandOf(o admin.Order) (cluster.Command, error) {
	c := cluster.Command{By: o.By}
	switch {
	case o.Drain != nil:
		c.Aspect, c.On = cluster.Drain, *o.Drain
	case o.Weight != nil:
		c.Aspect, c.On, c.Value = cluster.Weight, true, *o.Weight
		if c.Value < 0 || c.Value > cluster.MaxWeight {
			return c, fmt.Errorf("%w: weight %d, from 0 to %d", admin.ErrInvalid, c.Value, cluster.MaxWeight)
		}
	default:
		c.Aspect = cluster.Weight
	}
	return c, nil
}

// address finds the target of an order, and how many backends it concerns.
func (s *Server) address(c *cluster.Command, o admin.Order) (concerned int, err error) {
	var keys []string
	for key := range s.pools {
		if name, protocol := cutKey(key); name == o.Service && (o.Protocol == "" || o.Protocol == protocol) {
			keys = append(keys, key)
		}
	}
	switch {
	case len(keys) == 0:
		return 0, fmt.Errorf("%w: no %s has servers of its own and this name: %s", admin.ErrNoSuch,
			strings.TrimSpace(o.Protocol+" service"), o.Service)
	case len(keys) > 1:
		return 0, fmt.Errorf("%w: several protocols have a service %s: say which one is meant (protocol)", admin.ErrInvalid, o.Service)
	}
	c.Service = keys[0]
	p := s.pools[c.Service]
	if o.Backend == "" {
		return len(p.members), nil
	}
	if m := p.named(o.Backend); m != nil {
		c.Backend = m.backend.Addr()
		return 1, nil
	}
	addr, err := netip.ParseAddrPort(o.Backend)
	if err == nil && s.stands(c.Service, addr) { // of a backend that has gone, to be taken back
		c.Backend = addr
		return 0, nil
	}
	return 0, fmt.Errorf("%w: service %s has no backend %s; it has %s", admin.ErrNoSuch, o.Service, o.Backend, p.names())
}

// stands reports whether there is an order about a backend.
func (s *Server) stands(service string, addr netip.AddrPort) bool {
	return slices.ContainsFunc(s.orders.All(), func(c cluster.Command) bool {
		return c.On && c.Service == service && c.Backend == netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	})
}

// named finds a member by its address as people write it, nil if there is none.
func (p *pool) named(text string) *member {
	for _, m := range p.members {
		if upstream.Show(m.backend.Addr()) == text {
			return m
		}
	}
	if addr, err := netip.ParseAddrPort(text); err == nil {
		return p.find(netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	}
	return nil
}

// maxNamed bounds how many backends a message lists.
const maxNamed = 10

// names lists the members, for people.
func (p *pool) names() string {
	var names []string
	for _, m := range p.members {
		names = append(names, upstream.Show(m.backend.Addr()))
	}
	switch n := len(names); {
	case n == 0:
		return "none"
	case n > maxNamed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), n-maxNamed)
	}
	return strings.Join(names, ", ")
}

// orderHere carries an order out on a weir that is on its own. It lasts as long as the process.
func (s *Server) orderHere(c cluster.Command) error {
	c, err := s.orders.Issue(c, time.Now())
	if err != nil {
		return orderError(err)
	}
	s.log.Info("order of an operator", "what", orderText(c), "by", c.By)
	s.obey(c.Service)
	return nil
}

// orderError says of an error whether whoever ordered it can do something about it.
func orderError(err error) error {
	if errors.Is(err, cluster.ErrCommand) || errors.Is(err, cluster.ErrTooMany) || errors.Is(err, cluster.ErrRing) || errors.Is(err, cluster.ErrPlain) {
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	return err
}

// hostName is what a weir on its own is called.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "this weir"
	}
	return name
}

// acked waits for a while until all members have a command.
func (s *Server) acked(ctx context.Context, c cluster.Command) (cluster.Acks, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	for {
		acks, err := s.tier.node.Acks(c)
		if err != nil || len(acks.Missing) == 0 || pause(ctx, ackPoll) != nil {
			return acks, err
		}
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// allOrders are the orders that have not been taken back. It is called by the admin endpoint.
func (s *Server) allOrders() []admin.StandingOrder {
	var all []cluster.Command
	s.do(context.Background(), func() { all = s.orders.All() })
	return standingOrders(all)
}
