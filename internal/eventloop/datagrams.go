package eventloop

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	// datagramShare is how many datagrams one socket may bring in a turn before the others come first again.
	datagramShare = 256
	// turnShare is how many all sockets may bring together, so that streams on the loop do not wait for long.
	turnShare = 64 * datagramShare
)

// Datagram is one datagram as it came in.
type Datagram struct {
	Bytes     []byte         // 0 to 65,527 of them; valid during Received only
	From      netip.AddrPort // who sent it
	Local     netip.Addr     // the address it was sent to, and an answer should come from; not set on a dialled socket
	Truncated bool           // there was more of it than there is room, which no datagram on a real network reaches
}

// Receiver gets the datagrams of a socket.
type Receiver interface {
	// Received is called on the loop, with at least one datagram. The batch and its bytes are the loop's and valid during
	// the call only; a copy must be made of what is to outlive it. What Send and SendTo are given out of a batch is not
	// copied, so those bytes must not be changed any more. Closing d, or any other, is fine: what d had in hand is dropped.
	Received(d *Datagrams, batch []Datagram)
}

// Losses learns of datagrams that did not get through, as far as the system tells.
type Losses interface {
	// Lost is called on the loop: n datagrams to the peer were dropped for err. On a dialled socket to is not set, and n
	// is 0 when the error came from the network (ECONNREFUSED after an ICMP message, RFC 1122 §4.1.3.3) and so concerns
	// datagrams that were sent earlier. EAGAIN and ENOBUFS mean that the system has no room for more now, EMSGSIZE that
	// the datagram is too large, EPERM that a packet filter is against it. Closing d, or sending, is fine.
	Lost(d *Datagrams, to netip.AddrPort, n int, err error)
}

// Datagrams is a UDP socket on a loop: a bound one that speaks with everybody, or a dialled one that speaks with one peer.
// It is meant to be embedded in the object that represents it; its zero value is ready for Open or Dial. It holds no
// buffers: a dialled socket costs its 88 bytes, 16 in the loop's table, and what the kernel keeps.
type Datagrams struct {
	batcher  *Batcher
	receiver Receiver
	losses   Losses
	socket   *DatagramSocket // nil for a dialled one
	fd       int32
	head     int32  // first and last of what waits to be sent, numbers in the batcher's outbox; -1 = nothing
	tail     int32  //
	gen      uint32 // counts the lives of this object
	overflow uint32 // dropped by the kernel, modulo 2^32
	cut      uint32 // datagrams that came truncated
	lost     uint32 // datagrams that could not be sent
	open     bool
	six      bool // addresses are written in the IPv6 form
	single   bool // trains are sent datagram by datagram: this peer's path or the interface does not take them
}

// Open starts the life of d on a bound socket, which d owns from now on. losses may be nil.
func (d *Datagrams) Open(b *Batcher, socket *DatagramSocket, r Receiver, losses Losses) error {
	d.begin(b, socket.fd, r, losses)
	d.socket, d.six = socket, socket.six
	if err := d.watch(); err != nil {
		return fmt.Errorf("listen on %s/udp: %w", socket.addr, err)
	}
	return nil
}

// Dial starts the life of d on a new socket connected to addr, bound to the local address from unless that is the zero
// value. Nothing is sent: a peer that does not listen shows by ECONNREFUSED later. Each dialled socket takes a port of its
// local address for itself, of which the system has about 28,000 (net.ipv4.ip_local_port_range): beyond that the error is
// EAGAIN, or EADDRINUSE where from is given. losses may be nil.
func (d *Datagrams) Dial(b *Batcher, addr netip.AddrPort, from netip.Addr, r Receiver, losses Losses) error {
	fd, err := datagramSocket(addr.Addr())
	if err != nil {
		return fmt.Errorf("dial %s/udp: %w", addr, err)
	}
	if err := b.connect(fd, addr, from); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("dial %s/udp: %w", addr, err)
	}
	d.begin(b, fd, r, losses)
	if err := d.watch(); err != nil {
		return fmt.Errorf("dial %s/udp: %w", addr, err)
	}
	return nil
}

func (d *Datagrams) begin(b *Batcher, fd int, r Receiver, losses Losses) {
	*d = Datagrams{batcher: b, receiver: r, losses: losses, fd: int32(fd), head: none, tail: none, gen: d.gen + 1, open: true}
}

func (d *Datagrams) watch() error {
	if err := d.batcher.loop.watchReads(int(d.fd), d); err != nil {
		d.Close()
		return err
	}
	return nil
}

