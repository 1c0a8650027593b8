package cluster

import (
	"container/list"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxGossip is how many packets wait to be gossiped, about 1.3 MB. Gossip carries some ten thousand bytes a second, so what
// is behind so many would come long after the beacons have brought it.
const maxGossip = 1 << 10

// gossip is the packets that are passed on to anybody, each several times. It is used by the loop and by the membership
// layer at once.
type gossip struct {
	queue memberlist.TransmitLimitedQueue

	mu  sync.Mutex
	age list.List // of *broadcast, the oldest first
}

// broadcast is a packet that is gossiped. Nothing supersedes it: tables take what is newer from wherever it comes.
type broadcast struct {
	packet []byte
	born   time.Time
	gossip *gossip
	place  *list.Element
}

func newGossip(members func() int) *gossip {
	return &gossip{queue: memberlist.TransmitLimitedQueue{NumNodes: members, RetransmitMult: retransmitMult}}
}

// Invalidates implements memberlist.Broadcast.
func (b *broadcast) Invalidates(memberlist.Broadcast) bool { return false }

// UniqueBroadcast implements memberlist.UniqueBroadcast, which spares a look through the whole queue.
func (b *broadcast) UniqueBroadcast() {}

// Message implements memberlist.Broadcast.
func (b *broadcast) Message() []byte { return b.packet }

// Finished implements memberlist.Broadcast.
func (b *broadcast) Finished() {
	b.gossip.mu.Lock()
	defer b.gossip.mu.Unlock()
	b.gossip.age.Remove(b.place)
}

// put queues a packet, and drops those that have been sent most if there are too many.
func (g *gossip) put(packet []byte, now time.Time) {
	b := &broadcast{packet: packet, born: now, gossip: g}
	g.mu.Lock()
	b.place = g.age.PushBack(b)
	g.mu.Unlock()
	g.queue.QueueBroadcast(b)
	g.queue.Prune(maxGossip)
}

// measure returns how many packets wait, and for how long the oldest has.
func (g *gossip) measure(now time.Time) (int, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.age.Len() == 0 {
		return 0, 0
	}
	return g.age.Len(), now.Sub(g.age.Front().Value.(*broadcast).born)
}
