package server

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/upstream"
)

func (c *compiler) service(name string) servicePlan {
	s := c.cfg.TCP.Services[name]
	var p servicePlan
	switch {
	case s.LoadBalancer != nil:
		p.pool = c.pool("tcp.services."+name+".loadBalancer", s.LoadBalancer)
	case s.Weighted != nil:
		for _, w := range s.Weighted.Services {
			p.weighted = append(p.weighted, childPlan{w.Name, w.Weight})
		}
	case s.Failover != nil:
		p.failover = &failoverPlan{s.Failover.Service, s.Failover.Fallback}
	}
	return p
}

func (c *compiler) pool(at string, l *config.LoadBalancer) *poolPlan {
	version := 0
	if send := c.cfg.TCP.Transport(l).ProxyProtocol; send != nil {
		version = send.Version
	}
	p := &poolPlan{options: upstream.Options{
		Strategy: upstream.Strategy(l.Strategy),
		HashKey:  upstream.HashKey(l.HashKey),
		Passive: upstream.PassiveOptions{
			MaxFailedAttempts:  l.PassiveHealthCheck.MaxFailedAttempts,
			FailureWindow:      time.Duration(l.PassiveHealthCheck.FailureWindow),
			EjectionTime:       time.Duration(l.PassiveHealthCheck.EjectionTime),
			MaxEjectionPercent: l.PassiveHealthCheck.MaxEjectionPercent,
		},
		SlowStart:      time.Duration(l.SlowStart),
		PanicThreshold: l.PanicThreshold,
		Connect:        upstream.ConnectOptions{Timeout: time.Duration(l.Connect.Timeout), Retries: l.Connect.Retries},
		Queue:          upstream.QueueOptions{Limit: l.Queue.Limit, Timeout: time.Duration(l.Queue.Timeout)},
		ProxyProtocol:  version,
		CloseOnDown:    l.OnUnhealthy == "close",
	}}
	for i := range l.Servers {
		s := &l.Servers[i]
		addr := s.AddrPort()
		p.endpoints = append(p.endpoints, upstream.Endpoint{
			Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Weight: s.Weight, Priority: s.Priority, MaxConnections: s.MaxConnections,
		})
	}
	if l.HealthCheck != nil {
		p.check = c.check(at+".healthCheck", l.HealthCheck, version)
	}
	return p
}

// check compiles a health check. version is that of the PROXY header the service sends: a probe of the same port must
// send one too, or the server would refuse it. Another port belongs to something else that expects none.
func (c *compiler) check(at string, h *config.HealthCheck, version int) *checkPlan {
	p := &checkPlan{
		kind: h.Type,
		params: health.Params{
			Port:  uint16(h.Port),
			Login: health.Login{User: h.User, Database: h.Database},
		},
		options: health.Options{
			Interval:          time.Duration(h.Interval),
			FastInterval:      time.Duration(h.FastInterval),
			UnhealthyInterval: time.Duration(h.Unhealthy),
			Timeout:           time.Duration(h.Timeout),
			Rise:              h.Rise,
			Fall:              h.Fall,
			Jitter:            h.Jitter,
		},
	}
	if h.Jitter == 0 {
		p.options.Jitter = -1 // the checker's zero is its default
	}
	if h.Port == 0 {
		p.params.ProxyProtocol = version
	}
	switch h.Type {
	case "tcp", "tls":
		p.params.Exchange = health.Exchange{Send: c.payload(at+".send", h.Send), Expect: c.payload(at+".expect", h.Expect)}
	case "http":
		p.params.HTTP = health.HTTP{
			Method: h.Method, Path: h.Path, Host: h.Hostname, Headers: headersOf(h.Headers), Status: h.Status,
		}
	}
	switch {
	case h.Type == "tls":
		p.params.TLS = &health.TLS{ServerName: h.Hostname}
	case h.Type == "http" && h.Scheme == "https":
		p.params.TLS = &health.TLS{} // the prober takes the name from Host
	}
	if _, err := health.New(p.kind, p.params); err != nil {
		c.fail(at, err.Error(), "")
	}
	return p
}

func (c *compiler) payload(at, written string) []byte {
	if written == "" {
		return nil
	}
	b, err := health.ParsePayload(written)
	if err != nil {
		c.fail(at, err.Error(), "")
	}
	return b
}

func headersOf(headers map[string]string) http.Header {
	if len(headers) == 0 {
		return nil
	}
	out := make(http.Header, len(headers))
	for name, value := range headers {
		out.Set(name, value)
	}
	return out
}