// Batcher is the batcher the socket belongs to.
func (d *Datagrams) Batcher() *Batcher { return d.batcher }

// IsOpen reports whether the socket is open.
func (d *Datagrams) IsOpen() bool { return d.open }

// Addr is the bound address; for a dialled socket the kernel is asked for the one it chose.
func (d *Datagrams) Addr() netip.AddrPort {
	switch {
	case !d.open:
		return netip.AddrPort{}
	case d.socket != nil:
		return d.socket.addr
	}
	addr := &d.batcher.loop.addr
	if addr.localName(int(d.fd)) != nil {
		return netip.AddrPort{}
	}
	return addr.addrPort()
}

// Overflowed counts datagrams that the kernel dropped because the loop did not read them in time, modulo 2^32. It is as
// of the last datagram received. Dialled sockets do not count.
func (d *Datagrams) Overflowed() uint32 { return d.overflow }

// Truncated counts datagrams that came cut short, modulo 2^32.
func (d *Datagrams) Truncated() uint32 { return d.cut }

// Unsent counts datagrams that were given to Send or SendTo and that the system refused, modulo 2^32.
func (d *Datagrams) Unsent() uint32 { return d.lost }

// Widen gives a dialled socket, over which many talk to one peer, buffers of the size that bound sockets have. It does what
// the system allows.
func (d *Datagrams) Widen() {
	if d.open {
		_ = unix.SetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_RCVBUF, datagramBuffer)
		_ = unix.SetsockoptInt(int(d.fd), unix.SOL_SOCKET, unix.SO_SNDBUF, datagramBuffer)
	}
}

// Send queues a datagram for the peer of a dialled socket. It goes out when the loop has served all events that came with
// the one it is serving, a task or a timer included, and sooner when many are queued; when the system has no room for it
// then, it is dropped and counted. p may be used again at once, unless it is out of a batch. On a closed socket nothing
// happens.
func (d *Datagrams) Send(p []byte) {
	if d.open {
		d.batcher.enqueue(d, p, netip.AddrPort{}, netip.Addr{})
	}
}

// SendTo is Send for a bound socket: to a peer, from a local address, such as a datagram's From and Local. The zero value of
// from leaves the choice to the system; a socket that is bound to one address has none.
func (d *Datagrams) SendTo(p []byte, to netip.AddrPort, from netip.Addr) {
	if !d.open {
		return
	}
	if d.socket == nil || !d.socket.addr.Addr().IsUnspecified() {
		from = netip.Addr{}
	}
	d.batcher.enqueue(d, p, to, from)
}

// Close sends what is queued and closes the socket. Neither Received nor Lost is called for it any more. Closing twice is
// fine.
func (d *Datagrams) Close() {
	if !d.open {
		return
	}
	d.losses = nil
	d.batcher.flushOne(d)
	d.open = false
	d.gen++
	d.batcher.loop.forget(int(d.fd))
	d.receiver, d.socket = nil, nil
}

// event reads what has arrived. The batcher sends what the receiver has for others at the end of the turn.
func (d *Datagrams) event(uint32) {
	if !d.batcher.closed {
		d.receive(min(datagramShare, turnShare/d.batcher.loop.ready))
	}
}

// receive reads until nothing is left or the socket has had its share, left datagrams. A batch that is not full means that nothing is
// left, which saves the call that says EAGAIN: who comes later causes an event.
func (d *Datagrams) receive(left int) {
	gen := d.gen
	for left > 0 {
		first, came, full, err := d.batcher.read(d)
		switch err {
		case 0:
			left -= d.batcher.deliver(d, first, came)
			if d.gen != gen || !full {
				return
			}
		case unix.EAGAIN:
			return
		case unix.EINTR:
		default:
			left -= receiveBatch // an error was taken from the socket, and what arrived is still there
			d.tellLost(netip.AddrPort{}, 0, err)
			if d.gen != gen {
				return
			}
		}
	}
	d.batcher.loop.againReads(int(d.fd))
}

// tellLost passes a loss on. A panic there costs nothing more.
func (d *Datagrams) tellLost(to netip.AddrPort, n int, err unix.Errno) {
	if d.losses == nil {
		return
	}
	defer d.batcher.rescue()
	d.losses.Lost(d, to, n, err)
}

// hand gives a batch to the receiver. A panic there costs this batch only: the socket is everybody's.
func (d *Datagrams) hand(batch []Datagram) {
	defer d.batcher.rescue()
	d.receiver.Received(d, batch)
}
