package l7

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	htpasswd "github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

const (
	maxCredentials = 1024            // bytes of name and password together: hashing a longer one is work for nothing
	maxBcryptCost  = 16              // some seconds for one password
	provedFor      = 5 * time.Minute // a password that was right is not hashed again for so long
	provedSlots    = 4096            // passwords remembered
	maxHashWaiting = 256             // requests that wait for a password to be hashed
)

// BasicAuthOptions are the users of BasicAuth and what is done with them.
type BasicAuthOptions struct {
	Users        *BasicUsers
	Realm        string // visible ASCII without quotes and backslashes
	HeaderField  string // tells the server the user; empty = none does
	RemoveHeader bool
}

// BasicAuth returns a middleware that passes requests of users with their password (RFC 7617). Hashing a password is slow
// on purpose: it is done by few goroutines, and one that was right is remembered for a while, by a keyed hash of it.
func BasicAuth(name string, o BasicAuthOptions) *Middleware {
	hashing := new(hands)
	hashing.init(max(runtime.GOMAXPROCS(0)/2, 1), maxHashWaiting)
	proved := newProofs()
	challenge := `Basic realm="` + o.Realm + `"`
	identity := identity{o.HeaderField, o.RemoveHeader}
	return &Middleware{Name: name, Request: func(x *Exchange) Action {
		user, password, ok := credentials(x.req.Value(head.Authorization))
		if !ok || x.req.Repeated(head.Authorization) {
			return x.challenge(challenge, "no-credentials")
		}
		mac := proved.mac(user, password)
		if proved.has(&mac, x.mark) {
			return identity.admit(x, user)
		}
		right := false
		err := x.goAmong(hashing, func() {
			if right = o.Users.match(user, password); right {
				proved.put(&mac, time.Now())
			}
		}, func() {
			if !right {
				x.challenge(challenge, "bad-credentials")
				return
			}
			if identity.admit(x, user) == Next {
				x.Continue()
			}
		})
		if err != nil {
			x.detail = "auth-busy"
			x.Reject(503, accesslog.Limit)
			return Answered
		}
		return Wait
	}}
}

// challenge asks the client to say who it is (RFC 9110 section 11.6.1).
func (x *Exchange) challenge(value, detail string) Action {
	x.detail = detail
	x.RejectWith(401, accesslog.Denied, func(h *head.Head) { _ = h.Set("WWW-Authenticate", value) }) // config has checked the realm
	return Answered
}

// identity is what is done with a user who has proved to be one.
type identity struct {
	field  string // tells the server; empty = none does
	remove bool   // Authorization is not sent on
}

func (i identity) admit(x *Exchange, user string) Action {
	x.user = user
	if i.remove {
		_ = x.req.Delete("Authorization")
	}
	if i.field == "" {
		return Next
	}
	if err := x.req.Set(i.field, user); err != nil { // or the client could say himself who he is
		x.detail = "long-head"
		x.Reject(431, accesslog.BadRequest)
		return Answered
	}
	return Next
}

// credentials reads the value of Authorization.
func credentials(value []byte) (user, password string, ok bool) {
	const scheme = "basic "
	if len(value) < len(scheme) || !head.EqualFold(value[:len(scheme)], scheme) {
		return "", "", false
	}
	value = head.Trim(value[len(scheme):])
	if len(value) > base64.StdEncoding.EncodedLen(maxCredentials) {
		return "", "", false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(string(value))
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(plain), ":")
	return user, password, ok && user != ""
}

// BasicUsers are users with the hashes of their passwords. They never change.
type BasicUsers struct {
	hashes map[string]htpasswd.EncodedPasswd
	// nobody is a hash that costs what one of a user does. It is held against the passwords of those who are no users, so
	// that the time of an answer does not tell who is one.
	nobody htpasswd.EncodedPasswd
}

// ErrUser is what is wrong with a line of users. The error names the line, but nothing of it.
var ErrUser = errors.New("not a user")

// NewBasicUsers reads lines in the form of htpasswd, name:hash, with bcrypt, apr1 MD5 or {SHA}. Empty lines and those that
// begin with # are passed over; the first line of a user counts. The errors are ErrUser.
func NewBasicUsers(lines []string) (*BasicUsers, error) {
	u := &BasicUsers{hashes: make(map[string]htpasswd.EncodedPasswd)}
	dearest := -1
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if !ok || !isUserName(user) {
			return nil, fmt.Errorf("line %d: %w: name:hash is", i+1, ErrUser)
		}
		password, cost, err := passwordOf(hash)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %s", i+1, ErrUser, err)
		}
		if _, known := u.hashes[user]; known {
			continue
		}
		u.hashes[user] = password
		if cost > dearest {
			dearest, u.nobody = cost, password
		}
	}
	return u, nil
}

// isUserName reports whether a name can be said to servers.
func isUserName(s string) bool {
	return s != "" && len(s) <= 255 && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' })
}

// passwordOf reads a hash, and says how dear it is beside others.
func passwordOf(hash string) (p htpasswd.EncodedPasswd, cost int, err error) {
	switch {
	case strings.HasPrefix(hash, "$apr1$"), strings.HasPrefix(hash, "$1$"):
		cost = 1
	case strings.HasPrefix(hash, "$2"):
		cost, err = bcrypt.Cost([]byte(hash))
		switch {
		case err != nil || len(hash) != 60:
			return nil, 0, errors.New("its bcrypt hash is malformed")
		case cost > maxBcryptCost:
			return nil, 0, fmt.Errorf("its bcrypt hash has the cost %d, more than %d", cost, maxBcryptCost)
		}
	}
	for _, accept := range []htpasswd.PasswdParser{htpasswd.AcceptBcrypt, htpasswd.AcceptMd5, htpasswd.AcceptSha} {
		if p, err = accept(hash); err != nil {
			return nil, 0, errors.New("its hash is malformed")
		} else if p != nil {
			return p, cost, nil
		}
	}
	return nil, 0, errors.New("its hash is none of bcrypt, apr1 MD5 and {SHA}")
}

// match reports whether it is the user's password. It takes its time.
func (u *BasicUsers) match(user, password string) bool {
	hash, known := u.hashes[user]
	if !known {
		hash = u.nobody
	}
	return hash != nil && hash.MatchesPassword(password) && known
}

// proofs remember which passwords were right. They hold keyed hashes of them, in a table of fixed size, where the one that
// comes last has the place. Safe from any goroutine; loops do not wait for each other.
type proofs struct {
	key   [32]byte
	slots []atomic.Pointer[proof]
}

type proof struct {
	mac   [sha256.Size]byte
	until time.Time
}

func newProofs() *proofs {
	p := &proofs{slots: make([]atomic.Pointer[proof], provedSlots)}
	_, _ = rand.Read(p.key[:]) // it never fails
	return p
}

func (p *proofs) mac(user, password string) (mac [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key[:])
	h.Write([]byte(user))
	h.Write([]byte{':'}) // of which a name has none
	h.Write([]byte(password))
	h.Sum(mac[:0])
	return mac
}

func (p *proofs) slot(mac *[sha256.Size]byte) *atomic.Pointer[proof] {
	return &p.slots[binary.LittleEndian.Uint64(mac[:])%uint64(len(p.slots))]
}

func (p *proofs) has(mac *[sha256.Size]byte, now time.Time) bool {
	f := p.slot(mac).Load()
	return f != nil && subtle.ConstantTimeCompare(f.mac[:], mac[:]) == 1 && now.Before(f.until)
}

func (p *proofs) put(mac *[sha256.Size]byte, now time.Time) {
	p.slot(mac).Store(&proof{*mac, now.Add(provedFor)})
}
