package l4

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// UDPOptions are what may change while a UDP entrypoint is open.
type UDPOptions struct {
	IdleTimeout       time.Duration // of a flow without a datagram either way
	MaxFlows          int           // at one time, at least 1; with shared sockets, queries that wait
	MaxFlowsPerSource int           // 0 = no bound; it does not hold for shared sockets
	Amplification     int           // how many times its bytes a source may draw that was seen once; 0 = no bound
}

// UDPEntrypoint receives datagrams on one address, or on the ports of a range. Only the owner of the topology calls its
// methods, but for Flows and Stats.
type UDPEntrypoint struct {
	server  *Server
	name    string
	flows   *flow.Budget     // all loops together
	shares  []*flow.Counters // by loop
	sockets *UDPSockets      // what it was opened with
	ports   []uint16
	doors   []*udpDoor // by loop; each is its loop's

	settings *udpSettings
	stopped  bool
	cut      bool
}

// udpSettings is everything a door decides with, replaced as one value.
type udpSettings struct {
	UDPOptions
	route     *UDPRoute // nil = nothing is led anywhere
	rates     []*RateLimit
	perSource *InFlightConn // nil = no bound
	gate      *flowGate     // nil = everybody may have flows
}

func newUDPSettings(old *udpSettings, o UDPOptions, r *UDPRoute) *udpSettings {
	s := &udpSettings{UDPOptions: o, route: r}
	if r == nil {
		return s
	}
	s.rates = r.rates()
	switch {
	case o.MaxFlowsPerSource == 0 || r.Shared != nil:
	case old != nil && old.perSource != nil && old.MaxFlowsPerSource == o.MaxFlowsPerSource:
		s.perSource = old.perSource
	default:
		s.perSource = NewInFlightConn(o.MaxFlowsPerSource)
	}
	var before *flowGate
	if old != nil {
		before = old.gate
	}
	s.gate = newFlowGate(before, s.perSource, r)
	return s
}

// OpenUDP starts receiving on sockets, which the entrypoint owns from now on. Without a route everything is dropped.
func (s *Server) OpenUDP(name string, sockets *UDPSockets, o UDPOptions, r *UDPRoute) (*UDPEntrypoint, error) {
	e := &UDPEntrypoint{
		server: s, name: name, sockets: sockets, ports: slices.Clone(sockets.ports),
		flows: flow.NewBudget(o.MaxFlows), shares: newFlowCounters(len(s.workers)), doors: make([]*udpDoor, len(s.workers)),
		settings: newUDPSettings(nil, o, r),
	}
	s.own.bind(sockets.addrs)
	for i, w := range s.workers {
		var err error
		if callErr := w.loop.Call(func() { e.doors[i], err = w.openDoor(e, sockets.perLoop[i]) }); callErr != nil {
			err = callErr
		}
		if err != nil {
			e.Cut(flow.Removed)
			sockets.Close()
			return nil, fmt.Errorf("entrypoint %s: %w", name, err)
		}
	}
	return e, nil
}

// Name is the entrypoint's name in the configuration.
func (e *UDPEntrypoint) Name() string { return e.name }

// Set replaces options and route. Flows go by the new ones from their clients' next datagrams on: where another service is
// meant they are led there, other middlewares they must pass. Without a route they end. After Close nothing happens.
func (e *UDPEntrypoint) Set(o UDPOptions, r *UDPRoute) {
	if e.stopped {
		return
	}
	e.settings = newUDPSettings(e.settings, o, r)
	e.flows.SetMost(o.MaxFlows)
	for i, w := range e.server.workers {
		_ = w.loop.Call(func() { e.doors[i].adopt(e.settings) }) // fails only when the loop has ended
	}
}

// Flows is the number of flows, with shared sockets that of the queries that wait. Safe from any goroutine.
func (e *UDPEntrypoint) Flows() int64 { return e.flows.Used() }

// Stats are the entrypoint's numbers. Safe from any goroutine.
func (e *UDPEntrypoint) Stats() flow.Stats { return flow.Sum(e.shares...) }

// Close lets no new flow in. Flows that live go on, through the sockets, until Cut. If an entrypoint that was opened later
// has one of the ports, the kernel deals the sources out between the two, so there is no going on: it is Cut.
func (e *UDPEntrypoint) Close() {
	if e.stopped {
		return
	}
	e.stopped = true
	e.server.lingering = append(e.server.lingering, e)
	if slices.ContainsFunc(e.ports, func(port uint16) bool { return e.server.udpPorts[port] > 1 }) {
		e.Cut(flow.Removed)
		return
	}
	e.eachDoor((*udpDoor).stop)
}

// Cut closes the sockets and ends all flows, which may take a moment longer than the call. Cutting twice is fine.
func (e *UDPEntrypoint) Cut(why flow.Reason) {
	if e.cut {
		return
	}
	e.stopped, e.cut = true, true
	e.eachDoor(func(d *udpDoor) { d.close(why) })
	e.server.own.unbind(e.sockets.addrs)
	e.sockets.free()
	e.server.lingering = slices.DeleteFunc(e.server.lingering, func(l *UDPEntrypoint) bool { return l == e })
}

// eachDoor runs do on every loop that has a door, one after the other, and waits.
func (e *UDPEntrypoint) eachDoor(do func(*udpDoor)) {
	for i, w := range e.server.workers {
		if e.doors[i] != nil {
			_ = w.loop.Call(func() { do(e.doors[i]) }) // fails only when the loop has ended, and its sockets with it
		}
	}
}

// cutLingering cuts the entrypoints that are closed and still have a port of addrs.
func (s *Server) cutLingering(addrs []netip.AddrPort) {
	for _, e := range slices.Clone(s.lingering) {
		if slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return slices.Contains(e.ports, a.Port()) }) {
			e.Cut(flow.Removed)
		}
	}
}

// CutBackend ends the flows of a backend, and what waits for it, which may take a moment longer than the call.
func (s *Server) CutBackend(b *upstream.Backend) {
	s.each(func(w *worker) {
		for _, d := range w.doors {
			d.cutBackend(b)
		}
	})
}

// openDoor opens an entrypoint's part on w's loop, which it runs on.
func (w *worker) openDoor(e *UDPEntrypoint, sockets []*eventloop.DatagramSocket) (*udpDoor, error) {
	if w.batcher == nil {
		b, err := eventloop.NewBatcher(w.loop)
		if err != nil {
			return nil, err
		}
		w.batcher = b
	}
	d := &udpDoor{entry: e, worker: w, counters: e.shares[w.loop.ID()], inlets: make([]inlet, len(sockets))}
	w.doors = append(w.doors, d)
	for i, socket := range sockets {
		sockets[i] = nil // the inlet's from now on, whether it opens or not
		d.inlets[i].door = d
		if err := d.inlets[i].Open(w.batcher, socket, &d.inlets[i], &d.inlets[i]); err != nil {
			d.close(flow.Removed)
			return nil, err
		}
	}
	d.adopt(e.settings)
	return d, nil
}
