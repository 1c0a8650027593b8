package discovery

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// patient is how long tests wait for what must come; nothing in them depends on how long it takes.
const patient = 30 * time.Second

// A scriptedServer is a name server in this process that answers as a function says, over UDP and TCP on one port.
type scriptedServer struct {
	Addr    string
	handler atomic.Pointer[dns.HandlerFunc]

	mu     sync.Mutex
	asked  []asked
	active atomic.Int32
	most   atomic.Int32
}

// asked is one query as the server saw it.
type asked struct {
	name   string // as spelled
	kind   uint16
	stream bool
	edns   bool
	from   string
}

// serve starts a server that ends with the test.
func serve(t *testing.T, handler dns.HandlerFunc) *scriptedServer {
	t.Helper()
	for range 20 {
		// The port is free for both when it is looked for, and may be somebody else's a moment later.
		if s, err := serveOn(t, weirtest.FreeAddr(t), handler); err == nil {
			return s
		}
	}
	t.Fatal("found no port for a name server")
	return nil
}

func serveOn(t *testing.T, addr string, handler dns.HandlerFunc) (*scriptedServer, error) {
	t.Helper()
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		packets.Close()
		return nil, err
	}
	s := &scriptedServer{Addr: addr}
	s.handle(handler)
	s.run(t, &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(s.serve)})
	s.run(t, &dns.Server{Listener: listener, Handler: dns.HandlerFunc(s.serve)})
	return s, nil
}

// serveTLS starts a server that speaks TLS only.
func serveTLS(t *testing.T, config *tls.Config, handler dns.HandlerFunc) *scriptedServer {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	s := &scriptedServer{Addr: listener.Addr().String()}
	s.handle(handler)
	s.run(t, &dns.Server{Listener: listener, Handler: dns.HandlerFunc(s.serve)})
	return s
}

func (s *scriptedServer) run(t *testing.T, d *dns.Server) {
	t.Helper()
	up := make(chan struct{})
	d.NotifyStartedFunc = func() { close(up) }
	ended := make(chan error, 1)
	go func() { ended <- d.ActivateAndServe() }()
	<-up
	t.Cleanup(func() {
		if err := d.Shutdown(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		<-ended
	})
}

// handle changes what the server does.
func (s *scriptedServer) handle(h dns.HandlerFunc) { s.handler.Store(&h) }

func (s *scriptedServer) serve(w dns.ResponseWriter, m *dns.Msg) {
	s.most.Store(max(s.most.Load(), s.active.Add(1)))
	defer s.active.Add(-1)
	s.mu.Lock()
	s.asked = append(s.asked, asked{
		name: m.Question[0].Name, kind: m.Question[0].Qtype, stream: overStream(w), edns: m.IsEdns0() != nil, from: w.RemoteAddr().String(),
	})
	s.mu.Unlock()
	(*s.handler.Load())(w, m)
}

// queries returns what was asked so far.
func (s *scriptedServer) queries() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// count returns how many queries were of a kind, over streams or not.
func (s *scriptedServer) count(kind uint16, stream bool) int {
	n := 0
	for _, a := range s.queries() {
		if a.kind == kind && a.stream == stream {
			n++
		}
	}
	return n
}

func overStream(w dns.ResponseWriter) bool { return w.RemoteAddr().Network() == "tcp" }

// rr reads a record as in a zone file.
func rr(text string) dns.RR {
	record, err := dns.NewRR(text)
	if err != nil {
		panic(fmt.Sprintf("%q: %v", text, err))
	}
	return record
}

func rrs(texts ...string) []dns.RR {
	records := make([]dns.RR, len(texts))
	for i, text := range texts {
		records[i] = rr(text)
	}
	return records
}

// respond returns a reply to m with the records, and an EDNS record if m has one.
func respond(m *dns.Msg, rcode int, answers ...dns.RR) *dns.Msg {
	r := new(dns.Msg)
	r.SetRcode(m, rcode)
	r.Authoritative, r.Answer, r.Compress = true, answers, true
	if m.IsEdns0() != nil {
		r.SetEdns0(ednsSize, false)
	}
	return r
}

func send(w dns.ResponseWriter, m *dns.Msg) { _ = w.WriteMsg(m) } // a client that has gone is no failure of the server

const soa = "example.test. 300 IN SOA ns.example.test. admin.example.test. 1 3600 600 86400 7"

// zone answers from records as an authoritative server does: with glue for SRV, aliases followed, truncation over UDP.
func zone(texts ...string) dns.HandlerFunc {
	records := rrs(texts...)
	return func(w dns.ResponseWriter, m *dns.Msg) {
		q := m.Question[0]
		r := respond(m, dns.RcodeSuccess)
		name, exists := q.Name, false
		for range 10 {
			alias := ""
			for _, record := range records {
				if !strings.EqualFold(record.Header().Name, name) {
					continue
				}
				exists = true
				if record.Header().Rrtype == q.Qtype {
					r.Answer = append(r.Answer, record)
				} else if c, ok := record.(*dns.CNAME); ok {
					r.Answer = append(r.Answer, record)
					alias = c.Target
				}
			}
			if alias == "" {
				break
			}
			name, exists = alias, false
		}
		if !exists {
			r.Rcode = dns.RcodeNameError
		}
		if len(r.Answer) == 0 {
			r.Ns = rrs(strings.Replace(soa, " 7", " 0", 1)) // so that what is added is seen soon
		}
		r.Extra = append(r.Extra, glueFor(r.Answer, records)...)
		if !overStream(w) {
			r.Truncate(sizeFor(m))
		}
		send(w, r)
	}
}

func glueFor(answers, records []dns.RR) []dns.RR {
	var glue []dns.RR
	for _, a := range answers {
		s, ok := a.(*dns.SRV)
		if !ok {
			continue
		}
		for _, record := range records {
			kind := record.Header().Rrtype
			if record.Header().Name == s.Target && (kind == dns.TypeA || kind == dns.TypeAAAA) {
				glue = append(glue, record)
			}
		}
	}
	return glue
}

func sizeFor(m *dns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		return int(opt.UDPSize())
	}
	return dns.MinMsgSize
}

