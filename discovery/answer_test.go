package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

const testName = "_db._tcp.example.test."

// unpacked sends a message through the wire format, as replies come.
func unpacked(t *testing.T, m *dns.Msg) *dns.Msg {
	t.Helper()
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := new(dns.Msg)
	if err := out.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadAnswer(t *testing.T) {
	srv := question{testName, dns.TypeSRV}
	host := question{"a.example.test.", dns.TypeA}
	tests := []struct {
		name    string
		q       question
		rcode   int
		flags   string // "" is authoritative; "r" recursion available only; "-" neither
		answer  []string
		ns      []string
		extra   []string
		want    string // services and addresses
		glue    string
		alias   string
		ttl     time.Duration
		wantErr string
	}{
		{name: "a service", q: srv, answer: []string{testName + " 60 IN SRV 1 2 5432 A.Example.Test."}, want: "1 2 5432 a.example.test.", ttl: time.Minute},
		{name: "sorted, each once, the least TTL", q: srv, answer: []string{
			testName + " 60 IN SRV 2 2 5432 a.example.test.", testName + " 9 IN SRV 1 2 5432 b.example.test.",
			testName + " 60 IN SRV 2 2 5432 A.example.test."},
			want: "1 2 5432 b.example.test.\n2 2 5432 a.example.test.", ttl: 9 * time.Second},
		{name: "records of others count for nothing", q: srv, answer: []string{
			testName + " 60 IN SRV 1 2 5432 a.example.test.", "_x._tcp.example.test. 5 IN SRV 0 0 1 evil.test.",
			testName + " 5 CH SRV 0 0 1 evil.test.", testName + " 5 IN A 10.0.0.1"},
			want: "1 2 5432 a.example.test.", ttl: time.Minute},
		{name: "a TTL with the top bit", q: srv, answer: []string{testName + " 2147483648 IN SRV 1 2 3 a.example.test."}, want: "1 2 3 a.example.test."},
		{name: "not offered", q: srv, answer: []string{testName + " 60 IN SRV 0 0 0 ."}, ttl: time.Minute},
		{name: "not offered, beside a target", q: srv, answer: []string{testName + " 60 IN SRV 0 0 0 .", testName + " 60 IN SRV 0 0 9 a.example.test."},
			want: "0 0 9 a.example.test.", ttl: time.Minute},
		{name: "glue of targets only, the least TTL", q: srv, answer: []string{testName + " 60 IN SRV 1 2 3 a.example.test."},
			extra: []string{"a.example.test. 9 IN A 10.0.0.2", "A.example.test. 8 IN A 10.0.0.1", "a.example.test. 7 IN AAAA 2001:db8::1",
				"evil.test. 7 IN A 10.6.6.6", "a.example.test. 7 CH A 10.6.6.7"},
			want: "1 2 3 a.example.test.", ttl: time.Minute,
			glue: "a.example.test. 0 [10.0.0.1 10.0.0.2] 8s\na.example.test. 1 [2001:db8::1] 7s"},
		{name: "addresses", q: host, answer: []string{"a.example.test. 5 IN A 10.0.0.2", "a.example.test. 9 IN A 10.0.0.1"}, want: "10.0.0.1\n10.0.0.2", ttl: 5 * time.Second},
		{name: "IPv4 in IPv6 clothes", q: question{"a.example.test.", dns.TypeAAAA},
			answer: []string{"a.example.test. 5 IN AAAA ::ffff:127.0.0.1"}, want: "127.0.0.1", ttl: 5 * time.Second},

		{name: "a denied name", q: srv, rcode: dns.RcodeNameError, ns: []string{soa}, ttl: 7 * time.Second},
		{name: "a denied name without SOA", q: srv, rcode: dns.RcodeNameError},
		{name: "no data", q: srv, ns: []string{soa}, ttl: 7 * time.Second},
		{name: "no data, the SOA's own TTL is less", q: srv, ns: []string{strings.Replace(soa, " 300 ", " 3 ", 1)}, ttl: 3 * time.Second},
		{name: "no data without SOA", q: srv},
		{name: "no data, the SOA of another zone is no proof", q: srv, flags: "-", ns: []string{strings.Replace(soa, "example.test.", "other.test.", 1)}, wantErr: "referral"},
		{name: "no data from a cache", q: srv, flags: "r", ns: []string{soa}, ttl: 7 * time.Second},
		{name: "a referral", q: srv, flags: "-", ns: []string{"example.test. 60 IN NS ns.example.test."}, wantErr: "referral"},
		{name: "a referral from who could recurse", q: srv, flags: "r", ns: []string{"example.test. 60 IN NS ns.example.test."}, wantErr: "referral"},
		{name: "denied and there", q: srv, rcode: dns.RcodeNameError, answer: []string{testName + " 60 IN SRV 1 2 3 a.example.test."}, wantErr: "denies"},
		{name: "server failure", q: srv, rcode: dns.RcodeServerFailure, wantErr: "SERVFAIL"},
		{name: "refused", q: srv, rcode: dns.RcodeRefused, answer: []string{testName + " 60 IN SRV 1 2 3 a.example.test."}, wantErr: "REFUSED"},
		{name: "a code nobody knows", q: srv, rcode: 14, wantErr: "code 14"},

		{name: "aliases", q: host, answer: []string{"a.example.test. 8 IN CNAME B.example.test.", "c.example.test. 9 IN A 10.0.0.1", "b.example.test. 7 IN CNAME c.example.test."},
			want: "10.0.0.1", ttl: 7 * time.Second},
		{name: "an alias to elsewhere", q: host, answer: []string{"a.example.test. 8 IN CNAME b.other.test."}, alias: "b.other.test.", ttl: 8 * time.Second},
		{name: "an alias to no data", q: host, answer: []string{"a.example.test. 3 IN CNAME b.example.test."}, ns: []string{soa}, ttl: 3 * time.Second},
		{name: "an alias to nothing", q: host, rcode: dns.RcodeNameError, answer: []string{"a.example.test. 8 IN CNAME b.example.test."}, ns: []string{soa}, ttl: 7 * time.Second},
		{name: "a loop", q: host, answer: []string{"a.example.test. 8 IN CNAME b.example.test.", "b.example.test. 8 IN CNAME a.example.test."}, wantErr: "loop"},
		{name: "a loop that does not come back", q: host, answer: []string{"a.example.test. 8 IN CNAME b.example.test.", "b.example.test. 8 IN CNAME b.example.test."}, wantErr: "loop"},
		{name: "eight aliases", q: host, answer: append(chain(8), "h8.example.test. 5 IN A 10.0.0.1"), want: "10.0.0.1", ttl: 5 * time.Second},
		{name: "nine aliases", q: host, answer: append(chain(9), "h9.example.test. 5 IN A 10.0.0.1"), wantErr: "more than 8 aliases"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := new(dns.Msg)
			m.SetQuestion(tt.q.name, tt.q.kind)
			m.Response, m.Rcode = true, tt.rcode
			m.Authoritative, m.RecursionAvailable = tt.flags == "", tt.flags == "r"
			m.Answer, m.Ns, m.Extra = rrs(tt.answer...), rrs(tt.ns...), rrs(tt.extra...)
			got, err := readAnswer(unpacked(t, m), tt.q)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("got %+v, %v; want an error with %q", got, err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want, tt.glue, tt.alias}, []string{shownAnswer(got), shownGlue(got), got.alias}); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got.ttl != tt.ttl {
				t.Errorf("ttl %v, want %v", got.ttl, tt.ttl)
			}
		})
	}
}

