package cluster

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// rememberFor is how long a node that died is looked for, as it may come back at its address.
	rememberFor = 72 * time.Hour
	// conflictFor is how long a name that two nodes claimed is reported after the last claim.
	conflictFor = 2 * time.Minute
	// maxPeers bounds the roster, the dead included.
	maxPeers = 2 * MaxMembers
)

// MemberState is what the membership layer last said of a node.
type MemberState byte

const (
	MemberAlive  MemberState = iota
	MemberLeft               // of its own will
	MemberFailed             // it did not answer
)

// String returns the state in a word.
func (s MemberState) String() string {
	switch s {
	case MemberAlive:
		return "alive"
	case MemberLeft:
		return "left"
	default:
		return "failed"
	}
}

// Conflict is a name that two nodes claim.
type Conflict struct {
	Name        string
	Holder      netip.AddrPort // who has it, in the eyes of this node
	Claimant    netip.AddrPort
	First, Last time.Time // when it was claimed
	Count       int       // how often
	Alarm       bool      // it has gone on for too long to be a node that died and came back at another address
}

// roster is this node's own copy of who is there. The membership layer writes to it from its callbacks, most of which it
// makes with its lock held, so each of them copies what it is given and returns; the loop is told whose entries have changed.
// What changes twice before the loop looks is one change, so nothing has to be bounded or dropped.
type roster struct {
	self    string
	bear    time.Duration // how long two claims to a name are borne before the alarm
	changed chan struct{} // has room for one

	mu        sync.Mutex
	peers     map[string]*peer // without this node
	alive     int
	dirty     map[string]struct{}
	conflicts map[string]Conflict
	alarms    []Conflict // those that the loop has not seen yet
	refused   uint64     // nodes that were not let in
}

// peer is another node.
type peer struct {
	node  memberlist.Node // a copy
	meta  meta
	state MemberState
	since time.Time // when state became what it is
	pong  pong      // the last answer that the loop has not seen yet; zero: none
	link  link
}

func newRoster(self string, bear time.Duration) *roster {
	return &roster{
		self:      self,
		bear:      bear,
		changed:   make(chan struct{}, 1),
		peers:     map[string]*peer{},
		dirty:     map[string]struct{}{},
		conflicts: map[string]Conflict{},
	}
}

// admit says whether a node may come in, and why not.
func (r *roster) admit(n *memberlist.Node) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, known := r.peers[n.Name]
	switch {
	case n.Name == r.self, known && p.state == MemberAlive:
		return nil
	case nameFault(n.Name, MaxName) != nil:
		r.refused++
		return errors.New("its name cannot be used")
	case r.alive >= MaxMembers-1:
		r.refused++
		return errors.New("the cluster is full")
	}
	return nil
}

// set notes that a node is alive, or what has changed about it.
func (r *roster) set(n *memberlist.Node, now time.Time) {
	if n.Name == r.self {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[n.Name]
	if p == nil {
		r.makeRoom()
		p = &peer{state: MemberFailed}
		r.peers[n.Name] = p
	}
	p.node = *n
	p.node.Addr, p.node.Meta = slices.Clone(n.Addr), bytes.Clone(n.Meta)
	p.meta = parseMeta(n.Meta)
	if p.state != MemberAlive {
		p.state, p.since = MemberAlive, now
		p.pong, p.link = pong{}, link{}
		r.alive++
	}
	r.touch(n.Name)
}

// gone notes that a node died or left.
func (r *roster) gone(name string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[name]
	if p == nil || p.state != MemberAlive {
		return
	}
	p.state, p.since = MemberFailed, now
	r.alive--
	r.touch(name)
}

// left notes that a node that is gone had said goodbye. It is not looked for any more.
func (r *roster) left(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[name]; p != nil && p.state == MemberFailed {
		p.state = MemberLeft
	}
}

// touch marks an entry as changed. The lock is held.
func (r *roster) touch(name string) {
	r.dirty[name] = struct{}{}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// makeRoom drops the node that has been gone for longest if there are too many. The lock is held.
func (r *roster) makeRoom() {
	if len(r.peers) < maxPeers {
		return
	}
	oldest := ""
	for name, p := range r.peers {
		if p.state != MemberAlive && (oldest == "" || p.since.Before(r.peers[oldest].since)) {
			oldest = name
		}
	}
	delete(r.peers, oldest)
}

// sweep drops those that have been gone for long, and conflicts that are over.
func (r *roster) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.peers, func(_ string, p *peer) bool { return p.state != MemberAlive && now.Sub(p.since) > rememberFor })
	maps.DeleteFunc(r.conflicts, func(_ string, c Conflict) bool { return now.Sub(c.Last) > conflictFor })
}

// change is what has become of one node.
type change struct {
	name  string
	alive bool
	boot  uint64
}

// changes returns what has changed since it was last called.
func (r *roster) changes() []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []change
	for name := range r.dirty {
		if p := r.peers[name]; p != nil {
			all = append(all, change{name, p.state == MemberAlive, p.meta.boot})
		}
	}
	clear(r.dirty)
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.name, b.name) })
	return all
}

// address returns a copy of what the membership layer needs to send to a member.
func (r *roster) address(name string) (memberlist.Node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.peers[name]
	if p == nil || p.state != MemberAlive {
		return memberlist.Node{}, false
	}
	return p.node, true
}

// snapshot returns copies of all nodes, in order of their names.
func (r *roster) snapshot() []peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]peer, 0, len(r.peers))
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		all = append(all, *r.peers[name])
	}
	return all
}

// size returns how many members are alive, this node included.
func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alive + 1
}

// conflict notes that two nodes claim one name.
func (r *roster) conflict(existing, other *memberlist.Node, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, known := r.conflicts[existing.Name]
	if !known && len(r.conflicts) >= MaxMembers {
		return
	}
	if !known || now.Sub(c.Last) > conflictFor {
		c = Conflict{Name: existing.Name, First: now}
	}
	c.Holder, c.Claimant, c.Last = addrOf(existing), addrOf(other), now
	c.Count++
	if !c.Alarm && now.Sub(c.First) >= r.bear && len(r.alarms) < MaxMembers {
		c.Alarm = true
		r.alarms = append(r.alarms, c)
	}
	r.conflicts[existing.Name] = c
}

// alarm returns the conflicts that are new since it was last called.
func (r *roster) alarm() []Conflict {
	r.mu.Lock()
	defer r.mu.Unlock()
	alarms := r.alarms
	r.alarms = nil
	return alarms
}

// disputed returns the conflicts in order of the names, and how many nodes were not let in.
func (r *roster) disputed() ([]Conflict, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Conflict
	for _, name := range slices.Sorted(maps.Keys(r.conflicts)) {
		all = append(all, r.conflicts[name])
	}
	return all, r.refused
}

// addrOf returns where a node is.
func addrOf(n *memberlist.Node) netip.AddrPort { return addrPort(n.Addr, n.Port) }

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// answered keeps a member's answer to a probe for the loop.
func (r *roster) answered(name string, p pong) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.peers[name]; m != nil && m.state == MemberAlive {
		m.pong = p
	}
}

// measure takes the answers in, given when the beacons that they speak of were sent.
func (r *roster) measure(sent func(beat uint32) time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		if !p.pong.at.IsZero() {
			p.link.add(p.pong, sent(p.pong.beat))
			p.pong = pong{}
		}
	}
}
