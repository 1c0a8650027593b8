package server

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/l7"
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
	p := &poolPlan{options: poolOptions(l.Strategy, l.HashKey, l.PassiveHealthCheck, l.SlowStart, l.PanicThreshold, l.Connect, l.Queue)}
	p.options.ProxyProtocol = version
	p.options.CloseOnDown = l.OnUnhealthy == "close"
	for i := range l.Servers {
		s := &l.Servers[i]
		p.endpoints = append(p.endpoints, endpointOf(s.AddrPort(), s.Weight, s.Priority, s.MaxConnections))
	}
	p.sources = c.sources(at+".discovery", l.Discovery)
	if l.HealthCheck != nil {
		p.check = c.check(at+".healthCheck", l.HealthCheck, version)
	}
	return p
}

// poolOptions is what load balancers of TCP and HTTP have in common.
func poolOptions(strategy, hashKey string, passive config.PassiveHealthCheck, slowStart config.Duration, panicThreshold int,
	connect config.Connect, queue config.Queue) upstream.Options {
	return upstream.Options{
		Strategy: upstream.Strategy(strategy),
		HashKey:  upstream.HashKey(hashKey),
		Passive: upstream.PassiveOptions{
			MaxFailedAttempts:  passive.MaxFailedAttempts,
			FailureWindow:      time.Duration(passive.FailureWindow),
			EjectionTime:       time.Duration(passive.EjectionTime),
			MaxEjectionPercent: passive.MaxEjectionPercent,
		},
		SlowStart:      time.Duration(slowStart),
		PanicThreshold: panicThreshold,
		Connect:        upstream.ConnectOptions{Timeout: time.Duration(connect.Timeout), Retries: connect.Retries},
		Queue:          upstream.QueueOptions{Limit: queue.Limit, Timeout: time.Duration(queue.Timeout)},
	}
}

func endpointOf(addr netip.AddrPort, weight, priority, maxConnections int) upstream.Endpoint {
	return upstream.Endpoint{
		Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Weight: weight, Priority: priority, MaxConnections: maxConnections,
	}
}

// check compiles a health check. version is that of the PROXY header the service sends: a probe of the same port must
// send one too, or the server would refuse it. Another port belongs to something else that expects none.
func (c *compiler) check(at string, h *config.HealthCheck, version int) *checkPlan {
	p := checkOf(h)
	p.params.Login = health.Login{User: h.User, Database: h.Database}
	if h.Port == 0 {
		p.params.ProxyProtocol = version
	}
	p.spec = specOf(h, p)
	switch h.Type {
	case "dns":
		p.params.DNS = health.DNS{Name: h.Name, RecordType: h.RecordType}
	case "tcp", "tls", "udp":
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

// checkOf is what all health checks have in common.
func checkOf(h *config.HealthCheck) *checkPlan {
	p := &checkPlan{
		kind:   h.Type,
		params: health.Params{Port: uint16(h.Port)},
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
	return p
}

// specOf writes out all that decides what a probe finds.
func specOf(h *config.HealthCheck, p *checkPlan) string {
	text, err := json.Marshal(h)
	if err != nil {
		text = fmt.Append(nil, err) // there is nothing in it that cannot be written
	}
	spec := fmt.Sprintf("%s %s proxy=%d", p.kind, text, p.params.ProxyProtocol)
	if t := p.secure; t != nil {
		spec += fmt.Sprintf(" tls=%q,%t,%x,%d,%d,%d", t.serverName, t.insecure, sha256.Sum256(t.cas), t.min, t.max, len(t.own))
	}
	return spec
}

// webCheck compiles a health check of HTTP servers, which are asked as requests reach them unless the check says otherwise.
func (c *compiler) webCheck(at string, h *config.HealthCheck, t transportPlan) *checkPlan {
	p := checkOf(h)
	if h.Port == 0 {
		p.params.ProxyProtocol = t.proxyProtocol
	}
	if h.Type == "http" {
		p.params.HTTP = health.HTTP{
			Method: h.Method, Path: h.Path, Host: h.Hostname, Headers: headersOf(h.Headers), Status: h.Status,
			FollowRedirects: h.FollowRedirects == nil || *h.FollowRedirects,
			HTTP2:           t.http2 == l7.OnlyHTTP2 && h.Scheme == "" && h.Port == 0,
		}
	}
	if h.Type == "grpc" {
		p.params.GRPC = health.GRPC{Host: h.Hostname, Service: h.Service}
	}
	if h.Scheme == "https" || h.Scheme == "" && t.secure != nil {
		p.secure = cmp.Or(t.secure, &clientTLSPlan{insecure: true})
		p.params.TLS = &health.TLS{}
	}
	p.spec = specOf(h, p)
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
