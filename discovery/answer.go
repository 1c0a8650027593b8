package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	maxRecords = 4096 // in one section of a reply
	maxAliases = 8    // CNAME records between a name and its records
)

// A service is one SRV record (RFC 2782).
type service struct {
	target   string // canonical
	port     uint16
	priority uint16
	weight   uint16
}

// addressList is what a server says about the addresses of one family.
type addressList struct {
	addrs []netip.Addr // sorted, each once
	ttl   time.Duration
}

// An answer is what a server says to a question with authority: that there are records, or that there are none.
// A reply that says neither is an error instead.
type answer struct {
	services []service    // to a question for SRV: sorted, each once
	addrs    []netip.Addr // to a question for A or AAAA: sorted, each once
	glue     map[addressKey]addressList

	// alias is where a chain of aliases led to a name that the reply has nothing about: the question is to be asked of that
	// name. The answer holds neither records nor their absence then.
	alias string

	ttl    time.Duration  // the least of the records used; without records, how long that may be believed (RFC 2308)
	server netip.AddrPort // who said so
}

// outcome is OK or Empty.
func (a answer) outcome() Outcome {
	if len(a.services) > 0 || len(a.addrs) > 0 {
		return OK
	}
	return Empty
}

// An rcodeError is a reply that gives a reason instead of an answer.
type rcodeError int

func (e rcodeError) Error() string {
	if name, ok := dns.RcodeToString[int(e)]; ok {
		return "it answers " + name
	}
	return fmt.Sprintf("it answers with code %d", int(e))
}

var (
	errReferral      = errors.New("it answers with a referral: it is asked to recurse and does not; name a server that does, or one with authority")
	errAliasLoop     = errors.New("the aliases (CNAME) form a loop")
	errAliases       = fmt.Errorf("there are more than %d aliases (CNAME) in a row", maxAliases)
	errTooMany       = fmt.Errorf("there are more than %d records", maxRecords)
	errContradiction = errors.New("the reply denies the name and has records of it")
)

// readAnswer reads the reply to q. It is pure; m has been found to be a reply to q.
func readAnswer(m *dns.Msg, q question) (answer, error) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return answer{}, rcodeError(m.Rcode)
	}
	if max(len(m.Answer), len(m.Ns), len(m.Extra)) > maxRecords {
		return answer{}, errTooMany
	}
	name, ttl, err := followAliases(m.Answer, q)
	if err != nil {
		return answer{}, err
	}
	records := recordsOf(m.Answer, question{name: name, kind: q.kind})
	if len(records) == 0 {
		return readAbsence(m, q, name, ttl)
	}
	if m.Rcode == dns.RcodeNameError {
		return answer{}, errContradiction
	}
	return readRecords(m, records, ttl)
}

// followAliases returns the name at the end of the chain of aliases that begins at q's name, and the least TTL of the chain.
func followAliases(section []dns.RR, q question) (string, time.Duration, error) {
	next := make(map[string]*dns.CNAME)
	for _, rr := range section {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && c.Hdr.Rdlength > 0 {
			next[dns.CanonicalName(c.Hdr.Name)] = c
		}
	}
	name, ttl, seen := q.name, maxTime, []string{q.name}
	for {
		c, ok := next[name]
		if !ok {
			return name, ttl, nil
		}
		name, ttl = dns.CanonicalName(c.Target), min(ttl, ttlOf(c))
		if slices.Contains(seen, name) {
			return "", 0, errAliasLoop
		}
		if seen = append(seen, name); len(seen) > maxAliases+1 {
			return "", 0, errAliases
		}
	}
}

// maxTime is longer than any TTL.
const maxTime = time.Duration(1<<63 - 1)

// ttlOf returns the TTL of a record. One with the top bit set counts as zero (RFC 2181, section 8).
func ttlOf(rr dns.RR) time.Duration {
	if ttl := rr.Header().Ttl; ttl < 1<<31 {
		return time.Duration(ttl) * time.Second
	}
	return 0
}

