package discovery

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/weirlb/weir/upstream"
)

// HostOptions says what host name to look up.
type HostOptions struct {
	Name   string // absolute unless the resolver searches
	Port   uint16 // of all its addresses
	Family Family

	HoldObsolete, HoldEmpty, MaxStale time.Duration // as in SRVOptions
	AllowLoopback                     bool          // as in SRVOptions
}

// NewHost returns a provider of the addresses of a name, all of weight 1 and in one tier.
func NewHost(r *Resolver, o HostOptions) (Provider, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		return nil, errors.New("the port is missing")
	}
	l := &hostLookup{
		resolver: r,
		name:     o.Name,
		port:     o.Port,
		book:     newAddressBook(o.Family, r.limits(), o.MaxStale),
		policy:   policy{loopback: o.AllowLoopback || r.allowsLoopback()},
	}
	hold := newHold(r, o.HoldObsolete, o.HoldEmpty, o.MaxStale)
	return &refresher{history: newHistory("dns "+o.Name, hold), look: l.look}, nil
}

// A hostLookup looks the addresses of one name up.
type hostLookup struct {
	resolver *Resolver
	name     string
	port     uint16
	book     *addressBook
	policy   policy
}

func (l *hostLookup) look(ctx context.Context, how asking) finding {
	server := l.resolver.addressesOfHost(ctx, l.book, l.name, how)
	return l.conclude(server, how, time.Now())
}

// addressesOfHost fills the book with the addresses of a name as the user wrote it, and returns the last server that said that
// there are none.
func (r *Resolver) addressesOfHost(ctx context.Context, b *addressBook, name string, how asking) netip.AddrPort {
	targets := []string{dns.CanonicalName(name)}
	denials := make(chan netip.AddrPort, len(b.family.asked()))
	gather(ctx, b, targets, b.due(targets, true, time.Now()), func(ctx context.Context, key addressKey) (answer, error) {
		a, err := r.search(ctx, name, key.family.kind(), how)
		if err == nil && a.outcome() == Empty {
			denials <- a.server
		}
		return a, err
	})
	var server netip.AddrPort
	for len(denials) > 0 {
		server = <-denials
	}
	return server
}

func (l *hostLookup) conclude(server netip.AddrPort, how asking, now time.Time) finding {
	targets := []string{dns.CanonicalName(l.name)}
	var set []upstream.Endpoint
	allowed, refused := l.policy.allow(l.book.addresses(targets[0], now), l.port)
	for _, addr := range allowed {
		set = append(set, upstream.Endpoint{Addr: netip.AddrPortFrom(addr, l.port), Weight: 1, Name: shown(targets[0])})
	}
	unknown, problem := l.book.problem(targets)
	err := together(refused, problem)
	switch {
	case len(set) > 0:
		Sort(set)
		return finding{
			outcome: OK, set: set, unknown: unknown, ttl: l.book.ttl(targets, maxTime, now), server: server,
			reliable: how.reliable || l.resolver.options.Transport != UDP, err: err,
		}
	case err != nil:
		return failed(together(errNoTarget, err))
	default:
		return finding{outcome: Empty, ttl: l.book.denialTTL(targets[0]), server: server}
	}
}
