package discovery

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/weirlb/weir/internal/weirtest"
)

// srvOptions are those of tests: what vanishes is gone at once, so that sets can be compared.
func srvOptions(change func(*SRVOptions)) SRVOptions {
	o := SRVOptions{Name: testName}
	if change != nil {
		change(&o)
	}
	return o
}

// record is an SRV record of testName with TTL 0, so that changes are seen soon.
func record(priority, weight, port int, host string) string {
	return fmt.Sprintf("%s 0 IN SRV %d %d %d %s.example.test.", testName, priority, weight, port, host)
}

func address(host, addr string) string {
	kind := "A"
	if strings.Contains(addr, ":") {
		kind = "AAAA"
	}
	return fmt.Sprintf("%s.example.test. 0 IN %s %s", host, kind, addr)
}

func followSRV(t *testing.T, r *Resolver, change func(*SRVOptions)) *followed {
	t.Helper()
	p, err := NewSRV(r, srvOptions(change))
	return follow(t, p, err)
}

func TestSRVFollowsChanges(t *testing.T) {
	hosts := []string{address("a", "10.0.0.1"), address("b", "10.0.0.2"), address("c", "10.0.0.3")}
	with := func(records ...string) []string { return append(records, hosts...) }
	s := serve(t, zone(with(record(0, 10, 1, "a"), record(0, 30, 1, "b"))...))
	f := followSRV(t, resolver(t, nil, s.Addr), nil)
	f.awaitSet("0 10 a.example.test 10.0.0.1:1", "0 30 b.example.test 10.0.0.2:1")

	s.handle(zone(with(record(0, 20, 1, "a"), record(1, 30, 1, "b"))...))
	f.awaitSet("0 20 a.example.test 10.0.0.1:1", "1 30 b.example.test 10.0.0.2:1")

	s.handle(zone(with(record(0, 20, 1, "a"), record(0, 0, 1, "b"), record(0, 5, 7, "c"))...))
	f.awaitSet("0 20 a.example.test 10.0.0.1:1", "0 0 b.example.test 10.0.0.2:1", "0 5 c.example.test 10.0.0.3:7")

	s.handle(zone(with(record(0, 20, 1, "a"), record(0, 5, 7, "c"))...))
	u := f.awaitSet("0 20 a.example.test 10.0.0.1:1", "0 5 c.example.test 10.0.0.3:7")
	if u.Status.Held || u.Status.Stale || u.Status.Outcome != OK || u.Status.Error != "" {
		t.Errorf("status %+v", u.Status)
	}

	s.handle(zone(with(record(0, 1, 7, "c"), record(0, 1, 7, "b"))...))
	f.awaitSet("0 1 b.example.test 10.0.0.2:7", "0 1 c.example.test 10.0.0.3:7")
}

// TestSRVHolds has the server fail in every way. Whatever it is, the set stays.
func TestSRVHolds(t *testing.T) {
	records := zone(record(0, 1, 1, "a"), record(0, 1, 1, "b"), address("a", "10.0.0.1"), address("b", "10.0.0.2"))
	want := []string{"0 1 a.example.test 10.0.0.1:1", "0 1 b.example.test 10.0.0.2:1"}
	raw := func(b func(*dns.Msg) []byte) dns.HandlerFunc {
		return func(w dns.ResponseWriter, m *dns.Msg) { _, _ = w.Write(b(m)) }
	}
	tests := []struct {
		name    string
		handler dns.HandlerFunc
		says    string
	}{
		{"SERVFAIL", refuse(dns.RcodeServerFailure), "SERVFAIL"},
		{"REFUSED", refuse(dns.RcodeRefused), "REFUSED"},
		{"silence", mute, "timeout"},
		{"a header alone", raw(func(m *dns.Msg) []byte {
			b := make([]byte, headerSize)
			b[0], b[1], b[2] = byte(m.Id>>8), byte(m.Id), 0x84
			return b
		}), "SRV"},
		{"garbage", raw(func(*dns.Msg) []byte { return []byte("sorry") }), "SRV"},
		{"truncated everywhere", func(w dns.ResponseWriter, m *dns.Msg) {
			r := respond(m, dns.RcodeSuccess)
			r.Truncated = true
			send(w, r)
		}, "cut off"},
		{"targets that are refused", zone(record(0, 1, 1, "a"), record(0, 1, 1, "b"), address("a", "169.254.0.1"), address("b", "169.254.169.254")), "link-local"},
		{"a loop of aliases", zone(testName+" 0 IN CNAME b.test.", "b.test. 0 IN CNAME "+testName), "loop"},
		{"addresses that fail", func(w dns.ResponseWriter, m *dns.Msg) {
			if m.Question[0].Qtype != dns.TypeSRV {
				refuse(dns.RcodeServerFailure)(w, m)
				return
			}
			send(w, respond(m, dns.RcodeSuccess, rrs(record(0, 1, 1, "a"), record(0, 1, 1, "b"))...))
		}, "SERVFAIL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // nearly all of its time is waiting
			s := serve(t, records)
			f := followSRV(t, resolver(t, quick, s.Addr), nil)
			f.awaitSet(want...)
			before := len(f.updates())
			s.handle(tt.handler)
			f.await("an attempt that finds it", func(u Update) bool { return strings.Contains(u.Status.Error, tt.says) })
			for _, u := range f.updates()[before:] {
				if lines(u.Endpoints) != strings.Join(want, "\n") {
					t.Fatalf("the set became\n%s", lines(u.Endpoints))
				}
			}
			s.handle(records)
			f.await("recovers", func(u Update) bool { return u.Status.Outcome == OK && u.Status.Error == "" && !u.Status.Held })
		})
	}
}