// chain returns n aliases, from a.example.test to hN.example.test.
func chain(n int) []string {
	names := []string{"a"}
	for i := range n {
		names = append(names, fmt.Sprintf("h%d", i+1))
	}
	var records []string
	for i := range n {
		records = append(records, fmt.Sprintf("%s.example.test. 60 IN CNAME %s.example.test.", names[i], names[i+1]))
	}
	return records
}

func shownAnswer(a answer) string {
	var texts []string
	for _, s := range a.services {
		texts = append(texts, fmt.Sprintf("%d %d %d %s", s.priority, s.weight, s.port, s.target))
	}
	for _, addr := range a.addrs {
		texts = append(texts, addr.String())
	}
	return strings.Join(texts, "\n")
}

func shownGlue(a answer) string {
	var texts []string
	for key, list := range a.glue {
		texts = append(texts, fmt.Sprintf("%s %d %v %v", key.target, key.family, list.addrs, list.ttl))
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

// TestReadAnswerWithoutData plants the records without data that updates carry: they are no answer.
func TestReadAnswerWithoutData(t *testing.T) {
	q := question{"a.example.test.", dns.TypeA}
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.kind)
	m.Response, m.Authoritative = true, true
	m.Answer = []dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: q.name, Rrtype: dns.TypeA, Class: dns.ClassINET}}}
	got, err := readAnswer(unpacked(t, m), q)
	if err != nil || got.outcome() != Empty {
		t.Errorf("got %+v, %v; want no data", got, err)
	}
}

