package l4

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// hostRefresh is how often the addresses of this host are read anew: they come and go with failover.
const hostRefresh = 10 * time.Second

// ownAddresses knows the UDP sockets of this process, so that a datagram that one of them has sent, or that was forged to
// look so, is not answered: two that answer each other go on for ever (CVE-2024-2169). Safe from any goroutine.
type ownAddresses struct {
	seed  maphash.Seed
	ports []ownPort // by number
	hosts atomic.Pointer[map[netip.Addr]struct{}]
}

// ownPort is what of ours has a port. Loops on other processors may see one field without the other for a moment, in which
// a datagram is judged wrongly; that is as harmless as a lost one.
type ownPort struct {
	sockets atomic.Int32
	wild    atomic.Int32  // of these, bound to all addresses
	ip      atomic.Uint64 // hash of the address of the one there is; of several, all of them mixed
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

func (o *ownAddresses) add(addr netip.AddrPort)    { o.count(addr, 1) }
func (o *ownAddresses) remove(addr netip.AddrPort) { o.count(addr, -1) }

func (o *ownAddresses) count(addr netip.AddrPort, n int32) {
	p := &o.ports[addr.Port()]
	p.sockets.Add(n)
	if ip := addr.Addr(); ip.IsUnspecified() {
		p.wild.Add(n)
	} else {
		p.ip.Add(uint64(n) * o.hash(ip))
	}
}

func (o *ownAddresses) hash(ip netip.Addr) uint64 {
	b := ip.WithZone("").As16()
	return maphash.Bytes(o.seed, b[:])
}

// has reports whether one of our sockets has the address. Where several have the port, any address of this host counts.
func (o *ownAddresses) has(addr netip.AddrPort) bool {
	p := &o.ports[addr.Port()]
	switch n := p.sockets.Load(); {
	case n == 0:
		return false
	case n == 1 && p.wild.Load() == 0:
		return p.ip.Load() == o.hash(addr.Addr())
	}
	ip := addr.Addr().WithZone("")
	_, here := (*o.hosts.Load())[ip]
	return here || ip.IsLoopback()
}
