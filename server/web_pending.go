package server

import (
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

type redirectPlan struct {
	scheme    string
	port      int
	permanent bool
}
type webMiddlewarePlan struct{ redirect *redirectPlan }

func webMiddlewareOf(*config.HTTPMiddleware) webMiddlewarePlan { return webMiddlewarePlan{} }
func newWebMiddleware(name string, p webMiddlewarePlan, now time.Time) *l7.Middleware {
	return &l7.Middleware{Name: name}
}
func (a *applier) balancer(name string, p *balancerPlan) l7.Target {
	return &l7.LoadBalancer{Pool: a.pools[webKey(name)].live, Transport: a.transport(name, p.transport), RewriteHost: p.rewriteHost, CountErrors: p.countErrors}
}
func (a *applier) webWeighted(name string, p *webWeightedPlan) l7.Target { return nil }
func (a *applier) webFailover(p *webFailoverPlan) l7.Target              { return nil }
func (a *applier) mirroring(p *mirroringPlan) l7.Target                  { return nil }
