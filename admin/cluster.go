package admin

import (
	"slices"
	"time"
)

// Cluster is what this weir knows of the cluster that it is a node of. What is counted is counted since the start.
type Cluster struct {
	Name      string `json:"name"`
	Node      string `json:"node"`      // this one
	Settled   bool   `json:"settled"`   // the others have been heard since the start, or awaited for long enough
	Encrypted bool   `json:"encrypted"` // the talk between the nodes
	Awareness int    `json:"awareness"` // how slowly this node answers, in its own judgement; 0 = well

	Members   []Member       `json:"members"`             // all nodes that are or were members, this one included, by name
	Tables    []Table        `json:"tables"`              // of the services that choose backends by a table
	Conflicts []NameConflict `json:"conflicts,omitempty"` // lately

	Disagreements uint64 `json:"disagreements"` // times that a verdict of this node went against the votes that counted
	Cells         int    `json:"cells"`         // statements of all members, taken back ones included
	Orders        int    `json:"orders"`        // of operators, taken back ones included

	GossipQueue      int     `json:"gossipQueue"`      // packets that wait to be gossiped
	GossipAgeSeconds float64 `json:"gossipAgeSeconds"` // for how long the oldest of them has
	InboxWaitSeconds float64 `json:"inboxWaitSeconds"` // for how long a message had to wait lately, at most

	Sent     ClusterSent       `json:"sent"`
	Received ClusterReceived   `json:"received"`
	Dropped  map[string]uint64 `json:"dropped"` // what was lost for want of room or connection, by reason; it is repaired later
	Refused  map[string]uint64 `json:"refused"` // what was not taken, by reason

	Saves       uint64 `json:"saves"`       // of the state file
	SavesFailed uint64 `json:"savesFailed"` // of these
}

// ClusterSent counts what this node has sent: messages by the way they went, and packets and streams with all that the
// membership layer sends, too.
type ClusterSent struct {
	Gossiped    uint64 `json:"gossiped"` // messages to some, who pass them on
	Direct      uint64 `json:"direct"`   // messages to one member, in packets
	Streamed    uint64 `json:"streamed"` // messages to one member, over connections
	Packets     uint64 `json:"packets"`
	PacketBytes uint64 `json:"packetBytes"`
	Streams     uint64 `json:"streams"`
	StreamBytes uint64 `json:"streamBytes"`
}

// ClusterReceived counts what has come in.
type ClusterReceived struct {
	Messages    uint64 `json:"messages"`
	Cells       uint64 `json:"cells"`   // statements that were new
	Beacons     uint64 `json:"beacons"` // by which members confirm what they said
	Pulls       uint64 `json:"pulls"`   // members that asked for what they lack
	Packets     uint64 `json:"packets"`
	PacketBytes uint64 `json:"packetBytes"`
	Streams     uint64 `json:"streams"`
	StreamBytes uint64 `json:"streamBytes"`
}

// Member is a node that is or was a member of the cluster, as this node sees it. What another node says of itself is there
// while that node is alive.
type Member struct {
	Name         string    `json:"name"`
	Address      string    `json:"address"`
	Self         bool      `json:"self"`
	State        string    `json:"state"`              // alive, failed or left
	Since        time.Time `json:"since,omitzero"`     // of that state; zero of this node
	Version      string    `json:"version,omitempty"`  // of its weir
	LastHeard    time.Time `json:"lastHeard,omitzero"` // when its last beacon came; zero of this node, and of others until the first
	Doubt        string    `json:"doubt,omitempty"`    // why it doubts its own judgement, in words that follow its name; empty: it does not
	Distrusted   bool      `json:"distrusted"`         // this node has found it wrong too often, so its word does not count here
	Awareness    int       `json:"awareness"`          // how slowly it answers, in its own judgement; 0 = well
	RTTSeconds   float64   `json:"rttSeconds"`         // of packets to it and back, smoothed; 0 = not measured
	DelaySeconds float64   `json:"delaySeconds"`       // that what this node says takes to get there, smoothed; 0 = not measured
	ConfigHash   string    `json:"configHash"`         // of the configuration it runs, to be compared among members; empty: it does not say
	Generation   uint64    `json:"generation"`         // how often it has loaded one
	SameConfig   bool      `json:"sameConfig"`         // as this node's
}

// The states of a Member, in the order in which they are counted.
const (
	memberAlive  = "alive"
	memberFailed = "failed" // it does not answer
	memberLeft   = "left"   // of its own will
)

// Table is which members choose the backends of a service by the same table. Where they do not, one client may reach
// different backends by different members.
type Table struct {
	Service  string       `json:"service"`
	Protocol string       `json:"protocol"`
	Groups   []TableGroup `json:"groups"` // the largest first
}

// TableGroup is the members that have one table.
type TableGroup struct {
	Sum     string   `json:"sum,omitempty"` // checksum of the table in hexadecimal; empty: these members do not say
	Members []string `json:"members"`
}

// NameConflict is a name that two nodes claim.
type NameConflict struct {
	Name     string    `json:"name"`
	Holder   string    `json:"holder"` // address of the node that has it, in the eyes of this one
	Claimant string    `json:"claimant"`
	First    time.Time `json:"first"` // when it was claimed
	Last     time.Time `json:"last"`
	Count    int       `json:"count"` // of claims
	Alarm    bool      `json:"alarm"` // it has gone on for too long to be a node that moved to another address
}

// differs reports whether the member is alive and runs another configuration than this node.
func (m *Member) differs() bool { return m.State == memberAlive && m.ConfigHash != "" && !m.SameConfig }

// differs reports whether members that say which table they have do not have the same.
func (t *Table) differs() bool {
	said := 0
	for _, g := range t.Groups {
		if g.Sum != "" {
			said++
		}
	}
	return said > 1
}

// count returns how many members are as f says.
func (c *Cluster) count(f func(*Member) bool) int {
	n := 0
	for i := range c.Members {
		if f(&c.Members[i]) {
			n++
		}
	}
	return n
}

// tableDrift returns the services whose tables differ.
func (c *Cluster) tableDrift() []Table {
	return slices.DeleteFunc(slices.Clone(c.Tables), func(t Table) bool { return !t.differs() })
}
