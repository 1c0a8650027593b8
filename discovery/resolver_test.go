package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestNewResolverRefuses(t *testing.T) {
	tests := []struct {
		name string
		o    ResolverOptions
		want string
	}{
		{"a name", ResolverOptions{Nameservers: []string{"ns.example.test"}}, "write it as ip or ip:port"},
		{"a port out of range", ResolverOptions{Nameservers: []string{"10.0.0.2:70000"}}, "write it as ip or ip:port"},
		{"port 0", ResolverOptions{Nameservers: []string{"10.0.0.2:0"}}, "write it as ip or ip:port"},
		{"too many", ResolverOptions{Nameservers: slices.Collect(func(yield func(string) bool) {
			for i := range 9 {
				if !yield(fmt.Sprintf("10.0.0.%d", i)) {
					return
				}
			}
		})}, "at most 8"},
		{"limits the wrong way round", ResolverOptions{MinTTL: time.Minute, MaxTTL: time.Second}, "greater than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewResolver(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestNameserverPorts(t *testing.T) {
	tests := []struct {
		name, text string
		transport  Transport
		want       string
	}{
		{"address", "10.0.0.2", UDP, "10.0.0.2:53"},
		{"address, TLS", "10.0.0.2", TLS, "10.0.0.2:853"},
		{"address and port", "10.0.0.2:5353", TLS, "10.0.0.2:5353"},
		{"IPv6", "2001:db8::1", TCP, "[2001:db8::1]:53"},
		{"IPv6 and port", "[2001:db8::1]:5353", UDP, "[2001:db8::1]:5353"},
		{"IPv6 with a zone", "fe80::1%eth0", UDP, "[fe80::1%eth0]:53"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := resolver(t, func(o *ResolverOptions) { o.Transport = tt.transport }, tt.text)
			if got := r.Servers(); len(got) != 1 || got[0].Addr.String() != tt.want {
				t.Errorf("got %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestAllowsLoopback(t *testing.T) {
	tests := []struct {
		name    string
		servers []string
		want    bool
	}{
		{"a developer's", []string{"127.0.0.1:5353"}, true},
		{"a developer's, IPv6 too", []string{"127.0.0.1:5353", "[::1]:5353"}, true},
		{"the machine's cache", []string{"127.0.0.53"}, false},
		{"the machine's cache among others", []string{"127.0.0.1:5353", "127.0.0.1:53"}, false},
		{"elsewhere", []string{"10.0.0.2:5353"}, false},
		{"elsewhere among others", []string{"127.0.0.1:5353", "10.0.0.2:5353"}, false},
		{"resolv.conf", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf := filepath.Join(t.TempDir(), "resolv.conf")
			writeFile(t, conf, "nameserver 127.0.0.1\n")
			r := resolver(t, func(o *ResolverOptions) { o.ResolvConf = conf }, tt.servers...)
			if got := r.allowsLoopback(); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLookupSRV(t *testing.T) {
	s := serve(t, zone(
		testName+" 60 IN SRV 1 5 5432 b.example.test.", testName+" 60 IN SRV 0 5 5432 a.example.test.", testName+" 60 IN SRV 2 5 5432 alias.example.test.",
		"a.example.test. 60 IN A 10.0.0.1", "a.example.test. 60 IN AAAA 2001:db8::1", "alias.example.test. 60 IN CNAME c.example.test.",
		"c.example.test. 60 IN A 10.0.0.3", "_none._tcp.example.test. 60 IN SRV 0 0 0 ."))
	r := resolver(t, nil, s.Addr)
	got, err := r.LookupSRV(t.Context(), "_db._tcp.example.test")
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{
		{Target: "a.example.test", Port: 5432, Priority: 0, Weight: 5, Addrs: addrs("10.0.0.1", "2001:db8::1")},
		{Target: "b.example.test", Port: 5432, Priority: 1, Weight: 5},
		{Target: "alias.example.test", Port: 5432, Priority: 2, Weight: 5, Addrs: addrs("10.0.0.3")},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	for _, name := range []string{"_none._tcp.example.test", "_nx._tcp.example.test", "a.example.test"} {
		if got, err := r.LookupSRV(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", ".", "a b", `a\.b`, "a..b", strings.Repeat("a", 64), strings.Repeat("a.", 150)} {
		if got, err := r.LookupSRV(t.Context(), name); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
}

func TestLookupHost(t *testing.T) {
	records := zone("a.example.test. 60 IN A 10.0.0.1", "a.example.test. 60 IN AAAA 2001:db8::1", "four.example.test. 60 IN A 10.0.0.4")
	s := serve(t, records)
	r := resolver(t, nil, s.Addr)
	tests := []struct {
		name, host string
		handler    dns.HandlerFunc
		want       []netip.Addr
		notFound   bool
		fails      bool
	}{
		{name: "both", host: "A.example.test", want: addrs("10.0.0.1", "2001:db8::1")},
		{name: "one", host: "four.example.test", want: addrs("10.0.0.4")},
		{name: "none", host: "none.example.test", notFound: true, fails: true},
		{name: "one fails", host: "a.example.test", want: addrs("10.0.0.1"), handler: func(w dns.ResponseWriter, m *dns.Msg) {
			if m.Question[0].Qtype == dns.TypeAAAA {
				refuse(dns.RcodeServerFailure)(w, m)
				return
			}
			records(w, m)
		}},
		{name: "both fail", host: "a.example.test", handler: refuse(dns.RcodeServerFailure), fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.handle(records)
			if tt.handler != nil {
				s.handle(tt.handler)
			}
			got, err := r.LookupHost(t.Context(), tt.host)
			if !slices.Equal(got, tt.want) || (err != nil) != tt.fails || errors.Is(err, ErrNotFound) != tt.notFound {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestAliasesAcrossReplies(t *testing.T) {
	alias := func(texts ...string) dns.HandlerFunc { // answers each name with its own alias only
		records := rrs(texts...)
		return func(w dns.ResponseWriter, m *dns.Msg) {
			for _, record := range records {
				if strings.EqualFold(record.Header().Name, m.Question[0].Name) {
					send(w, respond(m, dns.RcodeSuccess, record))
					return
				}
			}
			send(w, respond(m, dns.RcodeNameError))
		}
	}
	tests := []struct {
		name    string
		records []string
		want    string
	}{
		{"followed", append(chain(3), "h3.example.test. 60 IN A 10.0.0.1"), ""},
		{"to nothing", chain(3), ErrNotFound.Error()},
		{"a loop", []string{"a.example.test. 60 IN CNAME b.example.test.", "b.example.test. 60 IN CNAME a.example.test."}, errAliasLoop.Error()},
		{"too many", append(chain(9), "h9.example.test. 60 IN A 10.0.0.1"), errAliases.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := resolver(t, nil, serve(t, alias(tt.records...)).Addr)
			got, err := r.LookupHost(t.Context(), "a.example.test")
			if tt.want == "" {
				if err != nil || len(got) != 1 {
					t.Errorf("got %v, %v", got, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
}

// TestOtherServers has the first server fail in every way; the second answers.
func TestOtherServers(t *testing.T) {
	tests := []struct {
		name    string
		handler dns.HandlerFunc
	}{
		{"SERVFAIL", refuse(dns.RcodeServerFailure)},
		{"REFUSED", refuse(dns.RcodeRefused)},
		{"NOTIMP", refuse(dns.RcodeNotImplemented)},
		{"silence", mute},
		{"a loop of aliases", zone(testName+" 60 IN CNAME b.test.", "b.test. 60 IN CNAME "+testName)},
		{"a referral", func(w dns.ResponseWriter, m *dns.Msg) {
			r := respond(m, dns.RcodeSuccess)
			r.Authoritative, r.Ns = false, rrs("test. 60 IN NS ns.test.")
			send(w, r)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad, better := serve(t, tt.handler), serve(t, zone(good, "a.example.test. 60 IN A 10.0.0.1"))
			r := resolver(t, nil, bad.Addr, better.Addr)
			if got, err := r.LookupSRV(t.Context(), testName); err != nil || len(got) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
			if len(bad.queries()) == 0 {
				t.Error("the first server was not asked")
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		r := resolver(t, nil, weirtest.FreeAddr(t), serve(t, zone(good, "a.example.test. 60 IN A 10.0.0.1")).Addr)
		if got, err := r.LookupSRV(t.Context(), testName); err != nil || len(got) != 1 {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("all fail", func(t *testing.T) {
		refuses, fails := serve(t, refuse(dns.RcodeRefused)), serve(t, refuse(dns.RcodeServerFailure))
		r := resolver(t, nil, refuses.Addr, fails.Addr)
		_, err := r.LookupSRV(t.Context(), testName)
		for _, want := range []string{"SRV " + shown(testName), "REFUSED", "SERVFAIL", refuses.Addr, fails.Addr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
		if n := len(refuses.queries()) + len(fails.queries()); n != 2 {
			t.Errorf("servers that said no were asked %d times, want once each", n)
		}
	})
}

func TestServersCoolDown(t *testing.T) {
	dead, live := serve(t, mute), serve(t, zone(good, "a.example.test. 60 IN A 10.0.0.1"))
	r := resolver(t, quick, dead.Addr, live.Addr)
	for range 5 {
		if _, err := r.LookupSRV(t.Context(), testName); err != nil {
			t.Fatal(err)
		}
	}
	if n := dead.count(dns.TypeSRV, false); n != 1 {
		t.Errorf("the dead server was asked %d times, want once", n)
	}
	st := r.Servers()
	if st[0].Overtaken == 0 || st[1].Queries == 0 || st[1].Failures != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestLostDatagramsAreSentAgain(t *testing.T) {
	var mu sync.Mutex
	n := 0
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n > 1 {
			zone("a.example.test. 60 IN A 10.0.0.1")(w, m)
		}
	})
	r := resolver(t, func(o *ResolverOptions) { o.Timeout, o.Hedge = time.Hour, 10*time.Millisecond }, s.Addr)
	if _, err := r.ask(t.Context(), question{"a.example.test.", dns.TypeA}, asking{}); err != nil {
		t.Fatal(err)
	}
}

func TestByMerit(t *testing.T) {
	now := time.Now()
	at := func(port uint16) *nameserver { return newNameserver(netip.AddrPortFrom(first.Addr(), port)) }
	fast, slow, dead, fresh := at(1), at(2), at(3), at(4)
	for range 20 {
		fast.answered(2*time.Millisecond, true)
		slow.answered(90*time.Millisecond, true)
		dead.silent(errAsked, 0, now) // fast, for one that is not there
	}
	ports := func(avoid netip.AddrPort, now time.Time) string {
		var list []string
		for _, s := range byMerit([]*nameserver{dead, slow, fast, fresh}, avoid, now) {
			list = append(list, fmt.Sprint(s.addr.Port()))
		}
		return strings.Join(list, " ")
	}
	if got := ports(netip.AddrPort{}, now); got != "4 1 2 3" {
		t.Errorf("order %s", got)
	}
	if got := ports(fast.addr, now); got != "4 2 3 1" {
		t.Errorf("order without the fast one %s", got)
	}
	if dead.status(now.Add(29*time.Second)).CoolingDown == false || dead.status(now.Add(31*time.Second)).CoolingDown {
		t.Error("the cool-down does not end after half a minute")
	}
	dead.answered(time.Millisecond, false) // also a refusal is a sign of life
	if dead.status(now).CoolingDown {
		t.Error("cools down after a reply")
	}
}

// TestOneInFlight asks one question from many sides: it is sent once, and again when it is asked later.
func TestOneInFlight(t *testing.T) {
	gate := make(chan struct{})
	answer := zone("a.example.test. 60 IN A 10.0.0.1")
	s := serve(t, func(w dns.ResponseWriter, m *dns.Msg) {
		<-gate
		answer(w, m)
	})
	r := resolver(t, func(o *ResolverOptions) { o.Hedge = time.Hour }, s.Addr)
	q := question{"a.example.test.", dns.TypeA}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if a, err := r.ask(t.Context(), q, asking{}); err != nil || len(a.addrs) != 1 {
				t.Errorf("got %v, %v", a, err)
			}
		})
	}
	weirtest.Eventually(t, patient, func() bool {
		r.flights.mu.Lock()
		defer r.flights.mu.Unlock()
		fl := r.flights.under[flightKey{q, asking{}}]
		return fl != nil && fl.waiting == 50
	}, "50 wait for one answer")
	close(gate)
	wg.Wait()
	if n := len(s.queries()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if _, err := r.ask(t.Context(), q, asking{}); err != nil || len(s.queries()) != 2 {
		t.Errorf("asked %d times in all, %v", len(s.queries()), err)
	}
}

// TestNobodyWaits has one of two who wait give up, then the other: the first changes nothing, the second ends the question.
func TestNobodyWaits(t *testing.T) {
	f := newFlights()
	key := flightKey{question: question{"a.", dns.TypeA}}
	started, ended := make(chan context.Context), make(chan struct{})
	ask := func(ctx context.Context) (answer, error) {
		started <- ctx
		<-ctx.Done()
		close(ended)
		return answer{}, ctx.Err()
	}
	results := make(chan error)
	wait := func() context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := f.do(ctx, key, ask)
			results <- err
		}()
		return cancel
	}
	leaveFirst := wait()
	flying := <-started
	leaveSecond := wait()
	weirtest.Eventually(t, patient, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.under[key].waiting == 2
	}, "two wait")
	leaveFirst()
	<-results
	if flying.Err() != nil {
		t.Fatal("the question ended while one waits")
	}
	leaveSecond()
	<-results
	<-ended
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.under) != 0 {
		t.Error("a question that ended can be joined")
	}
}

func TestSearch(t *testing.T) {
	s := serve(t, zone("_db._tcp.two.test. 60 IN SRV 0 0 1 a.two.test.", "a.two.test. 60 IN A 10.0.0.2", "short.one.test. 60 IN A 10.0.0.1", "short. 60 IN A 10.0.0.9"))
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	writeFile(t, conf, "search one.test two.test\noptions ndots:2\n")
	searching := resolver(t, func(o *ResolverOptions) { o.Search, o.ResolvConf = true, conf }, s.Addr)
	plain := resolver(t, func(o *ResolverOptions) { o.ResolvConf = conf }, s.Addr)
	tests := []struct {
		name string
		r    *Resolver
		host string
		want []netip.Addr
	}{
		{"the first that exists", searching, "short", addrs("10.0.0.1")},
		{"an absolute name", searching, "short.", addrs("10.0.0.9")},
		{"many dots first as they are", searching, "a.two.test", addrs("10.0.0.2")},
		{"off", plain, "short", addrs("10.0.0.9")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.r.LookupHost(t.Context(), tt.host); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	t.Run("services", func(t *testing.T) {
		if got, err := searching.LookupSRV(t.Context(), "_db._tcp"); err != nil || len(got) != 1 {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("a failure says nothing of the name", func(t *testing.T) {
		records := s.handler.Load()
		s.handle(func(w dns.ResponseWriter, m *dns.Msg) {
			if strings.HasSuffix(strings.ToLower(m.Question[0].Name), "one.test.") {
				refuse(dns.RcodeServerFailure)(w, m)
				return
			}
			(*records)(w, m)
		})
		for _, name := range []string{"_nx._tcp", "_db._tcp"} {
			if got, err := searching.LookupSRV(t.Context(), name); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
	})
	t.Run("no list", func(t *testing.T) {
		r := resolver(t, func(o *ResolverOptions) { o.Search, o.ResolvConf = true, conf+".none" }, s.Addr)
		if _, err := r.LookupHost(t.Context(), "short"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestParseResolvConf(t *testing.T) {
	tests := []struct {
		name, text string
		want       string
	}{
		{"usual", "# by hand\nnameserver 10.0.0.2\nnameserver 2001:db8::1\nsearch a.test\noptions ndots:5 rotate\n", "10.0.0.2:53 [2001:db8::1]:53"},
		{"with a zone", "nameserver fe80::1%eth0", "[fe80::1%eth0]:53"},
		{"names and nonsense", "nameserver ns.test\nnameserver\nnameserver 300.1.1.1\nnameserver 10.0.0.2 # x\n\x00\xff\n", "10.0.0.2:53"},
		{"many", strings.Repeat("nameserver 10.0.0.2\n", 20), strings.TrimSpace(strings.Repeat("10.0.0.2:53 ", maxNameservers))},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseResolvConf(strings.NewReader(tt.text), 53)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, addr := range s.servers {
				got = append(got, addr.String())
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestResolvConfIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	r := resolver(t, func(o *ResolverOptions) { o.ResolvConf = path })
	now := time.Now()
	servers := func() string {
		now = now.Add(resolvConfInterval) // as time passes
		list, err := r.current(now)
		if err != nil {
			return "error"
		}
		var texts []string
		for _, s := range list {
			texts = append(texts, s.addr.String())
		}
		return strings.Join(texts, " ")
	}
	expect := func(want string) {
		t.Helper()
		if got := servers(); got != want {
			t.Fatalf("servers %q, want %q", got, want)
		}
	}
	expect("error") // without the file weir starts all the same
	writeFile(t, path, "nameserver 10.0.0.2\nnameserver 10.0.0.3\n")
	expect("10.0.0.2:53 10.0.0.3:53")
	kept := r.servers[1]
	replaceFile(t, path, "nameserver 10.0.0.3\nnameserver 10.0.0.4\n")
	expect("10.0.0.3:53 10.0.0.4:53")
	if r.servers[0] != kept {
		t.Error("what is known of a server that stayed is lost")
	}
	replaceFile(t, path, "# nothing\n")
	expect("10.0.0.3:53 10.0.0.4:53")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("10.0.0.3:53 10.0.0.4:53")
	writeFile(t, path, "nameserver 10.0.0.5\n")
	expect("10.0.0.5:53")
}

// replaceFile puts a new file in the place of the old one, as programs that write resolv.conf do.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.2\nsearch a.test b.test\noptions ndots:5 timeout:1\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseResolvConf(strings.NewReader(text), 53)
		if err != nil {
			return
		}
		for _, addr := range s.servers {
			if !addr.IsValid() || addr.Port() != 53 {
				t.Fatalf("server %v", addr)
			}
		}
		for _, name := range s.config.NameList("a") {
			_ = checkName(name)
		}
	})
}
