package l7

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// ClientCertOptions say what servers are told about the certificates of clients.
type ClientCertOptions struct {
	PEM             bool // the whole
	Info            bool // what the other fields say
	NotAfter        bool
	NotBefore       bool
	SANs            bool
	SerialNumber    bool
	Subject, Issuer NameParts
}

// NameParts are parts of the name of a subject or an issuer (RFC 4519).
type NameParts struct {
	CommonName, Country, DomainComponent, Locality, Organization, OrganizationalUnit, Province, SerialNumber bool
}

// PassTLSClientCert returns a middleware that tells the server about the certificates that the client has shown, in
// X-Forwarded-Tls-Client-Cert and X-Forwarded-Tls-Client-Cert-Info. Of a client without one it says nothing.
func PassTLSClientCert(name string, o ClientCertOptions) *Middleware {
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		if x.conn.security == nil {
			return Next
		}
		state, ok := x.conn.secureState()
		if !ok || len(state.PeerCertificates) == 0 {
			return Next
		}
		if o.tell(&x.req, state.PeerCertificates) != nil { // or the server would believe that there is none
			x.detail = "long-head"
			x.Reject(431, accesslog.BadRequest)
			return Answered
		}
		return Next
	}}
}

// tell writes the headers.
func (o ClientCertOptions) tell(h *head.Head, certs []*x509.Certificate) error {
	var whole, parts []string
	for _, c := range certs {
		whole = append(whole, base64.StdEncoding.EncodeToString(c.Raw)) // PEM without its borders and line ends
		parts = append(parts, o.info(c))
	}
	if o.PEM {
		if err := h.Set(head.XForwardedTLSClientCert.String(), strings.Join(whole, ",")); err != nil {
			return err
		}
	}
	if !o.Info {
		return nil
	}
	return h.Set(head.XForwardedTLSClientCertInfo.String(), url.QueryEscape(strings.Join(parts, ",")))
}

// info is what is told about one certificate: fields with semicolons between them, each with its value in quotes. Nothing in
// it is escaped, as in Traefik: who signs certificates decides what stands there.
func (o ClientCertOptions) info(c *x509.Certificate) string {
	var fields []string
	add := func(when bool, name, value string) {
		if when && value != "" {
			fields = append(fields, name+`="`+value+`"`)
		}
	}
	add(true, "Subject", o.Subject.of(&c.Subject))
	add(true, "Issuer", o.Issuer.of(&c.Issuer))
	if c.SerialNumber != nil {
		add(o.SerialNumber, "SerialNumber", c.SerialNumber.String())
	}
	add(o.NotBefore, "NB", strconv.FormatInt(c.NotBefore.Unix(), 10))
	add(o.NotAfter, "NA", strconv.FormatInt(c.NotAfter.Unix(), 10))
	add(o.SANs, "SAN", strings.Join(altNames(c), ","))
	return strings.Join(fields, ";")
}

var domainComponent = []int{0, 9, 2342, 19200300, 100, 1, 25} // RFC 4519 section 2.4; never written again

// of are the parts of a name, in the order in which Traefik has them.
func (p NameParts) of(n *pkix.Name) string {
	var parts []string
	add := func(when bool, key string, values ...string) {
		for _, v := range values {
			if when && v != "" {
				parts = append(parts, key+"="+v)
			}
		}
	}
	for _, a := range n.Names {
		if a.Type.Equal(domainComponent) {
			add(p.DomainComponent, "DC", fmt.Sprint(a.Value))
		}
	}
	add(p.Country, "C", n.Country...)
	add(p.Province, "ST", n.Province...)
	add(p.Locality, "L", n.Locality...)
	add(p.Organization, "O", n.Organization...)
	add(p.OrganizationalUnit, "OU", n.OrganizationalUnit...)
	add(p.SerialNumber, "SN", n.SerialNumber)
	add(p.CommonName, "CN", n.CommonName)
	return strings.Join(parts, ",")
}

func altNames(c *x509.Certificate) []string {
	var names []string
	names = append(names, c.DNSNames...)
	names = append(names, c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}
