package l7

import (
	"bytes"
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/weirlb/weir/internal/limit"
	"github.com/weirlb/weir/l7/head"
)

// IPStrategy says which address is the client's. The zero value is the other end of the connection, or what its PROXY header
// says.
type IPStrategy struct {
	Depth      int            // the address at this place of X-Forwarded-For, counted from its end; 0 = see Excluded
	Excluded   []netip.Prefix // the last address of X-Forwarded-For that is none of these; none = the other end
	IPv6Subnet int            // bits of an IPv6 address that count; 0 = those that usually do
}

// addresses are an IPStrategy made ready.
type addresses struct {
	depth    int
	excluded *bart.Lite // nil = none
	bits     int
}

func newAddresses(s IPStrategy) addresses {
	a := addresses{depth: s.Depth, bits: s.IPv6Subnet}
	if len(s.Excluded) > 0 && s.Depth == 0 {
		a.excluded = new(bart.Lite)
		for _, p := range s.Excluded {
			a.excluded.Insert(p)
		}
	}
	return a
}

// of is the address of the client that sent a request, not valid where X-Forwarded-For does not have it. peer is the
// connection's other end. What the client itself has written into X-Forwarded-For stands before what proxies have added.
func (a *addresses) of(h *head.Head, peer netip.Addr) netip.Addr {
	peer = peer.Unmap().WithZone("")
	if a.depth == 0 && a.excluded == nil {
		return a.masked(peer)
	}
	n, first := 0, true
	for via := range backwards(h) {
		addr := forwardedAddr(via)
		if first && addr == peer { // weir itself has added it
			first = false
			continue
		}
		first = false
		if n++; n == a.depth || a.depth == 0 && (!addr.IsValid() || !a.excluded.Contains(addr)) {
			return a.masked(addr)
		}
	}
	return netip.Addr{}
}

// masked leaves of an IPv6 address the bits that count.
func (a *addresses) masked(addr netip.Addr) netip.Addr {
	if a.bits == 0 || !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(a.bits) // config has checked the number
	return p.Addr()
}

// backwards yields the elements of X-Forwarded-For from the last to the first, without empty ones.
func backwards(h *head.Head) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		if !h.Has(head.XForwardedFor) {
			return
		}
		list := h.Value(head.XForwardedFor)
		if h.Repeated(head.XForwardedFor) {
			var all []byte
			for v := range h.Values("X-Forwarded-For") {
				all = append(append(all, v...), ',')
			}
			list = all
		}
		for len(list) > 0 {
			i := bytes.LastIndexByte(list, ',')
			via := head.Trim(list[i+1:])
			list = list[:max(i, 0)]
			if len(via) > 0 && !yield(via) {
				return
			}
		}
	}
}

// forwardedAddr reads an element of X-Forwarded-For, with or without a port; what is no address is not valid.
func forwardedAddr(b []byte) netip.Addr {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")
	if len(b) > longest {
		return netip.Addr{}
	}
	s := string(b)
	addr, err := netip.ParseAddr(s)
	if err != nil {
		port, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		addr = port.Addr()
	}
	return addr.Unmap().WithZone("")
}

// SourceCriterion says what tells clients apart that are counted: the host they ask for, the value of a header, or their
// address.
type SourceCriterion struct {
	Host   bool
	Header string
	IP     IPStrategy
}

// source is a SourceCriterion made ready.
type source struct {
	SourceCriterion
	addresses addresses
}

func newSource(c SourceCriterion) *source { return &source{c, newAddresses(c.IP)} }

// usualSubnet are the bits of an IPv6 address that are one customer's.
const usualSubnet = 64

// key is what tells the client of an exchange apart, in a table. Clients whose address is not known, because nobody has
// put it into X-Forwarded-For, are told apart by the connection's other end.
func (s *source) key(x *Exchange, of func([]byte) limit.Key) limit.Key {
	switch {
	case s.Host:
		return of(lowered(x, x.req.Host()))
	case s.Header != "":
		v, _ := x.req.Get(s.Header)
		return of(v)
	}
	peer := x.Client().Addr()
	addr := s.addresses.of(&x.req, peer)
	if !addr.IsValid() {
		addr = peer.Unmap().WithZone("")
	}
	n := 16
	ip := addr.As16()
	if s.addresses.bits == 0 && addr.Is6() {
		n = usualSubnet / 8
	}
	w := x.worker
	w.word = append(w.word[:0], ip[:n]...)
	return of(w.word)
}

// lowered is b in small letters, good until the next short value is put together on the loop.
func lowered(x *Exchange, b []byte) []byte {
	w := x.worker
	w.word = append(w.word[:0], b...)
	for i, c := range w.word {
		if 'A' <= c && c <= 'Z' {
			w.word[i] = c + 'a' - 'A'
		}
	}
	return w.word
}