func TestSRVEmpty(t *testing.T) {
	records := zone(record(0, 1, 1, "a"), address("a", "10.0.0.1"))
	none := []struct {
		name    string
		handler dns.HandlerFunc
	}{
		{"NXDOMAIN", zone()},
		{"no data", zone(testName + " 0 IN TXT x")},
		{"not offered", zone(testName + " 0 IN SRV 0 0 0 .")},
		{"targets without addresses", zone(record(0, 1, 1, "nowhere"))},
	}
	for _, tt := range none {
		t.Run(tt.name+", by two servers", func(t *testing.T) {
			one, two := serve(t, records), serve(t, records)
			f := followSRV(t, resolver(t, nil, one.Addr, two.Addr), func(o *SRVOptions) { o.HoldEmpty = time.Hour })
			f.awaitSet("0 1 a.example.test 10.0.0.1:1")
			one.handle(tt.handler)
			two.handle(tt.handler)
			f.awaitSet()
			one.handle(records)
			two.handle(records)
			f.awaitSet("0 1 a.example.test 10.0.0.1:1")
		})
		t.Run(tt.name+", by one of two", func(t *testing.T) {
			one, two := serve(t, tt.handler), serve(t, records)
			f := followSRV(t, resolver(t, nil, one.Addr, two.Addr), func(o *SRVOptions) { o.HoldEmpty = time.Hour })
			f.awaitSet("0 1 a.example.test 10.0.0.1:1") // asked alternately, since one must be confirmed by the other
			f.await("ten attempts more", func(u Update) bool { return attempts(u) > 12 })
			for _, u := range f.updates() {
				if len(u.Endpoints) == 0 && u.Status.Counters.OK > 0 {
					t.Fatalf("emptied by one server: %+v", u.Status)
				}
			}
		})
		t.Run(tt.name+", by one server for long", func(t *testing.T) {
			s := serve(t, records)
			f := followSRV(t, resolver(t, nil, s.Addr), func(o *SRVOptions) { o.HoldEmpty = 300 * time.Millisecond })
			f.awaitSet("0 1 a.example.test 10.0.0.1:1")
			s.handle(tt.handler)
			u := f.await("an answer that there are none", func(u Update) bool { return u.Status.Counters.Empty > 0 })
			if len(u.Endpoints) == 0 && u.Status.Counters.Empty == 1 {
				t.Errorf("the first such answer is believed")
			}
			f.awaitSet()
		})
	}
}

