package l4

import (
	"hash/maphash"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// hostRefresh is how often the addresses of this host are read anew: they come and go with failover.
const hostRefresh = 10 * time.Second

// ownAddresses knows the UDP sockets of this process, so that a datagram that one of them has sent, or that was forged to
// look so, is not answered: two that answer each other go on for ever (CVE-2024-2169).
type ownAddresses struct {
	seed  maphash.Seed
	ports []ownPort                               // by number
	bound atomic.Pointer[map[netip.AddrPort]int]  // of entrypoints, how often; writer: the owner of the topology
	hosts atomic.Pointer[map[netip.Addr]struct{}] // addresses of this host; writer: refresh
}

// ownPort is what of ours has a port. Loops on other processors may see one field without the other for a moment, in which
// a datagram is judged wrongly; that is as harmless as a lost one.
type ownPort struct {
	wires  atomic.Int32  // towards backends; the kernel gives each a port that nobody else has, so there is one at most
	inlets atomic.Int32  // addresses of entrypoints
	ip     atomic.Uint64 // hash of the wire's address
}

// knowOwn begins to keep the server's own addresses, when the first UDP entrypoint wants to be bound.
func (s *Server) knowOwn() {
	if s.own != nil {
		return
	}
	s.own = newOwnAddresses()
	closed := make(chan struct{})
	s.ending = sync.OnceFunc(func() { close(closed) })
	s.running.Go(func() {
		ticker := time.NewTicker(hostRefresh)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.own.refresh()
			case <-closed:
				return
			}
		}
	})
}

func newOwnAddresses() *ownAddresses {
	o := &ownAddresses{seed: maphash.MakeSeed(), ports: make([]ownPort, 1<<16)}
	o.bound.Store(&map[netip.AddrPort]int{})
	o.refresh()
	return o
}

// refresh reads the addresses of this host. What cannot be read stays as it was.
func (o *ownAddresses) refresh() {
	hosts := make(map[netip.Addr]struct{})
	addrs, err := net.InterfaceAddrs()
	if err != nil && o.hosts.Load() != nil {
		return
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			hosts[p.Addr().Unmap().WithZone("")] = struct{}{}
		}
	}
	o.hosts.Store(&hosts)
}

// bind and unbind tell that an entrypoint receives on addrs, and does so no more.
func (o *ownAddresses) bind(addrs []netip.AddrPort)   { o.count(addrs, 1) }
func (o *ownAddresses) unbind(addrs []netip.AddrPort) { o.count(addrs, -1) }

func (o *ownAddresses) count(addrs []netip.AddrPort, n int) {
	bound := maps.Clone(*o.bound.Load())
	for _, addr := range addrs {
		o.ports[addr.Port()].inlets.Add(int32(n))
		if bound[addr] += n; bound[addr] == 0 {
			delete(bound, addr)
		}
	}
	o.bound.Store(&bound)
}

// add and remove tell of a wire. Safe from any goroutine.
func (o *ownAddresses) add(addr netip.AddrPort) {
	p := &o.ports[addr.Port()]
	p.ip.Add(o.hash(addr.Addr())) // added, for the port may be somebody's who has not been removed yet
	p.wires.Add(1)
}

func (o *ownAddresses) remove(addr netip.AddrPort) {
	p := &o.ports[addr.Port()]
	p.wires.Add(-1)
	p.ip.Add(-o.hash(addr.Addr()))
}

func (o *ownAddresses) hash(ip netip.Addr) uint64 {
	b := ip.WithZone("").As16()
	return maphash.Bytes(o.seed, b[:])
}

// has reports whether one of our sockets has the address. Safe from any goroutine.
func (o *ownAddresses) has(addr netip.AddrPort) bool {
	p := &o.ports[addr.Port()]
	if p.wires.Load() > 0 && p.ip.Load() == o.hash(addr.Addr()) {
		return true
	}
	return p.inlets.Load() > 0 && o.receives(addr)
}

// receives reports whether an entrypoint has the address. One that is bound to all has those of this host.
func (o *ownAddresses) receives(addr netip.AddrPort) bool {
	bound, ip := *o.bound.Load(), addr.Addr().WithZone("")
	if bound[netip.AddrPortFrom(ip, addr.Port())] > 0 {
		return true
	}
	if bound[netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())]+bound[netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port())] == 0 {
		return false
	}
	_, here := (*o.hosts.Load())[ip]
	return here || ip.IsLoopback()
}
