package cluster

import (
	"bytes"
	"encoding/binary"
)

// MaxMessage is the size in bytes of the largest message. The whole table of one observer fits into it.
const MaxMessage = 16 << 20

// maxMessageCells bounds what a message of tiny cells grows to in memory.
const maxMessageCells = 4 * MaxCells

// wireVersion is the first byte of a message.
const wireVersion = 1

// A message is the version, the sender's name, and sections until its end: the section's kind, its length and its body.
// Numbers are varints, names and values come after their length. Later releases may add kinds of sections, which this one
// skips; if a section or the order of things has to change its meaning, the version rises, and this release skips the whole
// message.
const (
	// sectionCells is an observer, its boot, and cells to the end: seq, key, and 0 for a tombstone or 1 more than the
	// length of the value, and the value.
	sectionCells = 1
	// sectionBeacon is an observer, boot, seq, hash (8 bytes, big endian), beat, doubt (1 byte).
	sectionBeacon = 2
	// sectionPull is summaries to the end: observer, boot, seq, hash. A summary of boot 0 has nothing else.
	sectionPull = 3
)

// Message is all that nodes say to each other. Each is complete in itself: it may be lost, repeated or late.
type Message struct {
	From    string // who sent it, which need not be who said it
	Cells   []Cell
	Beacons []Beacon
	Pull    Digest // asks for what a table like this lacks; empty: asks for nothing

	// Skipped is how many sections of unknown kind a decoded message had, or 1 if its version is unknown.
	Skipped int
}

// Empty reports whether the message says nothing.
func (m Message) Empty() bool { return len(m.Cells)+len(m.Beacons)+len(m.Pull) == 0 }

// size is how many bytes a cell takes in a section.
func (c Cell) size() int {
	n := uvarintLen(c.Seq) + stringLen(c.Key)
	if c.Gone {
		return n + 1
	}
	return n + uvarintLen(uint64(len(c.Value))+1) + len(c.Value)
}

// Encode writes the message in one piece, for a stream.
func Encode(m Message) []byte {
	b := appendString([]byte{wireVersion}, m.From)
	var body []byte
	for len(m.Cells) > 0 {
		n := sameLife(m.Cells)
		body = appendCells(body[:0], m.Cells[:n])
		b = appendSection(b, sectionCells, body)
		m.Cells = m.Cells[n:]
	}
	for _, beacon := range m.Beacons {
		body = binary.AppendUvarint(appendSummary(body[:0], beacon.Summary), beacon.Beat)
		b = appendSection(b, sectionBeacon, append(body, byte(beacon.Doubt)))
	}
	if len(m.Pull) > 0 {
		body = body[:0]
		for _, s := range m.Pull {
			body = appendSummary(body, s)
		}
		b = appendSection(b, sectionPull, body)
	}
	return b
}

// sameLife returns how many of the first cells have one observer and boot.
func sameLife(cells []Cell) int {
	for i, c := range cells {
		if c.Observer != cells[0].Observer || c.Boot != cells[0].Boot {
			return i
		}
	}
	return len(cells)
}

func appendSection(b []byte, kind uint64, body []byte) []byte {
	return appendString(binary.AppendUvarint(b, kind), body)
}

func appendCells(b []byte, cells []Cell) []byte {
	b = binary.AppendUvarint(appendString(b, cells[0].Observer), cells[0].Boot)
	for _, c := range cells {
		b = appendString(binary.AppendUvarint(b, c.Seq), c.Key)
		if c.Gone {
			b = append(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(c.Value))+1), c.Value...)
	}
	return b
}

func appendSummary(b []byte, s Summary) []byte {
	b = binary.AppendUvarint(appendString(b, s.Observer), s.Boot)
	if s.Boot == 0 {
		return b
	}
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(b, s.Seq), s.Hash)
}

// Decode reads a message. It copies what it keeps. An error means that nothing of the message may be used.
func Decode(b []byte) (Message, error) {
	r := &reader{rest: b}
	if len(b) > MaxMessage {
		r.fail("%d bytes, at most %d", len(b), MaxMessage)
	}
	switch version := r.byte("the version"); {
	case r.err != nil:
		return Message{}, r.err
	case version == 0:
		r.fail("version 0")
		return Message{}, r.err
	case version > wireVersion:
		return Message{Skipped: 1}, nil
	}
	m := Message{From: r.name()}
	for len(r.rest) > 0 && r.err == nil {
		kind := r.uvarint("the kind of a section", 1<<32)
		section := &reader{rest: r.bytes("a section", MaxMessage), err: r.err}
		m.section(kind, section)
		r.err = section.err
	}
	if r.err != nil {
		return Message{}, r.err
	}
	return m, nil
}

// section reads the body of one section.
func (m *Message) section(kind uint64, r *reader) {
	switch kind {
	case sectionCells:
		m.readCells(r)
	case sectionBeacon:
		beacon := Beacon{Summary: r.summary(), Beat: r.uvarint("a beat", MaxBoot), Doubt: Doubt(r.byte("a doubt"))}
		if len(r.rest) > 0 {
			r.fail("%d bytes behind a beacon", len(r.rest))
		}
		if m.Beacons = append(m.Beacons, beacon); len(m.Beacons) > MaxMembers {
			r.fail("more than %d beacons", MaxMembers)
		}
	case sectionPull:
		for len(r.rest) > 0 && r.err == nil {
			if m.Pull = append(m.Pull, r.summary()); len(m.Pull) > MaxObservers {
				r.fail("more than %d summaries", MaxObservers)
			}
		}
	default:
		m.Skipped++
	}
}

func (m *Message) readCells(r *reader) {
	life := Cell{Observer: r.name(), Version: Version{Boot: r.uvarint("a boot", MaxBoot)}}
	for len(r.rest) > 0 && r.err == nil {
		c := life
		c.Seq = r.uvarint("a seq", MaxBoot)
		c.Key = Key(r.bytes("a key", MaxKey))
		if length := r.uvarint("the length of a value", MaxValue+1); length == 0 {
			c.Gone = true
		} else {
			c.Value = bytes.Clone(r.take("a value", int(length-1)))
		}
		if r.err == nil && !c.valid() {
			r.fail("a cell without boot, seq or key")
		}
		if m.Cells = append(m.Cells, c); len(m.Cells) > maxMessageCells {
			r.fail("more than %d cells", maxMessageCells)
		}
	}
}

func (r *reader) summary() Summary {
	s := Summary{Observer: r.name(), Boot: r.uvarint("a boot", MaxBoot)}
	if s.Boot > 0 {
		s.Seq, s.Hash = r.uvarint("a seq", MaxBoot), r.fixed64("a hash")
	}
	return s
}
