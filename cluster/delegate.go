package cluster

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what the membership layer calls, from goroutines of its own and often with its lock held. Each method copies
// what it is given, puts it where the loop finds it, and returns.
type delegate struct {
	self   string
	meta   []byte
	roster *roster
	inbox  *inbox
	gossip *gossip

	state  atomic.Pointer[[]byte] // for full exchanges; the loop's
	echoes atomic.Pointer[echoes] // for answers to probes; the loop's
}

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(limit int) []byte {
	if len(d.meta) > limit {
		return nil
	}
	return d.meta
}

// NotifyMsg implements memberlist.Delegate.
func (d *delegate) NotifyMsg(b []byte) { d.inbox.put(b, time.Now()) }

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.gossip.take(overhead, limit)
}

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte {
	if state := d.state.Load(); state != nil {
		return *state
	}
	return nil
}

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	if len(b) > 0 {
		d.inbox.put(b, time.Now())
	}
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.roster.set(n, time.Now()) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.roster.set(n, time.Now()) }

// NotifyLeave implements memberlist.EventDelegate.
func (d *delegate) NotifyLeave(n *memberlist.Node) { d.roster.gone(n.Name, time.Now()) }

// NotifyAlive implements memberlist.AliveDelegate.
func (d *delegate) NotifyAlive(n *memberlist.Node) error { return d.roster.admit(n) }

// NotifyConflict implements memberlist.ConflictDelegate.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.roster.conflict(existing, other, time.Now())
}

// AckPayload implements memberlist.PingDelegate.
func (d *delegate) AckPayload() []byte {
	if e := d.echoes.Load(); e != nil {
		return e.encode(time.Now())
	}
	return nil
}

// NotifyPingComplete implements memberlist.PingDelegate.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	d.roster.answered(n.Name, parsePong(payload, echoID(d.self), rtt, time.Now()))
}
