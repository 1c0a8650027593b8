package cluster

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// MemberView is what is known of a node, for operators.
type MemberView struct {
	Name    string
	Addr    netip.AddrPort
	Self    bool
	State   MemberState
	Since   time.Time // when it became so; zero for this node
	Version string    // of its program
	Boot    uint64    // its life

	Heard     time.Time     // when its last beacon came
	Confirmed time.Time     // when that last said the same as this node's table
	Doubt     Doubt         // what it says of its own judgement
	Distrust  bool          // this node has found it wrong too often
	Awareness int           // how slowly it answers, in its own judgement; 0 = well
	RTT       time.Duration // of probes, smoothed; zero: not measured yet
	Delay     time.Duration // that what this node says takes to get there, smoothed; zero: not measured yet

	Configured bool // it has said which configuration it runs
	Config     uint64
	Generation uint64
}

// SetConfig tells the others which configuration this node runs: its checksum, and how often it has been loaded.
func (n *Node) SetConfig(sum, generation uint64) error {
	return n.Set(ConfigKey(), binary.AppendUvarint(AppendSum(nil, sum), generation))
}

// Members returns all nodes that are or were members, in order of their names.
func (n *Node) Members() ([]MemberView, error) {
	var views []MemberView
	err := n.do(func(l *loop, _ time.Time) {
		views = append(views, l.view(MemberView{
			Name: l.options.Node, Addr: l.addr, Self: true, Version: l.options.Version, Awareness: l.score,
		}))
		for _, p := range l.roster.snapshot() {
			views = append(views, l.view(MemberView{
				Name: p.node.Name, Addr: addrOf(&p.node), State: p.state, Since: p.since, Version: p.meta.version,
				Awareness: p.link.score, RTT: p.link.rtt, Delay: p.link.delay,
			}))
		}
	})
	slices.SortFunc(views, func(a, b MemberView) int { return cmp.Compare(a.Name, b.Name) })
	return views, err
}

// view adds what the replica knows of a node.
func (l *loop) view(v MemberView) MemberView {
	m, ok := l.replica.Members()[v.Name]
	if !ok {
		return v
	}
	v.Boot, v.Heard, v.Confirmed, v.Doubt, v.Distrust = m.Boot, m.Heard, m.Confirmed, m.Doubt, m.Distrust
	if v.Self {
		v.Boot, v.Doubt = l.replica.Table().Boot(), l.judgement()
	}
	c, ok := l.replica.Table().Get(v.Name, ConfigKey())
	if ok && c.Boot == v.Boot && len(c.Value) >= 8 {
		v.Configured, v.Config = true, binary.BigEndian.Uint64(c.Value)
		v.Generation, _ = binary.Uvarint(c.Value[8:])
	}
	return v
}

// Stats is how a node is doing. What is counted is counted from its start.
type Stats struct {
	Members   int // alive, this node included
	Awareness int // of the membership layer: how slowly this node answers; 0 = well
	Settled   bool
	Encrypted bool

	Cells       int // of all members, tombstones included
	Commands    int
	GossipQueue int           // packets that wait to be gossiped
	GossipAge   time.Duration // for how long the oldest has
	InboxWait   time.Duration // for how long a message has waited for the loop at most, since the last call

	Sent     Sent
	Received Received
	Dropped  Dropped
	Refused  Refused

	Conflicts   []Conflict // lately
	Saves       uint64     // of the state file
	SavesFailed uint64
}

// Sent is what this node has sent.
type Sent struct {
	Gossiped, Direct, Streamed                 uint64 // messages, by the way they went
	Packets, PacketBytes, Streams, StreamBytes uint64 // all that the membership layer sends, too
}

// Received is what has come in.
type Received struct {
	Messages, Cells, Beacons, Pulls            uint64
	Packets, PacketBytes, Streams, StreamBytes uint64
}

// Dropped is what was lost for want of room. Beacons show what is lacking then.
type Dropped struct {
	Inbox       uint64 // messages that came in
	Overflow    uint64 // messages that waited inside the membership layer
	Streams     uint64 // messages to members that were too slow
	Undelivered uint64 // messages whose connection failed
	Unsent      uint64 // packets that could not be sent
	Connections uint64 // that came while too many were open
	Large       uint64 // cells too large to gossip
}

// Refused is what was not taken.
type Refused struct {
	WrongKey   uint64 // packets and streams that no key opens
	WrongLabel uint64 // of another cluster
	Malformed  uint64 // messages
	Unknown    uint64 // sections of messages of later releases
	Orders     uint64 // commands and keys that cannot be
	Nodes      uint64 // that were not let in
}

// Stats returns how the node is doing.
func (n *Node) Stats() (Stats, error) {
	var s Stats
	err := n.do(func(l *loop, now time.Time) {
		s = Stats{
			Members: l.roster.size(), Awareness: l.score, Settled: l.settled, Encrypted: l.rings.keyring != nil,
			Commands: len(l.commands.All()), Saves: l.counts.saves, SavesFailed: l.counts.savesFailed,
		}
		for _, name := range l.replica.Members().Names() {
			s.Cells += l.replica.Table().Len(name)
		}
		l.traffic(&s, now)
	})
	return s, err
}

// traffic adds what was counted on the way.
func (l *loop) traffic(s *Stats, now time.Time) {
	c, t, j := &l.counts, l.tap, l.journal
	s.GossipQueue, s.GossipAge = l.gossip.measure(now)
	s.Sent = Sent{
		Gossiped: c.gossiped, Direct: c.direct, Streamed: c.streamed,
		Packets: t.sent.packets.Load(), PacketBytes: t.sent.packetBytes.Load(),
		Streams: t.sent.streams.Load(), StreamBytes: t.sent.streamBytes.Load(),
	}
	s.Received = Received{
		Messages: c.messages, Cells: c.cells, Beacons: c.beacons, Pulls: c.pulls,
		Packets: t.received.packets.Load(), PacketBytes: t.received.packetBytes.Load(),
		Streams: t.received.streams.Load(), StreamBytes: t.received.streamBytes.Load(),
	}
	s.Dropped = Dropped{Overflow: j.overflow.Load(), Unsent: c.unsent, Connections: t.turned.Load(), Large: c.large}
	s.Dropped.Inbox, s.InboxWait = l.inbox.measure()
	s.Dropped.Streams, s.Dropped.Undelivered = l.courier.measure()
	s.Refused = Refused{
		WrongKey: j.wrongKey.Load(), WrongLabel: j.wrongLabel.Load(),
		Malformed: c.malformed, Unknown: c.skipped, Orders: c.commandsRefused,
	}
	s.Conflicts, s.Refused.Nodes = l.roster.disputed()
}