func TestQueryRead(t *testing.T) {
	q := query{question: question{testName, dns.TypeSRV}, id: 77, name: "_Db._tCp.exAmple.tesT.", edns: true, cookie: "0102030405060708"}
	echoes := q
	echoes.echoes = true
	plain := q
	plain.edns = false
	good := func(change func(*dns.Msg)) []byte {
		m := new(dns.Msg)
		m.SetQuestion(q.name, dns.TypeSRV)
		m.Id, m.Response, m.Authoritative = 77, true, true
		m.Answer = rrs(testName+" 60 IN SRV 1 2 3 a.example.test.", testName+" 60 IN SRV 1 2 3 b.example.test.")
		if change != nil {
			change(m)
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	withCookie := func(c string) func(*dns.Msg) {
		return func(m *dns.Msg) {
			m.SetEdns0(ednsSize, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c})
		}
	}
	rcode := func(code int) func(*dns.Msg) { return func(m *dns.Msg) { m.Rcode, m.Answer = code, nil } }
	question := func(change func(*dns.Question)) func(*dns.Msg) {
		return func(m *dns.Msg) { change(&m.Question[0]) }
	}
	spell := question(func(q *dns.Question) { q.Name = testName })
	header := good(rcode(dns.RcodeSuccess))[:headerSize]
	header[5] = 0 // no question
	oldHeader := slices.Clone(header)
	oldHeader[3] = dns.RcodeFormatError
	whole := good(nil)
	lastRecord := len(whole) - 1
	for new(dns.Msg).Unpack(whole[:lastRecord]) != nil {
		lastRecord-- // until where the decoder takes the rest for a whole message
	}
	cut := good(func(m *dns.Msg) { m.Truncated = true })
	tests := []struct {
		name   string
		q      query
		b      []byte
		stream bool
		want   error
	}{
		{name: "the reply", q: q, b: whole},
		{name: "nothing", q: q, want: errNotOurs},
		{name: "less than a header", q: q, b: whole[:11], want: errNotOurs},
		{name: "another id", q: q, b: good(func(m *dns.Msg) { m.Id = 78 }), want: errNotOurs},
		{name: "a query", q: q, b: good(func(m *dns.Msg) { m.Response = false }), want: errNotOurs},
		{name: "another opcode", q: q, b: good(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), want: errNotOurs},
		{name: "another name", q: q, b: good(question(func(q *dns.Question) { q.Name = "_x._tcp.example.test." })), want: errNotOurs},
		{name: "another type", q: q, b: good(question(func(q *dns.Question) { q.Qtype = dns.TypeA })), want: errNotOurs},
		{name: "another class", q: q, b: good(question(func(q *dns.Question) { q.Qclass = dns.ClassCHAOS })), want: errNotOurs},
		{name: "two questions", q: q, b: good(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), want: errNotOurs},
		{name: "another spelling", q: q, b: good(spell), want: errSuspect},
		{name: "another spelling on a connection", q: q, b: good(spell), stream: true},
		{name: "a header alone", q: q, b: header, want: errNotOurs},
		{name: "a header alone that refuses EDNS", q: q, b: oldHeader, want: errOldServer},
		{name: "a header alone that refuses EDNS not asked for", q: plain, b: oldHeader, want: errNotOurs},
		{name: "truncated", q: q, b: cut, want: errTruncated},
		{name: "truncated within a record", q: q, b: cut[:len(cut)-5], want: errTruncated},
		{name: "cut off within a record", q: q, b: whole[:len(whole)-5], want: errSuspect},
		{name: "cut off between records", q: q, b: whole[:lastRecord], want: errSuspect},
		{name: "garbage after the question", q: q, b: append(slices.Clone(whole[:headerSize+len(testName)+5]), 0xff, 0xff, 0xff, 0xff), want: errSuspect},
		{name: "refuses EDNS", q: q, b: good(rcode(dns.RcodeFormatError)), want: errOldServer},
		{name: "implements no EDNS", q: q, b: good(rcode(dns.RcodeNotImplemented)), want: errOldServer},
		{name: "a version of EDNS", q: q, b: good(func(m *dns.Msg) {
			m.SetEdns0(ednsSize, false)
			m.Rcode, m.Answer = dns.RcodeBadVers, nil
		}), want: errOldServer},
		{name: "refuses the query itself", q: plain, b: good(rcode(dns.RcodeFormatError))},
		{name: "our cookie", q: q, b: good(withCookie("0102030405060708aaaaaaaaaaaaaaaa"))},
		{name: "another's cookie", q: q, b: good(withCookie("0902030405060708aaaaaaaaaaaaaaaa")), want: errSuspect},
		{name: "no cookie", q: echoes, b: whole, want: errSuspect},
		{name: "no cookie on a connection", q: echoes, b: whole, stream: true},
		{name: "a bad cookie", q: q, b: good(func(m *dns.Msg) {
			withCookie("0102030405060708aaaaaaaaaaaaaaaa")(m)
			m.Rcode, m.Answer = dns.RcodeBadCookie, nil
		}), want: errSuspect},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.q.read(tt.b, tt.stream); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestMixCase(t *testing.T) {
	tests := []struct {
		name, in, want string
		noise          []byte
	}{
		{"none", "_a.b-c9.test.", "_a.b-c9.test.", []byte{0}},
		{"all", "_a.b-c9.test.", "_A.B-C9.TEST.", []byte{0xff}},
		{"some", "abcdefghij", "AbcdefgHIj", []byte{0x81, 0x01}},
		{"noise begins again", "aaaaaaaaa", "AaaaaaaaA", []byte{0x01}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mixCase(tt.in, tt.noise); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewQueryIsNotGuessable(t *testing.T) {
	ids, spellings := map[uint16]bool{}, map[string]bool{}
	for range 64 {
		q := newQuery(question{testName, dns.TypeSRV}, true)
		ids[q.id], spellings[q.name] = true, true
	}
	if len(ids) < 60 || len(spellings) < 60 {
		t.Errorf("64 queries have %d ids and %d spellings", len(ids), len(spellings))
	}
}

func FuzzReadReply(f *testing.F) {
	q := query{question: question{testName, dns.TypeSRV}, id: 77, name: testName, edns: true, cookie: "0102030405060708"}
	m := new(dns.Msg)
	m.SetQuestion(testName, dns.TypeSRV)
	m.Id, m.Response = 77, true
	m.Answer = rrs(testName+" 60 IN CNAME _x._tcp.example.test.", "_x._tcp.example.test. 60 IN SRV 1 2 3 a.example.test.")
	m.Ns = rrs(soa)
	m.Extra = rrs("a.example.test. 60 IN A 10.0.0.1", "a.example.test. 60 IN AAAA 2001:db8::1")
	m.SetEdns0(ednsSize, false)
	packed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add(packed[:headerSize])
	f.Add(packed[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, stream := range []bool{false, true} {
			r, err := q.read(b, stream)
			if err != nil {
				continue
			}
			if len(r.msg.Question) != 1 {
				t.Fatalf("believed a reply with %d questions", len(r.msg.Question))
			}
			a, err := readAnswer(r.msg, q.question)
			if err != nil {
				continue
			}
			if len(a.services) > maxRecords || a.ttl < 0 || a.alias == testName {
				t.Fatalf("read %+v", a)
			}
			targets := map[string]bool{}
			for _, s := range a.services {
				targets[s.target] = true
			}
			for key := range a.glue {
				if !targets[key.target] {
					t.Fatalf("took glue of %s, which is no target", key.target)
				}
			}
		}
	})
}
