package cluster

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/cespare/xxhash/v2"
)

// How long what this node says takes to reach another is measured all the time, by beacons, and without trusting any clock
// but this node's own: each answer to a probe of the membership layer says which beacon of each member has arrived there
// last, and how long ago. This node knows when it sent that beacon. What it does not know is how long the answer took, for
// which it takes half of the probe's way there and back; that is the error of the measurement.

const (
	// echoVersion is the first byte of the answer.
	echoVersion = 1
	// maxEchoes is how many members one answer tells of, which leaves room for gossip in the packet. If there are more, each
	// answer tells of others.
	maxEchoes = 60
	echoSize  = 4 + 4 + 4
	echoHead  = 1 + 1
	// delayShare is the share of a new measurement in the average, of 8.
	delayShare = 1
)

// heard is the last beacon that has arrived of a member.
type heard struct {
	id   uint32
	beat uint32 // its low bits
	at   time.Time
}

// echoID names a member in four bytes. Two members with one are as good as never: it takes the same beat, too, to mislead.
func echoID(name string) uint32 { return uint32(xxhash.Sum64String(name)) }

// echoes is what an answer consists of. The loop makes a new one now and then; nobody changes it.
type echoes struct {
	score  byte // of this node's awareness
	heards []heard
}

// encode writes the answer to a probe: version, score, and for each member its id, beat, and the microseconds since.
func (e *echoes) encode(now time.Time) []byte {
	b := append(make([]byte, 0, echoHead+echoSize*min(len(e.heards), maxEchoes)), echoVersion, e.score)
	first := 0
	if len(e.heards) > maxEchoes {
		first = rand.IntN(len(e.heards))
	}
	for i := range min(len(e.heards), maxEchoes) {
		h := e.heards[(first+i)%len(e.heards)]
		age := min(max(0, now.Sub(h.at).Microseconds()), 1<<32-1)
		b = binary.BigEndian.AppendUint32(b, h.id)
		b = binary.BigEndian.AppendUint32(b, h.beat)
		b = binary.BigEndian.AppendUint32(b, uint32(age))
	}
	return b
}

// pong is an answer to a probe, as far as it concerns this node.
type pong struct {
	at    time.Time // when it came
	rtt   time.Duration
	score int // of the member's awareness
	known bool
	beat  uint32 // if known: of this node's beacon that arrived there last
	age   time.Duration
}

// parsePong reads an answer. One that cannot be read is of another release; it took its time all the same.
func parsePong(b []byte, self uint32, rtt time.Duration, now time.Time) pong {
	p := pong{at: now, rtt: rtt}
	if len(b) < echoHead || b[0] != echoVersion {
		return p
	}
	p.score = int(b[1])
	for b = b[echoHead:]; len(b) >= echoSize; b = b[echoSize:] {
		if binary.BigEndian.Uint32(b) == self {
			p.known = true
			p.beat = binary.BigEndian.Uint32(b[4:])
			p.age = time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Microsecond
		}
	}
	return p
}

// link is what is known of the way to a member.
type link struct {
	rtt   time.Duration // of probes, smoothed
	delay time.Duration // of beacons, one way, smoothed
	score int
	beat  uint32 // of the beacon that was last measured
}

// add takes an answer in, given when the beacon that it speaks of was sent (zero: not known any more).
func (l *link) add(p pong, sent time.Time) {
	l.rtt = smooth(l.rtt, p.rtt)
	l.score = p.score
	if !p.known || sent.IsZero() || p.beat == l.beat {
		return
	}
	l.beat = p.beat
	l.delay = smooth(l.delay, max(0, p.at.Sub(sent)-p.age-p.rtt/2))
}

// smooth averages, with the first value as it is.
func smooth(average, next time.Duration) time.Duration {
	if average == 0 {
		return next
	}
	return average + (next-average)*delayShare/8
}

// beats remembers when this node's last beacons were sent.
type beats [64]struct {
	beat uint64
	at   time.Time
}

// note keeps when a beacon was first sent.
func (b *beats) note(beat uint64, now time.Time) {
	if slot := &b[beat%uint64(len(b))]; slot.beat != beat {
		slot.beat, slot.at = beat, now
	}
}

// sent returns when the beacon with these low bits was sent; zero if that is too long ago.
func (b *beats) sent(low uint32) time.Time {
	if slot := b[low%uint32(len(b))]; uint32(slot.beat) == low {
		return slot.at
	}
	return time.Time{}
}
