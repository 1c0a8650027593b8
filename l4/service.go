package l4

import (
	"sync/atomic"

	"github.com/weirlb/weir/upstream"
)

// Service leads connections to backends. It outlives reloads: what it chooses from may be replaced at any time.
type Service struct {
	name    string
	chooser atomic.Pointer[upstream.Chooser] // writer: the owner of the topology
	shares  []counters                       // by loop
}

// NewService returns a service for the server's loops.
func (s *Server) NewService(name string, c upstream.Chooser) *Service {
	v := &Service{name: name, shares: make([]counters, len(s.workers))}
	v.SetChooser(c)
	return v
}

// Name is the service's name in the configuration.
func (v *Service) Name() string { return v.name }

// SetChooser replaces what new connections are led to.
func (v *Service) SetChooser(c upstream.Chooser) { v.chooser.Store(&c) }

// Stats are the service's numbers. Safe from any goroutine.
func (v *Service) Stats() Stats { return sum(v.shares) }
