package l4

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/weirlb/weir/internal/eventloop"
)

// socket is what an entrypoint listens on or receives from.
type socket interface {
	comparable
	Addr() netip.AddrPort
	Close() error
}

// Bound are sockets that are bound but not served yet: one per loop and address. Binding is what can fail, so it is done
// for all entrypoints before anything is changed.
type Bound[S socket] struct {
	inUse   map[uint16]int // the server's: ports of this protocol that it has bound, how often
	ports   []uint16       // counted there
	addrs   []netip.AddrPort
	perLoop [][]S // zero where an entrypoint has taken over
}

// Sockets are those of a TCP entrypoint, UDPSockets those of a UDP entrypoint.
type (
	Sockets    = Bound[*eventloop.Socket]
	UDPSockets = Bound[*eventloop.DatagramSocket]
)

// Bind opens the sockets of a TCP entrypoint. An address without an IP stands for all of IPv4 and IPv6, [::] for all of
// IPv6 alone. An address that another program holds is an error, even if that program would share it.
func (s *Server) Bind(addrs []netip.AddrPort) (*Sockets, error) {
	return bind(network[*eventloop.Socket]{eventloop.OpenSocket, eventloop.Vacant}, s.ports, len(s.workers), addrs)
}

// BindUDP opens the sockets of a UDP entrypoint, as Bind does: one address, or the ports of a range in their order. Datagrams
// that come before OpenUDP wait in the kernel.
func (s *Server) BindUDP(addrs []netip.AddrPort) (*UDPSockets, error) {
	s.knowOwn()
	s.cutLingering(addrs)
	return bind(network[*eventloop.DatagramSocket]{eventloop.OpenDatagrams, eventloop.VacantDatagrams},
		s.udpPorts, len(s.workers), addrs)
}

// network is how sockets of a protocol are opened, and how it is found out whether an address is free.
type network[S socket] struct {
	open   func(addr netip.AddrPort, v6only bool) (S, error)
	vacant func(addr netip.AddrPort, v6only bool) error
}

func bind[S socket](n network[S], inUse map[uint16]int, loops int, addrs []netip.AddrPort) (*Bound[S], error) {
	b := &Bound[S]{inUse: inUse, perLoop: make([][]S, loops)}
	for _, addr := range addrs {
		if err := b.add(n, addr); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// add opens the sockets of one address.
func (b *Bound[S]) add(n network[S], addr netip.AddrPort) error {
	if addr.Port() != 0 && b.inUse[addr.Port()] == 0 {
		// Ports of this server are left out: an entrypoint that changes its address is opened before the old one is closed.
		if err := anywhere(addr, n.vacant); err != nil {
			return err
		}
	}
	for i := range b.perLoop {
		var socket S
		err := anywhere(addr, func(addr netip.AddrPort, v6only bool) (err error) {
			socket, err = n.open(addr, v6only)
			return err
		})
		if err != nil {
			return err
		}
		addr = netip.AddrPortFrom(addr.Addr(), socket.Addr().Port()) // the loops share the port the kernel picked for the first of them
		b.perLoop[i] = append(b.perLoop[i], socket)
	}
	b.addrs = append(b.addrs, b.perLoop[0][len(b.addrs)].Addr())
	b.ports = append(b.ports, addr.Port())
	b.inUse[addr.Port()]++
	return nil
}

// anywhere does something with an address. One without an IP is all of IPv6 and IPv4; where the kernel has no IPv6, all
// addresses are those of IPv4.
func anywhere(addr netip.AddrPort, do func(addr netip.AddrPort, v6only bool) error) error {
	if addr.Addr().IsValid() {
		return do(addr, true)
	}
	err := do(netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()), false)
	if errors.Is(err, syscall.EAFNOSUPPORT) {
		return do(netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port()), false)
	}
	return err
}

// Addrs are the bound addresses, in the order given to Bind.
func (b *Bound[S]) Addrs() []netip.AddrPort { return b.addrs }

// Close closes sockets that no entrypoint was opened with.
func (b *Bound[S]) Close() {
	b.free()
	var taken S
	for _, sockets := range b.perLoop {
		for i, socket := range sockets {
			if socket != taken {
				_ = socket.Close() // nothing was accepted from it
				sockets[i] = taken // closing again must not close somebody else's descriptor
			}
		}
	}
}

// free gives the ports back.
func (b *Bound[S]) free() {
	for _, port := range b.ports {
		b.inUse[port]--
	}
	b.ports = nil
}
