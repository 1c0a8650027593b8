package l7

import (
	"crypto/tls"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/sni"
)

// FrontOptions are what may change while an entrypoint is open.
type FrontOptions struct {
	Limits      http1.Limits      // of request heads
	Underscores http1.Underscores // in names of request fields
	Paths       route.Normalizer
	MaxBody     int64 // bytes of a request body; 0 = no limit
	MaxStreams  int   // requests at one time on a connection of HTTP/2; 0 = http2.DefaultStreams

	HandshakeTimeout  time.Duration // for TLS, absolute
	ReadTimeout       time.Duration // for a request head, absolute; and without a byte of a body that a client sends or does not take
	WriteTimeout      time.Duration // from a request's head to the end of its response, absolute; 0 = no limit
	KeepAliveTimeout  time.Duration // between requests
	IdleTimeout       time.Duration // without a byte either way where the backend is waited for; 0 = never
	KeepAliveRequests int           // on one connection; 0 = no limit
	KeepAliveTime     time.Duration // of one connection; 0 = no limit

	Trusted []netip.Prefix // peers whose X-Forwarded-* and Forwarded are believed
}

// Security is how TLS is ended for some server names.
type Security struct {
	Name   string      // of the settings
	Config *tls.Config // it stays the same as long as the settings do
}

// FrontSettings is everything a request is decided with.
type FrontSettings struct {
	FrontOptions
	Table    *Table
	Security *sni.Table[*Security] // by server name, for names that Table has TLS routes for; nil = no TLS
}

// settings is that, swapped as one value.
type settings struct {
	FrontSettings
	trusted *bart.Lite // nil = nobody
	tick    time.Duration
}

// Front is the HTTP side of an entrypoint. It is the handler of its plain connections.
type Front struct {
	server   *Server
	name     string
	settings atomic.Pointer[settings] // writer: the owner of the topology
	renewals atomic.Uint32            // calls of Renew; writer: the same
	counters *Counters
	sessions []sessionShare // by loop
}

// NewFront returns the HTTP side of an entrypoint.
func (s *Server) NewFront(name string, set FrontSettings) *Front {
	f := &Front{server: s, name: name, counters: s.NewCounters(), sessions: make([]sessionShare, len(s.workers))}
	f.Set(set)
	return f
}

// Set replaces what requests are decided with from now on, on open connections too.
func (f *Front) Set(set FrontSettings) {
	v := &settings{FrontSettings: set, tick: tickOf(set.FrontOptions)}
	if len(set.Trusted) > 0 {
		v.trusted = new(bart.Lite)
		for _, p := range set.Trusted {
			v.trusted.Insert(p)
		}
	}
	f.settings.Store(v)
}

// Settings are what requests are decided with now. Safe from any goroutine.
func (f *Front) Settings() FrontSettings { return f.settings.Load().FrontSettings }

const (
	minTick = 20 * time.Millisecond
	maxTick = 15 * time.Second
	ticks   = 4 // how often per timeout, at least, a connection looks whether it has passed
)

// tickOf is how often a connection looks at its timeouts. That way moving bytes never costs a look at the clock, and no
// timeout is overrun by more than a quarter.
func tickOf(o FrontOptions) time.Duration {
	tick := maxTick
	for _, d := range [...]time.Duration{o.ReadTimeout, o.WriteTimeout, o.KeepAliveTimeout, o.IdleTimeout} {
		if d > 0 {
			tick = min(tick, d/ticks)
		}
	}
	return max(tick, minTick)
}

// Name is the entrypoint's name in the configuration.
func (f *Front) Name() string { return f.name }

// Stats are the numbers of all requests that came in here. Safe from any goroutine.
func (f *Front) Stats() Stats { return f.counters.Stats() }

// Retire lets the connections that are open now end: those between requests at once, the others with the request they are
// at. It is for an entrypoint that accepts no more. Not to be called on a loop.
func (f *Front) Retire() {
	f.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if c.front == f {
				c.retire()
			}
		})
		w.forEachSession(func(s *session) {
			if s.front == f {
				s.retire(leavesFront)
			}
		})
	})
}

// Renew lets the sessions of HTTP/2 end whose clients would be shown another certificate now, as changed says for a server
// name, or get other TLS settings. It is called when those are in force, and not on a loop; changed is called on loops.
// Browsers keep a session for hours, and can go on elsewhere without losing a request. A connection of HTTP/1 cannot be ended
// between requests without that risk, and has the end of its age.
func (f *Front) Renew(changed func(serverName string) bool) {
	f.renewals.Add(1) // a session whose handshake is under way finds out by this
	f.server.each(func(w *worker) {
		w.forEachSession(func(s *session) {
			if s.front == f && s.outdated(changed) {
				s.retire(leavesRenewed)
			}
		})
	})
}

// Serve takes a connection without TLS. It is called on the stream's loop and owns the stream from then on.
func (f *Front) Serve(s *eventloop.Stream) { f.open(s, nil) }

// Records says that requests are written to the access log here, so that nobody writes their connections.
func (f *Front) Records() {}

// SecureFront takes TLS connections that are ended by one Security.
type SecureFront struct {
	front    *Front
	security *Security
}

// Serve takes a connection whose hello is still to be answered.
func (f SecureFront) Serve(s *eventloop.Stream) { f.front.open(s, f.security) }

// Records says what it says for Front.
func (f SecureFront) Records() {}

// HandlerFor finds what takes TLS connections to a server name; ok is false if no router is for that name.
func (f *Front) HandlerFor(serverName []byte) (h SecureFront, ok bool) {
	set := f.settings.Load()
	if set.Security == nil || !set.Table.HasTLSHost(serverName) {
		return h, false
	}
	security, ok := set.Security.First(serverName)
	return SecureFront{f, security}, ok
}

func (f *Front) open(s *eventloop.Stream, security *Security) {
	w := f.server.workers[s.Loop().ID()]
	w.take().begin(f, s, security)
}

// secures reports whether a connection whose TLS was ended by s may carry a request for a host to a router: where the host
// has settings of its own, or the router demands some, such as certificates of clients, the connection must have met them.
// A reload that changes settings under their name leaves open connections what they have, unless a router demands them.
func (v *settings) secures(host []byte, r *Router, s *Security) bool {
	if r.Demands != nil && r.Demands != s.Config {
		return false
	}
	if v.Security == nil {
		return true
	}
	other, ok := v.Security.First(host)
	return !ok || other.Name == s.Name
}

// trusts reports whether a peer's word about who the client is counts.
func (s *settings) trusts(peer netip.Addr) bool {
	return s.trusted != nil && s.trusted.Contains(peer.Unmap())
}