// TestSRVMassRemoval has most records vanish over UDP only, as they do from servers that hand out subsets.
func TestSRVMassRemoval(t *testing.T) {
	whole := zone(record(0, 1, 1, "a"), record(0, 1, 1, "b"), record(0, 1, 1, "c"),
		address("a", "10.0.0.1"), address("b", "10.0.0.2"), address("c", "10.0.0.3"))
	part := zone(record(0, 1, 1, "a"), address("a", "10.0.0.1"))
	all := []string{"0 1 a.example.test 10.0.0.1:1", "0 1 b.example.test 10.0.0.2:1", "0 1 c.example.test 10.0.0.3:1"}
	split := func(udp, tcp dns.HandlerFunc) dns.HandlerFunc {
		return func(w dns.ResponseWriter, m *dns.Msg) {
			if overStream(w) {
				tcp(w, m)
			} else {
				udp(w, m)
			}
		}
	}
	tests := []struct {
		name string
		tcp  dns.HandlerFunc
		want []string
		says string
	}{
		{"TCP knows better", whole, all, ""},
		{"TCP confirms", part, all[:1], ""},
		{"TCP fails", refuse(dns.RcodeServerFailure), all, "2 of 3 endpoints are left out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, whole)
			f := followSRV(t, resolver(t, nil, s.Addr), nil)
			f.awaitSet(all...)
			s.handle(split(part, tt.tcp))
			weirtest.Eventually(t, patient, func() bool { return s.count(dns.TypeSRV, true) >= 2 || len(tt.want) < 3 }, "asked over TCP")
			u := f.awaitSet(tt.want...)
			if !strings.Contains(u.Status.Error, tt.says) {
				t.Errorf("status says %q", u.Status.Error)
			}
		})
	}
	t.Run("always over TCP", func(t *testing.T) {
		s := serve(t, split(refuse(dns.RcodeRefused), whole))
		f := followSRV(t, resolver(t, func(o *ResolverOptions) { o.Transport = TCP }, s.Addr), nil)
		f.awaitSet(all...)
		s.handle(part)
		f.awaitSet(all[:1]...)
		if n := s.count(dns.TypeSRV, false); n > 0 {
			t.Errorf("asked %d times over UDP", n)
		}
	})
}

func TestSRVFamilies(t *testing.T) {
	records := []string{record(0, 2, 1, "both"), record(0, 2, 1, "four"), record(0, 2, 1, "six"),
		address("both", "10.0.0.1"), address("both", "2001:db8::1"), address("four", "10.0.0.4"), address("six", "2001:db8::6")}
	tests := []struct {
		name   string
		family Family
		want   []string
	}{
		{"both", Both, []string{"0 1 both.example.test 10.0.0.1:1", "0 1 both.example.test [2001:db8::1]:1", "0 2 four.example.test 10.0.0.4:1", "0 2 six.example.test [2001:db8::6]:1"}},
		{"IPv4 only", IPv4Only, []string{"0 2 both.example.test 10.0.0.1:1", "0 2 four.example.test 10.0.0.4:1"}},
		{"IPv6 only", IPv6Only, []string{"0 2 both.example.test [2001:db8::1]:1", "0 2 six.example.test [2001:db8::6]:1"}},
		{"IPv4 preferred", PreferIPv4, []string{"0 2 both.example.test 10.0.0.1:1", "0 2 four.example.test 10.0.0.4:1", "0 2 six.example.test [2001:db8::6]:1"}},
		{"IPv6 preferred", PreferIPv6, []string{"0 2 both.example.test [2001:db8::1]:1", "0 2 four.example.test 10.0.0.4:1", "0 2 six.example.test [2001:db8::6]:1"}},
	}
	for _, glue := range []bool{true, false} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, glue %v", tt.name, glue), func(t *testing.T) {
				answer := zone(records...)
				s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
					if !glue && m.Question[0].Qtype == dns.TypeSRV {
						send(w, respond(m, dns.RcodeSuccess, rrs(records[:3]...)...))
						return
					}
					answer(w, m)
				})
				followSRV(t, resolver(t, nil, s.Addr), func(o *SRVOptions) { o.Family = tt.family }).awaitSet(tt.want...)
				for _, q := range s.queries() {
					if tt.family == IPv4Only && q.kind == dns.TypeAAAA || tt.family == IPv6Only && q.kind == dns.TypeA {
						t.Errorf("asked for %s", dns.TypeToString[q.kind])
					}
					if glue && q.kind != dns.TypeSRV && strings.EqualFold(q.name, "both.example.test.") {
						t.Errorf("asked for %s of a target whose addresses came along", dns.TypeToString[q.kind])
					}
				}
			})
		}
	}
}

