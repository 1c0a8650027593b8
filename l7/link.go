package l7

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/upstream"
)

// Transport is how the servers of a load balancer are spoken to. It never changes; connections of another Transport are
// not used again.
type Transport struct {
	TLS             *tls.Config   // nil = plain; without a ServerName the server's address stands for it
	MaxIdle         int           // idle connections to each server, on each loop; more rest for a sweep or two; 0 = none
	IdleTimeout     time.Duration // for which one may rest; 0 = for ever
	MaxRequests     int           // on one connection; 0 = no limit
	ResponseTimeout time.Duration // from the request to the head of its response; 0 = the entrypoint's idle timeout alone
	ResponseLimits  http1.Limits  // of response heads

	HTTP2       HTTP2         // whether it is spoken; never with a Greeting
	PingAfter   time.Duration // without a word from a server that has requests before it is asked for one; 0 = it is not
	PingTimeout time.Duration // for the answer; 0 = it may take for ever

	// Greeting appends what goes before everything else on a connection made for a client, such as a PROXY protocol header
	// that names it; nil = nothing. A connection with a greeting serves one request, for the next one may be another client's.
	Greeting func(dst []byte, source, destination netip.AddrPort) []byte
}

// HTTP2 says where a Transport speaks HTTP/2.
type HTTP2 uint8

const (
	NoHTTP2    HTTP2 = iota
	OfferHTTP2       // over TLS, to servers that pick it
	OnlyHTTP2        // to all, with prior knowledge
)

// both are the protocols that a Transport offers which speaks HTTP/2 where it can.
var both = []string{"h2", "http/1.1"} // never written

// scheme is how the servers are spoken to, as URLs say it.
func (t *Transport) scheme() string {
	if t.TLS != nil {
		return "https"
	}
	return "http"
}

// tlsTo is the TLS to one server, where protocols are offered. An address is looked for in the certificate and never sent
// (RFC 6066 section 3).
func (t *Transport) tlsTo(b *upstream.Backend, protocols []string) *tls.Config {
	if t.TLS.ServerName != "" && protocols == nil {
		return t.TLS
	}
	c := t.TLS.Clone()
	if protocols != nil {
		c.NextProtos = protocols
	}
	if c.ServerName == "" {
		c.ServerName = b.Addr().Addr().WithZone("").String()
	}
	return c
}

// link is a connection to a backend, or one request on a trunk. It is either an exchange's or rests in its place's list of
// idle ones; the connection of a trunk is the trunk's.
type link struct {
	worker     *worker
	place      *place
	transport  *Transport
	stream     eventloop.Stream
	parser     http1.Parser
	branch     *branch   // on which it is; nil for a connection of its own
	shared     bool      // the attempt to connect was made for another one, for whom it counts
	counted    bool      // among the connections there may be
	x          holder    // whose it is; nil while it rests
	prev, next *link     // neighbours while it rests
	rested     time.Time // since when
	served     int       // requests it was used for
}

// holder uses a link: an exchange, a copy of its request, or a trunk.
type holder interface {
	// connected tells how a connection attempt has ended.
	connected(err error)
	// backendReady tells that the backend has sent something or has taken something.
	backendReady()
	// ends are the addresses of the connection whose request it is: the client and where it has called.
	ends() (client, local netip.AddrPort)
	// result is where the head of a response goes that comes on a branch.
	result() *head.Head
	// owner ends what an event has led to. It is asked for before the event, for the holder may be another one's then.
	owner() rescuer
}

type rescuer interface{ rescue() }

// newLink gives a link to a backend that is still to be dialled.
func (w *worker) newLink(h holder, b *upstream.Backend, t *Transport) *link {
	l := pop(&w.links)
	l.worker, l.place, l.transport, l.x, l.served, l.shared = w, w.place(b), t, h, 0, false
	l.parser = http1.Parser{Limits: t.ResponseLimits}
	return l
}

// dial starts to connect to a backend for h: by a connection of its own if apart is set, or where the server speaks HTTP/1.
func (w *worker) dial(h holder, b *upstream.Backend, t *Transport, o upstream.Options, apart bool) (*link, error) {
	if p := w.place(b); !apart && p.multiplexes(t) {
		return p.await(h, t, o)
	}
	l := w.newLink(h, b, t)
	if err := w.admit(l); err != nil {
		return l, err
	}
	return l, l.stream.Dial(w.loop, b.Addr(), l)
}

