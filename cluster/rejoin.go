package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxJoins is how many nodes are looked for at a time.
	maxJoins = 16
	// resolveTimeout bounds the resolution of one name.
	resolveTimeout = 5 * time.Second
)

// seeker finds the nodes that should be members and are none. The membership layer forgets the dead, so after a partition
// it would stay apart for ever.
type seeker struct {
	self   netip.AddrPort
	roster *roster
	join   func(addr netip.AddrPort) error // waits until the node has answered, or not

	seeds   []string
	resolve func(ctx context.Context, name string) ([]netip.AddrPort, error)
	known   []netip.AddrPort // of the life before
	report  func(error)      // of names that cannot be resolved

	mu    sync.Mutex
	found map[string][]netip.AddrPort // what each name last resolved to: a resolution that fails changes nothing
}

// run looks for nodes now and then, until ctx ends. It calls first when it has done so once.
func (s *seeker) run(ctx context.Context, interval time.Duration, first func()) {
	s.round(ctx, func(netip.AddrPort) bool { return true })
	first()
	for ctx.Err() == nil {
		// Nodes that were parted look for each other at different times: one attempt is enough.
		pause(ctx, interval*3/4+rand.N(interval/2))
		s.round(ctx, s.missing())
	}
}

// missing tells of an address whether no member is there.
func (s *seeker) missing() func(netip.AddrPort) bool {
	members := map[netip.AddrPort]bool{}
	for _, p := range s.roster.snapshot() {
		if p.state == MemberAlive {
			members[addrOf(&p.node)] = true
		}
	}
	return func(addr netip.AddrPort) bool { return !members[addr] }
}

// round looks once for all that are known and wanted. At the start those are all, members or not: a node that others hold
// for dead learns of it from each of them alone.
func (s *seeker) round(ctx context.Context, wanted func(netip.AddrPort) bool) {
	var mu sync.Mutex
	tried := map[netip.AddrPort]bool{s.self: true}
	first := func(addr netip.AddrPort) bool {
		mu.Lock()
		defer mu.Unlock()
		again := tried[addr]
		tried[addr] = true
		return !again && wanted(addr)
	}
	slots := make(chan struct{}, maxJoins)
	var all sync.WaitGroup
	look := func(addrs func() []netip.AddrPort) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for _, addr := range addrs() {
				if ctx.Err() == nil && first(addr) {
					_ = s.join(addr) // the membership layer has logged it, and it is tried again
				}
			}
		})
	}
	for _, seed := range s.seeds {
		look(func() []netip.AddrPort { return s.lookup(ctx, seed) })
	}
	for _, addr := range s.remembered() {
		look(func() []netip.AddrPort { return []netip.AddrPort{addr} })
	}
	all.Wait()
}

// remembered returns where nodes were that have not left.
func (s *seeker) remembered() []netip.AddrPort {
	addrs := map[netip.AddrPort]bool{}
	for _, addr := range s.known {
		addrs[addr] = true
	}
	for _, p := range s.roster.snapshot() {
		addrs[addrOf(&p.node)] = p.state != MemberLeft
	}
	maps.DeleteFunc(addrs, func(_ netip.AddrPort, wanted bool) bool { return !wanted })
	return slices.SortedFunc(maps.Keys(addrs), netip.AddrPort.Compare)
}

// lookup returns the addresses that a seed stands for.
func (s *seeker) lookup(ctx context.Context, seed string) []netip.AddrPort {
	if addr, ok := literal(seed); ok {
		return []netip.AddrPort{addr}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := s.resolve(ctx, seed)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || len(addrs) == 0 {
		if err != nil && ctx.Err() != context.Canceled {
			s.report(fmt.Errorf("cluster: resolving %q: %w", seed, err))
		}
		return s.found[seed]
	}
	addrs = slices.Clone(addrs[:min(len(addrs), MaxMembers)])
	for i, addr := range addrs {
		addrs[i] = withPort(addr)
	}
	s.found[seed] = addrs
	return addrs
}
