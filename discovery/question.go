package discovery

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// A question is one name and one type, of class IN.
type question struct {
	name string // canonical: absolute and in lower case
	kind uint16 // dns.TypeSRV, dns.TypeA or dns.TypeAAAA
}

// String writes the question for errors and logs.
func (q question) String() string { return dns.TypeToString[q.kind] + " " + shown(q.name) }

// shown writes a canonical name as people write it, without the dot at its end.
func shown(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// checkName refuses what cannot be asked for. Escapes are refused too: no name of a host or service needs them,
// and a name with two spellings could not be compared with the one in a reply.
func checkName(name string) error {
	if name == "" || name == "." || strings.ContainsAny(name, "\\ \t\r\n") {
		return fmt.Errorf("%q is not a domain name", name)
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return fmt.Errorf("%q is not a domain name: a label has 1 to 63 bytes, a name at most 255", name)
	}
	return nil
}
