package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is the most that one system call moves.
const batchSize = 64

// controlSize is the room for what the kernel says beside a datagram: its
// local address and the size of the datagrams in a train.
const controlSize = 64

// mmsghdr is the kernel's struct of that name (recvmmsg(2)).
type mmsghdr struct {
	head unix.Msghdr
	n    uint32
	_    [4]byte
}

// batch is a number of datagrams on their way in or out by one system call. Its
// memory is allocated once, and points into itself, so it is not copied.
type batch struct {
	heads    [batchSize]mmsghdr
	vectors  [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet4
	controls [batchSize][controlSize]byte
	buffers  [batchSize][]byte
	n        int // datagrams, or trains, that are in it
}

// newBatch makes room for messages of up to size bytes.
func newBatch(size int) *batch {
	b := &batch{}
	room := make([]byte, batchSize*size)
	for i := range b.heads {
		b.buffers[i] = room[i*size : (i+1)*size : (i+1)*size]
		b.vectors[i].Base = &b.buffers[i][0]
		b.heads[i].head.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		b.heads[i].head.Iov = &b.vectors[i]
		b.heads[i].head.SetIovlen(1)
	}
	return b
}

// full reports that there is no room for another message.
func (b *batch) full() bool { return b.n == batchSize }

// receive takes what a socket holds, up to a batch; 0 is nothing.
func (b *batch) receive(fd int) (int, error) {
	for i := range b.heads {
		h := &b.heads[i].head
		h.Namelen = unix.SizeofSockaddrInet4
		h.Control = &b.controls[i][0]
		h.SetControllen(controlSize)
		b.vectors[i].SetLen(len(b.buffers[i]))
	}
	b.n = 0
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.heads[0])), batchSize, 0, 0, 0)
	if errno != 0 {
		// A refusal is news about an earlier datagram, and loss is found by
		// counting.
		if again(errno) || errno == unix.ECONNREFUSED {
			return 0, nil
		}
		return 0, fmt.Errorf("receive: %w", errno)
	}
	b.n = int(n)
	return b.n, nil
}

// send gives everything in the batch to the kernel and empties it. What the
// kernel has no room for is lost, as it would be on a network.
func (b *batch) send(fd int) error {
	for sent := 0; sent < b.n; {
		rest := unsafe.Pointer(&b.heads[sent])
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(rest), uintptr(b.n-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			b.n = 0
			return nil
		case unix.ECONNREFUSED:
		default:
			b.n = 0
			return fmt.Errorf("send: %w", errno)
		}
	}
	b.n = 0
	return nil
}

// add appends a message of n bytes, which the caller writes into the buffer
// that add returns, to an address, nil for the one that the socket is
// connected to. A source that is valid is the local address it leaves from;
// segment is the size of the datagrams in a train, 0
// for a single one.
func (b *batch) add(n int, to *unix.RawSockaddrInet4, source netip.Addr, segment int) []byte {
	i := b.n
	b.n++
	b.vectors[i].SetLen(n)
	h := &b.heads[i].head
	h.Name, h.Namelen = nil, 0
	if to != nil {
		b.names[i] = *to
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet4
	}
	used := 0
	if source.IsValid() {
		info := unix.Inet4Pktinfo{Spec_dst: source.As4()}
		field := (*[unix.SizeofInet4Pktinfo]byte)(unsafe.Pointer(&info))[:]
		used += putControl(b.controls[i][used:], unix.IPPROTO_IP, unix.IP_PKTINFO, field)
	}
	if segment > 0 {
		var size [2]byte
		binary.NativeEndian.PutUint16(size[:], uint16(segment))
		used += putControl(b.controls[i][used:], unix.IPPROTO_UDP, unix.UDP_SEGMENT, size[:])
	}
	h.Control = nil
	if used > 0 {
		h.Control = &b.controls[i][0]
	}
	h.SetControllen(used)
	return b.buffers[i][:n]
}

// turnRound makes a batch that has been received one to be sent: every
// message goes back to where it came from, trains as trains.
func (b *batch) turnRound() {
	for i := range b.n {
		n := int(b.heads[i].n)
		b.vectors[i].SetLen(n)
		h := &b.heads[i].head
		used := 0
		if size := b.segment(i); size > 0 && size < n {
			var field [2]byte
			binary.NativeEndian.PutUint16(field[:], uint16(size))
			used = putControl(b.controls[i][:], unix.IPPROTO_UDP, unix.UDP_SEGMENT, field[:])
		}
		h.SetControllen(used)
	}
}

// from is who sent message i of a received batch.
func (b *batch) from(i int) *unix.RawSockaddrInet4 { return &b.names[i] }

// arrival is what one message of a received batch brought: one datagram, or a
// train of them.
type arrival struct {
	bytes []byte
	size  int // of the datagrams but for the last one, which may be shorter
}

func (b *batch) arrival(i int) arrival {
	a := arrival{bytes: b.buffers[i][:b.heads[i].n], size: b.segment(i)}
	if a.size <= 0 {
		a.size = max(1, len(a.bytes))
	}
	return a
}

// datagrams yields them in order; there is at least one.
func (a arrival) datagrams(yield func([]byte) bool) {
	for {
		n := min(a.size, len(a.bytes))
		if !yield(a.bytes[:n:n]) {
			return
		}
		if a.bytes = a.bytes[n:]; len(a.bytes) == 0 {
			return
		}
	}
}

// local is the address that message i of a received batch was sent to; the
// zero value if the socket does not tell.
func (b *batch) local(i int) netip.Addr {
	field := b.control(i, unix.IPPROTO_IP, unix.IP_PKTINFO)
	if len(field) < unix.SizeofInet4Pktinfo {
		return netip.Addr{}
	}
	return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&field[0])).Addr)
}

// segment is the size of the datagrams in message i of a received batch; 0 if
// it is a single one.
func (b *batch) segment(i int) int {
	field := b.control(i, unix.IPPROTO_UDP, unix.UDP_GRO)
	if len(field) < 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(field)))
}

// control finds a control message (cmsg(3)) of message i.
func (b *batch) control(i int, level, kind int32) []byte {
	all := b.controls[i][:min(controlSize, b.heads[i].head.Controllen)]
	for len(all) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&all[0]))
		if h.Len < unix.SizeofCmsghdr || int(h.Len) > len(all) {
			return nil
		}
		if h.Level == level && h.Type == kind {
			return all[unix.CmsgLen(0):h.Len]
		}
		all = all[min(len(all), unix.CmsgSpace(int(h.Len)-unix.CmsgLen(0))):]
	}
	return nil
}

// putControl writes a control message into b and returns the room it takes.
func putControl(b []byte, level, kind int32, field []byte) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(field)))
	copy(b[unix.CmsgLen(0):], field)
	return unix.CmsgSpace(len(field))
}

// rawAddr is an address as the kernel has it.
func rawAddr(a netip.AddrPort) unix.RawSockaddrInet4 {
	raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], a.Port())
	return raw
}
