package l4

import (
	"net/netip"
	"slices"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// forwarder is what an entrypoint does with datagrams on one loop: flows, or shared sockets. All methods are called on the
// loop.
type forwarder interface {
	// forward takes a datagram from a client. p is out of a batch and may be changed.
	forward(key flow.Key, p []byte, now time.Time)
	// adopt takes over other settings, which have a route.
	adopt(set *udpSettings, rerouted bool)
	// next is when expire wants to be called, false while there is no need.
	next() (time.Time, bool)
	expire(now time.Time)
	// stop lets nothing new in.
	stop()
	// cut ends what lives, or a part of it: then there is more. cutBackend does so for one backend.
	cut(why flow.Reason, now time.Time) (more bool)
	cutBackend(b *upstream.Backend, now time.Time) (more bool)
	// sync brings the counters of backends up to date.
	sync()
}

// udpDoor is a UDP entrypoint on one loop.
type udpDoor struct {
	entry    *UDPEntrypoint
	worker   *worker
	counters *flow.Counters
	inlets   []inlet // by port, in order
	set      *udpSettings
	current  forwarder   // nil while there is no route
	past     []forwarder // whose flows are being cut
	why      flow.Reason // they are
	timer    eventloop.Timer
	due      time.Time // of the timer
	shut     bool      // the inlets are closed
}

// inlet is a socket that clients send to.
type inlet struct {
	eventloop.Datagrams
	door     *udpDoor
	overflow uint32 // of what the kernel has dropped, counted
}

// Received leads datagrams of clients on.
func (i *inlet) Received(_ *eventloop.Datagrams, batch []eventloop.Datagram) {
	d, now, port := i.door, time.Now(), i.Addr().Port()
	if n := i.Overflowed() - i.overflow; n > 0 {
		d.counters.DroppedMany(flow.Overflow, uint64(n))
		i.overflow += n
	}
	for k := range batch {
		g := &batch[k]
		if why := d.screen(g, now); why != flow.Kept {
			d.counters.Dropped(why)
			continue
		}
		d.current.forward(flow.Key{Client: g.From, Local: netip.AddrPortFrom(g.Local, port)}, g.Bytes, now)
	}
	d.arm(now)
}

// Lost counts answers that could not be sent to clients.
func (i *inlet) Lost(_ *eventloop.Datagrams, _ netip.AddrPort, n int, _ error) {
	i.door.counters.DroppedMany(flow.Unsent, uint64(n))
}

// screen decides what can be decided about a datagram by itself.
func (d *udpDoor) screen(g *eventloop.Datagram, now time.Time) flow.Cause {
	switch {
	case g.Truncated:
		return flow.Truncated
	case d.current == nil:
		return flow.Unrouted
	}
	for _, rate := range d.set.rates {
		if why := rate.Admit(g.From.Addr(), now); why != accesslog.Unknown {
			return causeOf(why)
		}
	}
	return flow.Kept
}

// answer sends a datagram to a client, from the address it called.
func (d *udpDoor) answer(key flow.Key, p []byte) {
	first := d.inlets[0].Addr().Port()
	if at := int(key.Local.Port()) - int(first); at >= 0 && at < len(d.inlets) { // else they are closed
		d.inlets[at].SendTo(p, key.Client, key.Local.Addr())
	}
}

// adopt takes over other settings.
func (d *udpDoor) adopt(set *udpSettings) {
	if d.shut {
		return
	}
	old := d.set
	d.set = set
	switch {
	case set.route == nil:
		d.retire(flow.Removed)
		return
	case d.current != nil && old.route.sameWay(set.route):
		d.current.adopt(set, old.route.Service != set.route.Service)
	default:
		d.retire(flow.Removed)
		d.current = d.newForwarder(set)
	}
	d.arm(time.Now())
}

func (d *udpDoor) newForwarder(set *udpSettings) forwarder {
	if set.route.Shared != nil {
		return newSharedForwarder(d, set)
	}
	return newFlowForwarder(d, set)
}

// flowOptions are the options of what is kept behind the door.
func (d *udpDoor) flowOptions(set *udpSettings) flow.Options {
	o := flow.Options{
		Pick: d.pick, IdleTimeout: set.IdleTimeout, Flows: d.entry.flows, Sockets: d.worker.server.flows,
		Own: d.worker.server.own.has, Amplification: set.Amplification, Counters: d.counters,
	}
	if set.gate != nil {
		o.Gate = set.gate
	}
	return o
}

func (d *udpDoor) pick(key flow.Key, tried []*upstream.Backend, now time.Time) (flow.Choice, error) {
	return d.set.route.Service.pick(d.worker.loop.ID(), key.Client, tried, now)
}

// arm sets the timer for what expires next.
func (d *udpDoor) arm(now time.Time) {
	if d.current == nil {
		return
	}
	next, any := d.current.next()
	if !any || d.timer.Armed() && !next.Before(d.due) {
		return
	}
	d.due = next
	d.worker.loop.Arm(&d.timer, max(next.Sub(now), 0), d)
}

// Expired ends what has been idle for too long.
func (d *udpDoor) Expired(*eventloop.Timer) { d.expire() }

// expire does so some at a time, and does not wait for the next tick of the timer while there is more: a flood comes faster.
func (d *udpDoor) expire() {
	if d.current == nil {
		return
	}
	now := time.Now()
	d.current.expire(now)
	if next, any := d.current.next(); any && !next.After(now) && d.worker.loop.Post(d.expire) == nil {
		return
	}
	d.arm(now)
}

// stop lets no new flow in.
func (d *udpDoor) stop() {
	if d.current != nil {
		d.current.stop()
	}
}

// retire parts with the present forwarder, whose flows end.
func (d *udpDoor) retire(why flow.Reason) {
	d.worker.loop.Disarm(&d.timer)
	if d.current != nil {
		d.past, d.why, d.current = append(d.past, d.current), why, nil
		d.cutPast()
	}
}

// cutPast ends flows of forwarders that are no more, some at a time so that the loop has time for others.
func (d *udpDoor) cutPast() {
	now := time.Now()
	d.past = slices.DeleteFunc(d.past, func(f forwarder) bool { return !f.cut(d.why, now) })
	if len(d.past) > 0 && d.worker.loop.Post(d.cutPast) == nil {
		return
	}
	d.leave()
}

// close closes the sockets and ends all flows.
func (d *udpDoor) close(why flow.Reason) {
	if d.shut {
		return
	}
	d.shut = true
	d.retire(why)
	for i := range d.inlets {
		d.inlets[i].Close()
	}
	d.leave()
}

// leave takes a door that is closed, and has no flow any more, from the worker's list.
func (d *udpDoor) leave() {
	if d.shut && len(d.past) == 0 {
		d.worker.doors = slices.DeleteFunc(d.worker.doors, func(other *udpDoor) bool { return other == d })
	}
}

// cutBackend ends what has to do with a backend, some at a time.
func (d *udpDoor) cutBackend(b *upstream.Backend) {
	if d.current != nil && d.current.cutBackend(b, time.Now()) {
		_ = d.worker.loop.Post(func() { d.cutBackend(b) }) // fails only when the loop ends, and all flows with it
	}
}

// syncDoors brings counters up to date.
func (w *worker) syncDoors() {
	for _, d := range w.doors {
		if d.current != nil {
			d.current.sync()
		}
	}
}

// closeDoors ends everything of UDP at once, so that its records are written when it returns.
func (w *worker) closeDoors() {
	for len(w.doors) > 0 {
		d := w.doors[0]
		d.close(flow.Stopped)
		for len(d.past) > 0 {
			d.cutPast()
		}
	}
	if w.batcher != nil {
		w.batcher.Close()
	}
}