// TestSRVFamiliesFailApart has one family fail, or stay silent, at first or later: the other is not touched by it.
func TestSRVFamiliesFailApart(t *testing.T) {
	records := zone(record(0, 2, 1, "a"), address("a", "10.0.0.1"), address("a", "2001:db8::1"))
	services := rrs(record(0, 2, 1, "a"))
	without := func(kind uint16, then dns.HandlerFunc) dns.HandlerFunc {
		return func(w dns.ResponseWriter, m *dns.Msg) {
			switch m.Question[0].Qtype {
			case dns.TypeSRV:
				send(w, respond(m, dns.RcodeSuccess, services...))
			case kind:
				then(w, m)
			default:
				records(w, m)
			}
		}
	}
	for name, fail := range map[string]dns.HandlerFunc{"SERVFAIL": refuse(dns.RcodeServerFailure), "silence": mute} {
		t.Run("later "+name, func(t *testing.T) {
			s := serve(t, records)
			f := followSRV(t, resolver(t, nil, s.Addr), nil)
			both := f.awaitSet("0 1 a.example.test 10.0.0.1:1", "0 1 a.example.test [2001:db8::1]:1")
			s.handle(without(dns.TypeAAAA, fail))
			u := f.await("the failure is told", func(u Update) bool { return strings.Contains(u.Status.Error, "1 of 1 targets") })
			if lines(u.Endpoints) != lines(both.Endpoints) {
				t.Errorf("the set became\n%s", lines(u.Endpoints))
			}
		})
		t.Run("at first "+name, func(t *testing.T) {
			s := serve(t, without(dns.TypeAAAA, fail))
			f := followSRV(t, resolver(t, func(o *ResolverOptions) { o.Timeout = time.Hour }, s.Addr), nil)
			f.awaitSet("0 2 a.example.test 10.0.0.1:1")
			s.handle(records)
			f.awaitSet("0 1 a.example.test 10.0.0.1:1", "0 1 a.example.test [2001:db8::1]:1")
		})
	}
}

// TestSRVIgnoresForeignGlue has a reply carry addresses of other names, and answers of other names: neither is remembered.
func TestSRVIgnoresForeignGlue(t *testing.T) {
	records := zone(record(0, 1, 1, "a"), address("a", "10.0.0.1"), address("b", "10.0.0.2"))
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if m.Question[0].Qtype == dns.TypeSRV {
			r := respond(m, dns.RcodeSuccess, rr(record(0, 1, 1, "a")))
			r.Extra = append(r.Extra, rr("b.example.test. 3600 IN A 10.6.6.6"), rr("a.example.test. 3600 CH A 10.6.6.6"))
			send(w, r)
			return
		}
		records(w, m)
	})
	f := followSRV(t, resolver(t, nil, s.Addr), nil)
	f.awaitSet("0 1 a.example.test 10.0.0.1:1")
	s.handle(func(w dns.ResponseWriter, m *dns.Msg) {
		if m.Question[0].Qtype == dns.TypeSRV {
			send(w, respond(m, dns.RcodeSuccess, rrs(record(0, 1, 1, "a"), record(0, 1, 1, "b"))...))
			return
		}
		records(w, m)
	})
	f.awaitSet("0 1 a.example.test 10.0.0.1:1", "0 1 b.example.test 10.0.0.2:1")
}

// TestSRVRemembersAddresses counts questions: addresses are asked for at their own pace, not at that of the records.
func TestSRVRemembersAddresses(t *testing.T) {
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		r := respond(m, dns.RcodeSuccess)
		switch m.Question[0].Qtype {
		case dns.TypeSRV:
			r.Answer = rrs(record(0, 1, 1, "a"))
		case dns.TypeA:
			r.Answer = rrs("a.example.test. 3600 IN A 10.0.0.1")
		default:
			r.Ns = rrs(strings.Replace(soa, " 7", " 300", 1))
		}
		send(w, r)
	})
	f := followSRV(t, resolver(t, nil, s.Addr), nil)
	f.await("five attempts", func(u Update) bool { return attempts(u) >= 5 })
	if a, aaaa := s.count(dns.TypeA, false), s.count(dns.TypeAAAA, false); a != 1 || aaaa != 1 {
		t.Errorf("asked %d times for A and %d times for AAAA", a, aaaa)
	}
}

// TestSRVConfirmsWithoutMemory looks a name up again to confirm what was found: everything is asked for again, and over TCP.
func TestSRVConfirmsWithoutMemory(t *testing.T) {
	services := rrs(testName + " 3600 IN SRV 0 1 1 a.example.test.")
	answer := zone("a.example.test. 30 IN A 10.0.0.1")
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if m.Question[0].Qtype == dns.TypeSRV {
			send(w, respond(m, dns.RcodeSuccess, services...))
			return
		}
		answer(w, m)
	})
	r := resolver(t, func(o *ResolverOptions) { o.MinTTL = time.Minute / 2 }, s.Addr)
	l := &srvLookup{resolver: r, name: testName, book: newAddressBook(IPv4Only, r.limits(), 0)}
	for range 2 {
		// Asked once: the second lookup remembers.
		if f := l.look(t.Context(), asking{}); f.outcome != OK || f.reliable || f.ttl <= 0 || f.ttl > 30*time.Second {
			t.Fatalf("found %+v", f)
		}
	}
	if f := l.look(t.Context(), asking{reliable: true}); f.outcome != OK || !f.reliable {
		t.Fatalf("found %+v", f)
	}
	if udp, tcp := s.count(dns.TypeA, false), s.count(dns.TypeA, true); udp != 1 || tcp != 1 {
		t.Errorf("addresses were asked for %d times over UDP and %d times over TCP", udp, tcp)
	}
}

