package discovery

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	// ednsSize is the largest datagram asked for: it passes every path without being cut into fragments, which could be forged.
	ednsSize = 1232
)

// A query is one question on its way, with what a reply must repeat to be believed.
type query struct {
	question question
	id       uint16
	name     string // the question's, in random case: 20 more bits for a forger to guess
	edns     bool
	cookie   string // the client's (RFC 7873), in hexadecimal; empty = none is sent
	server   string // the server's cookie, as last received; empty = none yet
	echoes   bool   // the server is known to return cookies, so that a reply without one is not its
}

// newQuery makes a query with an id and a spelling that cannot be guessed.
func newQuery(q question, mixed bool) query {
	var noise [2 + 32]byte
	rand.Read(noise[:]) // never fails: the program ends instead
	name := q.name
	if mixed {
		name = mixCase(name, noise[2:])
	}
	return query{question: q, id: binary.BigEndian.Uint16(noise[:]), name: name}
}

// mixCase makes letters capital where noise has a bit set; it begins again at the end of noise.
func mixCase(name string, noise []byte) string {
	mixed := []byte(name)
	for i, c := range mixed {
		if 'a' <= c && c <= 'z' && noise[i/8%len(noise)]>>(i%8)&1 == 1 {
			mixed[i] = c - 'a' + 'A'
		}
	}
	return string(mixed)
}

func (q query) pack() ([]byte, error) {
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: q.id, RecursionDesired: true},
		Question: []dns.Question{{Name: q.name, Qtype: q.question.kind, Qclass: dns.ClassINET}},
	}
	if q.edns {
		m.SetEdns0(ednsSize, false)
		if q.cookie != "" {
			opt := m.IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: q.cookie + q.server})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("ask for %v: %w", q.question, err)
	}
	return packed, nil
}

var (
	// errNotOurs is what a message is that does not answer the query: keep reading.
	errNotOurs = errors.New("it is not a reply to the query")
	// errSuspect is a message that would answer the query but for what only the real server can know, or that is damaged.
	// Keep reading; if nothing better comes, a connection will tell.
	errSuspect = errors.New("the reply is not to be trusted")
	// errTruncated is a reply of which a part is missing, whose content must not be used (RFC 2181, section 9).
	errTruncated = errors.New("the reply is cut off")
	// errOldServer is a reply of a server that does not know EDNS.
	errOldServer = errors.New("the server refuses EDNS")
)

// A reply is a message that answers a query.
type reply struct {
	msg    *dns.Msg
	cookie string // of the server; empty = none
	folded bool   // the name came back in another case: possible only on a stream
}

// read judges a message. stream says that it came over a connection, so that id and question are enough.
// It is pure, and never trusts a length or a count.
func (q query) read(b []byte, stream bool) (reply, error) {
	if len(b) < headerSize || binary.BigEndian.Uint16(b) != q.id || !isResponse(b) {
		return reply{}, errNotOurs
	}
	m := new(dns.Msg)
	err := m.Unpack(b)
	if len(m.Question) == 0 && q.edns && len(b) == headerSize && refusesEDNS(m.Rcode) {
		return reply{}, errOldServer // servers that old may return nothing but the header
	}
	folded, asked := q.matches(m)
	switch {
	case !asked:
		return reply{}, errNotOurs
	case folded && !stream:
		return reply{}, fmt.Errorf("%w: the name comes back in another case", errSuspect)
	case m.Truncated:
		return reply{}, errTruncated
	case err != nil:
		return reply{}, fmt.Errorf("%w: %w", errSuspect, err)
	case !complete(m, b):
		return reply{}, fmt.Errorf("%w: it has fewer records than it says", errSuspect)
	}
	cookie, err := q.readCookie(m, stream)
	if err != nil {
		return reply{}, err
	}
	switch {
	case q.edns && refusesEDNS(m.Rcode):
		return reply{}, errOldServer
	case m.Rcode == dns.RcodeBadCookie && !stream:
		return reply{}, fmt.Errorf("%w: the server does not know its own cookie", errSuspect)
	}
	return reply{msg: m, cookie: cookie, folded: folded}, nil
}

// isResponse reads the header's QR and opcode: a response to a standard query.
func isResponse(b []byte) bool { return b[2]&0x80 != 0 && b[2]>>3&0xf == dns.OpcodeQuery }

func refusesEDNS(rcode int) bool {
	return rcode == dns.RcodeFormatError || rcode == dns.RcodeNotImplemented || rcode == dns.RcodeBadVers
}

// matches reports whether m repeats the question, and whether in another case than it was asked in.
func (q query) matches(m *dns.Msg) (folded, asked bool) {
	if len(m.Question) != 1 {
		return false, false
	}
	got := m.Question[0]
	if got.Qtype != q.question.kind || got.Qclass != dns.ClassINET || !strings.EqualFold(got.Name, q.name) {
		return false, false
	}
	return got.Name != q.name, true
}

// complete reports whether m has as many records as its header b says. The decoder takes a message that ends early, between two
// records, for a whole one.
func complete(m *dns.Msg, b []byte) bool {
	for i, n := range []int{len(m.Question), len(m.Answer), len(m.Ns), len(m.Extra)} {
		if n != int(binary.BigEndian.Uint16(b[4+2*i:])) {
			return false
		}
	}
	return true
}

const clientCookieSize = 2 * 8 // hexadecimal digits

// readCookie returns the server's cookie. A reply with another client's cookie is forged, and so is one without, from a server that
// is known to return them; over a connection neither can be.
func (q query) readCookie(m *dns.Msg, stream bool) (string, error) {
	if q.cookie == "" || !q.edns {
		return "", nil
	}
	var got string
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				got = c.Cookie
			}
		}
	}
	ours := len(got) >= clientCookieSize && strings.EqualFold(got[:clientCookieSize], q.cookie)
	switch {
	case got != "" && !ours && !stream:
		return "", fmt.Errorf("%w: it has a cookie that is not ours", errSuspect)
	case got == "" && q.echoes && !stream:
		return "", fmt.Errorf("%w: it has no cookie, and the server returns them", errSuspect)
	case !ours || !validServerCookie(got[clientCookieSize:]):
		return "", nil
	}
	return got[clientCookieSize:], nil
}

// validServerCookie checks the length (RFC 7873, section 4): 8 to 32 bytes.
func validServerCookie(c string) bool {
	raw, err := hex.DecodeString(c)
	return err == nil && len(raw) >= 8 && len(raw) <= 32
}
