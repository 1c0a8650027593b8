package cluster

import (
	"slices"
	"time"
)

const (
	// BeaconInterval is how often a node confirms all it has said.
	BeaconInterval = time.Second
	// TickInterval is how often Replica.Tick wants to be called.
	TickInterval = 100 * time.Millisecond

	// directMembers is up to how many members a change is sent to each of them directly, which takes one way through the
	// network. Gossip alone needs several, and carries only some ten thousand bytes a second.
	directMembers = 16
	// directBeacons is the same for beacons, which are small and of a known rate.
	directBeacons = 64

	// sendInterval is the least time between two sendings of one cell: what changes more often is sent as it is then.
	sendInterval = 100 * time.Millisecond
	// pullInterval is the least time between two questions about one observer.
	pullInterval = 500 * time.Millisecond
	// forgetAfter is how long the cells of an observer who is gone are kept, without effect, so that one who was taken for
	// dead need not send everything again.
	forgetAfter = time.Minute
)

// Path is how a message travels.
type Path byte

const (
	// Gossip is to anybody, who passes on what is news to him. It may be lost.
	Gossip Path = iota
	// Direct is a datagram to one member. It may be lost. What Pack cuts into more than a few packets goes by Stream
	// instead.
	Direct
	// Stream is in one piece to one member, over a connection.
	Stream
)

// Outgoing is a message to send.
type Outgoing struct {
	Path Path
	To   string // a member; empty for Gossip
	Message
}

// Replica is the part of the cluster on one node: its table, the members, and when what has to be said to whom. It delivers
// cells in three layers. Changes go to each member directly while the cluster is small; they are gossiped; and what both of
// these lost is found by beacons, which carry a hash of all that their observer has said, and fetched over a connection. It
// opens no socket and reads no clock: it is told what comes in and when, and returns what is to go out. It is not safe for
// concurrent use.
type Replica struct {
	table   *Table
	members Members
	gone    map[string]time.Time // observers who are no members any more, and since when
	beacons map[string]Beacon    // the last of each member, to pass on
	pulled  map[string]time.Time // when each observer's cells were last asked for
	pending map[Key]struct{}     // own cells to send
	sent    map[Key]time.Time    // own cells sent within sendInterval
	doubt   Doubt
	beat    uint64    // of the last beacon
	turn    int       // counts who gets the others' beacons
	next    time.Time // when the next beacon is due
}

// NewReplica returns the replica of the node self, alone, in the life boot. See NewTable for what they may be.
func NewReplica(self string, boot uint64) *Replica {
	return &Replica{
		table:   NewTable(self, boot),
		members: Members{self: {Boot: boot}},
		gone:    map[string]time.Time{},
		beacons: map[string]Beacon{},
		pulled:  map[string]time.Time{},
		pending: map[Key]struct{}{},
		sent:    map[Key]time.Time{},
	}
}

// Table returns the cells, to read. Writing goes through Set and Delete of the replica.
func (r *Replica) Table() *Table { return r.table }

// Members returns who is alive, to read.
func (r *Replica) Members() Members { return r.members }

// Join adds a member that announces a boot (0 = it does not say), or notes its new boot, and asks it for all that this node
// lacks.
func (r *Replica) Join(name string, boot uint64) []Outgoing {
	if name == r.table.self || !r.members.Join(name, boot) {
		return nil
	}
	delete(r.gone, name)
	pull := Message{From: r.table.self, Beacons: []Beacon{r.beacon()}, Pull: r.table.Digest(r.members.Names())}
	return []Outgoing{{Path: Stream, To: name, Message: pull}}
}

// Leave takes out a member that left or died. From then on nothing it said has any effect.
func (r *Replica) Leave(name string, now time.Time) {
	if name == r.table.self {
		return
	}
	if _, ok := r.members[name]; ok {
		delete(r.members, name)
		delete(r.beacons, name)
		r.gone[name] = now
	}
}

