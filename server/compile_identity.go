package server

import (
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// clientCertPlan is a passTLSClientCert middleware.
type clientCertPlan struct{ options l7.ClientCertOptions }

func clientCertOf(p *config.PassTLSClientCert) webMaker {
	o := l7.ClientCertOptions{PEM: p.PEM}
	if i := p.Info; i != nil {
		o.Info, o.NotAfter, o.NotBefore, o.SANs, o.SerialNumber = true, i.NotAfter, i.NotBefore, i.Sans, i.SerialNumber
		if s := i.Subject; s != nil {
			o.Subject = l7.NameParts{
				CommonName: s.CommonName, Country: s.Country, DomainComponent: s.DomainComponent, Locality: s.Locality,
				Organization: s.Organization, OrganizationalUnit: s.OrganizationalUnit, Province: s.Province, SerialNumber: s.SerialNumber,
			}
		}
		if s := i.Issuer; s != nil {
			o.Issuer = l7.NameParts{
				CommonName: s.CommonName, Country: s.Country, DomainComponent: s.DomainComponent, Locality: s.Locality,
				Organization: s.Organization, Province: s.Province, SerialNumber: s.SerialNumber,
			}
		}
	}
	return clientCertPlan{o}
}

func (p clientCertPlan) make(name string) (*l7.Middleware, error) {
	return l7.PassTLSClientCert(name, p.options), nil
}

// requestIDPlan is a requestID middleware.
type requestIDPlan struct {
	header string
	trust  bool
}

func (p requestIDPlan) make(name string) (*l7.Middleware, error) {
	return l7.RequestID(name, p.header, p.trust), nil
}

// contentTypePlan is a contentType middleware.
type contentTypePlan struct{ detect bool }

func (p contentTypePlan) make(name string) (*l7.Middleware, error) {
	if !p.detect {
		return &l7.Middleware{Name: name}, nil // Traefik's way to leave it out
	}
	return l7.ContentType(name), nil
}