// refuse answers everything with a code.
func refuse(rcode int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) { send(w, respond(m, rcode)) }
}

// mute answers nothing.
func mute(dns.ResponseWriter, *dns.Msg) {}

// resolver returns a resolver of these servers that gives up soon enough for tests in which nobody answers.
func resolver(t *testing.T, change func(*ResolverOptions), addrs ...string) *Resolver {
	t.Helper()
	o := ResolverOptions{Nameservers: addrs, Timeout: 10 * time.Second, MinTTL: 10 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// quick is for tests in which a server must be found not to answer.
func quick(o *ResolverOptions) { o.Timeout, o.Hedge = 300*time.Millisecond, 100*time.Millisecond }

// followed keeps what a provider emits.
type followed struct {
	t   *testing.T
	mu  sync.Mutex
	all []Update
}

// follow runs a provider until the test ends.
func follow(t *testing.T, p Provider, err error) *followed {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f := &followed{t: t}
	ctx, done := t.Context(), make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx, func(u Update) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.all = append(f.all, u)
		})
	}()
	t.Cleanup(func() { <-done })
	return f
}

func (f *followed) last() Update {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		return Update{}
	}
	return f.all[len(f.all)-1]
}

func (f *followed) updates() []Update {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

// await waits for an update that fits.
func (f *followed) await(what string, fits func(Update) bool) Update {
	f.t.Helper()
	var found Update
	weirtest.Eventually(f.t, patient, func() bool {
		found = f.last()
		return fits(found)
	}, what+"; last: "+fmt.Sprint(f.lastText()))
	return found
}

func (f *followed) lastText() string { return lines(f.last().Endpoints) }

// awaitSet waits for a set, written as lines does.
func (f *followed) awaitSet(want ...string) Update {
	f.t.Helper()
	text := strings.Join(want, "\n")
	return f.await("the set is\n"+text, func(u Update) bool { return lines(u.Endpoints) == text })
}

// attempts returns how many attempts an update's status counts.
func attempts(u Update) uint64 {
	c := u.Status.Counters
	return c.OK + c.Empty + c.Failed
}

// lines writes a set for comparison: priority weight name address.
func lines(set []upstream.Endpoint) string {
	texts := make([]string, len(set))
	for i, e := range set {
		texts[i] = fmt.Sprintf("%d %d %s %v", e.Priority, e.Weight, e.Name, e.Addr)
	}
	return strings.Join(texts, "\n")
}

func addrs(texts ...string) []netip.Addr {
	list := make([]netip.Addr, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParseAddr(text)
	}
	return list
}