// Set makes a statement of this node's own. Tick sends it.
func (r *Replica) Set(key Key, value []byte, now time.Time) error {
	changed, err := r.table.Set(key, value, now)
	if changed {
		r.pending[key] = struct{}{}
	}
	return err
}

// Delete takes a statement of this node's back. Tick sends it.
func (r *Replica) Delete(key Key, now time.Time) {
	if r.table.Delete(key, now) {
		r.pending[key] = struct{}{}
	}
}

// Doubt says from the next beacon on what this node thinks of its own judgement.
func (r *Replica) Doubt(d Doubt) { r.doubt = d }

// Distrust notes whether a member is wrong too often; see Trust.
func (r *Replica) Distrust(name string, distrust bool) {
	if m, ok := r.members[name]; ok {
		m.Distrust = distrust
		r.members[name] = m
	}
}

// Receive takes a message in. It returns the cells that were news, and what is to be sent because of the message. Cells of
// those who are no members are not taken; when they join, they are asked.
func (r *Replica) Receive(m Message, now time.Time) (news []Cell, out []Outgoing) {
	boot := r.table.Boot()
	members := slices.DeleteFunc(slices.Clone(m.Cells), func(c Cell) bool { _, ok := r.members[c.Observer]; return !ok })
	news = r.table.Merge(members, now)
	heard, out := r.hear(m, now)
	if r.table.Boot() != boot {
		out = append(out, r.announce()...)
	}
	if spread := (Message{From: r.table.self, Cells: news, Beacons: heard}); !spread.Empty() {
		out = append(out, Outgoing{Path: Gossip, Message: spread})
	}
	if _, member := r.members[m.From]; member && len(m.Pull) > 0 {
		answer := Message{From: r.table.self, Cells: r.table.Missing(m.Pull), Beacons: []Beacon{r.beacon()}}
		out = append(out, Outgoing{Path: Stream, To: m.From, Message: answer})
	}
	return news, out
}

// hear takes the beacons of a message in. It returns those worth gossiping, and what is to be sent because of them.
func (r *Replica) hear(m Message, now time.Time) (spread []Beacon, out []Outgoing) {
	for _, b := range m.Beacons {
		if b.Observer == r.table.self {
			r.table.Refute(b.Summary)
			continue
		}
		have := r.table.Summary(b.Observer)
		if former := max(have.Boot, r.members[b.Observer].Boot); b.Observer == m.From && b.Boot < former {
			out = append(out, r.remind(m.From, former)...)
			continue
		}
		if _, member := r.members[b.Observer]; member && b.Boot > have.Boot {
			r.table.Begin(b.Observer, b.Boot)
			have = r.table.Summary(b.Observer)
		}
		fresh, lacks := r.members.Hear(b, have, now)
		if !fresh {
			continue
		}
		r.beacons[b.Observer] = b
		if len(r.members) > directBeacons {
			spread = append(spread, b)
		}
		if lacks {
			out = append(out, r.pull(b.Observer, m.From, now)...)
		}
	}
	return spread, out
}

// remind tells a member of a former life of its own, above which it then rises: it was restarted, and its clock had gone
// back.
func (r *Replica) remind(name string, former uint64) []Outgoing {
	if _, ok := r.members[name]; !ok {
		return nil
	}
	reminder := Message{From: r.table.self, Beacons: []Beacon{{Summary: Summary{Observer: name, Boot: former}}}}
	return []Outgoing{{Path: Direct, To: name, Message: reminder}}
}

// pull asks a member for what is lacking of an observer, unless that has just been done.
func (r *Replica) pull(observer, from string, now time.Time) []Outgoing {
	if _, ok := r.members[from]; !ok || now.Sub(r.pulled[observer]) < pullInterval {
		return nil
	}
	r.pulled[observer] = now
	pull := Message{From: r.table.self, Pull: r.table.Digest([]string{observer})}
	return []Outgoing{{Path: Stream, To: from, Message: pull}}
}

