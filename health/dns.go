package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// dnsPayload is the size of answers that a query says it takes (EDNS0, RFC 6891): one that every path carries in one piece.
	dnsPayload = 1232

	// dnsReadLimit bounds one answer. Longer ones, which nobody asked for, are cut off and with that malformed.
	dnsReadLimit = 4096
)

// dnsProber asks one question over UDP. A server that knows the name serves, and one that knows that there is none (NXDOMAIN)
// does too. An answer that was too long and is cut off (TC) is as good as a whole one: it comes from a live server.
//
// An answer counts if it comes from the address asked, with the query's id and question. The case of the question's letters, which
// is random in each query, does not matter: servers that return it in their own serve all the same. Whatever does not match may be
// forged, late or garbage, and is passed over.
type dnsProber struct {
	target target
	name   dnsmessage.Name
	kind   dnsmessage.Type
}

func newDNS(t target, p Params) (Prober, error) {
	t, err := newDatagramTarget(t, p.ProxyProtocol)
	if err != nil {
		return nil, err
	}
	name, err := dnsName(p.DNS.Name)
	if err != nil {
		return nil, err
	}
	kind, err := dnsType(p.DNS.RecordType)
	if err != nil {
		return nil, err
	}
	return dnsProber{target: t, name: name, kind: kind}, nil
}

func (p dnsProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.correspond(ctx, addr, p.talk)
}

// talk asks with EDNS0, and once more without if the server does not know it (RFC 6891, section 7).
func (p dnsProber) talk(conn net.Conn) error {
	code, err := p.ask(conn, true)
	if err == nil && (code == dnsmessage.RCodeFormatError || code == dnsmessage.RCodeNotImplemented) {
		code, err = p.ask(conn, false)
	}
	if err != nil {
		return err
	}
	if code != dnsmessage.RCodeSuccess && code != dnsmessage.RCodeNameError {
		return fmt.Errorf("%s %s: the server answers %s", p.name, dnsTypeName(p.kind), dnsCodeName(code))
	}
	return nil
}

// ask sends one query and returns the code of the answer.
func (p dnsProber) ask(conn net.Conn, edns bool) (dnsmessage.RCode, error) {
	var random [34]byte // rand.Read never fails
	_, _ = rand.Read(random[:])
	q := dnsQuery{
		id:   binary.BigEndian.Uint16(random[:2]),
		name: mixCase(p.name, [32]byte(random[2:])),
		kind: p.kind,
		edns: edns,
	}
	packed, err := q.pack()
	if err != nil {
		return 0, fmt.Errorf("make the query: %w", err)
	}
	if err := write(conn, "the query", packed); err != nil {
		return 0, err
	}
	var code dnsmessage.RCode
	err = awaitDatagram(conn, dnsReadLimit, func(datagram []byte) (err error) {
		code, err = q.read(datagram)
		return err
	})
	return code, err
}

// A dnsQuery is one query as sent.
type dnsQuery struct {
	id   uint16
	name dnsmessage.Name
	kind dnsmessage.Type
	edns bool
}

// pack returns the query as it goes over the wire.
func (q dnsQuery) pack() ([]byte, error) {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: q.name, Type: q.kind, Class: dnsmessage.ClassINET}},
	}
	if q.edns {
		opt := dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(".")},
			Body:   &dnsmessage.OPTResource{},
		}
		if err := opt.Header.SetEDNS0(dnsPayload, 0, false); err != nil {
			return nil, err
		}
		m.Additionals = []dnsmessage.Resource{opt}
	}
	return m.Pack()
}

var (
	errNotResponse = errors.New("a query, not an answer")
	errNoQuestion  = errors.New("an answer to no question")
	errQuestions   = errors.New("an answer to more than one question")
)

