package l7

import (
	"net/netip"
	"strconv"

	"github.com/weirlb/weir/l7/head"
)

// forwarded are the fields by which proxies tell servers who the client is. A client could write them itself.
var forwarded = [...]head.Known{
	head.XForwardedFor, head.XForwardedHost, head.XForwardedPort, head.XForwardedProto, head.XForwardedServer,
	head.XForwardedPrefix, head.XForwardedURI, head.XForwardedMethod, head.XForwardedTLSClientCert,
	head.XForwardedTLSClientCertInfo, head.XRealIP, head.Forwarded,
}

// believe drops what an untrusted peer says about who the client is, and says what weir knows.
func (x *Exchange) believe() {
	c, h, w := x.conn, &x.req, x.worker
	peer := c.stream.Remote().Addr().Unmap().WithZone("")
	if !c.set.trusts(peer) {
		for _, k := range forwarded {
			h.Discard(k)
		}
	}
	w.word = peer.AppendTo(w.word[:0])
	x.claim(head.XRealIP, w.word)
	x.passedBy(w.word)
	x.claim(head.XForwardedHost, h.Host())
	if !h.Has(head.XForwardedPort) {
		w.word = x.appendPort(w.word[:0])
		x.claim(head.XForwardedPort, w.word)
	}
	w.word = append(w.word[:0], c.scheme()...)
	x.claim(head.XForwardedProto, w.word)
	w.word = append(w.word[:0], w.server.options.Hostname...)
	x.claim(head.XForwardedServer, w.word)
}

// claim tells the server what weir knows, unless somebody trusted has told it already. A field that cannot be added, because the
// head is as large as it may be, is one the server does without.
func (x *Exchange) claim(k head.Known, value []byte) {
	if len(value) > 0 && !x.req.Has(k) {
		_ = x.req.SetKnown(k, value)
	}
}

// passedBy adds the peer to those who have passed the request on. In one field or in several, they are one list.
func (x *Exchange) passedBy(peer []byte) {
	h, w := &x.req, x.worker
	if !h.Has(head.XForwardedFor) {
		_ = h.SetKnown(head.XForwardedFor, peer)
		return
	}
	out := w.scratch()
	for via := range h.Values("X-Forwarded-For") {
		out = append(append(out, via...), ", "...)
	}
	out = append(out, peer...)
	_ = h.SetKnown(head.XForwardedFor, out)
	w.sent(out)
}

// appendPort appends the port the client has asked for: that of Host, else the usual one.
func (x *Exchange) appendPort(dst []byte) []byte {
	host := x.req.Host()
	name := x.req.Hostname()
	if len(host) > len(name)+1 {
		return append(dst, host[len(name)+1:]...)
	}
	if x.conn.security != nil {
		return strconv.AppendInt(dst, 443, 10)
	}
	return strconv.AppendInt(dst, 80, 10)
}

// scheme is how the client speaks to weir.
func (c *conn) scheme() string {
	if c.security != nil {
		return "https"
	}
	return "http"
}

// Client is who sent the request, as far as weir can tell: the connection's other end, or what a PROXY header says.
func (x *Exchange) Client() netip.AddrPort { return x.conn.stream.Remote() }

// SetUser says who the client has proved to be, for the access log.
func (x *Exchange) SetUser(name string) { x.user = name }

// Head is the request's head, which may be edited before the request is sent on.
func (x *Exchange) Head() *head.Head { return &x.req }

// ResponseHead is the response's head, which may be edited by Response hooks.
func (x *Exchange) ResponseHead() *head.Head { return &x.res }

// Secure reports whether the request came over TLS.
func (x *Exchange) Secure() bool { return x.conn.security != nil }

// Scheme is how the client speaks to weir: http or https.
func (x *Exchange) Scheme() string { return x.conn.scheme() }
