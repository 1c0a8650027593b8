package health

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// redirectLimit bounds the redirects of one probe.
const redirectLimit = 5

// httpRequest is what changes from one request of a probe to the next.
type httpRequest struct {
	method string
	path   string // with the query
}

// httpAnswer is what of a response matters.
type httpAnswer struct {
	status   int
	location string // of a redirect
}

// redirects reports whether a status sends the client elsewhere (RFC 9110, section 15.4). The others of its class do not name one place.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// origin is what a probe asks: a redirect that leaves it is not followed.
type origin struct {
	scheme string
	host   string         // the Host header
	addr   netip.AddrPort // the address asked
}

// next returns the request that a redirect asks for, and false if it leads to another server or to nowhere. A location that cannot be
// requested is an error.
func (o origin) next(r httpRequest, a httpAnswer) (httpRequest, bool, error) {
	if !redirects(a.status) || a.location == "" {
		return r, false, nil
	}
	base, err := url.Parse(o.scheme + "://" + o.host + r.path)
	if err != nil {
		return r, false, nil // a host that is no URL's has no redirects to itself
	}
	to, err := base.Parse(a.location)
	if err != nil {
		return r, false, fmt.Errorf("status %d to %s, which is no address", a.status, quoted(a.location))
	}
	if !o.owns(to) {
		return r, false, nil
	}
	next := httpRequest{method: redirectMethod(r.method, a.status), path: to.RequestURI()}
	if err := validPath(next.path); err != nil {
		return r, false, fmt.Errorf("status %d to %s, which is no address", a.status, quoted(a.location))
	}
	return next, true, nil
}

// owns reports whether a URL is on the server asked: the scheme and the host's name are the same, and so is the port. Servers behind another
// port than the clients' name either in their redirects, so both are theirs.
func (o origin) owns(to *url.URL) bool {
	if to.Scheme != o.scheme || to.Host == "" || !strings.EqualFold(to.Hostname(), hostname(o.host)) {
		return false
	}
	port := portIn(to.Host, o.scheme)
	return port == portIn(o.host, o.scheme) || port == strconv.Itoa(int(o.addr.Port()))
}

// portIn returns the port of a host, which is the scheme's where none is written.
func portIn(host, scheme string) string {
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		return port
	}
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// redirectMethod returns the method after a redirect: 303 asks for another page to be fetched, and 301 and 302 mean that to POST, for
// historical reasons (RFC 9110, sections 15.4.2 to 15.4.4).
func redirectMethod(method string, status int) string {
	switch {
	case method == http.MethodHead:
		return method
	case status == http.StatusSeeOther:
		return http.MethodGet
	case method == http.MethodPost && (status == http.StatusMovedPermanently || status == http.StatusFound):
		return http.MethodGet
	}
	return method
}
