package route

import (
	"bytes"
	"net/netip"
)

// Request is what rules see of a request. It belongs to one goroutine, which
// may change its fields and use it again: that way matching allocates nothing.
// The table reads the bytes during a call only, and never writes to them.
type Request struct {
	Host     []byte     // as sent: with or without port, in any case; empty if there is none
	Path     []byte     // in the form NormalizePath gives
	RawQuery []byte     // what follows the question mark, as sent
	Method   []byte     // as sent
	Headers  Headers    // nil if there are none
	Client   netip.Addr // of the connection's other end, or what a trusted proxy says about it
	TLS      bool       // the request came over TLS

	host   []byte // Host in the form of rule.HostPattern
	folded []byte // memory of host
	text   []byte // Path as regular expressions see it; nil until somebody asks
	spelt  []byte // memory of text
	query  []parameter
	parsed bool   // query is that of RawQuery
	plain  []byte // memory of decoded names and values
}

// Headers gives access to a request's header fields.
type Headers interface {
	// Any reports whether match holds for one of the values of the header
	// fields called name, in any case. Each field line is one value, without
	// the space around it. Any does not keep match, match does not keep the
	// value.
	Any(name string, match func(value []byte) bool) bool
}

// parameter is one name and value of the query, decoded.
type parameter struct{ name, value []byte }

// maxKeptParameters bounds the memory a reused Request keeps: a query with more
// parameters is parsed all the same, but its memory is given back.
const maxKeptParameters = 256

// prepare forgets what was worked out for the request before.
func (r *Request) prepare() {
	r.host = r.canonicalHost()
	r.text, r.parsed = nil, false
	if cap(r.query) > maxKeptParameters {
		r.query = nil
	}
}

// canonicalHost returns the host in lower case, without port and trailing dot;
// IPv6 addresses in their shortest form without brackets.
func (r *Request) canonicalHost() []byte {
	host := r.Host
	if i := bytes.IndexByte(host, ':'); i >= 0 || len(host) > 0 && host[0] == '[' {
		if i >= 0 && host[0] != '[' && bytes.IndexByte(host[i+1:], ':') < 0 {
			host = host[:i]
		} else if a, ok := address(host); ok {
			r.folded = a.AppendTo(r.folded[:0])
			return r.folded
		}
	}
	host = bytes.TrimSuffix(host, []byte("."))
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			r.folded = appendLower(r.folded[:0], host)
			return r.folded
		}
	}
	return host
}

// address reads an IPv6 address, in brackets and with a port or without either.
func address(host []byte) (a netip.Addr, ok bool) {
	if host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 0 || end+1 < len(host) && host[end+1] != ':' {
			return a, false
		}
		host = host[1:end]
	}
	a, err := netip.ParseAddr(string(host))
	return a, err == nil && a.Is6()
}

func appendLower(dst, s []byte) []byte {
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// pathText returns the path as regular expressions see it.
func (r *Request) pathText() []byte {
	if bytes.IndexByte(r.Path, '%') < 0 {
		return r.Path
	}
	if r.text == nil {
		r.spelt = pathText(r.spelt[:0], r.Path)
		r.text = r.spelt
	}
	return r.text
}

// parameters returns the query's parameters, parsing it the first time.
func (r *Request) parameters() []parameter {
	if !r.parsed {
		r.parsed = true
		r.parseQuery()
	}
	return r.query
}

// parseQuery reads a query as the WHATWG URL standard and net/url do: pairs
// between ampersands, plus for space. Pairs with a semicolon or a broken
// encoding are left out, because servers disagree about what they mean.
func (r *Request) parseQuery() {
	r.query = r.query[:0]
	if cap(r.plain) < len(r.RawQuery) {
		r.plain = make([]byte, 0, len(r.RawQuery)) // decoding makes nothing longer
	}
	r.plain = r.plain[:0]
	for rest := r.RawQuery; len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		if len(pair) == 0 || bytes.IndexByte(pair, ';') >= 0 {
			continue
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		name, ok := r.decode(name)
		if !ok {
			continue
		}
		if value, ok = r.decode(value); ok {
			r.query = append(r.query, parameter{name, value})
		}
	}
}

// decode returns the meaning of a name or value of the query, which is s itself
// if it has no encodings.
func (r *Request) decode(s []byte) (plain []byte, ok bool) {
	if bytes.IndexByte(s, '%') < 0 && bytes.IndexByte(s, '+') < 0 {
		return s, true
	}
	start := len(r.plain)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) || charClass[s[i+1]]&anyHex == 0 || charClass[s[i+2]]&anyHex == 0 {
				return nil, false
			}
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		r.plain = append(r.plain, c)
	}
	return r.plain[start:], true
}
