package server

import (
	"net/netip"
	"slices"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

func ipStrategyOf(s *config.IPStrategy) l7.IPStrategy {
	if s == nil {
		return l7.IPStrategy{}
	}
	return l7.IPStrategy{Depth: s.Depth, Excluded: slices.Clone(s.ExcludedIPs), IPv6Subnet: s.IPv6Subnet}
}

// sourceOf is what tells clients apart; usual is what does where nothing is said.
func sourceOf(s *config.SourceCriterion, usual l7.SourceCriterion) l7.SourceCriterion {
	switch {
	case s == nil || s.IPStrategy == nil && s.RequestHeaderName == "" && !s.RequestHost:
		return usual
	case s.RequestHost:
		return l7.SourceCriterion{Host: true}
	case s.RequestHeaderName != "":
		return l7.SourceCriterion{Header: s.RequestHeaderName}
	}
	return l7.SourceCriterion{IP: ipStrategyOf(s.IPStrategy)}
}

// inFlightPlan is an inFlightReq middleware.
type inFlightPlan struct {
	amount int
	by     l7.SourceCriterion
}

func (p inFlightPlan) make(name string) (*l7.Middleware, error) {
	return l7.InFlightReq(name, p.amount, p.by), nil
}

// denyPlan is an ipDenyList middleware.
type denyPlan struct {
	ranges []netip.Prefix
	status int
	by     l7.IPStrategy
}

func (p denyPlan) make(name string) (*l7.Middleware, error) {
	return l7.IPDenyList(name, p.ranges, p.status, p.by), nil
}
