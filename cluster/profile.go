package cluster

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is how fast a node is to notice what happens to the others, and what that costs.
type Profile string

const (
	// LAN is for nodes within a data centre: a node that died is noticed within a second or two.
	LAN Profile = "lan"
	// WAN is for nodes with slow links between them: it takes some fifteen seconds.
	WAN Profile = "wan"
)

// packetSize is how many bytes of a packet the membership layer fills. With the headers of IPv6, UDP and one tunnel it stays
// below 1500.
const packetSize = 1350

// What the membership layer puts around a message in a packet, in bytes.
const (
	labelHead      = 2  // and the label
	cipherHead     = 29 // version, nonce, tag
	checksumHead   = 5
	userHead       = 1
	compoundHead   = 2 + 2 // of the packet, and for each part
	packetOverhead = labelHead + cipherHead + checksumHead + userHead + compoundHead
)

// timing is what a profile stands for.
type timing struct {
	probeInterval  time.Duration // one member is asked whether it lives, in turns
	probeTimeout   time.Duration
	suspicionMult  int // times the probe interval is at least the time to refute a suspicion
	suspicionMax   int // times that at most
	awarenessMax   int
	gossipInterval time.Duration
	pushPull       time.Duration // between full exchanges with a random member
	stream         time.Duration // to connect, and for each stream as a whole
	deadGossip     time.Duration // for how long the dead are still told things
	reclaim        time.Duration // after which a dead node's name may come back at another address
	bear           time.Duration // two claims to one name, before the alarm
	rejoin         time.Duration // between attempts to reach known nodes that are no members
	settle         time.Duration // how long the others are awaited after a start, at most
}

// timing returns what the profile stands for; false if there is no such profile.
func (p Profile) timing() (timing, bool) {
	switch p {
	case "", LAN:
		return timing{
			probeInterval: 200 * time.Millisecond, probeTimeout: 100 * time.Millisecond,
			suspicionMult: 3, suspicionMax: 3, awarenessMax: 4,
			gossipInterval: 100 * time.Millisecond, pushPull: 10 * time.Second, stream: 2 * time.Second,
			deadGossip: time.Minute, reclaim: 5 * time.Second, bear: 10 * time.Second,
			rejoin: 5 * time.Second, settle: 3 * time.Second,
		}, true
	case WAN:
		return timing{
			probeInterval: 2 * time.Second, probeTimeout: time.Second,
			suspicionMult: 4, suspicionMax: 3, awarenessMax: 8,
			gossipInterval: 250 * time.Millisecond, pushPull: 30 * time.Second, stream: 10 * time.Second,
			deadGossip: 2 * time.Minute, reclaim: 30 * time.Second, bear: 90 * time.Second,
			rejoin: 15 * time.Second, settle: 10 * time.Second,
		}, true
	default:
		return timing{}, false
	}
}

// config returns the settings of the membership layer, without who is who and whom to call.
func (t timing) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.ProbeInterval, c.ProbeTimeout = t.probeInterval, t.probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = t.suspicionMult, t.suspicionMax
	c.AwarenessMaxMultiplier = t.awarenessMax
	c.GossipInterval, c.GossipToTheDeadTime = t.gossipInterval, t.deadGossip
	c.PushPullInterval, c.TCPTimeout = t.pushPull, t.stream
	c.DeadNodeReclaimTime = t.reclaim
	// With four to nine members, four sendings of a message miss one of them now and then.
	c.RetransmitMult = retransmitMult
	// Hashes and keys do not shrink, and what is shrunk has to be blown up again within limits.
	c.EnableCompression = false
	c.UDPBufferSize = packetSize
	c.HandoffQueueDepth = handoffDepth
	return c
}

const (
	retransmitMult = 8
	handoffDepth   = 4096
)
