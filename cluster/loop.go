package cluster

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// opsAtOnce is how many calls are served before what they have changed is sent.
	opsAtOnce = 256
	// maxPackets is in how many packets a message to one member goes; what takes more goes over a connection.
	maxPackets = 4
	// ringGrace is how long a removed key is read for the sake of members that have not confirmed that it was removed.
	ringGrace = time.Minute
	// sweepInterval is how often what is old is forgotten.
	sweepInterval = time.Minute
)

// loop is the one goroutine that owns the replica, the commands and the keys of a node, and all that is in here.
type loop struct {
	*Node
	replica  *Replica
	commands *Commands
	rings    rings
	keeper   keeper
	beats    beats
	counts   counts
	known    []Peer // of the life before, that have not been seen in this one

	boot    uint64 // as last saved
	doubt   Doubt  // what the node's user thinks of its judgement
	score   int    // of the membership layer's awareness
	joined  time.Time
	settled bool
	beacon  time.Time // when the next state for full exchanges is due
	swept   time.Time
	refusal time.Time // when the last refused cell was logged
}

// rings is the keys, and what is needed to change them.
type rings struct {
	keyring *memberlist.Keyring // nil: nothing is encrypted
	ring    Ring
	clock   Clock
	from    string // a hash of the keys in the settings

	// retiring are keys that are in the ring no more, and are still read: until all members have the ring, or for ringGrace.
	// If two operators change the keys at once, one by using the key that the other removes, all can still read who wins.
	retiring []RingKey
	since    time.Time // when the ring was taken over
}

// counts is what the loop counts.
type counts struct {
	messages, malformed, skipped        uint64
	cells, beacons, pulls               uint64 // in messages that came in
	gossiped, direct, streamed, unsent  uint64 // messages that went out, and packets that could not
	large                               uint64 // cells that are too large to gossip
	commandsRefused, saves, savesFailed uint64
}

// run serves until the node is stopped.
func (l *loop) run() {
	tick := time.NewTicker(TickInterval)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			l.finish(time.Now())
			return
		case op := <-l.ops:
			l.serve(op, time.Now())
		case <-l.inbox.ready:
			l.receive(time.Now())
		case <-l.roster.changed:
			l.follow(time.Now())
		case err := <-l.keeper.result:
			l.kept(err, time.Now())
		case <-tick.C:
			l.tick(time.Now())
		}
	}
}

// serve does what has been asked for, and then sends what has changed in one go.
func (l *loop) serve(op func(*loop, time.Time), now time.Time) {
	op(l, now)
	for range opsAtOnce {
		select {
		case op := <-l.ops:
			op(l, now)
			continue
		default:
		}
		break
	}
	l.flush(now)
}

// flush sends what has changed, and writes what is to be kept.
func (l *loop) flush(now time.Time) {
	l.send(l.replica.Tick(now), now)
	l.keep(now)
}

// follow takes over what the membership layer has said.
func (l *loop) follow(now time.Time) {
	changes := l.roster.changes()
	for _, c := range changes {
		if c.alive {
			l.known = slices.DeleteFunc(l.known, func(p Peer) bool { return p.Name == c.name })
			l.send(l.replica.Join(c.name, c.boot), now)
			continue
		}
		if _, ok := l.replica.Table().Get(c.name, Key(KindLeave)); ok {
			l.roster.left(c.name)
		}
		l.replica.Leave(c.name, now)
	}
	if len(changes) > 0 {
		l.keeper.peers = true
		l.watcher.tell(News{Members: true})
	}
}

// receive takes in what has come from the others.
func (l *loop) receive(now time.Time) {
	// Cells of those who are no members are not taken, so members come first.
	l.follow(now)
	var news News
	for _, b := range l.inbox.take(now) {
		m, err := Decode(b)
		l.counts.messages++
		if err != nil {
			l.counts.malformed++
			l.options.Log.Debug("cluster message refused", slog.Any("error", err))
			continue
		}
		l.counts.skipped += uint64(m.Skipped)
		l.counts.cells += uint64(len(m.Cells))
		l.counts.beacons += uint64(len(m.Beacons))
		l.counts.pulls += uint64(min(len(m.Pull), 1))
		cells, out := l.replica.Receive(m, now)
		l.send(out, now)
		news.Cells = append(news.Cells, cells...)
	}
	news.Commands = l.absorb(news.Cells, now)
	l.watcher.tell(news)
	l.keep(now)
}