// TestSRVGrowsTo300 adds records until no datagram holds them, and takes them away again.
func TestSRVGrowsTo300(t *testing.T) {
	s := serve(t, zone(manyRecords(3)...))
	f := followSRV(t, resolver(t, func(o *ResolverOptions) { o.MaxTTL = 20 * time.Millisecond }, s.Addr), nil)
	for _, n := range []int{3, 30, 300, 200, 2} {
		s.handle(zone(manyRecords(n)...))
		u := f.await(fmt.Sprint(n, " endpoints"), func(u Update) bool { return len(u.Endpoints) == n })
		if u.Status.Held || u.Status.Error != "" {
			t.Errorf("%d endpoints, status %+v", n, u.Status)
		}
	}
}

// TestSRVAsksInParallel counts the questions that a server without glue sees at one time.
func TestSRVAsksInParallel(t *testing.T) {
	records := manyRecords(200)
	answer := zone(records...)
	var asked atomic.Int32
	second := make(chan struct{}) // closed when two addresses have been asked for: the first is not answered before
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if m.Question[0].Qtype != dns.TypeSRV {
			if asked.Add(1) == 2 {
				close(second)
			}
			<-second
		}
		if m.Question[0].Qtype == dns.TypeSRV {
			var services []dns.RR
			for i := 0; i < len(records); i += 2 {
				services = append(services, rr(records[i]))
			}
			r := respond(m, dns.RcodeSuccess, services...)
			if !overStream(w) {
				r.Truncate(sizeFor(m))
			}
			send(w, r)
			return
		}
		answer(w, m)
	})
	f := followSRV(t, resolver(t, nil, s.Addr), nil)
	f.await("200 endpoints", func(u Update) bool { return len(u.Endpoints) == 200 && u.Status.Error == "" })
	if most := s.most.Load(); most < 2 || most > 2*maxParallel {
		t.Errorf("%d questions at one time", most)
	}
}

func TestSRVWithoutAnyServerAtFirst(t *testing.T) {
	addr := weirtest.FreeAddr(t)
	f := followSRV(t, resolver(t, quick, addr), nil)
	u := f.await("a failure", func(u Update) bool { return u.Status.Outcome == Failed })
	if len(u.Endpoints) != 0 || u.Status.Stale || u.Status.Held || !u.Status.Answered.IsZero() {
		t.Errorf("update %+v", u)
	}
	if _, err := serveOn(t, addr, zone(record(0, 1, 1, "a"), address("a", "10.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	f.awaitSet("0 1 a.example.test 10.0.0.1:1")
}

func TestSRVLoopback(t *testing.T) {
	s := serve(t, zone(record(0, 1, 1, "a"), address("a", "127.0.0.1")))
	followSRV(t, resolver(t, nil, s.Addr), nil).awaitSet("0 1 a.example.test 127.0.0.1:1")

	public := resolver(t, nil, s.Addr)
	public.private = false
	f := followSRV(t, public, nil)
	f.await("a refusal", func(u Update) bool { return strings.Contains(u.Status.Error, "loopback") && u.Status.Outcome == Failed })
	followSRV(t, public, func(o *SRVOptions) { o.AllowLoopback = true }).awaitSet("0 1 a.example.test 127.0.0.1:1")
}

func TestNewSRVRefuses(t *testing.T) {
	r := resolver(t, nil, "127.0.0.1:5353")
	for _, name := range []string{"", ".", "a b", `a\.b`, "a..b", strings.Repeat("a", 64)} {
		if _, err := NewSRV(r, SRVOptions{Name: name}); err == nil {
			t.Errorf("%q passes as a name of a service", name)
		}
		if _, err := NewHost(r, HostOptions{Name: name, Port: 1}); err == nil {
			t.Errorf("%q passes as a name of a host", name)
		}
	}
	if _, err := NewHost(r, HostOptions{Name: "a.test"}); err == nil {
		t.Error("a host without a port")
	}
}
