package route

import (
	"bytes"
	"net/netip"
	"regexp"

	"github.com/weirlb/weir/internal/rule"
)

// hosts is the index: by host, and by path within.
type hosts struct {
	exact     map[string]*paths
	wildcards map[string]*paths // by what follows the first label's dot
	regexps   []hostRegexp      // in the order of their best ranks
	any       *paths
	addresses bool // one of the exact hosts is an address
}

type hostRegexp struct {
	*regexp.Regexp
	*paths
}

// find returns the lowest rank of the routes that match, none if none does.
func (h *hosts) find(r *Request) int {
	best := h.exact[string(r.host)].find(r, none)
	if len(h.wildcards) > 0 {
		if dot := bytes.IndexByte(r.host, '.'); dot > 0 {
			best = h.wildcards[string(r.host[dot+1:])].find(r, best)
		}
	}
	for _, re := range h.regexps {
		if re.best >= best {
			break
		}
		if re.Match(r.host) {
			best = re.find(r, best)
		}
	}
	return h.any.find(r, best)
}

// has reports whether there is a route for the host, which is canonical.
func (h *hosts) has(host []byte) bool {
	if h.any != nil || h.exact[string(host)] != nil || len(host) == 0 && h.addresses {
		return true
	}
	if dot := bytes.IndexByte(host, '.'); dot > 0 && h.wildcards[string(host[dot+1:])] != nil {
		return true
	}
	for _, re := range h.regexps {
		if re.Match(host) {
			return true
		}
	}
	return false
}

// at returns the part of the index that belongs to a host pattern.
func (h *hosts) at(p rule.HostPattern, c *compiler) *paths {
	switch p.Kind {
	case rule.Exact:
		if _, err := netip.ParseAddr(p.Name); err == nil {
			h.addresses = true
		}
		return slot(&h.exact, p.Name)
	case rule.Wildcard:
		return slot(&h.wildcards, p.Name[len("*."):])
	case rule.Regexp:
		re := c.regexp(p.Name)
		for _, have := range h.regexps {
			if have.Regexp == re {
				return have.paths
			}
		}
		h.regexps = append(h.regexps, hostRegexp{re, newPaths()})
		return h.regexps[len(h.regexps)-1].paths
	}
	if h.any == nil {
		h.any = newPaths()
	}
	return h.any
}

func slot(m *map[string]*paths, key string) *paths {
	if *m == nil {
		*m = make(map[string]*paths)
	}
	p := (*m)[key]
	if p == nil {
		p = newPaths()
		(*m)[key] = p
	}
	return p
}

func newPaths() *paths { return &paths{best: none} }
