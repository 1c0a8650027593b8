package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultLeave is how long a node that leaves should give the others to notice.
const DefaultLeave = time.Second

var (
	// ErrStopped says that the node has left or was closed.
	ErrStopped = errors.New("the cluster node has stopped")
	// ErrPlain says that the cluster has no keys, so there are none to change.
	ErrPlain = errors.New("the cluster is not encrypted")
)

// Node is one node of a cluster: it carries what the Replica says to the others and back, and keeps the time for it. Its
// methods may be called from anywhere, but wait for its loop, which takes up to some milliseconds.
type Node struct {
	options NodeOptions
	timing  timing
	addr    netip.AddrPort // that is advertised
	room    int            // bytes of a message in one packet

	list     *memberlist.Memberlist
	tap      *tap
	journal  *journal
	roster   *roster
	inbox    *inbox
	gossip   *gossip
	courier  *courier
	watcher  *watcher
	delegate *delegate

	ops     chan func(*loop, time.Time)
	settled chan struct{} // closed by the loop

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	ending sync.Mutex
	ended  bool
}

// New starts a node: it reads its state file, opens its sockets, and goes to look for the others. Who has been started must
// be ended by Leave or Close.
func New(options NodeOptions) (*Node, error) {
	o, err := options.check()
	if err != nil {
		return nil, err
	}
	saved, err := readState(o.StateFile)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	saved.Boot = FirstBoot(now, saved.Boot, uint16(rand.Uint32()))
	saved.Peers = slices.DeleteFunc(saved.Peers, func(p Peer) bool { return p.Name == o.Node || p.expired(now) })
	if o.StateFile != "" {
		// What cannot be written later is better known now.
		if err := writeState(o.StateFile, saved); err != nil {
			return nil, err
		}
	}
	r, err := newRings(o, saved)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, ops: make(chan func(*loop, time.Time)), settled: make(chan struct{})}
	n.timing, _ = o.Profile.timing()
	n.room = packetSize - packetOverhead - len(o.label())
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.assemble(meta{boot: saved.Boot, version: o.Version}.encode())
	if err := n.connect(r.keyring); err != nil {
		n.stop()
		return nil, err
	}
	n.start(newLoop(n, saved, r), saved.Peers)
	return n, nil
}

// newRings returns the keys to begin with: those that a command has set, unless the settings have changed since.
func newRings(o NodeOptions, saved Saved) (rings, error) {
	r := rings{clock: Clock{node: o.Node}}
	sum := sha256.New()
	for _, secret := range o.Keys {
		key, err := derive(secret, o.Name)
		if err != nil {
			return r, fmt.Errorf("cluster: %w", err)
		}
		sum.Write(key[:])
		if !slices.Contains(r.ring.Keys, key) {
			r.ring.Keys = append(r.ring.Keys, key)
		}
	}
	r.from = hex.EncodeToString(sum.Sum(nil))
	if saved.Ring.Stamp.valid() {
		r.clock.last = saved.Ring.Stamp
		if saved.RingFrom == r.from && len(o.Keys) > 0 {
			r.ring = saved.Ring
		}
	}
	var err error
	r.keyring, err = newKeyring(r.ring)
	return r, err
}

// assemble makes the parts that the membership layer's callbacks use.
func (n *Node) assemble(meta []byte) {
	n.journal = newJournal(n.options.Log)
	n.roster = newRoster(n.options.Node, n.timing.bear)
	n.inbox = newInbox()
	n.gossip = newGossip(n.roster.size)
	n.watcher = newWatcher(n.options.Watch)
	n.courier = newCourier(n.ctx, func(to string, b []byte) error {
		node, ok := n.roster.address(to)
		if !ok {
			return fmt.Errorf("cluster: %s is no member", to)
		}
		return n.list.SendReliable(&node, b)
	})
	n.delegate = &delegate{self: n.options.Node, meta: meta, roster: n.roster, inbox: n.inbox, gossip: n.gossip}
}

// connect opens the sockets and starts the membership layer.
func (n *Node) connect(keyring *memberlist.Keyring) error {
	logger := n.journal.logger()
	inner := n.options.Transport
	if inner == nil {
		sockets, err := listen(n.options.Bind, logger)
		if err != nil {
			return err
		}
		inner = sockets
		n.addr = n.options.Advertise
		if n.addr.Port() == 0 {
			n.addr = netip.AddrPortFrom(n.addr.Addr(), uint16(sockets.GetAutoBindPort()))
		}
	} else {
		n.addr = n.options.Advertise
	}
	n.addr = netip.AddrPortFrom(n.addr.Addr().Unmap(), n.addr.Port())
	n.tap = newTap(inner, n.timing.stream)
	c := n.timing.config()
	c.Name, c.Label, c.Logger, c.Transport, c.Keyring = n.options.Node, n.options.label(), logger, n.tap, keyring
	c.BindAddr, c.BindPort = n.options.Bind.Addr().String(), int(n.addr.Port())
	c.AdvertiseAddr, c.AdvertisePort = n.addr.Addr().String(), int(n.addr.Port())
	c.Delegate, c.Events, c.Alive, c.Conflict, c.Ping = n.delegate, n.delegate, n.delegate, n.delegate, n.delegate
	list, err := memberlist.Create(c)
	if err != nil {
		return errors.Join(fmt.Errorf("cluster: %w", err), n.tap.Shutdown())
	}
	n.list = list
	return nil
}

// newLoop returns the loop of a node that was assembled, with what it knew before.
func newLoop(n *Node, saved Saved, r rings) *loop {
	l := &loop{
		Node: n, replica: NewReplica(n.options.Node, saved.Boot), commands: NewCommands(n.options.Node, saved.Commands),
		rings: r, keeper: newKeeper(n.options.StateFile), known: saved.Peers, boot: saved.Boot,
	}
	for _, c := range l.commands.All() {
		l.keeper.promise(c.Cell())
	}
	if r.ring.Stamp.valid() {
		l.keeper.promise(ringKey, r.ring.cell())
	}
	return l
}

