package load

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Datagrams is what client and backend of a UDP measurement agree on. The
// backend sends every datagram back as it is, unless it says otherwise here.
type Datagrams struct {
	Size int // bytes of each, at most MaxDatagram; DNS has its own
	// DNS makes each a query with an id that cannot be guessed and one
	// question; the answer is the query, marked as an answer.
	DNS bool
	// OneWay makes the backend keep silent towards the balancer. It counts
	// what it gets and reports that to the client directly.
	OneWay bool
	// Train is how many datagrams of equal size are given to the kernel as
	// one (UDP_SEGMENT, udp(7)), by both sides; less than 2 means none.
	Train int
}

const (
	// MaxDatagram is the largest datagram; it fits into an Ethernet frame.
	MaxDatagram = 1472
	// maxTrain is the kernel's bound, UDP_MAX_SEGMENTS before Linux 6.9.
	maxTrain = 64
	// maxBytes is the most that an IPv4 datagram carries, and so a train.
	maxBytes = 65507
)

// A plain datagram is mark, flow and number, big-endian, and a filling that
// depends on both numbers.
const (
	mark     = 0x57424e43
	preamble = 12
)

// check reports datagrams that have no room for what they must say, or that
// the kernel would refuse.
func (d Datagrams) check() error {
	size := d.size()
	switch {
	case size < preamble || size > MaxDatagram:
		return fmt.Errorf("datagrams of %d bytes: give %d to %d", size, preamble, MaxDatagram)
	case d.Train < 0 || d.Train > maxTrain || d.Train*size > maxBytes:
		return fmt.Errorf("trains of %d datagrams of %d bytes: give at most %d, and %d bytes", d.Train, size, maxTrain, maxBytes)
	case d.OneWay && (d.DNS || d.Train > 1):
		return fmt.Errorf("datagrams that are not answered are neither queries nor trains")
	}
	return nil
}

// train is the number of datagrams in a send, 1 without trains.
func (d Datagrams) train() int { return max(1, d.Train) }

func (d Datagrams) size() int {
	if d.DNS {
		return querySize
	}
	return d.Size
}

// script writes datagrams and reads the answers to them. What a datagram says
// follows from its flow and its number within the flow alone, so that every
// byte of an answer can be checked and nothing has to be kept for that.
type script struct {
	kind    Datagrams
	seed    uint64 // of the ids of queries
	filling []byte
	scratch [MaxDatagram]byte
}

func newScript(kind Datagrams, seed uint64) *script {
	return &script{kind: kind, seed: seed, filling: pattern(MaxDatagram + letters)}
}

// letters is after how many bytes the pattern repeats.
const letters = 26

// write puts a datagram into b, which has room for it, and returns its length.
func (s *script) write(b []byte, flow, number uint32) int {
	if s.kind.DNS {
		writeQuery(b, s.id(flow, number), flow, number)
		return querySize
	}
	b = b[:s.kind.Size]
	binary.BigEndian.PutUint32(b, mark)
	binary.BigEndian.PutUint32(b[4:], flow)
	binary.BigEndian.PutUint32(b[8:], number)
	copy(b[preamble:], s.filling[(flow+number)%letters:])
	return len(b)
}

// read tells what an answer answers. An error wraps errWrong: the bytes are
// not those of any answer to a datagram of this script.
func (s *script) read(b []byte) (flow, number uint32, err error) {
	if len(b) != s.kind.size() {
		return 0, 0, fmt.Errorf("%w: %d bytes instead of %d", errWrong, len(b), s.kind.size())
	}
	if s.kind.DNS {
		flow, number, err = readName(b)
	} else {
		flow, number = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	}
	if err != nil {
		return 0, 0, err
	}
	want := s.scratch[:s.write(s.scratch[:], flow, number)]
	if s.kind.DNS {
		answerQuery(want)
	}
	if !bytes.Equal(b, want) {
		return 0, 0, fmt.Errorf("%w: not the bytes for datagram %d of flow %d", errWrong, number, flow)
	}
	return flow, number, nil
}

// id is the id of a query: the finalizer of SplitMix64 makes it look random
// and lets the reader compute it again.
func (s *script) id(flow, number uint32) uint16 {
	x := s.seed ^ uint64(flow)<<32 ^ uint64(number)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint16(x ^ x>>31)
}

// A query (RFC 1035 §4.1) is a header, a name whose first label is flow and
// number in hexadecimal, and the type A in the class IN.
const (
	queryHeader = 12
	nameLabel   = 16 // bytes of the first label
	nameRest    = "\x05bench\x04test\x00\x00\x01\x00\x01"
	querySize   = queryHeader + 1 + nameLabel + len(nameRest)
	answerBit   = 0x80 // QR, in the third byte of the header
)

func writeQuery(b []byte, id uint16, flow, number uint32) {
	const recursionDesired = 0x0100
	binary.BigEndian.PutUint16(b, id)
	binary.BigEndian.PutUint16(b[2:], recursionDesired)
	binary.BigEndian.PutUint64(b[4:], 1<<48) // one question, no records
	b[queryHeader] = nameLabel
	name := uint64(flow)<<32 | uint64(number)
	for i := range nameLabel {
		b[queryHeader+1+i] = "0123456789abcdef"[name>>(60-4*i)&15]
	}
	copy(b[queryHeader+1+nameLabel:], nameRest)
}

// answerQuery turns a query into its answer.
func answerQuery(b []byte) {
	if len(b) > 2 {
		b[2] |= answerBit
	}
}

// readName tells flow and number from the name in a datagram of querySize.
func readName(b []byte) (flow, number uint32, err error) {
	label := b[queryHeader+1 : queryHeader+1+nameLabel]
	var name [nameLabel / 2]byte
	if _, err := hex.Decode(name[:], label); err != nil {
		return 0, 0, fmt.Errorf("%w: the name %q", errWrong, label)
	}
	return binary.BigEndian.Uint32(name[:]), binary.BigEndian.Uint32(name[4:]), nil
}
