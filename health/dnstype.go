package health

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsTypes holds the record types that a dns probe may ask for (the IANA registry "Resource Record (RR) TYPEs").
var dnsTypes = map[string]dnsmessage.Type{
	"A":      dnsmessage.TypeA,
	"AAAA":   dnsmessage.TypeAAAA,
	"CAA":    257,
	"CNAME":  dnsmessage.TypeCNAME,
	"DNSKEY": 48,
	"DS":     43,
	"HTTPS":  dnsmessage.TypeHTTPS,
	"MX":     dnsmessage.TypeMX,
	"NAPTR":  35,
	"NS":     dnsmessage.TypeNS,
	"PTR":    dnsmessage.TypePTR,
	"SOA":    dnsmessage.TypeSOA,
	"SRV":    dnsmessage.TypeSRV,
	"SVCB":   dnsmessage.TypeSVCB,
	"TXT":    dnsmessage.TypeTXT,
}

// dnsType reads a configured record type, in capitals or not. Empty is A.
func dnsType(s string) (dnsmessage.Type, error) {
	if s == "" {
		return dnsmessage.TypeA, nil
	}
	kind, ok := dnsTypes[strings.ToUpper(s)]
	if !ok {
		return 0, fmt.Errorf("record type %s is not one of %s", quoted(s), strings.Join(slices.Sorted(maps.Keys(dnsTypes)), ", "))
	}
	return kind, nil
}

// dnsTypeName names a type for people (TYPE65280 and the like: RFC 3597, section 5).
func dnsTypeName(kind dnsmessage.Type) string {
	for name, k := range dnsTypes {
		if k == kind {
			return name
		}
	}
	return fmt.Sprintf("TYPE%d", uint16(kind))
}

// dnsCodeName names an answer's code as dig and the servers' logs do (the IANA registry "DNS RCODEs").
func dnsCodeName(code dnsmessage.RCode) string {
	names := map[dnsmessage.RCode]string{
		0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED",
		6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS", 23: "BADCOOKIE",
	}
	if name, ok := names[code]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", uint16(code))
}
