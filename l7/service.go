package l7

import (
	"sync/atomic"

	"github.com/weirlb/weir/upstream"
)

// Service leads requests to backends. It outlives reloads: what it consists of may be replaced at any time.
type Service struct {
	name     string
	target   atomic.Pointer[Target] // writer: the owner of the topology
	counters *Counters
}

// Target is what a service consists of: a LoadBalancer, or other services that it chooses among.
type Target interface {
	// choose returns the load balancer for a request, nil if there is none with a backend to offer, and how good that
	// offer is. It is called on loops: it takes no lock and does not allocate.
	choose(x *Exchange) (*LoadBalancer, offer)
}

// offer is how good a choice is.
type offer uint8

const (
	nothing offer = iota // no backend at all
	panicky              // backends that are thought to be down, because all are
	sound                // a usable backend
)

// NewService returns a service.
func (s *Server) NewService(name string, t Target) *Service {
	v := &Service{name: name, counters: s.NewCounters()}
	v.Set(t)
	return v
}

// Name is the service's name in the configuration.
func (v *Service) Name() string { return v.name }

// Set replaces what new requests are led to.
func (v *Service) Set(t Target) { v.target.Store(&t) }

// Stats are the service's numbers. Safe from any goroutine.
func (v *Service) Stats() Stats { return v.counters.Stats() }

// choose returns the load balancer for a request, nil if none has a backend to offer.
func (v *Service) choose(x *Exchange) *LoadBalancer {
	x.service = v
	lb, offer := (*v.target.Load()).choose(x)
	if offer == nothing {
		return nil
	}
	return lb
}

// LoadBalancer is a service with backends of its own. It never changes; the pool outlives it.
type LoadBalancer struct {
	Pool        *upstream.Pool
	Transport   *Transport
	RewriteHost bool // send the server's address as Host, not what the client asked for
	CountErrors bool // responses with 5xx count as failures of the backend
}

func (lb *LoadBalancer) choose(*Exchange) (*LoadBalancer, offer) {
	if _, ok := lb.Pool.Choose(0); !ok {
		return lb, nothing
	}
	return lb, sound
}

// host is what a server is called where the client's Host is not passed on.
func (lb *LoadBalancer) host(b *upstream.Backend) string { return b.Addr().String() }

// stick has no effect yet.
func (lb *LoadBalancer) stick(*Exchange) {}

func (v *Service) rewritesHost(x *Exchange) bool { return x.lb.RewriteHost }
