package server

import (
	"slices"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// webMaker plans one middleware: it holds plain values only, so that plans can be compared.
type webMaker interface {
	// make makes the middleware. It neither blocks nor connects.
	make(name string) (*l7.Middleware, error)
}

// webMaker plans those middlewares that have a file of their own, nil for others.
func (c *compiler) webMaker(at string, m *config.HTTPMiddleware) webMaker {
	switch {
	case m.BasicAuth != nil:
		return c.basicAuth(at+".basicAuth", m.BasicAuth)
	case m.ContentType != nil:
		return contentTypePlan{m.ContentType.AutoDetect}
	case m.DigestAuth != nil:
		return c.digestAuth(at+".digestAuth", m.DigestAuth)
	case m.EncodedCharacters != nil:
		return charactersPlan{refusedIn(config.EncodedCharacters(*m.EncodedCharacters))}
	case m.ForwardAuth != nil:
		return c.forwardAuth(at+".forwardAuth", m.ForwardAuth)
	case m.GRPCWeb != nil:
		return grpcWebPlan{slices.Clone(m.GRPCWeb.AllowOrigins)}
	case m.Headers != nil:
		return headersPlanOf(m.Headers)
	case m.InFlightReq != nil:
		return inFlightPlan{m.InFlightReq.Amount, sourceOf(m.InFlightReq.SourceCriterion, l7.SourceCriterion{Host: true})}
	case m.IPDenyList != nil:
		d := m.IPDenyList
		return denyPlan{slices.Clone(d.SourceRange), d.RejectStatusCode, ipStrategyOf(d.IPStrategy)}
	case m.JWT != nil:
		return c.jwt(at+".jwt", m.JWT)
	case m.PassTLSClientCert != nil:
		return clientCertOf(m.PassTLSClientCert)
	case m.Plugin != nil:
		return c.own(at, m.Plugin)
	case m.RequestID != nil:
		return requestIDPlan{m.RequestID.HeaderName, m.RequestID.TrustClient}
	}
	return nil
}
