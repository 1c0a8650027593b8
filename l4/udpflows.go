package l4

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/upstream"
)

// flowForwarder has a flow for each client, and carries out what a flow.Table asks for.
type flowForwarder struct {
	door    *udpDoor
	route   *UDPRoute // for records
	table   *flow.Table
	actions []flow.Action // memory for the next ones
}

func newFlowForwarder(d *udpDoor, set *udpSettings) *flowForwarder {
	return &flowForwarder{door: d, route: set.route, table: flow.NewTable(d.flowOptions(set), time.Now())}
}

func (f *flowForwarder) forward(key flow.Key, p []byte, now time.Time) {
	f.carryOut(f.table.FromClient(key, len(p), now, f.actions), p, now)
}

func (f *flowForwarder) adopt(set *udpSettings, rerouted bool) {
	f.route = set.route
	f.table.SetOptions(f.door.flowOptions(set))
	if rerouted {
		f.table.Reroute()
	}
}

func (f *flowForwarder) next() (time.Time, bool) { return f.table.Next() }
func (f *flowForwarder) stop()                   { f.table.Stop() }
func (f *flowForwarder) sync()                   { f.table.Sync() }

func (f *flowForwarder) expire(now time.Time) {
	f.carryOut(f.table.Expire(now, f.actions), nil, now)
}

func (f *flowForwarder) cut(why flow.Reason, now time.Time) (more bool) {
	f.carryOut(f.table.Cut(why, now, f.actions), nil, now)
	return f.table.Len() > 0
}

func (f *flowForwarder) cutBackend(b *upstream.Backend, now time.Time) (more bool) {
	actions, more := f.table.CutBackend(b, flow.Lost, now, f.actions)
	f.carryOut(actions, nil, now)
	return more
}

// carryOut does what the table asks for, with the datagram it was told of.
func (f *flowForwarder) carryOut(actions []flow.Action, p []byte, now time.Time) {
	for i := 0; i < len(actions); i++ {
		switch fl := actions[i].Flow; actions[i].Kind {
		case flow.Open:
			actions = f.open(fl, now, actions)
		case flow.Close:
			f.close(fl)
		case flow.ToBackend:
			f.toBackend(fl, p)
		case flow.ToClient:
			f.door.answer(fl.Key, p)
		case flow.End:
			f.end(fl)
		}
	}
	clear(actions)
	f.actions = actions[:0]
}

// open gives a flow a socket towards its backend.
func (f *flowForwarder) open(fl *flow.Flow, now time.Time, actions []flow.Action) []flow.Action {
	w := f.door.worker.takeWire()
	w.forwarder, w.flow = f, fl
	if err := w.dial(f.door.worker, fl.Backend().Addr(), w, w); err != nil {
		f.door.worker.giveWire(w)
		if unreachable(err) {
			return f.table.Unreachable(fl, now, actions)
		}
		return f.table.NoSocket(fl, now, actions)
	}
	fl.Socket = w
	return actions
}

func (f *flowForwarder) close(fl *flow.Flow) {
	w, ok := fl.Socket.(*flowWire)
	if !ok {
		return // it was never opened
	}
	fl.Socket = nil
	w.hangUp(f.door.worker)
	f.door.worker.giveWire(w)
}

func (f *flowForwarder) toBackend(fl *flow.Flow, p []byte) {
	w, ok := fl.Socket.(*flowWire)
	if !ok {
		f.door.counters.Dropped(flow.WithoutSocket)
		fl.Service().Dropped(flow.WithoutSocket)
		return
	}
	w.send(f.door.worker, fl.Pool(), fl.Key, p)
}

// end writes the flow's line and gives it back.
func (f *flowForwarder) end(fl *flow.Flow) {
	if w := f.door.worker; w.log.Enabled() {
		f.record(w, f.table.Record(fl))
	}
	f.table.Free(fl)
}

func (f *flowForwarder) record(w *worker, r flow.Record) {
	how := endings[r.Reason]
	w.line = accesslog.Record{
		Protocol: accesslog.UDP, Start: r.Start, Total: r.Total, By: how.by, Reason: how.reason,
		Client: r.Key.Client, Local: r.Key.Local, Entrypoint: f.door.entry.name, Router: f.route.Name, Service: f.route.Service.name,
		In: int64(r.In.Bytes), Out: int64(r.Out.Bytes),
		DatagramsIn: int64(r.In.Datagrams), DatagramsOut: int64(r.Out.Datagrams), Moves: r.Moves,
	}
	if r.Backend != nil {
		w.line.Backend = r.Backend.Addr()
	}
	w.record(&w.line)
}

// endings are the words of the access log for how flows end.
var endings = [flow.NumReasons]struct {
	reason accesslog.Reason
	by     accesslog.Side
}{
	flow.Done:        {accesslog.Done, accesslog.Backend},
	flow.Idle:        {accesslog.IdleTimeout, accesslog.Weir},
	flow.Unreachable: {accesslog.Refused, accesslog.Backend},
	flow.NoBackend:   {accesslog.NoBackend, accesslog.Weir},
	flow.NoRoom:      {accesslog.QueueFull, accesslog.Weir},
	flow.Removed:     {accesslog.Drain, accesslog.Weir},
	flow.Stopped:     {accesslog.Shutdown, accesslog.Weir},
	flow.NoSocket:    {accesslog.Internal, accesslog.Weir},
	flow.Excluded:    {accesslog.Denied, accesslog.Weir},
	flow.Lost:        {accesslog.Drain, accesslog.Weir},
}

// ReasonOf is the word of the access log for how a flow ended.
func ReasonOf(r flow.Reason) accesslog.Reason { return endings[r].reason }

// unreachable tells the errors of connect that say that there is no way to the backend, from those that this host has no
// socket to give.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}

// flowWire is a flow's socket towards its backend.
type flowWire struct {
	wire
	forwarder *flowForwarder
	flow      *flow.Flow
}

// Received passes the backend's datagrams on to the client.
func (w *flowWire) Received(_ *eventloop.Datagrams, batch []eventloop.Datagram) {
	f, fl, now := w.forwarder, w.flow, time.Now()
	for i := range batch {
		switch {
		case batch[i].Truncated:
			f.door.counters.Dropped(flow.Truncated)
		case w.flow != fl: // the datagram before it was the last one
			f.door.counters.Dropped(flow.Late)
		default:
			f.carryOut(f.table.FromBackend(fl, len(batch[i].Bytes), now, f.actions), batch[i].Bytes, now)
		}
	}
}

// Lost learns that the backend turned datagrams away, or that some could not be sent to it.
func (w *flowWire) Lost(_ *eventloop.Datagrams, _ netip.AddrPort, n int, err error) {
	f, now := w.forwarder, time.Now()
	f.door.counters.DroppedMany(flow.Unsent, uint64(n))
	w.flow.Service().DroppedMany(flow.Unsent, uint64(n))
	if blames(n, err) {
		f.carryOut(f.table.Unreachable(w.flow, now, f.actions), nil, now)
	}
}

// blames reports whether an error that n datagrams were lost by is about the backend. Of what the network says only one is
// not: that a datagram was too large for a path. Of what this host says when it sends, only that it has no way there.
func blames(n int, err error) bool {
	if n == 0 {
		return !errors.Is(err, syscall.EMSGSIZE)
	}
	return unreachable(err)
}
