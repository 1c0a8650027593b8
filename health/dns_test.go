package health

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weirlb/weir/internal/weirtest"
)

// answerTo returns the answer of a server that knows the name asked for, after edit has had its way with it; nil if query is none.
func answerTo(query []byte, edit func(*dnsmessage.Message)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response = true
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1},
		Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
	}}
	if edit != nil {
		edit(&m)
	}
	packed, err := m.Pack()
	if err != nil {
		panic(err) // a mistake of the test
	}
	return packed
}

// hasEDNS reports whether a query says how long an answer it takes.
func hasEDNS(query []byte) bool {
	var m dnsmessage.Message
	return m.Unpack(query) == nil && len(m.Additionals) == 1 && m.Additionals[0].Header.Type == dnsmessage.TypeOPT &&
		m.Additionals[0].Header.Class == dnsPayload
}

// failing makes an answer without records and with a code. Codes above 15 need the OPT record of the query, which the answer repeats.
func failing(code dnsmessage.RCode) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		m.Answers = nil
		m.RCode = code & 0xF
		for i := range m.Additionals {
			m.Additionals[i].Header.TTL = uint32(code>>4) << 24
		}
	}
}

// bare is an answer that is a header alone, with a code.
func bare(code dnsmessage.RCode) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		*m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RCode: code}}
	}
}

func otherID(m *dnsmessage.Message) { m.ID++ }

func otherName(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("other.test.") }

func truncated(m *dnsmessage.Message) { m.Truncated = true }

func inCapitals(m *dnsmessage.Message) {
	m.Questions[0].Name = dnsmessage.MustNewName(strings.ToUpper(m.Questions[0].Name.String()))
}

func TestDNSAnswers(t *testing.T) {
	// Each answer of one of these servers is made from the query by an edit.
	edits := func(edits ...func(*dnsmessage.Message)) func([]byte) [][]byte {
		return func(query []byte) [][]byte {
			var out [][]byte
			for _, edit := range edits {
				out = append(out, answerTo(query, edit))
			}
			return out
		}
	}
	withoutEDNS := func(edit func(*dnsmessage.Message)) func([]byte) [][]byte {
		return func(query []byte) [][]byte {
			if hasEDNS(query) {
				return [][]byte{answerTo(query, edit)}
			}
			return [][]byte{answerTo(query, nil)}
		}
	}
	cutOff := func(query []byte) [][]byte {
		whole := answerTo(query, truncated)
		return [][]byte{whole[:len(whole)-3]}
	}
	garbageFirst := func(query []byte) [][]byte {
		return [][]byte{{}, []byte("garbage"), bytes.Repeat([]byte{0xC0}, 600), query, answerTo(query, nil)}
	}
	tests := []struct {
		name   string
		server func(query []byte) [][]byte
		want   string
	}{
		{"known", edits(nil), ""},
		{"no such name", edits(failing(dnsmessage.RCodeNameError)), ""},
		{"no such record", edits(failing(dnsmessage.RCodeSuccess)), ""},
		{"truncated", edits(truncated), ""},
		{"cut off anywhere", cutOff, ""},
		{"case not kept", edits(inCapitals), ""},
		{"wrong id first", edits(otherID, nil), ""},
		{"wrong question first", edits(otherName, nil), ""},
		{"forged failure first", edits(func(m *dnsmessage.Message) { otherID(m); failing(2)(m) }, nil), ""},
		{"garbage first", garbageFirst, ""},
		{"SERVFAIL", edits(failing(2)), "example.test. A: the server answers SERVFAIL"},
		{"REFUSED", edits(failing(5)), "REFUSED"},
		{"a code without a name", edits(failing(11)), "RCODE11"},
		{"a code of more than four bits", edits(failing(16)), "BADVERS"},
		{"EDNS malformed to it", withoutEDNS(failing(1)), ""},
		{"EDNS malformed to it, header alone", withoutEDNS(bare(1)), ""},
		{"EDNS unknown to it", withoutEDNS(bare(4)), ""},
		{"everything malformed to it", edits(bare(1)), "FORMERR"},
		{"nothing implemented", edits(failing(4)), "NOTIMP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte { return tt.server(query) })
			check(t, probe(t, newProber(t, "dns", Params{DNS: DNS{Name: "example.test"}}), s.Addr), tt.want)
		})
	}
}

