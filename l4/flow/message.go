package flow

import (
	"encoding/binary"
	"hash/maphash"
)

// message is what must be known of a DNS message to lead it (RFC 1035, section 4.1).
type message struct {
	id       uint16
	response bool
	opcode   byte
	failed   bool   // the response code is not 0
	asks     bool   // it has a question
	question uint64 // hash of name, type and class, without ASCII case (RFC 4343); 0 without a question
}

const (
	dnsHeader   = 12
	maxDNSName  = 255
	maxDNSLabel = 63
)

// parseMessage reads the header and the question, and reports whether they are sound. More than one question is not (RFC
// 9619); none is (RFC 7873, section 5.4). What follows is for the server to judge.
func parseMessage(msg []byte, seed maphash.Seed) (message, bool) {
	if len(msg) < dnsHeader {
		return message{}, false
	}
	m := message{
		id:       binary.BigEndian.Uint16(msg),
		response: msg[2]&0x80 != 0,
		opcode:   msg[2] >> 3 & 0xf,
		failed:   msg[3]&0xf != 0,
	}
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0:
		return m, true
	case 1:
		m.asks = true
		var sound bool
		m.question, sound = hashQuestion(msg[dnsHeader:], seed)
		return m, sound
	}
	return m, false
}

// hashQuestion hashes the question with which b begins. Its name is not compressed: there is nothing before it to point at.
func hashQuestion(b []byte, seed maphash.Seed) (uint64, bool) {
	var folded [maxDNSName + 4]byte
	n := 0
	for {
		if n >= len(b) || b[n] > maxDNSLabel || n+1+int(b[n]) > maxDNSName {
			return 0, false
		}
		size := 1 + int(b[n])
		if n+size > len(b) {
			return 0, false
		}
		folded[n] = b[n]
		for i := n + 1; i < n+size; i++ {
			folded[i] = lower(b[i])
		}
		n += size
		if size == 1 {
			break
		}
	}
	if n+4 > len(b) {
		return 0, false
	}
	copy(folded[n:], b[n:n+4])
	return maphash.Bytes(seed, folded[:n+4]), true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// answers reports whether m can be the answer to a query with the given question. Servers may leave the question out of an
// error, and out of the answer to an update (RFC 2136, section 3.8).
func (m *message) answers(question uint64) bool {
	if !m.response {
		return false
	}
	if !m.asks {
		return question == 0 || m.failed || m.opcode != 0
	}
	return m.question == question
}

// What isQuery demands of a header: no flag but RD, AD and CD (RFC 4035, section 3.2), and a question with nothing but
// additional records, of which EDNS and a signature are one each.
const (
	flagsOfQueries = 0x0130
	maxAdditional  = 2
	recordFixed    = 10 // type, class, TTL and length of the data (RFC 1035, section 4.1.3)
)

// isQuery reports whether msg is a query of DNS from the first to the last byte. What is something else passes for one only
// by design: some hundred bits must be as they are in a query.
func isQuery(msg []byte) bool {
	if len(msg) < dnsHeader || binary.BigEndian.Uint16(msg[2:])&^flagsOfQueries != 0 ||
		binary.BigEndian.Uint64(msg[4:])>>16 != 1<<32 || binary.BigEndian.Uint16(msg[10:]) > maxAdditional {
		return false
	}
	at, ok := skipName(msg, dnsHeader)
	if !ok || at+4 > len(msg) || msg[at-1] != 0 {
		return false // a question has nothing before it to point at
	}
	at += 4
	for range binary.BigEndian.Uint16(msg[10:]) {
		if at, ok = skipName(msg, at); !ok || at+recordFixed > len(msg) {
			return false
		}
		at += recordFixed + int(binary.BigEndian.Uint16(msg[at+recordFixed-2:]))
	}
	return at == len(msg)
}

// skipName returns where the name ends that begins at a place in msg. A pointer ends it (RFC 1035, section 4.1.4).
func skipName(msg []byte, at int) (end int, ok bool) {
	for end = at; end < len(msg) && end-at < maxDNSName; {
		switch size := int(msg[end]); {
		case size == 0:
			return end + 1, true
		case size >= 0xc0:
			return end + 2, end+2 <= len(msg) && msg[end+1] != 0 // nothing points at the beginning of the message
		case size > maxDNSLabel:
			return 0, false
		default:
			end += 1 + size
		}
	}
	return 0, false
}
