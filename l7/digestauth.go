package l7

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/l7/head"
)

const (
	nonceLife    = 5 * time.Minute // of a nonce
	nonceSlots   = 4096            // nonces in use that are remembered
	nonceWindow  = 64              // counts below the highest that may still come, because requests overtake each other
	maxDigest    = 4 << 10         // bytes of the field
	maxDigestSet = 24              // parameters in it
)

// DigestAuthOptions are the users of DigestAuth and what is done with them.
type DigestAuthOptions struct {
	Users        *DigestUsers
	Realm        string // visible ASCII without quotes and backslashes
	HeaderField  string // tells the server the user; empty = none does
	RemoveHeader bool
}

// DigestAuth returns a middleware that passes requests of users who prove that they know a password (RFC 7616, with MD5, the
// only algorithm for which Traefik's users have hashes, and qop auth). A nonce is good for a while, and for each count once.
func DigestAuth(name string, o DigestAuthOptions) *Middleware {
	nonces := newNonces()
	identity := identity{o.HeaderField, o.RemoveHeader}
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		var d digest
		value := x.req.Value(head.Authorization)
		word := "no-credentials"
		if !x.req.Repeated(head.Authorization) && d.parse(string(value)) {
			if word = o.check(&d, nonces, &x.req, x.mark); word == "" {
				return identity.admit(x, d.user)
			}
		}
		challenge := `Digest realm="` + o.Realm + `", nonce="` + nonces.make(x.mark) + `", opaque="` + nonces.opaque + `", algorithm=MD5, qop="auth"`
		if word == "stale-nonce" {
			challenge += ", stale=true"
		}
		return x.challenge(challenge, word)
	}}
}

// check returns what is wrong with a proof, empty if nothing is. The word for the nonce comes last, so that it is said only to
// those who know the password.
func (o *DigestAuthOptions) check(d *digest, n *nonces, h *head.Head, now time.Time) string {
	hash, known := o.Users.hash(d.user, o.Realm)
	ha2 := md5hex(string(h.Method()) + ":" + d.uri)
	right := md5hex(hash + ":" + d.nonce + ":" + d.nc + ":" + d.cnonce + ":auth:" + ha2)
	same := subtle.ConstantTimeCompare([]byte(right), []byte(d.response)) == 1
	switch {
	case d.realm != o.Realm, d.opaque != n.opaque, d.uri != string(h.Asked()):
		return "bad-credentials"
	case !same || !known:
		return "bad-credentials"
	case !n.use(d.nonce, d.count, now):
		return "stale-nonce"
	}
	return ""
}

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// digest is a proof: the parameters of Authorization.
type digest struct {
	user, realm, nonce, uri, response, opaque, nc, cnonce string
	count                                                 uint32 // nc
}

// parse reads the value of Authorization. It wants each parameter once, and those that RFC 7616 section 3.4 wants for qop auth.
func (d *digest) parse(s string) bool {
	const scheme = "digest "
	if len(s) > maxDigest || len(s) < len(scheme) || !head.EqualFold(s[:len(scheme)], scheme) {
		return false
	}
	s = s[len(scheme):]
	var qop, algorithm string
	fields := map[string]*string{
		"username": &d.user, "realm": &d.realm, "nonce": &d.nonce, "uri": &d.uri, "response": &d.response, "opaque": &d.opaque,
		"nc": &d.nc, "cnonce": &d.cnonce, "qop": &qop, "algorithm": &algorithm,
	}
	seen := map[string]bool{}
	for n := 0; ; n++ {
		name, value, rest, ok := parameter(s)
		if !ok || n == maxDigestSet || seen[name] {
			return false
		}
		seen[name] = true
		if at := fields[name]; at != nil {
			*at = value
		}
		if rest == "" {
			break
		}
		s = rest
	}
	n, err := strconv.ParseUint(d.nc, 16, 32)
	d.count = uint32(n)
	return err == nil && len(d.nc) == 8 && n > 0 && d.user != "" && d.uri != "" && d.cnonce != "" && len(d.response) == 2*md5.Size &&
		qop == "auth" && (algorithm == "" || strings.EqualFold(algorithm, "MD5"))
}

