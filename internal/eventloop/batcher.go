package eventloop

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// receiveBatch is how many datagrams, or trains of them, one system call takes. A datagram there and back costs a
	// forwarding loop 0.73 of what it does in batches of one with 8, and no less with 16, 32 or 64 (BenchmarkDatagramFlows,
	// 32 clients with 8 in flight).
	receiveBatch = 32
	receiveLeast = 8                // slots left below which what is queued is sent, to have them all again
	slotCount    = 2 * receiveBatch // datagrams or trains that a turn brings before it has to send
	slotSize     = 1 << 16          // room for the largest datagram and for the largest train of an interface
	// slotGap keeps the beginnings of slots apart in the processor's caches, where addresses that differ by a power of two
	// share a place: small datagrams would push each other out.
	slotGap = 192
)

// mmsghdr is a message of recvmmsg(2) and sendmmsg(2): one datagram or one train.
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// ready prepares a header for the next message that is received. Only one that was used needs it.
func (m *mmsghdr) ready() {
	m.header.Namelen = uint32(unsafe.Sizeof(rawAddr{}.sa))
	m.header.Controllen = controlRoom
	m.header.Flags = 0
}

// slot is where one received message goes.
type slot struct {
	from    rawAddr
	vector  unix.Iovec
	control [controlRoom]byte
}

// Batcher moves the datagrams of all sockets of one loop, through buffers that they share: 4.2 MiB of address space, of which
// only what datagrams have filled is memory. All methods must be called on the loop.
//
// What is queued goes out at the end of the loop's turn, when all events that came together have been served: what many
// sockets have received for one is sent by one system call then (docs/design/2026-11-26-datagrams.md).
type Batcher struct {
	loop *Loop

	memory   []byte // of all slots
	room     int    // bytes of a slot
	most     int    // slots offered to one system call
	used     int    // slots whose bytes may be queued
	slots    []slot
	headers  []mmsghdr // of the slots
	nameless []mmsghdr // the same for dialled sockets: the kernel need not say who their peer is
	batch    []Datagram

	out    outbox
	closed bool
}

// NewBatcher makes the batcher of l, on the loop or before it runs. A loop has one for all its sockets: while that is not
// closed, another is refused. It is closed before the loop.
func NewBatcher(l *Loop) (*Batcher, error) { return newBatcher(l, slotCount, receiveBatch, slotSize) }

func newBatcher(l *Loop, slots, most, room int) (*Batcher, error) {
	if l.batcher != nil {
		return nil, fmt.Errorf("loop %d has a batcher already: share it, or close it first", l.id)
	}
	b := &Batcher{
		loop:     l,
		memory:   make([]byte, slots*(room+slotGap)),
		room:     room,
		most:     most,
		slots:    make([]slot, slots),
		headers:  make([]mmsghdr, slots),
		nameless: make([]mmsghdr, slots),
		batch:    make([]Datagram, 0, datagramShare),
	}
	for i := range b.slots {
		s, m := &b.slots[i], &b.headers[i]
		s.vector.Base = &b.memory[i*(room+slotGap)]
		s.vector.SetLen(room)
		m.header.Name = (*byte)(unsafe.Pointer(&s.from.sa))
		m.header.Iov, m.header.Iovlen = &s.vector, 1
		m.header.Control = &s.control[0]
		m.ready()
		b.nameless[i] = *m
		b.nameless[i].header.Name = nil
	}
	b.out.open()
	l.batcher = b
	return b, nil
}

// Loop is the loop whose sockets the batcher serves.
func (b *Batcher) Loop() *Loop { return b.loop }

// Close sends what is queued and ends the batcher. Sockets still open are not told and receive no more; their owner closes
// them first. Closing twice is fine.
func (b *Batcher) Close() {
	if b.closed {
		return
	}
	b.closed = true
	b.send()
	b.loop.batcher = nil
}

// connect binds fd to from, if that is given, and connects it.
func (b *Batcher) connect(fd int, addr netip.AddrPort, from netip.Addr) error {
	raw := &b.loop.addr
	if from.IsValid() {
		raw.set(netip.AddrPortFrom(from, 0))
		if err := raw.bind(fd); err != nil {
			return fmt.Errorf("bind to %s: %w", from, err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
		return fmt.Errorf("set UDP_GRO: %w", err)
	}
	raw.set(addr)
	if err := raw.connect(fd); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// read takes messages from d, into the slots after those whose bytes are queued. It returns the first slot, the headers of
// what came, and whether that is as much as there was room for.
func (b *Batcher) read(d *Datagrams) (first int, came []mmsghdr, full bool, errno syscall.Errno) {
	switch {
	case !b.out.borrowed:
		b.used = 0
	case len(b.slots)-b.used < min(receiveLeast, b.most):
		b.send()
		b.used = 0
	}
	first = b.used
	messages := b.headers[first:min(first+b.most, len(b.slots))]
	if d.socket == nil {
		messages = b.nameless[first : first+len(messages)]
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return first, nil, false, errno
	}
	b.used += int(n)
	return first, messages[:n], int(n) == len(messages), 0
}

// deliver hands what came to the receiver, and returns how many datagrams it was.
func (b *Batcher) deliver(d *Datagrams, first int, came []mmsghdr) (datagrams int) {
	gen := d.gen
	for i := range came {
		if d.gen == gen {
			datagrams += b.unpack(d, first+i, &came[i])
		}
		came[i].ready()
	}
	b.hand(d, gen)
	return datagrams
}

// unpack adds the datagrams of m, which lies in slot i, to the batch.
func (b *Batcher) unpack(d *Datagrams, i int, m *mmsghdr) int {
	s := &b.slots[i]
	c := parseControl(s.control[:min(int(m.header.Controllen), controlRoom)])
	if c.overflown {
		d.overflow = c.overflow
	}
	one := Datagram{Local: c.local}
	if d.socket != nil {
		one.From = s.from.addrPort()
		if !c.local.IsValid() && !d.socket.addr.Addr().IsUnspecified() {
			one.Local = d.socket.addr.Addr()
		}
	}
	start := i * (b.room + slotGap)
	rest := b.memory[start : start+min(int(m.size), b.room)]
	datagrams, gen := 1, d.gen
	for ; c.segment > 0 && len(rest) > c.segment; datagrams++ {
		one.Bytes, rest = rest[:c.segment:c.segment], rest[c.segment:]
		if b.add(d, one); d.gen != gen {
			return datagrams
		}
	}
	one.Bytes, one.Truncated = rest[:len(rest):len(rest)], m.header.Flags&unix.MSG_TRUNC != 0
	if one.Truncated {
		d.cut++
	}
	b.add(d, one)
	return datagrams
}

// add puts a datagram into the batch, which is handed over when it is full.
func (b *Batcher) add(d *Datagrams, one Datagram) {
	b.batch = append(b.batch, one)
	if len(b.batch) == cap(b.batch) {
		b.hand(d, d.gen)
	}
}

// hand gives the batch to d's receiver, unless that life of d is over.
func (b *Batcher) hand(d *Datagrams, gen uint32) {
	batch := b.batch
	b.batch = b.batch[:0]
	if len(batch) > 0 && d.gen == gen {
		d.hand(batch)
	}
}

// rescue ends a panic of a callback: it is counted and logged.
func (b *Batcher) rescue() {
	if cause := recover(); cause != nil {
		b.loop.panics.Add(1)
		b.loop.log.Error("receiver of datagrams panicked; the batch is dropped",
			"loop", b.loop.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	}
}
