package discovery

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	firstCoolDown = time.Second      // after a server has not answered
	lastCoolDown  = 30 * time.Second // after it has not many times
	firstRTT      = time.Millisecond // of a server that was never asked: curiosity
)

// A nameserver is one server and what experience says of it. Its methods may be called from any goroutine.
type nameserver struct {
	addr   netip.AddrPort
	cookie string // ours for it, in hexadecimal (RFC 7873)

	mu       sync.Mutex
	known    traits
	rtt      time.Duration // moving average
	failures int           // in a row
	cool     time.Time     // when it is worth asking again before others
	stats    ServerStatus
}

// traits are what a server was seen to do.
type traits struct {
	serverCookie string
	echoes       bool // it returns cookies
	folds        bool // it does not keep the case of names
}

// ServerStatus is what operators see of a name server.
type ServerStatus struct {
	Addr        netip.AddrPort
	Queries     uint64        // that ended, without those another server overtook
	Failures    uint64        // of them: no usable reply
	Unhelpful   uint64        // of them: SERVFAIL, REFUSED and other replies that are no answer
	Overtaken   uint64        // queries given up because another server answered first
	RTT         time.Duration // moving average
	CoolingDown bool          // it has not answered lately and is asked after the others
	Error       string        // of the last failure
}

func newNameserver(addr netip.AddrPort) *nameserver {
	var cookie [clientCookieSize / 2]byte
	rand.Read(cookie[:]) // never fails: the program ends instead
	return &nameserver{addr: addr, cookie: hex.EncodeToString(cookie[:]), rtt: firstRTT, stats: ServerStatus{Addr: addr}}
}

func (s *nameserver) traits() traits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// learn notes what a reply over UDP or a connection showed.
func (s *nameserver) learn(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.cookie != "" {
		s.known.serverCookie, s.known.echoes = r.cookie, true
	}
	s.known.folds = s.known.folds || r.folded
}

// answered notes a reply, helpful or not, after d.
func (s *nameserver) answered(d time.Duration, helpful bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Queries++
	if !helpful {
		s.stats.Unhelpful++
	}
	s.failures, s.cool = 0, time.Time{}
	s.average(d)
}

// silent notes that no usable reply came until now.
func (s *nameserver) silent(err error, d time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Queries++
	s.stats.Failures++
	s.stats.Error = err.Error()
	s.failures++
	s.cool = now.Add(backoff(s.failures, firstCoolDown, lastCoolDown))
	s.average(max(d, s.rtt))
}

// overtaken notes that another server answered first: this one takes at least d.
func (s *nameserver) overtaken(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Overtaken++
	if d > s.rtt {
		s.average(d)
	}
}

// average moves the average a quarter of the way to d.
func (s *nameserver) average(d time.Duration) { s.rtt += (d - s.rtt) / 4 }

func (s *nameserver) status(now time.Time) ServerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.RTT, st.CoolingDown = s.rtt, now.Before(s.cool)
	return st
}

// byMerit orders servers: those that answer before those that have not lately, and fast ones first. avoid comes last, whatever its
// merit. A server that is cooling down stays in the list: when all are, somebody must be asked.
func byMerit(servers []*nameserver, avoid netip.AddrPort, now time.Time) []*nameserver {
	type merit struct {
		server  *nameserver
		shunned int
		rtt     time.Duration
	}
	order := make([]merit, len(servers))
	for i, s := range servers {
		st := s.status(now)
		order[i] = merit{server: s, rtt: st.RTT}
		if st.CoolingDown {
			order[i].shunned = 1
		}
		if s.addr == avoid {
			order[i].shunned = 2
		}
	}
	slices.SortStableFunc(order, func(a, b merit) int {
		if a.shunned != b.shunned {
			return a.shunned - b.shunned
		}
		return int(a.rtt.Microseconds() - b.rtt.Microseconds())
	})
	sorted := make([]*nameserver, len(order))
	for i, m := range order {
		sorted[i] = m.server
	}
	return sorted
}
