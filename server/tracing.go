package server

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/internal/otlp"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/l7"
)

// tracingPlan is how requests are traced, and where spans go.
type tracingPlan struct {
	requests l7.TracingOptions
	exporter exporterPlan
}

// exporterPlan is where spans go.
type exporterPlan struct {
	options otlp.Options // without TLS
	tls     *clientTLSPlan
}

// tracing plans the section tracing, nil if there is none.
func (c *compiler) tracing() *tracingPlan {
	t := c.cfg.Tracing
	if t == nil {
		return nil
	}
	if !otlp.Included {
		c.fail("tracing", "this weir was built without tracing", "remove the section, or take a weir that was built without the tag notracing")
		return nil
	}
	p := &tracingPlan{requests: l7.TracingOptions{
		Rate: float64(t.SampleRate), SafeQuery: slices.Clone(t.SafeQueryParams),
		RequestHeaders: slices.Clone(t.CapturedRequestHeaders), ResponseHeaders: slices.Clone(t.CapturedResponseHeaders),
	}}
	o := &p.exporter.options
	o.Resource = map[string]string{"service.name": t.ServiceName}
	maps.Copy(o.Resource, t.ResourceAttributes)
	if g := t.OTLP.GRPC; g != nil {
		o.GRPC, o.Headers, o.URL = true, maps.Clone(g.Headers), "https://"+g.Endpoint
		if g.Insecure {
			o.URL = "http://" + g.Endpoint
		}
	} else {
		o.Headers, o.URL = maps.Clone(t.OTLP.HTTP.Headers), t.OTLP.HTTP.Endpoint
	}
	at, tls := t.OTLP.TLSOf()
	tls = cmp.Or(tls, new(config.OTLPTLS))
	p.exporter.tls = c.callTLS(at, tls.CA, tls.Cert, tls.Key, tls.InsecureSkipVerify)
	return p
}

// tracer is where the spans of a topology go.
type tracer struct {
	queue    *span.Queue
	exporter *otlp.Exporter // nil = nowhere
	version  string         // of weir
	host     string         // on which it runs; empty = not known
}

// setTracing has requests traced as the plan says. The exporter stays the same as long as its plan does.
func (a *applier) setTracing() {
	old, now := a.plan.tracing, a.to.tracing
	t := &a.tracer
	switch {
	case now == nil:
		a.web.server.SetTracing(nil)
		t.exporter.Finish()
		t.exporter = nil
		return
	case old == nil:
		t.exporter = t.start(now.exporter, a.log)
	case !same(old.exporter, now.exporter):
		before := t.exporter
		t.exporter = t.start(now.exporter, a.log)
		before.Retire()
	}
	a.web.server.SetTracing(l7.NewTracing(now.requests))
}

func (t *tracer) start(p exporterPlan, log *slog.Logger) *otlp.Exporter {
	o := p.options
	o.Version = t.version
	resource := map[string]string{"service.version": t.version}
	if t.host != "" {
		resource["host.name"] = t.host
	}
	maps.Copy(resource, o.Resource)
	o.Resource = resource
	o.TLS = newClientTLS(p.tls)
	o.TLS.NextProtos = nil // net/http knows which it speaks
	return otlp.Start(o, t.queue, log)
}
