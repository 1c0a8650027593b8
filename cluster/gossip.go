package cluster

import (
	"math"
	"slices"
	"sync"
	"time"
)

// maxGossip is how many packets wait to be gossiped, about 1.3 MB. Gossip carries some ten thousand bytes a second, so what
// is behind so many would come long after the beacons have brought it.
const maxGossip = 1 << 10

// gossip is the packets that are passed on to anybody, each several times. It is used by the loop and by the membership
// layer at once. The queue that the membership layer has for this loses packets: it numbers them from one again whenever it
// has handed all of them out, and of two with one number only one stays.
type gossip struct {
	members func() int

	mu    sync.Mutex
	queue []*broadcast // in the order in which they came
}

// broadcast is a packet that is gossiped. Nothing supersedes it: tables take what is newer from wherever it comes.
type broadcast struct {
	packet []byte
	born   time.Time
	sent   int // how often
}

func newGossip(members func() int) *gossip { return &gossip{members: members} }

// put queues a packet, and drops one of those that have been sent most if there are too many.
func (g *gossip) put(packet []byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, &broadcast{packet: packet, born: now})
	if len(g.queue) > maxGossip {
		most := 0
		for i, b := range g.queue {
			if b.sent > g.queue[most].sent {
				most = i
			}
		}
		g.queue = slices.Delete(g.queue, most, most+1)
	}
}

// take returns packets to send now that fit into a limit with so much overhead for each: those that were sent least, and of
// these the newest. A packet has been sent enough when all will have it with near certainty.
func (g *gossip) take(overhead, limit int) [][]byte {
	enough := retransmitMult * int(math.Ceil(math.Log10(float64(g.members()+1))))
	g.mu.Lock()
	defer g.mu.Unlock()
	var taken [][]byte
	chosen := map[*broadcast]bool{}
	for {
		b := g.next(chosen, limit-overhead)
		if b == nil {
			break
		}
		chosen[b] = true
		b.sent++
		limit -= overhead + len(b.packet)
		taken = append(taken, b.packet)
	}
	if len(taken) > 0 {
		g.queue = slices.DeleteFunc(g.queue, func(b *broadcast) bool { return b.sent >= enough })
	}
	return taken
}

// next returns the packet that is to be sent next of those that have not been chosen and fit. The lock is held.
func (g *gossip) next(chosen map[*broadcast]bool, room int) *broadcast {
	var next *broadcast
	for _, b := range slices.Backward(g.queue) {
		if len(b.packet) <= room && !chosen[b] && (next == nil || b.sent < next.sent) {
			next = b
		}
	}
	return next
}

// measure returns how many packets wait, and for how long the oldest has.
func (g *gossip) measure(now time.Time) (int, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return 0, 0
	}
	return len(g.queue), now.Sub(g.queue[0].born)
}
