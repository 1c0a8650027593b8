package flow

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

// instance is a balancer of a cluster: it has its own idea of in which order the backends are listed, and its own past.
type instance struct {
	*shell
	backends []*upstream.Backend
	pool     *upstream.Pool
	options  upstream.Options
}

func newInstance(t tester, o upstream.Options, addrs []netip.AddrPort) *instance {
	n := &instance{options: o}
	for _, a := range addrs {
		n.backends = append(n.backends, upstream.NewBackend("dns", upstream.Endpoint{Addr: a, Weight: 1 + int(a.Port())%3}))
	}
	n.pool = poolOf(o, n.backends...)
	n.shell = newShell(t, Options{Pick: through(n.pool, 0, nil)})
	return n
}

func (n *instance) setHealth(down []netip.AddrPort, now time.Time) {
	for _, b := range n.backends {
		b.SetHealth(upstream.Up, now)
		if slices.Contains(down, b.Addr()) {
			b.SetHealth(upstream.Down, now)
		}
	}
	n.pool.Update(n.options, n.backends, now)
}

// lead sends a datagram and returns the address to which the client's flow goes.
func (n *instance) lead(key Key) netip.AddrPort {
	n.run(n.table.FromClient(key, 1, n.now, nil))
	return n.table.index.find(&key, key.hash(n.table.index.seed)).Backend().Addr()
}

// TestTwoInstancesAgree: where strategies that hash lead a client depends on the client and on which backends are well, and
// on nothing else: neither the order of the list, nor earlier clients, nor failures in between.
func TestTwoInstancesAgree(t *testing.T) {
	for _, strategy := range []upstream.Strategy{upstream.Maglev, upstream.HRW} {
		t.Run(string(strategy), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				o := retries
				o.Strategy = strategy
				o.HashKey = rapid.SampledFrom([]upstream.HashKey{"", upstream.SourceIP, upstream.SourceIPPort}).Draw(r, "key")
				var addrs []netip.AddrPort
				for i := range rapid.IntRange(2, 6).Draw(r, "backends") {
					addrs = append(addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}), uint16(5000+i)))
				}
				a, b := newInstance(r, o, addrs), newInstance(r, o, rapid.Permutation(addrs).Draw(r, "order"))
				for n := range rapid.IntRange(0, 20).Draw(r, "others") {
					b.lead(keyOf(1000 + n))
				}
				down := addrs[:rapid.IntRange(0, len(addrs)-1).Draw(r, "down")]
				b.setHealth(addrs[:1], start)
				a.setHealth(down, start)
				b.setHealth(down, start)
				for n := range 20 {
					key := keyOf(rapid.IntRange(0, 1<<20).Draw(r, "client"))
					if x, y := a.lead(key), b.lead(key); x != y {
						r.Fatalf("client %d, %v: one leads it to %v, the other to %v", n, key.Client, x, y)
					}
				}
			})
		})
	}
}

// TestSourceStays: by default all ports of a source lead to one backend.
func TestSourceStays(t *testing.T) {
	o := retries
	o.Strategy = upstream.Maglev
	n := newInstance(t, o, []netip.AddrPort{netip.MustParseAddrPort("10.9.0.1:53"), netip.MustParseAddrPort("10.9.0.2:53")})
	key := keyOf(1)
	first, used := n.lead(key), map[netip.AddrPort]bool{}
	for port := range uint16(50) {
		key.Client = netip.AddrPortFrom(key.Client.Addr(), 5000+port)
		if got := n.lead(key); got != first {
			t.Fatalf("port %d leads to %v, others to %v", key.Client.Port(), got, first)
		}
	}
	for c := range 50 {
		used[n.lead(keyOf(c))] = true
	}
	if len(used) != 2 {
		t.Errorf("50 sources use %d of 2 backends", len(used))
	}
}