// parameter reads name=value, with or without quotes, and what follows the comma behind it.
func parameter(s string) (name, value, rest string, ok bool) {
	name, s, ok = strings.Cut(s, "=")
	name = strings.ToLower(strings.Trim(name, " \t"))
	if !ok || !head.IsToken(name) {
		return "", "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, more := strings.Cut(s, ",")
		value = strings.TrimRight(value, " \t")
		return name, value, rest, head.IsToken(value) && (!more || strings.Trim(rest, " \t") != "")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			if i++; i == len(s) {
				return "", "", "", false
			}
			b.WriteByte(s[i])
		case '"':
			rest = strings.TrimLeft(s[i+1:], " \t")
			if rest == "" {
				return name, b.String(), "", true
			}
			rest, more := strings.CutPrefix(rest, ",")
			return name, b.String(), rest, more && strings.Trim(rest, " \t") != ""
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", false
}

// DigestUsers are users with the hashes of their names, realms and passwords. They never change.
type DigestUsers struct{ hashes map[string]string }

// NewDigestUsers reads lines in the form of htdigest, name:realm:hash. Empty lines and those that begin with # are passed over;
// the first line of a user and realm counts. The errors are ErrUser.
func NewDigestUsers(lines []string) (*DigestUsers, error) {
	u := &DigestUsers{hashes: make(map[string]string)}
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, ":")
		if len(parts) != 3 || !isUserName(parts[0]) {
			return nil, fmt.Errorf("line %d: %w: name:realm:hash is", i+1, ErrUser)
		}
		if b, err := hex.DecodeString(parts[2]); err != nil || len(b) != md5.Size {
			return nil, fmt.Errorf("line %d: %w: its hash is not 32 hexadecimal digits", i+1, ErrUser)
		}
		key := parts[0] + ":" + parts[1]
		if _, ok := u.hashes[key]; !ok {
			u.hashes[key] = strings.ToLower(parts[2])
		}
	}
	return u, nil
}

// hash is that of a user, or one of nobody's.
func (u *DigestUsers) hash(user, realm string) (hash string, known bool) {
	if hash, known = u.hashes[user+":"+realm]; known {
		return hash, true
	}
	return "00000000000000000000000000000000", false
}

// nonces make nonces, and know which counts of them were used. Nothing is remembered of a nonce before somebody who knows a
// password has used it, so that nobody else can fill the table. Safe from any goroutine; loops do not wait for each other.
type nonces struct {
	key    [32]byte
	opaque string
	slots  []atomic.Pointer[nonceUse]
}

// nonceUse is what is known of the last nonce that was used in a slot. It never changes.
type nonceUse struct {
	id     [16]byte
	issued int64  // nanoseconds since 1970
	floor  int64  // nonces made until then have had their time here
	top    uint32 // highest count
	seen   uint64 // bit i: the count top-i was used
}

func newNonces() *nonces {
	n := &nonces{slots: make([]atomic.Pointer[nonceUse], nonceSlots)}
	_, _ = rand.Read(n.key[:]) // it never fails
	n.opaque = hex.EncodeToString(n.sign([]byte("opaque"))[:16])
	return n
}

func (n *nonces) sign(b []byte) []byte {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(b)
	return h.Sum(nil)
}

// A nonce is the time it was made, 16 bytes by which it is told from others, and a signature.
const nonceSize = 8 + 16 + 16

// make makes a nonce.
func (n *nonces) make(now time.Time) string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixNano()))
	_, _ = rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(append(b[:], n.sign(b[:])[:16]...))
}

// use takes a count of a nonce, and reports whether it was there to be taken.
func (n *nonces) use(nonce string, count uint32, now time.Time) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != nonceSize || !hmac.Equal(n.sign(b[:24])[:16], b[24:]) {
		return false
	}
	issued := int64(binary.BigEndian.Uint64(b))
	if age := now.Sub(time.Unix(0, issued)); age < 0 || age >= nonceLife {
		return false
	}
	id := [16]byte(b[8:24])
	slot := &n.slots[binary.LittleEndian.Uint64(id[:])%uint64(len(n.slots))]
	for {
		old := slot.Load()
		next, ok := old.take(id, issued, count)
		if !ok {
			return false
		}
		if slot.CompareAndSwap(old, next) {
			return true
		}
	}
}

// take is what is known after a count of a nonce was used. It is pure.
func (u *nonceUse) take(id [16]byte, issued int64, count uint32) (*nonceUse, bool) {
	switch {
	case u == nil:
		return &nonceUse{id: id, issued: issued, top: count, seen: 1}, true
	case u.id != id && issued <= max(u.floor, u.issued):
		return nil, false // it may have been used before the one that is here
	case u.id != id:
		return &nonceUse{id: id, issued: issued, floor: max(u.floor, u.issued), top: count, seen: 1}, true
	}
	next := *u
	switch {
	case count > u.top:
		next.seen = u.seen<<min(count-u.top, nonceWindow) | 1 // a shift by 64 leaves nothing
		next.top = count
	case u.top-count >= nonceWindow || u.seen>>(u.top-count)&1 != 0:
		return nil, false
	default:
		next.seen |= 1 << (u.top - count)
	}
	return &next, true
}
