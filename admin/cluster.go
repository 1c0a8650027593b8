package admin

import (
	"fmt"
	"strconv"
	"strings"
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

	Disagreements uint64 `json:"disagreements"` // votes of others that contradicted what this node had just seen itself
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
	Streams     uint64 `json:"streams"` // connections that this node opened
	StreamBytes uint64 `json:"streamBytes"`
}

// ClusterReceived counts what has come in.
type ClusterReceived struct {
	Messages    uint64 `json:"messages"`
	Cells       uint64 `json:"cells"`   // statements in these messages, known ones included
	Beacons     uint64 `json:"beacons"` // by which members confirm what they said
	Pulls       uint64 `json:"pulls"`   // requests for what a member lacks
	Packets     uint64 `json:"packets"`
	PacketBytes uint64 `json:"packetBytes"`
	Streams     uint64 `json:"streams"` // connections that others opened
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

// The states of a Member.
const (
	memberAlive  = "alive"
	memberFailed = "failed" // it does not answer
	memberLeft   = "left"   // of its own will
)

// memberStates are all of them, in the order in which they are counted.
var memberStates = [...]string{memberAlive, memberFailed, memberLeft}

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

// ClusterStatus is the summary of a cluster that `weir status` shows.
type ClusterStatus struct {
	Name        string         `json:"name"`
	Node        string         `json:"node"` // this one
	Settled     bool           `json:"settled"`
	Encrypted   bool           `json:"encrypted"`
	Members     map[string]int `json:"members"`               // by state, this node included
	ConfigDrift []string       `json:"configDrift,omitempty"` // live members with another configuration than this node's
	TableDrift  []string       `json:"tableDrift,omitempty"`  // services whose tables differ, such as "orders (tcp)"
	Contested   []string       `json:"contested,omitempty"`   // names that two nodes claim
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

// status sums c up, nil if there is no cluster.
func (c *Cluster) status() *ClusterStatus {
	if c == nil {
		return nil
	}
	out := &ClusterStatus{
		Name: c.Name, Node: c.Node, Settled: c.Settled, Encrypted: c.Encrypted,
		Members: map[string]int{memberAlive: 0, memberFailed: 0, memberLeft: 0},
	}
	for i := range c.Members {
		m := &c.Members[i]
		out.Members[m.State]++
		if m.differs() {
			out.ConfigDrift = append(out.ConfigDrift, m.Name)
		}
	}
	for i := range c.Tables {
		if t := &c.Tables[i]; t.differs() {
			out.TableDrift = append(out.TableDrift, fmt.Sprintf("%s (%s)", t.Service, t.Protocol))
		}
	}
	for _, n := range c.Conflicts {
		if n.Alarm {
			out.Contested = append(out.Contested, n.Name)
		}
	}
	return out
}

// clusterStatusRows returns what `weir status` says of the cluster, nothing if there is none.
func clusterStatusRows(c *ClusterStatus) [][]string {
	if c == nil {
		return nil
	}
	var parts []string
	for _, state := range memberStates {
		if n := c.Members[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	text := fmt.Sprintf("%s as %s: %s", c.Name, c.Node, strings.Join(parts, ", "))
	if !c.Settled {
		text += ", not settled yet"
	}
	rows := [][]string{{"cluster", text}}
	for _, warning := range []struct {
		title string
		names []string
	}{{"other configuration", c.ConfigDrift}, {"tables differ", c.TableDrift}, {"contested names", c.Contested}} {
		if len(warning.names) > 0 {
			rows = append(rows, []string{warning.title, strings.Join(warning.names, ", ")})
		}
	}
	return rows
}

// memberHeading names the cells of memberRow.
const memberHeading = "NAME\tADDRESS\tSTATE\tCONFIG\tGENERATION\tDELAY\tHEARD\tVERSION\tNOTE"

func memberRow(m *Member, now time.Time) []string {
	state, generation, delay, heard := m.State, "-", "-", "-"
	if m.State != memberAlive && !m.Since.IsZero() {
		state += " " + since(m.Since, now)
	}
	if m.ConfigHash != "" {
		generation = strconv.FormatUint(m.Generation, 10)
	}
	if m.DelaySeconds > 0 && m.State == memberAlive {
		delay = brisk(m.DelaySeconds)
	}
	if !m.LastHeard.IsZero() {
		heard = since(m.LastHeard, now)
	}
	return []string{m.Name, m.Address, state, orDash(m.ConfigHash), generation, delay, heard, orDash(m.Version), orDash(m.note())}
}

// note says what is peculiar about a member.
func (m *Member) note() string {
	var notes []string
	if m.Self {
		notes = append(notes, "self")
	}
	if m.differs() {
		notes = append(notes, "config differs")
	}
	if m.Doubt != "" {
		notes = append(notes, "doubts itself: "+brief(m.Doubt))
	}
	if m.Distrusted {
		notes = append(notes, "distrusted")
	}
	return strings.Join(notes, ", ")
}

// brisk writes a short time with two digits or three: 340µs, 4.2ms, 1.25s.
func brisk(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