// start sets everything going.
func (n *Node) start(l *loop, known []Peer) {
	s := &seeker{
		self: n.addr, roster: n.roster, seeds: n.options.Join, resolve: n.options.Resolve, known: addresses(known),
		found:  map[string][]netip.AddrPort{},
		report: func(err error) { n.options.Log.Warn("cluster", slog.Any("error", err)) },
		join: func(addr netip.AddrPort) error {
			_, err := n.list.Join([]string{addr.String()})
			return err
		},
	}
	n.running.Go(func() { n.journal.run(n.ctx) })
	n.running.Go(func() { n.watcher.run(n.ctx) })
	n.running.Go(l.keeper.run)
	n.running.Go(l.run)
	n.running.Go(func() {
		s.run(n.ctx, n.timing.rejoin, func() {
			_ = n.do(func(l *loop, now time.Time) {
				l.follow(now)
				l.joined = now
			})
		})
	})
}

// do has the loop do something, and waits until it has.
func (n *Node) do(f func(l *loop, now time.Time)) error {
	done := make(chan struct{})
	select {
	case n.ops <- func(l *loop, now time.Time) {
		defer close(done)
		f(l, now)
	}:
		<-done
		return nil
	case <-n.ctx.Done():
		return ErrStopped
	}
}

// Addr returns where the others reach this node.
func (n *Node) Addr() netip.AddrPort { return n.addr }

// Settled is closed when the others have been heard since the start, or have been awaited for long enough. Until then this
// node says that it doubts its judgement.
func (n *Node) Settled() <-chan struct{} { return n.settled }

// Set makes a statement of this node's own, which is sent at once. The node keeps a copy of value.
func (n *Node) Set(key Key, value []byte) error {
	var failed error
	if err := n.do(func(l *loop, now time.Time) { failed = l.replica.Set(key, value, now) }); err != nil {
		return err
	}
	return failed
}

// Delete takes a statement of this node's back.
func (n *Node) Delete(key Key) error {
	return n.do(func(l *loop, now time.Time) { l.replica.Delete(key, now) })
}

// Doubt says from now on what this node thinks of its own judgement.
func (n *Node) Doubt(d Doubt) error {
	return n.do(func(l *loop, _ time.Time) { l.doubt = d })
}

// Distrust notes whether a member is wrong too often; see Trust.
func (n *Node) Distrust(name string, distrust bool) error {
	return n.do(func(l *loop, _ time.Time) { l.replica.Distrust(name, distrust) })
}

// Read calls f on the loop with what is known: the cells, the members, and what operators have ordered. f may not keep or
// change any of it, call the node, or wait.
func (n *Node) Read(f func(t *Table, m Members, c *Commands)) error {
	return n.do(func(l *loop, _ time.Time) { f(l.replica.Table(), l.replica.Members(), l.commands) })
}

// Judge holds a session of this node's jury about the backends whose keys are named and those whose time has come, and says to
// the others, in one go, what they should hear. The jury is used on the loop meanwhile: it may not be used elsewhere, and its
// subjects' Look may not call the node.
func (n *Node) Judge(j *Jury, named []Key) (Findings, error) {
	var f Findings
	var refused error
	err := n.do(func(l *loop, now time.Time) {
		f = j.Judge(l.replica.Table(), l.replica.Members(), named, l.score, now)
		refused = l.announce(f, now)
	})
	return f, errors.Join(err, refused)
}

// Issue makes a command of an operator known to all nodes, and returns it with its stamp once this node has it on its disk.
// An error that is neither ErrCommand nor ErrTooMany nor ErrStopped says that it could not be saved: the command applies
// here all the same, and is passed on as soon as it can be.
func (n *Node) Issue(c Command) (Command, error) {
	var failed error
	var told chan error
	err := n.do(func(l *loop, now time.Time) {
		if c, failed = l.commands.Issue(c, now); failed != nil {
			return
		}
		l.keeper.promise(c.Cell())
		told = l.keeper.tell()
		l.watcher.tell(News{Commands: []Command{c}})
	})
	if err = errors.Join(err, failed); err != nil {
		return Command{}, err
	}
	return c, <-told
}

// Acks returns which members have a command on their disks. An operator asks again until nobody is missing.
func (n *Node) Acks(c Command) (Acks, error) {
	var acks Acks
	err := n.do(func(l *loop, _ time.Time) { acks = l.replica.Table().Acks(c, l.replica.Members()) })
	return acks, err
}

// Leave tells the others that this node goes, waits for at most timeout until one of them has heard it, and closes it.
func (n *Node) Leave(timeout time.Duration) error {
	n.ending.Lock()
	defer n.ending.Unlock()
	if n.ended {
		return nil
	}
	err := n.do(func(l *loop, now time.Time) { _ = l.replica.Set(Key(KindLeave), nil, now) })
	if lost := n.list.Leave(timeout); lost != nil {
		err = errors.Join(err, fmt.Errorf("cluster: the others may take this node for failed: %w", lost))
	}
	return errors.Join(err, n.end())
}

// Close stops the node without a word, as if it had crashed, and waits until all is at rest. The others notice by
// themselves.
func (n *Node) Close() error {
	n.ending.Lock()
	defer n.ending.Unlock()
	if n.ended {
		return nil
	}
	return n.end()
}

// end stops everything. The lock is held.
func (n *Node) end() error {
	n.ended = true
	n.stop()
	err := n.list.Shutdown()
	n.courier.close()
	n.running.Wait()
	return err
}
