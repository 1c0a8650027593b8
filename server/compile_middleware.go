package server

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// webMiddlewarePlan is exactly one of its members.
type webMiddlewarePlan struct {
	addPrefix   string
	stripPrefix []string
	redirect    *l7.RedirectSchemeOptions
	allow       *allowPlan
	rate        *ratePlan
	rateBy      l7.SourceCriterion
	maker       webMaker // of those that have a file of their own

	pathBodyPlan
}

type allowPlan struct {
	ranges []netip.Prefix
	status int // of the answer to others
	by     l7.IPStrategy
}

func webMiddlewareOf(m *config.HTTPMiddleware) (p webMiddlewarePlan) {
	switch {
	case m.AddPrefix != nil:
		p.addPrefix = m.AddPrefix.Prefix
	case m.StripPrefix != nil:
		p.stripPrefix = slices.Clone(m.StripPrefix.Prefixes)
	case m.RedirectScheme != nil:
		r := m.RedirectScheme
		p.redirect = &l7.RedirectSchemeOptions{Scheme: r.Scheme, Port: r.Port, Permanent: r.Permanent}
	case m.IPAllowList != nil:
		p.allow = &allowPlan{slices.Clone(m.IPAllowList.SourceRange), m.IPAllowList.RejectStatusCode, ipStrategyOf(m.IPAllowList.IPStrategy)}
	case m.RateLimit != nil:
		p.rate = &ratePlan{m.RateLimit.Average, m.RateLimit.Burst, time.Duration(m.RateLimit.Period)}
		p.rateBy = sourceOf(m.RateLimit.SourceCriterion, l7.SourceCriterion{})
	default:
		p.pathBodyPlan = pathBodyOf(m)
	}
	return p
}

func newWebMiddleware(name string, p webMiddlewarePlan, now time.Time) *l7.Middleware {
	switch {
	case p.stripPrefix != nil:
		return l7.StripPrefix(name, p.stripPrefix)
	case p.redirect != nil:
		return l7.RedirectScheme(name, *p.redirect)
	case p.allow != nil:
		return l7.IPAllowListBy(name, p.allow.ranges, p.allow.status, p.allow.by)
	case p.rate != nil:
		return l7.RateLimitBy(name, p.rate.average, p.rate.burst, p.rate.period, p.rateBy, now)
	}
	return l7.AddPrefix(name, p.addPrefix)
}
