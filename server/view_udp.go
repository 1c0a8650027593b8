package server

import (
	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l4/flow"
)

func udpStats(s flow.Stats) *admin.UDPStats {
	out := &admin.UDPStats{
		DatagramsIn: s.In.Datagrams, DatagramsOut: s.Out.Datagrams, Moved: s.Moved,
		Dropped: map[string]uint64{}, Ended: map[string]uint64{},
	}
	for i, n := range s.Dropped {
		if n > 0 {
			out.Dropped[flow.Cause(i).String()] = n
		}
	}
	for i, n := range s.Ended {
		if n > 0 {
			out.Ended[l4.ReasonOf(flow.Reason(i)).String()] += n
		}
	}
	return out
}

func (v *view) udpEntrypoint(name string) admin.Entrypoint {
	e, p := v.entrypoints[name], v.plan.entrypoints[name]
	stats := e.udp.Stats()
	udp := udpStats(stats)
	for cause := flow.Kept + 1; int(cause) < flow.NumCauses; cause++ {
		udp.Dropped[cause.String()] += 0 // rates need a series that begins before it grows
	}
	return admin.Entrypoint{
		Name: name, Protocol: "udp", Address: addressOf(e.addrs, p.addrs),
		Connections: stats.Opened, Active: int64(stats.Active), Max: int64(p.udp.options.MaxFlows),
		BytesIn: stats.In.Bytes, BytesOut: stats.Out.Bytes, Rejected: map[string]uint64{}, UDP: udp,
	}
}

func (v *view) udpRouter(name string) admin.Router {
	p := v.plan.udpRouters[name]
	service, _ := cutKey(p.service)
	out := admin.Router{Name: name, Protocol: "udp", Service: service}
	for _, key := range p.middlewares {
		m, _ := cutKey(key)
		out.Middlewares = append(out.Middlewares, m)
	}
	for _, entrypoint := range sorted(v.plan.entrypoints) {
		if udp := v.plan.entrypoints[entrypoint].udp; udp != nil && udp.router == name {
			out.Entrypoints = append(out.Entrypoints, entrypoint)
		}
	}
	return out
}

func (v *view) udpService(key string) admin.Service {
	p, stats := v.plan.services[key], v.udpServices[key].Stats()
	name, _ := cutKey(key)
	out := admin.Service{
		Name: name, Protocol: "udp", Kind: "weighted",
		Connections: stats.Opened, Active: int64(stats.Active), BytesIn: stats.In.Bytes, BytesOut: stats.Out.Bytes,
		Ended: map[string]uint64{}, UDP: udpStats(stats),
	}
	for _, child := range p.children() {
		below, _ := cutKey(child)
		out.Services = append(out.Services, below)
	}
	switch {
	case p.failover != nil:
		out.Kind = "failover"
	case p.pool != nil:
		v.addPool(&out, key, p.pool)
	}
	return out
}
