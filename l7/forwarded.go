package l7

import (
	"net/netip"
	"strconv"

	"github.com/weirlb/weir/l7/head"
)

// forwarded are the fields by which proxies tell servers who the client is. A client could write them itself.
var forwarded = [...]string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server",
	"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Real-Ip", "Forwarded",
}

// believe drops what an untrusted peer says about who the client is, and says what weir knows.
func (x *Exchange) believe() {
	c, h := x.conn, &x.req
	peer := c.stream.Remote().Addr().Unmap().WithZone("")
	if !c.set.trusts(peer) {
		for _, name := range forwarded {
			_ = h.Delete(name) // none is protected
		}
	}
	var room [64]byte
	ip := peer.AppendTo(room[:0])
	// A field that cannot be added, because the head is as large as it may be, is one the server does without.
	if !h.Has(head.XRealIP) {
		_ = h.SetBytes("X-Real-Ip", ip)
	}
	if via := h.Value(head.XForwardedFor); len(via) > 0 {
		_ = h.SetBytes("X-Forwarded-For", append(append(append(make([]byte, 0, len(via)+2+len(ip)), via...), ", "...), ip...))
	} else {
		_ = h.SetBytes("X-Forwarded-For", ip)
	}
	if !h.Has(head.XForwardedHost) && len(h.Host()) > 0 {
		_ = h.SetBytes("X-Forwarded-Host", h.Host())
	}
	if !h.Has(head.XForwardedPort) {
		_ = h.SetBytes("X-Forwarded-Port", x.appendPort(room[:0]))
	}
	if !h.Has(head.XForwardedProto) {
		_ = h.Set("X-Forwarded-Proto", c.scheme())
	}
	if name := x.worker.server.options.Hostname; name != "" && !h.Has(head.XForwardedServer) {
		_ = h.Set("X-Forwarded-Server", name)
	}
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

// Head is the request's head, which may be edited before the request is sent on.
func (x *Exchange) Head() *head.Head { return &x.req }

// ResponseHead is the response's head, which may be edited by Response hooks.
func (x *Exchange) ResponseHead() *head.Head { return &x.res }

// Secure reports whether the request came over TLS.
func (x *Exchange) Secure() bool { return x.conn.security != nil }

// Scheme is how the client speaks to weir: http or https.
func (x *Exchange) Scheme() string { return x.conn.scheme() }