// announce says to the others what a jury has found.
func (l *loop) announce(f Findings, now time.Time) error {
	l.doubt = f.Doubt
	for name, distrust := range f.Distrust {
		l.replica.Distrust(name, distrust)
	}
	var refused error
	for _, s := range f.Statements {
		if s.Gone {
			l.replica.Delete(s.Key, now)
		} else if err := l.replica.Set(s.Key, s.Append(nil), now); err != nil {
			refused = err // there is no more room: the same for all that follow
		}
	}
	return refused
}

// absorb takes over commands and keys that are later than this node's, and returns the commands.
func (l *loop) absorb(cells []Cell, now time.Time) []Command {
	commands, err := l.commands.Absorb(cells, now)
	l.refused(err, now)
	for _, c := range commands {
		l.keeper.promise(c.Cell())
	}
	if l.rings.keyring == nil {
		return commands
	}
	ring, changed, err := latestRing(l.rings.ring, cells, &l.rings.clock, now)
	l.refused(err, now)
	if changed {
		l.adopt(ring, now)
	}
	return commands
}

// refused logs, now and then, what others order and this node cannot take.
func (l *loop) refused(err error, now time.Time) {
	if err == nil {
		return
	}
	l.counts.commandsRefused++
	if now.Sub(l.refusal) >= sweepInterval {
		l.refusal = now
		l.options.Log.Warn("cluster: orders of other nodes refused", slog.Any("error", err))
	}
}

// adopt uses a ring, and publishes that it does.
func (l *loop) adopt(r Ring, now time.Time) {
	removed := slices.DeleteFunc(slices.Concat(l.rings.ring.Keys, l.rings.retiring), func(k RingKey) bool {
		return slices.Contains(r.Keys, k)
	})
	slices.SortFunc(removed, func(a, b RingKey) int { return bytes.Compare(a[:], b[:]) })
	removed = slices.Compact(removed)
	l.rings.ring, l.rings.since = r, now
	l.useKeys(removed[:min(len(removed), 2*MaxRing)])
	l.keeper.promise(ringKey, r.cell())
	l.options.Log.Info("cluster: keys have changed", slog.String("encrypts", r.Keys[0].Fingerprint()),
		slog.Int("keys", len(r.Keys)), slog.String("by", r.Stamp.Node))
}

// useKeys has the membership layer use the ring, and read what comes with keys that retire.
func (l *loop) useKeys(retiring []RingKey) {
	l.rings.retiring = retiring
	if err := applyRing(l.rings.keyring, slices.Concat(l.rings.ring.Keys, retiring)); err != nil {
		l.options.Log.Error("cluster: keys cannot be changed", slog.Any("error", err))
	}
}

// retire ends the reading of removed keys when nobody needs it any more.
func (l *loop) retire(now time.Time) {
	if len(l.rings.retiring) == 0 {
		return
	}
	acks := l.replica.Table().ringAcks(l.rings.ring, l.replica.Members())
	if len(acks.Missing) == 0 || now.Sub(l.rings.since) >= ringGrace {
		l.useKeys(nil)
	}
}

// tick does what is due.
func (l *loop) tick(now time.Time) {
	l.follow(now)
	l.score = l.list.GetHealthScore()
	l.roster.measure(l.beats.sent)
	l.settle(now)
	l.replica.Doubt(l.judgement())
	l.send(l.replica.Tick(now), now)
	l.retire(now)
	l.publish(now)
	if alarms := l.roster.alarm(); len(alarms) > 0 {
		for _, c := range alarms {
			l.options.Log.Error("cluster: two nodes claim one name; give each a name of its own",
				slog.String("name", c.Name), slog.Any("holder", c.Holder), slog.Any("claimant", c.Claimant))
		}
		l.watcher.tell(News{Conflicts: alarms})
	}
	if now.Sub(l.swept) >= sweepInterval {
		l.sweep(now)
	}
	l.keep(now)
}

// judgement is what this node says of itself.
func (l *loop) judgement() Doubt {
	if !l.settled {
		return NotConverged
	}
	return l.doubt
}

// publish makes what the membership layer's callbacks answer with.
func (l *loop) publish(now time.Time) {
	members := l.replica.Members()
	e := &echoes{score: byte(min(l.score, 255)), heards: make([]heard, 0, len(members))}
	for name, m := range members {
		if !m.Heard.IsZero() {
			e.heards = append(e.heards, heard{id: echoID(name), beat: uint32(m.Beat), at: m.Heard})
		}
	}
	l.delegate.echoes.Store(e)
	if now.Before(l.beacon) {
		return
	}
	l.beacon = now.Add(BeaconInterval)
	m := l.replica.State()
	l.note(m.Beacons, now)
	state := Encode(m)
	l.delegate.state.Store(&state)
}

