package discovery

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func followHost(t *testing.T, r *Resolver, change func(*HostOptions)) *followed {
	t.Helper()
	o := HostOptions{Name: "Web.example.test", Port: 80}
	if change != nil {
		change(&o)
	}
	p, err := NewHost(r, o)
	return follow(t, p, err)
}

func TestHost(t *testing.T) {
	s := serve(t, zone(address("web", "10.0.0.2"), address("web", "10.0.0.1"), address("web", "2001:db8::1")))
	f := followHost(t, resolver(t, nil, s.Addr), nil)
	all := []string{"0 1 web.example.test 10.0.0.1:80", "0 1 web.example.test 10.0.0.2:80", "0 1 web.example.test [2001:db8::1]:80"}
	u := f.awaitSet(all...)
	if u.Status.Source != "dns Web.example.test" || u.Status.Outcome != OK {
		t.Errorf("status %+v", u.Status)
	}
	s.handle(zone(address("web", "10.0.0.2"), address("web", "10.0.0.1"), "web.example.test. 0 IN AAAA fe80::1"))
	f.awaitSet(all[:2]...)
	s.handle(zone("web.example.test. 0 IN CNAME x.example.test.", address("x", "10.0.0.2"), address("x", "10.0.0.3")))
	f.awaitSet("0 1 web.example.test 10.0.0.2:80", "0 1 web.example.test 10.0.0.3:80")
	s.handle(refuse(dns.RcodeServerFailure))
	u = f.await("a failure", func(u Update) bool { return u.Status.Outcome == OK && strings.Contains(u.Status.Error, "SERVFAIL") })
	if len(u.Endpoints) != 2 {
		t.Errorf("the set became\n%s", lines(u.Endpoints))
	}
}

func TestHostFamilies(t *testing.T) {
	records := zone(address("web", "10.0.0.1"), address("web", "2001:db8::1"))
	s := serve(t, records)
	f := followHost(t, resolver(t, nil, s.Addr), nil)
	both := []string{"0 1 web.example.test 10.0.0.1:80", "0 1 web.example.test [2001:db8::1]:80"}
	f.awaitSet(both...)
	s.handle(func(w dns.ResponseWriter, m *dns.Msg) {
		if m.Question[0].Qtype == dns.TypeAAAA {
			refuse(dns.RcodeServerFailure)(w, m)
			return
		}
		zone(address("web", "10.0.0.1"), address("web", "10.0.0.2"))(w, m)
	})
	f.awaitSet(both[0], "0 1 web.example.test 10.0.0.2:80", both[1])
}

func TestHostEmpty(t *testing.T) {
	records := zone(address("web", "10.0.0.1"))
	one, two := serve(t, records), serve(t, records)
	f := followHost(t, resolver(t, nil, one.Addr, two.Addr), func(o *HostOptions) { o.HoldEmpty = time.Hour })
	f.awaitSet("0 1 web.example.test 10.0.0.1:80")
	one.handle(zone())
	two.handle(zone())
	f.awaitSet()

	s := serve(t, records)
	f = followHost(t, resolver(t, nil, s.Addr), func(o *HostOptions) { o.HoldEmpty = 300 * time.Millisecond })
	f.awaitSet("0 1 web.example.test 10.0.0.1:80")
	s.handle(zone())
	f.await("an answer that there are none", func(u Update) bool { return u.Status.Outcome == Empty })
	f.awaitSet()
}
