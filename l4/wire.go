package l4

import (
	"net/netip"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l4/flow"
	"github.com/weirlb/weir/l4/peek"
	"github.com/weirlb/weir/upstream"
)

// wiresKept is how many sockets' objects a loop keeps for the next flows; more go to the garbage collector.
const wiresKept = 1024

// wire is a UDP socket towards a backend.
type wire struct {
	eventloop.Datagrams
	local netip.AddrPort // its own address
}

// dial opens the socket.
func (w *wire) dial(k *worker, addr netip.AddrPort, r eventloop.Receiver, l eventloop.Losses) error {
	if err := w.Dial(k.batcher, addr, netip.Addr{}, r, l); err != nil {
		return err
	}
	w.local = w.Addr()
	k.server.own.add(w.local)
	return nil
}

// hangUp closes the socket.
func (w *wire) hangUp(k *worker) {
	k.server.own.remove(w.local)
	w.Close()
}

// send sends a client's datagram to the backend, behind a PROXY header if the pool's options, which may change while the
// socket is open, say so.
func (w *wire) send(k *worker, pool *upstream.Pool, key flow.Key, p []byte) {
	if pool.Options().ProxyProtocol != 0 {
		k.greeting = append(peek.AppendProxyV2Datagram(k.greeting[:0], key.Client, key.Local), p...)
		p = k.greeting
	}
	w.Send(p)
}

// takeWire gives a blank wire for a flow.
func (k *worker) takeWire() *flowWire {
	n := len(k.wires)
	if n == 0 {
		return new(flowWire)
	}
	w := k.wires[n-1]
	k.wires = k.wires[:n-1]
	return w
}

// giveWire takes a closed wire back.
func (k *worker) giveWire(w *flowWire) {
	w.forwarder, w.flow = nil, nil
	if len(k.wires) < wiresKept {
		k.wires = append(k.wires, w)
	}
}
