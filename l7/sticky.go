package l7

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"github.com/weirlb/weir/l7/head"
)

// MinStickyKey is the fewest bytes that a key for cookies has.
const MinStickyKey = 16

const (
	idSize    = 8
	tagSize   = 16 // of the HMAC's 32 bytes
	tokenSize = (idSize + tagSize) * 4 / 3
)

// ErrStickyKey means that the key for cookies is too short.
var ErrStickyKey = errors.New("key for sticky cookies is shorter than 16 bytes")

// Sticky keeps clients where they are by a cookie. Its value is the id of a backend, or of a service, with a truncated
// HMAC-SHA256 (RFC 2104) in base64url. A value that was not made with the same key for the same service is none at all.
type Sticky struct {
	name       string
	attributes string
	encoding   *base64.Encoding
	signers    []signer // one for each loop, which alone touches it
}

// signer makes and checks tags. What it computes with is kept, so that nothing is allocated.
type signer struct {
	mac hash.Hash
	id  [idSize]byte
	sum [sha256.Size]byte
	_   [64]byte // no two loops write to one cache line
}

// stickyName is the name of a service's cookie where none is given: a short hash, which does not tell what the service is
// called.
func stickyName(service string) string {
	sum := sha256.Sum256([]byte(service))
	return "_" + hex.EncodeToString(sum[:4])
}

// NewSticky returns the cookie of a service for the server's loops. key, at least 16 bytes, must be the same on all nodes
// that serve the same clients, and after a restart; it is not kept. The errors are ErrStickyKey and ErrCookie.
func (s *Server) NewSticky(service string, key []byte, c Cookie) (*Sticky, error) {
	if len(key) < MinStickyKey {
		return nil, ErrStickyKey
	}
	if c.Name == "" {
		c.Name = stickyName(service)
	}
	if !head.IsToken(c.Name) {
		return nil, fmt.Errorf("%w: name %q", ErrCookie, c.Name)
	}
	if c.Path == "" {
		c.Path = "/"
	}
	attributes, err := c.attributes()
	if err != nil {
		return nil, err
	}
	own := hmac.New(sha256.New, key) // a key for each service: no one's cookies mean anything to another
	own.Write([]byte("weir sticky\x00" + service))
	k := own.Sum(nil)
	t := &Sticky{
		name: c.Name, attributes: attributes, encoding: base64.RawURLEncoding.Strict(), signers: make([]signer, len(s.workers)),
	}
	for i := range t.signers {
		t.signers[i].mac = hmac.New(sha256.New, k)
	}
	return t, nil
}

// tag is the HMAC of an id. It is good until the next call.
func (s *signer) tag(id uint64) []byte {
	binary.BigEndian.PutUint64(s.id[:], id)
	s.mac.Reset()
	s.mac.Write(s.id[:]) // never fails
	return s.mac.Sum(s.sum[:0])[:tagSize]
}

// read returns the id that the request's cookie names. ok is false if there is none with a good tag.
func (t *Sticky) read(x *Exchange) (id uint64, ok bool) {
	cookies(&x.req, t.name, func(value []byte) bool {
		id, ok = t.parse(x, value)
		return ok
	})
	return id, ok
}

func (t *Sticky) parse(x *Exchange, value []byte) (uint64, bool) {
	var raw [idSize + tagSize]byte
	if len(value) != tokenSize {
		return 0, false
	}
	if n, err := t.encoding.Decode(raw[:], value); err != nil || n != len(raw) {
		return 0, false
	}
	id := binary.BigEndian.Uint64(raw[:idSize])
	return id, hmac.Equal(raw[idSize:], t.signers[x.worker.loop.ID()].tag(id))
}

// set adds the cookie that names id to the response. A response whose head has no room for it goes without: the client is
// served all the same.
func (t *Sticky) set(x *Exchange, id uint64) {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, idSize+tagSize), id)
	raw = append(raw, t.signers[x.worker.loop.ID()].tag(id)...)
	b := append(x.worker.scratch(), t.name...)
	b = append(b, '=')
	b = t.encoding.AppendEncode(b, raw)
	b = append(b, t.attributes...)
	_ = x.res.AddBytes("Set-Cookie", b)
	x.worker.sent(b)
}

// mark is a cookie to set.
type mark struct {
	sticky *Sticky
	id     uint64
}

// stick sets the cookies that are new to the client.
func (x *Exchange) stick() {
	for _, m := range x.marks.of[:x.marks.n] {
		m.sticky.set(x, m.id)
	}
	if t := x.lb.Sticky; t != nil && x.backend != nil && x.backend != x.session {
		t.set(x, x.backend.ID())
	}
}
