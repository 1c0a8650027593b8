package l7

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// WebSocket over HTTP/2 (RFC 8441): a client opens a stream for it by an extended CONNECT, a server of HTTP/1 is asked to
// switch the connection (RFC 6455 section 4). Package http2 makes the one look like the other; here is what needs a secret
// and what the answer is.

const (
	webSocketKey    = "Sec-WebSocket-Key"
	webSocketAccept = "Sec-WebSocket-Accept"
	webSocketGUID   = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3
	webSocketNonce  = 16                                     // bytes; section 4.1
)

// proposeKey adds the key that the client has not made. Whoever answers to it has understood what it is asked, and is no
// cache that repeats an old answer.
func (x *Exchange) proposeKey() {
	var nonce [webSocketNonce]byte
	_, _ = rand.Read(nonce[:])                                               // it never fails
	_ = x.req.Set(webSocketKey, base64.StdEncoding.EncodeToString(nonce[:])) // name and value are good
}

// acceptsKey reports whether the answer is one to the key that was sent.
func (x *Exchange) acceptsKey() bool {
	key, _ := x.req.Get(webSocketKey)
	got, _ := x.res.Get(webSocketAccept)
	sum := sha1.Sum(append(append(make([]byte, 0, 64), key...), webSocketGUID...))
	return string(got) == base64.StdEncoding.EncodeToString(sum[:]) && head.EqualFold(x.res.Upgrade(), x.req.Upgrade())
}

// unswitched refuses an answer that the client would take for a yes. The server may be none for WebSocket at that place, and is not
// blamed.
func (x *Exchange) unswitched() {
	x.firstAt, x.origin, x.detail = time.Now(), x.res.Status(), "not-switched"
	x.fail(502, accesslog.Backend, accesslog.BadResponse)
}

// connects reports whether the client has asked for another protocol on the one stream that it has here.
func (c *conn) connects() bool { return c.lane != nil && c.lane.Connects() }

// connected tells the client that the stream carries what it has asked for, with the fields of the server's 101.
func (l *lane) connected(h *head.Head) {
	_ = h.SetStatus(http.StatusOK, http.StatusText(http.StatusOK)) // both are good
	_ = h.Delete(webSocketAccept)                                  // it may be deleted
	l.session.touch()
	l.session.core.Head(&l.Stream, h, false)
}

// noteStatus notes the status that the client is told. One that waits for another protocol would take any 2xx for the word to
// begin with it, and what follows for that.
func (x *Exchange) noteStatus(h *head.Head) {
	if x.conn.connects() && h.Status()/100 == 2 {
		x.detail = "not-switched"
		_ = h.SetStatus(http.StatusBadGateway, http.StatusText(http.StatusBadGateway)) // both are good
	}
	x.status = h.Status()
}
