package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Transport is how name servers are asked.
type Transport uint8

const (
	UDP Transport = iota // and TCP where a reply is cut off, cannot be trusted, or must be confirmed
	TCP                  // always; right for servers that hand out a part of a set over UDP without saying so, as Consul does
	TLS                  // DNS over TLS (RFC 7858)
)

// port is the default port of name servers.
func (t Transport) port() uint16 {
	if t == TLS {
		return 853
	}
	return 53
}

// Defaults of ResolverOptions.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultHedge    = 200 * time.Millisecond
	DefaultAttempts = 2
	DefaultMinTTL   = time.Second
	DefaultMaxTTL   = time.Minute
)

// ResolverOptions says whom to ask and how. A field that is zero takes its default.
type ResolverOptions struct {
	// Nameservers are ip or ip:port. Without any, those of ResolvConf are asked, which is read again when it changes.
	Nameservers []string
	ResolvConf  string // default /etc/resolv.conf

	Transport  Transport
	ServerName string      // on the certificate of every server, with TLS; default: each server's address
	TLS        *tls.Config // base for TLS: authorities, versions; default: the system's

	Timeout  time.Duration // of one query to one server, and of its repetition over TCP; default 2 s
	Hedge    time.Duration // without a reply for this long the next server is asked too, then after twice that the next; default 200 ms
	Attempts int           // how often each server is asked at most; default 2

	MinTTL time.Duration // answers are kept at least this long, those with TTL 0 too; default 1 s
	MaxTTL time.Duration // answers are kept at most this long; default 1 min

	// Search completes names with few dots by the search list of ResolvConf. Off, all names are absolute: a list multiplies
	// queries, and lets a record elsewhere take a name over.
	Search bool
}

func (o ResolverOptions) withDefaults() ResolverOptions {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	set(&o.Timeout, DefaultTimeout)
	set(&o.Hedge, DefaultHedge)
	set(&o.MinTTL, DefaultMinTTL)
	set(&o.MaxTTL, DefaultMaxTTL)
	if o.Attempts <= 0 {
		o.Attempts = DefaultAttempts
	}
	if o.ResolvConf == "" {
		o.ResolvConf = DefaultResolvConf
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{}
	}
	return o
}

// A Resolver asks name servers. It may be shared by all names and used from any goroutine; it needs no closing.
type Resolver struct {
	options   ResolverOptions
	exchanger *exchanger
	flights   *flights
	private   bool // see allowsLoopback

	mu      sync.Mutex
	conf    *resolvConf   // nil: not needed
	servers []*nameserver // replaced as a whole
}

// NewResolver returns a resolver. It touches no network, and a resolv.conf that is missing is no error: it may come later.
func NewResolver(o ResolverOptions) (*Resolver, error) {
	o = o.withDefaults()
	if o.MinTTL > o.MaxTTL {
		return nil, fmt.Errorf("the least TTL, %v, is greater than the greatest, %v", o.MinTTL, o.MaxTTL)
	}
	config := o.TLS.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(maxNameservers)
	if o.ServerName != "" {
		config.ServerName = o.ServerName
	}
	r := &Resolver{
		options:   o,
		exchanger: &exchanger{transport: o.Transport, timeout: o.Timeout, tls: config},
		flights:   newFlights(),
	}
	var servers []netip.AddrPort
	for _, text := range o.Nameservers {
		addr, err := parseNameserver(text, o.Transport.port())
		if err != nil {
			return nil, err
		}
		servers = append(servers, addr)
	}
	if len(servers) > maxNameservers {
		return nil, fmt.Errorf("%d name servers: at most %d can be asked", len(servers), maxNameservers)
	}
	r.use(servers)
	r.private = len(servers) > 0 && !slices.ContainsFunc(servers, func(s netip.AddrPort) bool {
		return !s.Addr().IsLoopback() || s.Port() == UDP.port() || s.Port() == TLS.port()
	})
	if len(servers) == 0 || o.Search {
		r.conf = &resolvConf{path: o.ResolvConf, port: o.Transport.port(), asked: len(servers) == 0}
	}
	return r, nil
}

// allowsLoopback reports whether names may point at this machine without an option that says so. They may if the name servers are
// this machine's own and private: listed, on loopback, and not on the ports 53 and 853. So a developer's server on 127.0.0.1:5353
// may, and the machine's cache, which passes on what public zones say, may not.
func (r *Resolver) allowsLoopback() bool { return r.private }

func (r *Resolver) limits() ttlLimits {
	return ttlLimits{least: r.options.MinTTL, most: r.options.MaxTTL}
}

// use takes servers in place of the present ones. What is known of a server that stays is kept.
func (r *Resolver) use(addrs []netip.AddrPort) {
	servers := make([]*nameserver, 0, len(addrs))
	for _, addr := range addrs {
		same := func(s *nameserver) bool { return s.addr == addr }
		if slices.ContainsFunc(servers, same) {
			continue
		}
		if i := slices.IndexFunc(r.servers, same); i >= 0 {
			servers = append(servers, r.servers[i])
			continue
		}
		servers = append(servers, newNameserver(addr))
	}
	r.servers = servers
}

// reread looks at resolv.conf if it is followed. The caller holds mu.
func (r *Resolver) reread(now time.Time) {
	if r.conf != nil && r.conf.refresh(now) && r.conf.asked {
		r.use(r.conf.system.servers)
	}
}

