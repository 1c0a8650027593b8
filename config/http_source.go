package config

import "net/netip"

// IPStrategy says which address is the client's, where proxies stand in front.
type IPStrategy struct {
	Depth       int            `yaml:"depth" min:"0" doc:"The address at this place of X-Forwarded-For, counted from its end, which is the address of the client of the proxy in front."`
	ExcludedIPs []netip.Prefix `yaml:"excludedIPs" doc:"The last address of X-Forwarded-For that is none of these. Has no meaning with depth."`
	IPv6Subnet  int            `yaml:"ipv6Subnet" min:"0" max:"128" doc:"Bits of an IPv6 address that count; 0 means those that usually do."`
}

// SourceCriterion says what tells clients apart: one of its members.
type SourceCriterion struct {
	IPStrategy        *IPStrategy `yaml:"ipStrategy" doc:"Their address."`
	RequestHeaderName string      `yaml:"requestHeaderName" doc:"The value of a header."`
	RequestHost       bool        `yaml:"requestHost" doc:"The host they ask for."`
}

// InFlightReq limits how many requests of a client are served at one time.
type InFlightReq struct {
	Amount          int              `yaml:"amount" need:"true" min:"1" max:"16777215" doc:"Requests at one time; more get 429."`
	SourceCriterion *SourceCriterion `yaml:"sourceCriterion" doc:"What tells clients apart; without the key, the host they ask for."`
}

// HTTPRateLimit is RateLimit of requests, with clients told apart as one likes.
type HTTPRateLimit struct {
	Average         int              `yaml:"average" need:"true" min:"1" doc:"Requests allowed in each period, on average."`
	Burst           int              `yaml:"burst" min:"1" doc:"How many may come at once."`
	Period          Duration         `yaml:"period" min:"1ms" doc:"The time average counts over."`
	SourceCriterion *SourceCriterion `yaml:"sourceCriterion" doc:"What tells clients apart; without the key, their address."`
}

func (r *HTTPRateLimit) setDefaults() {
	var usual RateLimit
	usual.setDefaults()
	r.Burst, r.Period = usual.Burst, usual.Period
}

// HTTPIPDenyList is HTTPIPAllowList the other way round.
type HTTPIPDenyList struct {
	SourceRange      []netip.Prefix `yaml:"sourceRange" need:"true" doc:"Addresses or networks that may not pass."`
	IPStrategy       *IPStrategy    `yaml:"ipStrategy" doc:"Which address is the client's; without the key, the other end of the connection. Where there is none, nobody passes."`
	RejectStatusCode int            `yaml:"rejectStatusCode" min:"200" max:"599" doc:"Status of the answer to them."`
}

func (l *HTTPIPDenyList) setDefaults() { l.RejectStatusCode = 403 }
