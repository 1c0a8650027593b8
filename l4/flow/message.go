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
