package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weirlb/weir/upstream"
)

func (s service) compare(o service) int {
	return cmp.Or(
		cmp.Compare(s.priority, o.priority),
		cmp.Compare(s.target, o.target),
		cmp.Compare(s.port, o.port),
		cmp.Compare(s.weight, o.weight),
	)
}

var errTooManyEndpoints = fmt.Errorf("it names more than %d endpoints: spread them over several names", MaxEndpoints)

// policy is what a name may point at. A zone is written by others: it must not make the balancer talk to itself, to its machine's
// private services, or to the cloud's metadata service on a link-local address.
type policy struct {
	loopback bool // addresses of this machine are allowed
}

// refuse says why an address is not used; nil if it is.
func (p policy) refuse(addr netip.Addr, port uint16) error {
	switch {
	case port == 0:
		return errors.New("port 0")
	case addr.IsLoopback() && !p.loopback:
		return fmt.Errorf("%v is a loopback address, which a name may point at only if allowed to", addr)
	case addr.IsLinkLocalUnicast():
		return fmt.Errorf("%v is a link-local address", addr)
	case addr.IsUnspecified(), addr.IsMulticast(), addr == broadcast():
		return fmt.Errorf("%v is not the address of one host", addr)
	}
	return nil
}

func broadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// A share is one target with the addresses that divide its weight.
type share struct {
	service
	addrs []netip.Addr
}

// srvSet turns the records of a name into endpoints: priority becomes the tier, weight stays weight, and the addresses of a target
// divide its weight. In a tier where all weights are zero they count as equal (RFC 2782); else weight 0 is a server that is kept
// and gets nothing new. The error says what was left out, and comes with the rest of the set.
func srvSet(services []service, addrs func(target string) []netip.Addr, p policy) ([]upstream.Endpoint, error) {
	var set []upstream.Endpoint
	var refused []error
	for tier := range chunksBy(services, func(s service) uint16 { return s.priority }) {
		shares := make([]share, 0, len(tier))
		for _, s := range tier {
			allowed, err := p.allow(addrs(s.target), s.port)
			if err != nil && len(refused) < maxShownErrors {
				refused = append(refused, fmt.Errorf("target %s: %w", shown(s.target), err))
			}
			if len(allowed) > 0 {
				shares = append(shares, share{s, allowed})
			}
		}
		equal := !slices.ContainsFunc(tier, func(s service) bool { return s.weight > 0 })
		if set = append(set, weigh(shares, equal)...); len(set) > MaxEndpoints {
			return nil, errTooManyEndpoints
		}
	}
	return unite(set), together(refused...)
}

// allow returns the addresses that may be used, and why not the others.
func (p policy) allow(addrs []netip.Addr, port uint16) ([]netip.Addr, error) {
	var allowed []netip.Addr
	var refused error
	for _, a := range addrs {
		if err := p.refuse(a, port); err != nil {
			refused = err
			continue
		}
		allowed = append(allowed, a)
	}
	return allowed, refused
}

// chunksBy yields the runs of equal keys.
func chunksBy[T any, K comparable](all []T, key func(T) K) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && key(all[n]) == key(all[0]) {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// weigh gives the endpoints of one tier their weights: the records' own where every target has one address, else the least
// multiples of them that divide evenly, else, where those would be too large, the nearest fit below upstream.MaxWeight.
// With equal all targets weigh the same.
func weigh(shares []share, equal bool) []upstream.Endpoint {
	weight := func(s share) int {
		if equal {
			return 1
		}
		return int(s.weight)
	}
	factor, heaviest := 1, 0.0
	for _, s := range shares {
		w, n := weight(s), len(s.addrs)
		heaviest = max(heaviest, float64(w)/float64(n))
		if factor <= upstream.MaxWeight {
			factor = leastCommonMultiple(factor, n/greatestCommonDivisor(w, n))
		}
	}
	scale := float64(factor)
	if heaviest*scale > upstream.MaxWeight {
		scale = upstream.MaxWeight / heaviest
	}
	var set []upstream.Endpoint
	for _, s := range shares {
		part := int(float64(weight(s))/float64(len(s.addrs))*scale + 0.5)
		if weight(s) > 0 {
			part = max(part, 1)
		}
		for _, a := range s.addrs {
			set = append(set, upstream.Endpoint{
				Addr: netip.AddrPortFrom(a, s.port), Weight: part, Priority: int(s.priority), Name: shown(s.target),
			})
		}
	}
	return set
}

// greatestCommonDivisor of 0 and n is n.
func greatestCommonDivisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func leastCommonMultiple(a, b int) int { return a / greatestCommonDivisor(a, b) * b }

// unite sorts a set and leaves each address once: with the most preferred of its priorities, and the weights it has there together.
func unite(set []upstream.Endpoint) []upstream.Endpoint {
	Sort(set)
	at := make(map[netip.AddrPort]int, len(set))
	united := set[:0]
	for _, e := range set {
		i, twice := at[e.Addr]
		if !twice {
			at[e.Addr] = len(united)
			united = append(united, e)
			continue
		}
		if first := &united[i]; first.Priority == e.Priority {
			first.Weight = min(first.Weight+e.Weight, upstream.MaxWeight)
		}
	}
	return united
}