// read returns the code of an answer to q, or what makes the datagram none.
func (q dnsQuery) read(datagram []byte) (dnsmessage.RCode, error) {
	var p dnsmessage.Parser
	h, err := p.Start(datagram)
	switch {
	case err != nil:
		return 0, fmt.Errorf("not a DNS message: %w", err)
	case !h.Response || h.OpCode != 0:
		return 0, errNotResponse
	case h.ID != q.id:
		return 0, fmt.Errorf("an answer with id %d, not %d", h.ID, q.id)
	}
	if err := q.matchQuestion(&p, h.RCode); err != nil {
		return 0, err
	}
	code, err := extendedCode(&p, h.RCode)
	if err != nil && !h.Truncated { // some cut a long answer anywhere
		return 0, fmt.Errorf("malformed after the question: %w", err)
	}
	return code, nil
}

// matchQuestion reads the answer's question and returns nil if it is the one asked. A server that could not read the query,
// or that knows nothing of EDNS0, may answer with a header alone.
func (q dnsQuery) matchQuestion(p *dnsmessage.Parser, code dnsmessage.RCode) error {
	got, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) {
		if code == dnsmessage.RCodeFormatError || code == dnsmessage.RCodeNotImplemented {
			return nil
		}
		return errNoQuestion
	}
	if err != nil {
		return fmt.Errorf("malformed question: %w", err)
	}
	if got.Type != q.kind || got.Class != dnsmessage.ClassINET || !equalFold(got.Name, q.name) {
		return fmt.Errorf("an answer to %s %s", quoted(got.Name.String()), dnsTypeName(got.Type))
	}
	if err := p.SkipQuestion(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return errQuestions
	}
	return nil
}

// extendedCode adds to code its upper eight bits, which the OPT record of the answer holds if there is one
// (RFC 6891, section 6.1.3). On an error it returns code as it is.
func extendedCode(p *dnsmessage.Parser, code dnsmessage.RCode) (dnsmessage.RCode, error) {
	if err := p.SkipAllAnswers(); err != nil {
		return code, err
	}
	if err := p.SkipAllAuthorities(); err != nil {
		return code, err
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return code, nil
		}
		if err != nil {
			return code, err
		}
		if h.Type == dnsmessage.TypeOPT {
			return h.ExtendedRCode(code), nil
		}
		if err := p.SkipAdditional(); err != nil {
			return code, err
		}
	}
}

// mixCase turns each letter of a name into a capital or a small one, as the bits say.
func mixCase(name dnsmessage.Name, bits [32]byte) dnsmessage.Name {
	for i := range int(name.Length) {
		if c := lower(name.Data[i]); 'a' <= c && c <= 'z' {
			name.Data[i] = c &^ (bits[i/8] >> (i % 8) & 1 << 5)
		}
	}
	return name
}

// equalFold compares names without regard to the case of ASCII letters (RFC 4343).
func equalFold(a, b dnsmessage.Name) bool {
	if a.Length != b.Length {
		return false
	}
	for i := range int(a.Length) {
		if lower(a.Data[i]) != lower(b.Data[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// dnsNameLimit is the longest name with its final dot, in bytes: on the wire it has one more, 255 (RFC 1035, section 3.1).
const dnsNameLimit = 254

// dnsName reads a configured name: with or without the final dot, in ASCII, without escapes. Empty is the root.
func dnsName(s string) (dnsmessage.Name, error) {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '\\' {
			return dnsmessage.Name{}, fmt.Errorf("name %s: byte %d does not belong into a name; write international names as xn--",
				quoted(s), i)
		}
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	if len(s) > dnsNameLimit {
		return dnsmessage.Name{}, fmt.Errorf("name %s is longer than %d bytes", quoted(s), dnsNameLimit)
	}
	name, err := dnsmessage.NewName(s)
	if err != nil {
		return dnsmessage.Name{}, fmt.Errorf("name %s: %w", quoted(s), err)
	}
	if _, err := (dnsQuery{name: name}).pack(); err != nil { // empty labels, and those longer than 63 bytes
		return dnsmessage.Name{}, fmt.Errorf("name %s: %w", quoted(s), err)
	}
	return name, nil
}
