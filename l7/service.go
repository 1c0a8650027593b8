package l7

import (
	"sync/atomic"

	"github.com/weirlb/weir/upstream"
)

const (
	maxDepth = 16 // services below each other that a request is led through
	maxNests = 4  // of them, how many of a kind can do what concerns the response: set a cookie, or fail over
)

// Service leads requests to backends. It outlives reloads: what it consists of may be replaced at any time. Services refer
// to each other, not to what the others consist of, so that a change of one needs no rebuild of those above it.
type Service struct {
	name     string
	target   atomic.Pointer[Target] // writer: the owner of the topology
	counters *Counters
}

// Target is what a service consists of: a LoadBalancer, or other services that it chooses among.
type Target interface {
	// choose returns where a request is led, and how good that offer is. It is called on loops: it takes no lock and does
	// not allocate. What is chosen need not be taken.
	choose(x *Exchange) choice
}

// offer is how good a choice is.
type offer uint8

const (
	nothing offer = iota // no backend at all
	panicky              // backends that are thought to be down, because all are
	sound                // a usable backend
)

// choice is where a request is led, and what the services on the way there will do when the response has come.
type choice struct {
	offer     offer
	service   *Service // whose load balancer it is
	lb        *LoadBalancer
	session   *upstream.Backend // where the client's session is; nil = nowhere
	mirror    *Mirror           // the outermost
	failovers few[*Failover]    // those that have chosen their main service and would look at its response, innermost first
	marks     few[mark]         // cookies to set
}

// better returns the better of two choices, the first one if they are alike.
func better(c, d choice) choice {
	if d.offer > c.offer {
		return d
	}
	return c
}

// few is a short list that needs no memory of its own. What does not fit is left out.
type few[T any] struct {
	n  int
	of [maxNests]T
}

func (f *few[T]) add(v T) {
	if f.n < len(f.of) {
		f.of[f.n] = v
		f.n++
	}
}

// NewService returns a service.
func (s *Server) NewService(name string, t Target) *Service {
	v := &Service{name: name, counters: s.NewCounters()}
	v.Set(t)
	return v
}

// Name is the service's name in the configuration.
func (v *Service) Name() string { return v.name }

// Set replaces what new requests are led to; nil is a target without a backend.
func (v *Service) Set(t Target) { v.target.Store(&t) }

// Stats are the numbers of the requests that routers gave to the service and of those that it has led to a backend of its
// own. Safe from any goroutine.
func (v *Service) Stats() Stats { return v.counters.Stats() }

// choose asks what the service consists of. Services are replaced one by one, so that for a moment, while a reload turns
// two of them round, one may be above itself: then nothing is chosen at all, at once, or every turn of the way would be
// looked at.
func (v *Service) choose(x *Exchange) choice {
	if x.tangled = x.tangled || x.depth == maxDepth; x.tangled {
		return choice{}
	}
	target := *v.target.Load()
	if target == nil {
		return choice{service: v}
	}
	x.depth++
	c := target.choose(x)
	x.depth--
	if c.service == nil {
		c.service = v
	}
	return c
}

// ask has a service choose anew.
func (x *Exchange) ask(v *Service) choice {
	x.depth, x.tangled = 0, false
	return v.choose(x)
}

// follow takes a choice.
func (x *Exchange) follow(c choice) {
	x.phase = choosing
	x.service, x.lb, x.session = c.service, c.lb, c.session
	x.failovers, x.marks = c.failovers, c.marks
}