// The answers to a query with EDNS0 that come once the one without is under way are answers to nothing.
func TestDNSAsksOnceMoreAlone(t *testing.T) {
	var asked atomic.Int32
	var first []byte
	s := weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte {
		if asked.Add(1) == 1 {
			first = bytes.Clone(query)
			return [][]byte{answerTo(query, bare(1))}
		}
		return [][]byte{answerTo(first, bare(1)), answerTo(first, failing(2)), answerTo(query, nil)}
	})
	check(t, probe(t, newProber(t, "dns", Params{DNS: DNS{Name: "example.test"}}), s.Addr), "")
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestDNSQuery(t *testing.T) {
	queries := make(chan []byte, 100)
	s := weirtest.ServeUDP(t, func(_ netip.AddrPort, query []byte) [][]byte {
		queries <- bytes.Clone(query)
		return [][]byte{answerTo(query, nil)}
	})
	p := newProber(t, "dns", Params{DNS: DNS{Name: "_db._tcp.example.test", RecordType: "srv"}})
	ids, names := map[uint16]bool{}, map[string]bool{}
	for range 20 {
		check(t, probe(t, p, s.Addr), "")
		query := <-queries
		var m dnsmessage.Message
		if err := m.Unpack(query); err != nil {
			t.Fatal(err)
		}
		q := m.Questions[0]
		if !m.RecursionDesired || m.Response || !hasEDNS(query) || q.Type != dnsmessage.TypeSRV || q.Class != dnsmessage.ClassINET ||
			!strings.EqualFold(q.Name.String(), "_db._tcp.example.test.") {
			t.Errorf("query %s", m.GoString())
		}
		ids[m.ID], names[q.Name.String()] = true, true
	}
	if len(ids) < 15 || len(names) < 15 {
		t.Errorf("20 queries have %d ids and write the name in %d ways", len(ids), len(names))
	}
}

func TestMixCase(t *testing.T) {
	name := dnsmessage.MustNewName("aZ-09_@[`{.Test.")
	for _, tt := range []struct {
		name string
		bits byte
		want string
	}{
		{"small", 0x00, "az-09_@[`{.test."},
		{"capital", 0xFF, "AZ-09_@[`{.TEST."},
		{"every other", 0xAA, "aZ-09_@[`{.TeSt."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mixCase(name, [32]byte(bytes.Repeat([]byte{tt.bits}, 32)))
			if got.String() != tt.want || !equalFold(got, name) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDNSNotTheAnswer(t *testing.T) {
	q := dnsQuery{id: 7, name: dnsmessage.MustNewName("eXample.test."), kind: dnsmessage.TypeA, edns: true}
	query, err := q.pack()
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(*dnsmessage.Message)) []byte { return answerTo(query, edit) }
	whole := edited(nil)
	tests := []struct {
		name   string
		answer []byte
		want   string
	}{
		{"the answer", whole, ""},
		{"nothing", nil, "not a DNS message"},
		{"half a header", whole[:7], "not a DNS message"},
		{"the query", query, "a query"},
		{"another operation", edited(func(m *dnsmessage.Message) { m.OpCode = 5 }), "not an answer"},
		{"another id", edited(otherID), "id 8, not 7"},
		{"another name", edited(otherName), `"other.test." A`},
		{"another type", edited(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }), `"eXample.test." AAAA`},
		{"a type without a name", edited(func(m *dnsmessage.Message) { m.Questions[0].Type = 65280 }), "TYPE65280"},
		{"another class", edited(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), `"eXample.test." A`},
		{"a header alone", edited(bare(0)), "no question"},
		{"a failure that is a header alone", edited(bare(2)), "no question"},
		{"two questions", edited(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), "more than one"},
		{"half a question", whole[:20], "malformed question"},
		{"a name that points at itself", append(bytes.Clone(whole[:12]), 0xC0, 12, 0, 1, 0, 1), "malformed question"},
		{"half an answer", whole[:len(whole)-13], "malformed after"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := q.read(tt.answer)
			check(t, err, tt.want)
		})
	}
}

