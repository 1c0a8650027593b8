package discovery

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// DefaultHold is how long, unless options say otherwise, what vanished from the answers is kept, and how long answers that there is
// nothing must come before they are believed.
const DefaultHold = 30 * time.Second

// SRVOptions says what service to look up.
type SRVOptions struct {
	Name   string // e.g. _postgres._tcp.orders.internal; absolute unless the resolver searches
	Family Family

	HoldObsolete time.Duration // an endpoint that vanished from the answer is kept this long; 0 = not at all
	HoldEmpty    time.Duration // one server's word that there are no records is believed after this long; default 30 s
	MaxStale     time.Duration // without any answer, the last good one is used this long; 0 = without limit

	// AllowLoopback lets records point at loopback addresses. They may in any case if the resolver's name servers are listed,
	// all on loopback and none on the ports 53 and 853: a private zone for development.
	AllowLoopback bool
}

// NewSRV returns a provider of the targets of SRV records (RFC 2782): priority is the failover tier and weight the weight, divided
// among the addresses of a target. Only a name that cannot be asked for is an error.
func NewSRV(r *Resolver, o SRVOptions) (Provider, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	l := &srvLookup{
		resolver: r,
		name:     o.Name,
		book:     newAddressBook(o.Family, r.limits(), o.MaxStale),
		policy:   policy{loopback: o.AllowLoopback || r.allowsLoopback()},
	}
	hold := newHold(r, o.HoldObsolete, o.HoldEmpty, o.MaxStale)
	return &refresher{history: newHistory("dnsSRV "+o.Name, hold), look: l.look}, nil
}

func newHold(r *Resolver, obsolete, empty, maxStale time.Duration) holdOptions {
	if empty <= 0 {
		empty = DefaultHold
	}
	return holdOptions{limits: r.limits(), obsolete: obsolete, empty: empty, maxStale: maxStale}
}

// An srvLookup looks the records of one name up, and the addresses of their targets.
type srvLookup struct {
	resolver *Resolver
	name     string
	book     *addressBook
	policy   policy
}

func (l *srvLookup) look(ctx context.Context, how asking) finding {
	a, err := l.resolver.search(ctx, l.name, dns.TypeSRV, how)
	if err != nil {
		return failed(err)
	}
	if a.outcome() == Empty {
		return finding{outcome: Empty, ttl: a.ttl, server: a.server}
	}
	targets := l.resolver.addressesOf(ctx, l.book, a, how)
	return l.conclude(a, targets, how, time.Now())
}

// addressesOf fills the book with the addresses of an answer's targets, and returns the targets. Glue is as good as an answer of
// its own. When something is to be confirmed, what is remembered does not count.
func (r *Resolver) addressesOf(ctx context.Context, b *addressBook, a answer, how asking) []string {
	targets := make([]string, 0, len(a.services))
	seen := make(map[string]bool, len(a.services))
	for _, s := range a.services {
		if !seen[s.target] {
			seen[s.target] = true
			targets = append(targets, s.target)
		}
	}
	b.keep(targets)
	now := time.Now()
	due := b.due(targets, how != asking{}, now)
	for key, list := range a.glue {
		b.learn(key, list, now)
	}
	due = withoutGlue(due, a.glue)
	gather(ctx, b, targets, due, func(ctx context.Context, key addressKey) (answer, error) {
		return r.ask(ctx, key.question(), how)
	})
	return targets
}

func withoutGlue(due []addressKey, glue map[addressKey]addressList) []addressKey {
	ask := due[:0]
	for _, key := range due {
		if _, given := glue[key]; !given {
			ask = append(ask, key)
		}
	}
	return ask
}

var errNoTarget = errors.New("none of the targets can be used")

// conclude turns records and what the book knows into a finding.
func (l *srvLookup) conclude(a answer, targets []string, how asking, now time.Time) finding {
	addrs := func(target string) []netip.Addr { return l.book.addresses(target, now) }
	set, refused := srvSet(a.services, addrs, l.policy)
	unknown, problem := l.book.problem(targets)
	err := together(refused, problem)
	switch {
	case len(set) > 0:
		return finding{
			outcome: OK, set: set, unknown: unknown, ttl: l.book.ttl(targets, a.ttl, now), server: a.server,
			reliable: how.reliable || l.resolver.options.Transport != UDP, err: err,
		}
	case err != nil:
		return failed(together(errNoTarget, err))
	default: // none of the targets has an address, and that with authority
		return finding{outcome: Empty, ttl: a.ttl, server: a.server}
	}
}