// timeout bounds the wait for a link that dial has given. The attempt to connect a trunk is bounded by that itself.
func (l *link) timeout(o upstream.Options) time.Duration {
	if l != nil && l.branch != nil {
		return o.Connect.Timeout + o.Queue.Timeout
	}
	return o.Connect.Timeout
}

// tell tells the holder how the wait for a trunk has ended.
func (l *link) tell(err error) {
	defer l.x.owner().rescue()
	l.x.connected(err)
}

// Connected goes on after a connection attempt, with the TLS handshake if there is to be one.
func (l *link) Connected(_ *eventloop.Stream, err error) {
	defer l.x.owner().rescue()
	if err == nil && l.transport.Greeting != nil {
		client, local := l.x.ends()
		l.stream.Lead(l.transport.Greeting(l.worker.scratch(), client, local))
	}
	if err == nil && l.transport.TLS != nil {
		var protocols []string
		if _, trunk := l.x.(*trunk); trunk {
			protocols = both
		}
		config := l.transport.tlsTo(l.place.backend, protocols)
		err = l.stream.StartTLS(func(c net.Conn) *tls.Conn { return tls.Client(c, config) }, l)
		if err == nil {
			l.stream.SetHandler(l)
			return
		}
	}
	l.x.connected(err)
}

// Secured goes on after the handshake.
func (l *link) Secured(_ *eventloop.Stream, err error) {
	defer l.x.owner().rescue()
	l.x.connected(err)
}

// Ready goes on with the exchange. A link that rests has nothing to say: whatever it says is its end.
func (l *link) Ready(*eventloop.Stream) {
	if l.x != nil {
		defer l.x.owner().rescue()
		l.x.backendReady()
		return
	}
	if b, err := l.stream.Receive(1); len(b) > 0 || err != eventloop.ErrAgain {
		l.place.remove(l)
		l.close()
	}
}

// appendRequest writes the head of a request: to out, or to the branch, past it.
func (l *link) appendRequest(out []byte, h *head.Head) []byte {
	if l.branch != nil {
		l.branch.ask(h)
		return out
	}
	return h.AppendRequest(out)
}

// response reads the head of a response to a request with the method from b, as http1.Parser does. That of a branch is in h
// already.
func (l *link) response(b []byte, h *head.Head, method []byte) (int, error) {
	switch {
	case l.branch == nil && len(b) == 0, l.branch != nil && !l.branch.answered:
		return 0, http1.ErrShort
	case l.branch != nil:
		return 0, nil
	}
	return l.parser.Response(b, h, method)
}

// heard says that the head which response has given was looked at.
func (l *link) heard() {
	if l.branch != nil {
		l.branch.answered = false
	}
}

// unserved reports whether the server has said that it has not looked at the request.
func (l *link) unserved() bool { return l.branch != nil && l.branch.unserved }

// accountable reports whether a failure is to be counted against the backend, and not counted yet.
func (l *link) accountable() bool {
	return l.branch == nil || !l.branch.unserved && (l.branch.trunk == nil || l.branch.trunk.accountable())
}

// version is the version of HTTP that is spoken on it, as spans write it.
func (l *link) version() string {
	if l.branch != nil {
		return "2"
	}
	return "1.1"
}

// close ends the connection; the link may be another one afterwards.
func (l *link) close() {
	l.stream.Close()
	l.give()
}

// reset ends it in a way that the server notices although it may be sending.
func (l *link) reset() {
	l.stream.Reset()
	l.give()
}

func (l *link) give() {
	w := l.worker
	if l.counted {
		w.server.links.Add(-1)
		l.counted = false
	}
	l.worker, l.place, l.transport, l.x, l.prev, l.next = nil, nil, nil, nil, nil, nil
	push(&w.links, l)
}

// look finds out what is behind a response: bytes that nobody has asked for, the end of the connection, or nothing, which
// is what another request needs. Most often the read that brought the response has shown that already.
func (l *link) look() (extra, ended bool) {
	s := &l.stream
	if len(s.Peeked()) == 0 && s.MayRead() {
		b, err := s.Receive(1)
		s.Hold(b)
		ended = len(b) == 0 && err != eventloop.ErrAgain
	}
	return len(s.Peeked()) > 0, ended
}

// reusable reports whether another request may follow on the connection, as far as the connection itself goes and nothing
// is behind the response.
func (l *link) reusable() bool {
	t := l.transport
	return l.branch == nil && l.stream.IsOpen() && l.stream.Failed() == nil && l.stream.Buffered() == 0 && len(l.stream.Peeked()) == 0 &&
		!l.stream.PeerLeft() && t.Greeting == nil && (t.MaxRequests == 0 || l.served < t.MaxRequests)
}