// recordsOf returns the records that answer q. Records without data, which updates may carry, answer nothing.
func recordsOf(section []dns.RR, q question) []dns.RR {
	var found []dns.RR
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == q.kind && h.Class == dns.ClassINET && h.Rdlength > 0 && dns.CanonicalName(h.Name) == q.name {
			found = append(found, rr)
		}
	}
	return found
}

// readAbsence reads a reply that has no records of name, where q's aliases end.
func readAbsence(m *dns.Msg, q question, name string, ttl time.Duration) (answer, error) {
	negative, hasSOA := negativeTTL(m.Ns, name)
	switch {
	case m.Rcode == dns.RcodeNameError, hasSOA:
		return answer{ttl: min(ttl, negative)}, nil
	case name != q.name:
		return answer{alias: name, ttl: ttl}, nil
	case !m.Authoritative && (!m.RecursionAvailable || slices.ContainsFunc(m.Ns, isNS)):
		return answer{}, errReferral
	default:
		return answer{}, nil
	}
}

func isNS(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNS }

// negativeTTL returns how long the absence of name holds: the lesser of the SOA's own TTL and its minimum (RFC 2308, section 5).
func negativeTTL(section []dns.RR, name string) (time.Duration, bool) {
	for _, rr := range section {
		soa, ok := rr.(*dns.SOA)
		if ok && soa.Hdr.Class == dns.ClassINET && dns.IsSubDomain(dns.CanonicalName(soa.Hdr.Name), name) {
			return min(ttlOf(soa), time.Duration(soa.Minttl)*time.Second), true
		}
	}
	return 0, false
}

// readRecords reads the records that answer the question, all of one type.
func readRecords(m *dns.Msg, records []dns.RR, ttl time.Duration) (answer, error) {
	a := answer{ttl: ttl}
	for _, rr := range records {
		a.ttl = min(a.ttl, ttlOf(rr))
		switch rr := rr.(type) {
		case *dns.SRV:
			// The root as the target says that the service is not offered here: no record is left then.
			if target := dns.CanonicalName(rr.Target); target != "." {
				a.services = append(a.services, service{target, rr.Port, rr.Priority, rr.Weight})
			}
		default:
			if addr, ok := addressOf(rr); ok {
				a.addrs = append(a.addrs, addr)
			}
		}
	}
	if records[0].Header().Rrtype != dns.TypeSRV && len(a.addrs) == 0 {
		return answer{}, errors.New("its address records hold no address")
	}
	a.addrs = distinct(a.addrs)
	slices.SortFunc(a.services, service.compare)
	a.services = slices.Compact(a.services)
	a.glue = readGlue(m.Extra, a.services)
	return a, nil
}

// addressOf returns the address in an A or AAAA record. An IPv4 address in IPv6 clothes is an IPv4 address.
func addressOf(rr dns.RR) (netip.Addr, bool) {
	var raw []byte
	switch rr := rr.(type) {
	case *dns.A:
		raw = rr.A.To4()
	case *dns.AAAA:
		raw = rr.AAAA
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr.Unmap(), ok
}

func distinct(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// readGlue returns the addresses in the additional section of names that the same reply has as targets, and of no others.
func readGlue(section []dns.RR, services []service) map[addressKey]addressList {
	targets := make(map[string]bool, len(services))
	for _, s := range services {
		targets[s.target] = true
	}
	glue := make(map[addressKey]addressList)
	for _, rr := range section {
		addr, ok := addressOf(rr)
		h := rr.Header()
		key := addressKey{target: dns.CanonicalName(h.Name), family: familyOf(h.Rrtype)}
		if !ok || h.Class != dns.ClassINET || !targets[key.target] {
			continue
		}
		list, known := glue[key]
		if !known {
			list.ttl = maxTime
		}
		list.addrs, list.ttl = append(list.addrs, addr), min(list.ttl, ttlOf(rr))
		glue[key] = list
	}
	for key, list := range glue {
		list.addrs = distinct(list.addrs)
		glue[key] = list
	}
	return glue
}
