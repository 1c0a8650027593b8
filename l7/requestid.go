package l7

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// maxRequestID is the longest name of a request that a client may give it.
const maxRequestID = 128

// RequestID returns a middleware that gives every request a name of its own, a UUID of version 7 (RFC 9562 section 5.7), which
// server, client and access log are told. header carries it; with trust, a client may bring its own.
func RequestID(name, header string, trust bool) *Middleware {
	return &Middleware{
		Name: name,
		Request: func(x *Exchange) Action {
			if trust {
				if sent, ok := sentID(x, header); ok {
					x.id = sent
					return Next
				}
			}
			x.id = newRequestID(x.mark)
			if x.req.Set(header, x.id) != nil { // or the client's own would be taken for it
				x.detail = "long-head"
				x.Reject(431, accesslog.BadRequest)
				return Answered
			}
			return Next
		},
		Response: func(x *Exchange) {
			if x.id != "" {
				_ = x.res.Set(header, x.id) // one that has no room is one the client does without
			}
		},
	}
}

// sentID is the name that a client has given its request, if that is one.
func sentID(x *Exchange, header string) (string, bool) {
	n := 0
	var id []byte
	for v := range x.req.Values(header) {
		n, id = n+1, v
	}
	return string(id), n == 1 && isRequestID(id)
}

// isRequestID reports whether a name can stand in logs and addresses as it is.
func isRequestID(b []byte) bool {
	if len(b) == 0 || len(b) > maxRequestID {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// newRequestID makes a UUID of version 7: milliseconds since 1970, and 74 bits that nobody can guess.
func newRequestID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[6:]) // it never fails
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
