package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A Family says which addresses of a name are used.
type Family uint8

const (
	Both       Family = iota // all of them
	IPv4Only                 // A records; AAAA is not asked for
	IPv6Only                 // AAAA records; A is not asked for
	PreferIPv4               // A records; AAAA of names that have no A
	PreferIPv6               // AAAA records; A of names that have no AAAA
)

// family is one kind of address record.
type family uint8

const (
	v4 family = iota
	v6
)

func (f family) kind() uint16 {
	if f == v6 {
		return dns.TypeAAAA
	}
	return dns.TypeA
}

func familyOf(kind uint16) family {
	if kind == dns.TypeAAAA {
		return v6
	}
	return v4
}

// asked returns the families to ask for, the preferred one first.
func (f Family) asked() []family {
	switch f {
	case IPv4Only:
		return []family{v4}
	case IPv6Only:
		return []family{v6}
	case PreferIPv6:
		return []family{v6, v4}
	default:
		return []family{v4, v6}
	}
}

// exclusive says that a name's second family is used only if it has none of the first.
func (f Family) exclusive() bool { return f == PreferIPv4 || f == PreferIPv6 }

// addressKey names a question for addresses.
type addressKey struct {
	target string // canonical
	family family
}

func (k addressKey) question() question { return question{name: k.target, kind: k.family.kind()} }

// knowledge is what is known of one family of one target.
type knowledge struct {
	addrs []netip.Addr  // of the last good answer; none is an answer too
	ttl   time.Duration // of that answer, within the limits
	good  time.Time     // when it was given; zero = never
	err   error         // of the last question; nil = it was answered
}

// addressBook remembers the addresses of the targets of one name, so that each family of each target is asked for at its own pace
// and a failure for one family of one target touches nothing else. It is pure.
type addressBook struct {
	known    map[addressKey]knowledge
	family   Family
	limits   ttlLimits
	maxStale time.Duration // a good answer is used this long while there is no other; 0 = without limit
}

func newAddressBook(f Family, limits ttlLimits, maxStale time.Duration) *addressBook {
	return &addressBook{known: make(map[addressKey]knowledge), family: f, limits: limits, maxStale: maxStale}
}

// keep forgets all targets but these.
func (b *addressBook) keep(targets []string) {
	wanted := make(map[string]bool, len(targets))
	for _, t := range targets {
		wanted[t] = true
	}
	for key := range b.known {
		if !wanted[key.target] {
			delete(b.known, key)
		}
	}
}

// freshFor is the part of a TTL during which an answer is not asked for again: refreshes come a little before the TTL is over,
// and must not find an answer that is about to expire good enough.
const freshFor = earliest

// due returns what must be asked about the targets: the whole preferred family first, so that a family nobody answers for delays
// nothing but itself. With all, everything is due.
func (b *addressBook) due(targets []string, all bool, now time.Time) []addressKey {
	var due []addressKey
	for _, f := range b.family.asked() {
		for _, target := range targets {
			key := addressKey{target, f}
			k := b.known[key]
			fresh := k.err == nil && !k.good.IsZero() && now.Sub(k.good) < time.Duration(freshFor*float64(k.ttl))
			if all || !fresh {
				due = append(due, key)
			}
		}
	}
	return due
}

// learn records a good answer, which may be that there is no address.
func (b *addressBook) learn(key addressKey, l addressList, now time.Time) {
	b.known[key] = knowledge{addrs: l.addrs, ttl: b.limits.clamp(l.ttl), good: now}
}

// fail records a question without an answer. What was known stays.
func (b *addressBook) fail(key addressKey, err error) {
	k := b.known[key]
	k.err = err
	b.known[key] = k
}

// usable returns the addresses of one family, also those of an older answer as long as they may be used.
func (b *addressBook) usable(key addressKey, now time.Time) []netip.Addr {
	k := b.known[key]
	if k.err != nil && b.maxStale > 0 && now.Sub(k.good) > b.maxStale {
		return nil
	}
	return k.addrs
}

// addresses returns the addresses of a target that the policy wants, sorted.
func (b *addressBook) addresses(target string, now time.Time) []netip.Addr {
	var addrs []netip.Addr
	for _, f := range b.family.asked() {
		if len(addrs) > 0 && b.family.exclusive() {
			break
		}
		addrs = append(addrs, b.usable(addressKey{target, f}, now)...)
	}
	return distinct(addrs)
}

// covered reports whether every target has an address or is known to have none.
func (b *addressBook) covered(targets []string, now time.Time) bool {
	return !slices.ContainsFunc(targets, func(t string) bool {
		return len(b.addresses(t, now)) == 0 && !b.denied(t)
	})
}

// denied reports whether all families of the target were answered, so that what is missing is known not to exist.
func (b *addressBook) denied(target string) bool {
	return !slices.ContainsFunc(b.family.asked(), func(f family) bool {
		k := b.known[addressKey{target, f}]
		return k.err != nil || k.good.IsZero()
	})
}

// ttl returns how long what is known of the targets' addresses still holds, at most ttl. That an address is missing holds for as
// long too, but is no reason to ask the whole name again: it is asked for when the name next is.
func (b *addressBook) ttl(targets []string, ttl time.Duration, now time.Time) time.Duration {
	for _, target := range targets {
		for _, f := range b.family.asked() {
			if k := b.known[addressKey{target, f}]; k.err == nil && len(k.addrs) > 0 {
				ttl = min(ttl, k.good.Add(k.ttl).Sub(now))
			}
		}
	}
	return max(0, ttl)
}

// maxShownErrors bounds how many of a name's targets an error speaks of.
const maxShownErrors = 3

// problem says what could not be found out about the targets, and which ones that concerns; nil when all was answered.
func (b *addressBook) problem(targets []string) (map[string]bool, error) {
	unknown := make(map[string]bool)
	var errs []error
	for _, target := range targets {
		for _, f := range b.family.asked() {
			key := addressKey{target, f}
			err := b.known[key].err
			if err == nil {
				continue
			}
			unknown[shown(target)] = true
			if errs = append(errs, err); len(errs) > maxShownErrors {
				errs = errs[:maxShownErrors]
			}
		}
	}
	if len(unknown) == 0 {
		return nil, nil
	}
	return unknown, fmt.Errorf("%d of %d targets: %w", len(unknown), len(targets), together(errs...))
}

// denialTTL returns how long the answers that a target has no address hold.
func (b *addressBook) denialTTL(target string) time.Duration {
	ttl := maxTime
	for _, f := range b.family.asked() {
		ttl = min(ttl, b.known[addressKey{target, f}].ttl)
	}
	return ttl
}
