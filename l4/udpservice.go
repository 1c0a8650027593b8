package l4

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// UDPService leads flows and datagrams to backends. It outlives reloads: what it chooses from may be replaced at any time.
type UDPService struct {
	name    string
	chooser atomic.Pointer[upstream.Chooser] // writer: the owner of the topology
	shares  []*flow.Counters                 // by loop
}

// NewUDPService returns a service for the server's loops.
func (s *Server) NewUDPService(name string, c upstream.Chooser) *UDPService {
	v := &UDPService{name: name, shares: newFlowCounters(len(s.workers))}
	v.SetChooser(c)
	return v
}

func newFlowCounters(loops int) []*flow.Counters {
	shares := make([]*flow.Counters, loops)
	for i := range shares {
		shares[i] = new(flow.Counters)
	}
	return shares
}

// Name is the service's name in the configuration.
func (v *UDPService) Name() string { return v.name }

// SetChooser replaces what new flows are led to. Flows that live stay where they are while their backend is good.
func (v *UDPService) SetChooser(c upstream.Chooser) { v.chooser.Store(&c) }

// Stats are the service's numbers. Safe from any goroutine.
func (v *UDPService) Stats() flow.Stats { return flow.Sum(v.shares...) }

// pick chooses a backend for a client, on a loop.
func (v *UDPService) pick(loop int, client netip.AddrPort, tried []*upstream.Backend, now time.Time) (flow.Choice, error) {
	pool, b, err := flow.Choose(*v.chooser.Load(), client, tried, now)
	if err != nil {
		return flow.Choice{}, err
	}
	return flow.Choice{Backend: b, Pool: pool, Responses: pool.Options().Responses, Counters: v.shares[loop]}, nil
}
