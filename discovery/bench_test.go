package discovery

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkReply reads a reply of 300 targets with glue and makes the set of it: what one refresh of a large name costs.
func BenchmarkReply(b *testing.B) {
	q := query{question: question{testName, dns.TypeSRV}, id: 77, name: testName}
	m := new(dns.Msg)
	m.SetQuestion(testName, dns.TypeSRV)
	m.Id, m.Response, m.Authoritative, m.Compress = 77, true, true, true
	for i, text := range manyRecords(300) {
		if i%2 == 0 {
			m.Answer = append(m.Answer, rr(text))
		} else {
			m.Extra = append(m.Extra, rr(text))
		}
	}
	packed, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := q.read(packed, true)
		if err != nil {
			b.Fatal(err)
		}
		a, err := readAnswer(r.msg, q.question)
		if err != nil {
			b.Fatal(err)
		}
		addrs := func(target string) []netip.Addr { return a.glue[addressKey{target, v4}].addrs }
		if set, err := srvSet(a.services, addrs, policy{}); err != nil || len(set) != 300 {
			b.Fatal(len(set), err)
		}
	}
}

// BenchmarkHistory applies an answer that changes nothing, which is most of them.
func BenchmarkHistory(b *testing.B) {
	f := finding{outcome: OK, ttl: time.Second}
	for i := range 300 {
		e := set(fmt.Sprint(i%250 + 1))[0]
		e.Addr = netip.AddrPortFrom(e.Addr.Addr(), uint16(i+1))
		f.set = append(f.set, e)
	}
	h := newHistory("bench", testHold)
	b.ReportAllocs()
	for b.Loop() {
		h.apply(f, dawn, 0.5)
		if u := h.update(); len(u.Endpoints) != 300 {
			b.Fatal(len(u.Endpoints))
		}
	}
}