// settle looks whether the others have been heard since the start.
func (l *loop) settle(now time.Time) {
	if l.settled || l.joined.IsZero() {
		return
	}
	members := l.replica.Members()
	alone := len(members) == 1 && len(l.options.Join)+len(l.known) > 0
	for name, m := range members {
		alone = alone || name != l.options.Node && m.Confirmed.IsZero()
	}
	if alone && now.Sub(l.joined) < l.timing.settle {
		return
	}
	l.settled = true
	close(l.Node.settled)
	l.watcher.tell(News{Settled: true})
}

// sweep forgets what is old.
func (l *loop) sweep(now time.Time) {
	l.swept = now
	l.roster.sweep(now)
	for _, key := range l.commands.Sweep(now) {
		l.replica.Delete(key, now)
		l.keeper.dirty = true
	}
	l.known = slices.DeleteFunc(l.known, func(p Peer) bool { return p.expired(now) })
}

// keep writes the state file if that is due.
func (l *loop) keep(now time.Time) {
	if boot := l.replica.Table().Boot(); boot != l.boot {
		l.boot, l.keeper.dirty = boot, true
	}
	if !l.keeper.due(now) {
		return
	}
	l.counts.saves++
	l.keeper.begin(l.saved(now), now)
	if l.keeper.path == "" {
		l.kept(nil, now)
	}
}

// kept goes on after the state file has been written, or has not.
func (l *loop) kept(err error, now time.Time) {
	if err != nil {
		l.counts.savesFailed++
		l.options.Log.Error("cluster: the state file cannot be written; commands of operators wait, and a restart forgets the peers",
			slog.Any("error", err))
	}
	for _, c := range l.keeper.end(err) {
		if err := l.replica.Set(c.Key, c.Value, now); err != nil {
			l.options.Log.Error("cluster: a copy of a command cannot be published", slog.Any("error", err))
		}
	}
	l.flush(now)
}

// saved is what is to be known again after a restart.
func (l *loop) saved(now time.Time) Saved {
	s := Saved{
		Boot: l.replica.Table().Boot(), Commands: l.commands.All(), Ring: l.rings.ring, RingFrom: l.rings.from,
		Peers: slices.Clone(l.known),
	}
	for _, p := range l.roster.snapshot() {
		seen := now
		if p.state == MemberLeft {
			continue
		}
		if p.state == MemberFailed {
			seen = p.since
		}
		s.Peers = append(s.Peers, Peer{Name: p.node.Name, Addr: addrOf(&p.node), Seen: seen.Unix()})
	}
	s.Peers = s.Peers[max(0, len(s.Peers)-maxPeers):]
	return s
}

// finish writes the state file for the last time.
func (l *loop) finish(now time.Time) {
	if l.keeper.writing {
		l.keeper.end(<-l.keeper.result)
	}
	close(l.keeper.request)
	var err error
	if l.keeper.path != "" {
		err = writeState(l.keeper.path, l.saved(now))
	}
	for _, told := range l.keeper.waiting.told {
		told <- err
	}
	if err != nil {
		l.options.Log.Error("cluster", slog.Any("error", err))
	}
}

// note remembers when this node's beacons were sent.
func (l *loop) note(all []Beacon, now time.Time) {
	for _, b := range all {
		if b.Observer == l.options.Node {
			l.beats.note(b.Beat, now)
		}
	}
}

// send carries messages on their ways.
func (l *loop) send(out []Outgoing, now time.Time) {
	for _, o := range out {
		l.note(o.Beacons, now)
		switch o.Path {
		case Gossip:
			l.counts.gossiped++
			if l.roster.size() == 1 {
				continue
			}
			packets, large := Pack(o.Message, l.room)
			l.counts.large += uint64(len(large))
			for _, p := range packets {
				l.gossip.put(p, now)
			}
		case Direct:
			l.direct(o)
		case Stream:
			l.counts.streamed++
			l.courier.post(o.To, o.Message)
		}
	}
}

// direct sends packets to one member, or a stream if they would be many.
func (l *loop) direct(o Outgoing) {
	packets, large := Pack(o.Message, l.room)
	if len(large) > 0 || len(packets) > maxPackets {
		l.counts.streamed++
		l.courier.post(o.To, o.Message)
		return
	}
	l.counts.direct++
	to, ok := l.roster.address(o.To)
	if !ok {
		return
	}
	for _, p := range packets {
		if err := l.list.SendBestEffort(&to, p); err != nil {
			l.counts.unsent++
		}
	}
}

// expired reports whether a peer of the life before has been away for too long.
func (p Peer) expired(now time.Time) bool { return now.Sub(time.Unix(p.Seen, 0)) > rememberFor }

// addresses returns where peers were.
func addresses(peers []Peer) []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, p := range peers {
		addrs = append(addrs, p.Addr)
	}
	return addrs
}