func TestDNSName(t *testing.T) {
	long := strings.Repeat("a23456789.", 25) // 250 bytes
	tests := []struct {
		name, text string
		want       string
		wantErr    string
	}{
		{"root", "", ".", ""},
		{"root with its dot", ".", ".", ""},
		{"without the dot", "example.test", "example.test.", ""},
		{"with the dot", "Example.test.", "Example.test.", ""},
		{"service", "_sip._udp.example.test", "_sip._udp.example.test.", ""},
		{"longest label", strings.Repeat("a", 63), strings.Repeat("a", 63) + ".", ""},
		{"label too long", strings.Repeat("a", 64), "", "segment"},
		{"longest", long + "a23", long + "a23.", ""},
		{"too long", long + "a234", "", "longer than 254"},
		{"empty label", "a..b", "", "segment"},
		{"dot first", ".a", "", "segment"},
		{"blank", "a b", "", "byte 1"},
		{"escape", `a\.b`, "", "byte 1"},
		{"not ASCII", "münchen.test", "", "xn--"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := dnsName(tt.text)
			check(t, err, tt.wantErr)
			if got.String() != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDNSServers(t *testing.T) {
	var records strings.Builder
	fmt.Fprintln(&records, "a A 127.0.0.1\n_db._tcp SRV 0 0 5432 a")
	for i := range 10 { // with their names, more than any datagram the query allows
		fmt.Fprintf(&records, "big TXT \"%d%s\"\n", i, strings.Repeat("x", 200))
	}
	zone := weirtest.DNSZone{Origin: "example.test", Records: records.String()}
	questions := []struct {
		name string
		ask  DNS
		want string
	}{
		{"address", DNS{Name: "a.example.test"}, ""},
		{"service", DNS{Name: "_db._tcp.example.test", RecordType: "SRV"}, ""},
		{"no such record", DNS{Name: "a.example.test", RecordType: "MX"}, ""},
		{"no such name", DNS{Name: "nothing.example.test"}, ""},
		{"truncated", DNS{Name: "big.example.test", RecordType: "TXT"}, ""},
		{"not its zone", DNS{Name: "example.org"}, "example.org. A: the server answers REFUSED"},
	}
	servers := map[string]func(testing.TB, weirtest.DNSZone) *weirtest.DNSServer{
		"bind": weirtest.BIND, "knot": weirtest.Knot, "nsd": weirtest.NSD, "unbound": weirtest.Unbound, "dnsmasq": weirtest.Dnsmasq,
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			s := start(t, zone)
			for _, q := range questions {
				t.Run(q.name, func(t *testing.T) {
					check(t, probe(t, newProber(t, "dns", Params{DNS: q.ask}), s.Addr), q.want)
				})
			}
			s.Kill()
			check(t, probe(t, newProber(t, "dns", Params{DNS: questions[0].ask}), s.Addr), "refused")
		})
	}
}

func FuzzDNSAnswer(f *testing.F) {
	q := dnsQuery{id: 0x1234, name: dnsmessage.MustNewName("eXample.test."), kind: dnsmessage.TypeA, edns: true}
	query, err := q.pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(query)
	for _, edit := range []func(*dnsmessage.Message){nil, otherID, otherName, truncated, inCapitals, failing(16), bare(1), bare(0)} {
		f.Add(answerTo(query, edit))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		code, err := q.read(b)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(b) < 12 || b[0] != 0x12 || b[1] != 0x34 || b[2]&0xF8 != 0x80 || b[3]&0xF != byte(code&0xF) {
			t.Fatalf("%x counts as an answer with code %d", b, code)
		}
		if questions := int(b[4])<<8 | int(b[5]); questions != 1 && (questions != 0 || code&0xF != 1 && code&0xF != 4) {
			t.Fatalf("an answer to %d questions counts, with code %d", questions, code)
		}
	})
}