// current returns the servers to ask.
func (r *Resolver) current(now time.Time) ([]*nameserver, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reread(now)
	if len(r.servers) == 0 {
		return nil, fmt.Errorf("no name server is known: %w", r.conf.err)
	}
	return r.servers, nil
}

// Servers returns the state of the name servers, in the order in which they are listed.
func (r *Resolver) Servers() []ServerStatus {
	now := time.Now()
	servers, _ := r.current(now)
	all := make([]ServerStatus, len(servers))
	for i, s := range servers {
		all[i] = s.status(now)
	}
	return all
}

// candidates returns the names that name may stand for, in the order in which to try them.
func (r *Resolver) candidates(name string) ([]string, error) {
	names := []string{dns.Fqdn(name)}
	if r.options.Search {
		config, err := r.searchList()
		if err != nil {
			return nil, err
		}
		names = config.NameList(name)
	}
	var valid []string
	for _, n := range names {
		if checkName(n) == nil { // a suffix may make a name too long
			valid = append(valid, dns.CanonicalName(n))
		}
	}
	if len(valid) == 0 {
		return nil, checkName(name)
	}
	return valid, nil
}

func (r *Resolver) searchList() (*dns.ClientConfig, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reread(time.Now())
	if r.conf.system.config == nil {
		return nil, fmt.Errorf("the search list is not known: %w", r.conf.err)
	}
	return r.conf.system.config, nil
}

// search asks for a name that may be short. The first candidate with records is meant. One that cannot be found out about ends the
// search: whether the name exists, and what it means, is not known then.
func (r *Resolver) search(ctx context.Context, name string, kind uint16, how asking) (answer, error) {
	names, err := r.candidates(name)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, n := range names {
		if a, err = r.ask(ctx, question{n, kind}, how); err != nil || a.outcome() == OK {
			break
		}
	}
	return a, err
}

// ask asks, and asks on where a chain of aliases leads out of the reply.
func (r *Resolver) ask(ctx context.Context, q question, how asking) (answer, error) {
	ttl, seen := maxTime, []string{q.name}
	for range maxAliases {
		a, err := r.flights.do(ctx, flightKey{q, how}, func(ctx context.Context) (answer, error) {
			return r.race(ctx, q, how)
		})
		if err != nil {
			return answer{}, err
		}
		a.ttl = min(a.ttl, ttl)
		if a.alias == "" {
			return a, nil
		}
		q.name, ttl = a.alias, a.ttl
		if slices.Contains(seen, q.name) {
			return answer{}, fmt.Errorf("%v: %w", q, errAliasLoop)
		}
		seen = append(seen, q.name)
	}
	return answer{}, fmt.Errorf("%v: %w", q, errAliases)
}

// maxQueries bounds what one question costs when nobody answers.
const maxQueries = 12

// race asks the best server, and others too as time passes or servers fail. The first answer wins.
func (r *Resolver) race(ctx context.Context, q question, how asking) (answer, error) {
	servers, err := r.current(time.Now())
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := contest{
		order:   byMerit(servers, how.avoid, time.Now()),
		left:    min(maxQueries, r.options.Attempts*len(servers)),
		results: make(chan result, maxQueries),
		enter: func(s *nameserver) result {
			a, err := r.try(ctx, s, q, how)
			return result{s, a, err}
		},
	}
	return c.run(ctx, r.options.Hedge)
}

// try asks one server and notes how it did.
func (r *Resolver) try(ctx context.Context, s *nameserver, q question, how asking) (answer, error) {
	began := time.Now()
	a, err := r.exchanger.exchange(ctx, s, q, how.reliable)
	now := time.Now()
	took := now.Sub(began)
	switch {
	case err == nil:
		s.answered(took, true)
		return a, nil
	case ctx.Err() != nil:
		s.overtaken(took)
	case a.server.IsValid():
		s.answered(took, false)
	default:
		s.silent(err, took, now)
	}
	return a, fmt.Errorf("%v from %v: %w", q, s.addr, err)
}

// A result is what came of asking one server.
type result struct {
	server *nameserver
	answer answer
	err    error
}

// A contest asks servers one after another, not waiting long for each, until one answers.
type contest struct {
	order   []*nameserver
	left    int // queries that may still be sent
	results chan result
	enter   func(*nameserver) result

	next    int
	running int
	spent   []*nameserver // that have failed other than by silence: they would fail again
	errs    []error
}

// start asks the next server, if there is one left to ask.
func (c *contest) start() {
	for range c.order {
		s := c.order[c.next%len(c.order)]
		c.next++
		if c.left > 0 && !slices.Contains(c.spent, s) {
			c.left--
			c.running++
			go func() { c.results <- c.enter(s) }()
			return
		}
	}
}

func (c *contest) run(ctx context.Context, hedge time.Duration) (answer, error) {
	timer := time.NewTimer(hedge)
	defer timer.Stop()
	for c.start(); c.running > 0; {
		select {
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-timer.C:
			c.start()
		case won := <-c.results:
			c.running--
			if won.err == nil {
				return won.answer, nil
			}
			c.fail(won)
		}
		hedge *= 2
		timer.Reset(hedge)
	}
	return answer{}, together(c.errs...)
}

// fail notes a failure and asks the next server at once.
func (c *contest) fail(lost result) {
	if !slices.ContainsFunc(c.errs, func(err error) bool { return err.Error() == lost.err.Error() }) {
		c.errs = append(c.errs, lost.err)
	}
	if !isTimeout(lost.err) {
		c.spent = append(c.spent, lost.server)
	}
	c.start()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
