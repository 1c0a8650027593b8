package l7

import (
	"net/netip"

	"github.com/weirlb/weir/upstream"
)

// LoadBalancer is a service with backends of its own. It never changes; the pool outlives it.
type LoadBalancer struct {
	Pool        *upstream.Pool
	Transport   *Transport
	Sticky      *Sticky // keeps clients at the backend they were at; nil = it does not
	RewriteHost bool    // send the server's address as Host, not what the client asked for
	CountErrors bool    // responses with 5xx count as failures of the backend

	// BasePaths are what goes before the path of requests to some of the backends: escaped, with a leading and without a
	// trailing slash.
	BasePaths map[netip.AddrPort]string
}

func (lb *LoadBalancer) choose(x *Exchange) choice {
	c := choice{lb: lb}
	switch _, ok := lb.Pool.Choose(0); {
	case lb.Pool.Sound():
		c.offer = sound
	case ok:
		c.offer = panicky
	}
	if lb.Sticky == nil {
		return c
	}
	// A session is kept by a backend without weight too, which is offered to nobody else.
	if id, ok := lb.Sticky.read(x); ok {
		if b := lb.Pool.Find(id); b != nil && keeps(b) {
			c.session, c.offer = b, sound
		}
	}
	return c
}

// keeps reports whether a backend keeps its sessions: not when it is emptied or out of order.
func keeps(b *upstream.Backend) bool {
	s := b.Status()
	return !s.Draining && s.Health != upstream.Down && !s.Ejected()
}

// host is what a server is called where the client's Host is not passed on. A Unix socket has no name of its own.
func (lb *LoadBalancer) host(b *upstream.Backend) string {
	if _, ok := upstream.UnixPath(b.Addr()); ok {
		return "localhost"
	}
	return b.Addr().String()
}