// beacon returns the next beacon of this node.
func (r *Replica) beacon() Beacon {
	r.beat++
	own := Beacon{Summary: r.table.Summary(r.table.self), Beat: r.beat, Doubt: r.doubt}
	self := r.members[r.table.self]
	self.Boot = own.Boot
	r.members[r.table.self] = self
	return own
}

// Tick returns what is due: changed cells, and once in a BeaconInterval a beacon. Call it every TickInterval, and after Set
// where a change should leave at once.
func (r *Replica) Tick(now time.Time) []Outgoing {
	out := r.spread(Message{From: r.table.self, Cells: r.due(now)}, directMembers)
	if now.Before(r.next) {
		return out
	}
	r.next = now.Add(BeaconInterval)
	r.forget(now)
	r.table.Compact()
	return append(append(out, r.announce()...), r.relay()...)
}

// due returns the own cells that are to be sent now.
func (r *Replica) due(now time.Time) []Cell {
	for key, at := range r.sent {
		if now.Sub(at) >= sendInterval {
			delete(r.sent, key)
		}
	}
	var due []Cell
	for key := range r.pending {
		if _, early := r.sent[key]; early {
			continue
		}
		delete(r.pending, key)
		// A cell that was deleted, and then forgotten with all tombstones, is not there at all.
		if c, _ := r.table.Get(r.table.self, key); c.Seq > 0 {
			due = append(due, c)
			r.sent[key] = now
		}
	}
	slices.SortFunc(due, func(a, b Cell) int { return a.Version.Compare(b.Version) })
	return due
}

// spread sends a message to all: gossip, and directly where the cluster has no more than so many members.
func (r *Replica) spread(m Message, direct int) []Outgoing {
	if m.Empty() {
		return nil
	}
	var out []Outgoing
	if len(r.members) <= direct {
		for _, name := range r.members.Names() {
			if name != r.table.self {
				out = append(out, Outgoing{Path: Direct, To: name, Message: m})
			}
		}
	}
	if len(m.Cells) > 0 || len(r.members) > direct {
		out = append(out, Outgoing{Path: Gossip, Message: m})
	}
	return out
}

// announce returns this node's beacon, for all.
func (r *Replica) announce() []Outgoing {
	return r.spread(Message{From: r.table.self, Beacons: []Beacon{r.beacon()}}, directBeacons)
}

// relay passes all beacons on to one member, each time to another, so that nodes between which the path is broken hear of
// each other.
func (r *Replica) relay() []Outgoing {
	names := r.members.Names()
	if len(names) < 3 {
		return nil
	}
	self := slices.Index(names, r.table.self)
	to := names[(self+1+r.turn%(len(names)-1))%len(names)]
	r.turn++
	m := Message{From: r.table.self}
	for _, name := range names {
		if b, ok := r.beacons[name]; ok && name != to {
			m.Beacons = append(m.Beacons, b)
		}
	}
	if m.Empty() {
		return nil
	}
	return []Outgoing{{Path: Direct, To: to, Message: m}}
}

// forget drops what nobody needs any more of those who are gone.
func (r *Replica) forget(now time.Time) {
	for name, since := range r.gone {
		if now.Sub(since) >= forgetAfter {
			r.table.Forget(name)
			delete(r.gone, name)
		}
	}
	for name, at := range r.pulled {
		if now.Sub(at) >= pullInterval {
			delete(r.pulled, name)
		}
	}
}

// State returns how this node stands, for an exchange with another: the beacons of all, and a question for what this node
// lacks. What the other lacks it asks for in turn, so cells that both have are not sent.
func (r *Replica) State() Message {
	names := r.members.Names()
	m := Message{From: r.table.self, Beacons: []Beacon{r.beacon()}, Pull: r.table.Digest(names)}
	for _, name := range names {
		if b, ok := r.beacons[name]; ok {
			m.Beacons = append(m.Beacons, b)
		}
	}
	return m
}
