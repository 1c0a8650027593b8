package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// ErrNotFound means that a name server said, with authority, that there are no such records. Every other error of a lookup means
// that nothing is known.
var ErrNotFound = errors.New("there are no such records")

// A Service is one SRV record with the addresses of its target.
type Service struct {
	Target   string // without the dot at its end
	Port     uint16
	Priority uint16
	Weight   uint16
	Addrs    []netip.Addr // sorted; none if the target has none, or nobody says
}

// LookupSRV looks SRV records up once, and the addresses of their targets. They are sorted by priority, target and port. No policy
// is applied: the addresses may be of any kind, and a port may be 0.
func (r *Resolver) LookupSRV(ctx context.Context, name string) ([]Service, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	a, err := r.search(ctx, name, dns.TypeSRV, asking{})
	if err != nil {
		return nil, err
	}
	if a.outcome() == Empty {
		return nil, fmt.Errorf("SRV %s: %w", name, ErrNotFound)
	}
	book := newAddressBook(Both, r.limits(), 0)
	r.addressesOf(ctx, book, a, asking{})
	services := make([]Service, len(a.services))
	for i, s := range a.services {
		services[i] = Service{shown(s.target), s.port, s.priority, s.weight, book.addresses(s.target, time.Now())}
	}
	return services, ctx.Err()
}

// LookupHost looks the addresses of a name up once, of both families. A family that nobody answers for is left out if the other
// has addresses.
func (r *Resolver) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	book := newAddressBook(Both, r.limits(), 0)
	r.addressesOfHost(ctx, book, name, asking{})
	target := dns.CanonicalName(name)
	if addrs := book.addresses(target, time.Now()); len(addrs) > 0 {
		return addrs, nil
	}
	if _, err := book.problem([]string{target}); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("addresses of %s: %w", name, ErrNotFound)
}
