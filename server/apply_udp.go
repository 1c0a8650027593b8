package server

import (
	"slices"

	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/flow"
)

// udpRoute makes what a UDP entrypoint does with datagrams, nil without a router.
func (a *applier) udpRoute(router string) *l4.UDPRoute {
	if router == "" {
		return nil
	}
	p := a.to.udpRouters[router]
	r := &l4.UDPRoute{Name: router, Service: a.udpServices[p.service], Shared: p.shared}
	for _, m := range p.middlewares {
		r.Middlewares = append(r.Middlewares, a.middlewares[m])
	}
	return r
}

func (a *applier) bindUDP(name string) (undo func(), err error) {
	inlets, err := a.engine.BindUDP(a.to.entrypoints[name].addrs)
	if err != nil {
		return nil, err
	}
	a.inlets[name] = inlets
	return func() {
		if s := a.inlets[name]; s != nil {
			s.Close()
		}
	}, nil
}

func (a *applier) openUDP(name string) (undo func(), err error) {
	inlets, p := a.inlets[name], a.to.entrypoints[name]
	delete(a.inlets, name) // the entrypoint's now, whether it opens or not
	bound := slices.Clone(inlets.Addrs())
	route := a.tables[name].udp
	live, err := a.engine.OpenUDP(name, inlets, p.udp.options, route)
	if err != nil {
		return nil, err
	}
	if old := a.entrypoints[name]; old != nil {
		a.moved[name] = old
	}
	undoOpen := replace(a.entrypoints, name, &entrypoint{udp: live, addrs: bound, route: route})
	return func() {
		undoOpen()
		live.Cut(flow.Removed)
	}, nil
}
