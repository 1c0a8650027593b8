package eventloop

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	outboxSize = 256     // messages queued on a loop before they are sent without waiting for the end of the turn
	sendBatch  = 64      // messages given to one system call
	copyRoom   = 1 << 16 // bytes of queued datagrams that do not lie in a batch
	none       = -1      // number of no message
)

// A train is some datagrams of one size, to one peer, that the kernel gets as one message and cuts as late as it can
// (UDP_SEGMENT, UDP_GRO). A datagram there and back costs a forwarding loop, compared with what it costs without trains:
// 0.08 to 0.09 when peers across a veth send and take trains of 32, 0.75 to 0.88 when they send and take 32 single ones at a
// time, 0.82 to 0.89 on loopback with 8 single ones at a time, and about the same when each comes alone
// (BenchmarkDatagramTrains, BenchmarkDatagramFlows).
const (
	trainSegments = 64    // datagrams in a train: what every kernel with UDP_SEGMENT takes (UDP_MAX_SEGMENTS)
	trainBytes    = 65000 // bytes in a train: a little less than an IP packet holds
)

// outgoing is what is queued for one peer and lies in one piece: a datagram, or several of one size of which the last may
// be shorter.
type outgoing struct {
	base    *byte // nil when there are no bytes
	size    int32
	segment int32 // bytes of each datagram but the last
	count   int32 // datagrams
	next    int32 // of the same socket; none at the end
	to      netip.AddrPort
	from    netip.Addr
}

// takes tells whether p lies right behind o and may become its last datagram.
func (o *outgoing) takes(p []byte, to netip.AddrPort, from netip.Addr) bool {
	n := int32(len(p))
	return n > 0 && n <= o.segment && o.size == o.segment*o.count && o.count < trainSegments && o.size+n <= trainBytes &&
		uintptr(unsafe.Pointer(unsafe.SliceData(p))) == uintptr(unsafe.Pointer(o.base))+uintptr(o.size) &&
		o.to == to && o.from == from
}

// span is the part of a socket's queue that went into one message.
type span struct {
	first int32
	outs  int32 // in the queue, one after the other
	count int32 // datagrams
}

// loss is one that the owner has still to be told of.
type loss struct {
	d   *Datagrams
	gen uint32
	to  netip.AddrPort
	n   int
	err unix.Errno
}

// outbox holds what the sockets of a loop want to send until the end of the turn, each socket's part as a list.
type outbox struct {
	queue    []outgoing
	sockets  []*Datagrams // that have something in the queue, or had
	copies   []byte       // bytes of datagrams that are not part of a batch
	borrowed bool         // some of the queue's bytes lie in the slots
	losses   []loss
	told     []loss // memory for the next ones

	// Of the messages of one system call.
	messages []mmsghdr
	spans    []span
	peers    []rawAddr
	controls [][controlRoom]byte
	vectors  []unix.Iovec
	part     unix.Iovec // a datagram of a train that goes by itself
}

func (o *outbox) open() {
	*o = outbox{
		queue:    make([]outgoing, 0, outboxSize),
		copies:   make([]byte, 0, copyRoom),
		messages: make([]mmsghdr, sendBatch),
		spans:    make([]span, sendBatch),
		peers:    make([]rawAddr, sendBatch),
		controls: make([][controlRoom]byte, sendBatch),
		vectors:  make([]unix.Iovec, outboxSize),
	}
}

// enqueue adds a datagram to d's part of the queue.
func (b *Batcher) enqueue(d *Datagrams, p []byte, to netip.AddrPort, from netip.Addr) {
	o := &b.out
	switch lent := b.owns(p); {
	case len(p) > copyRoom:
		b.lose(d, to, 1, unix.EMSGSIZE)
		return
	case lent && d.tail != none && !d.single && o.queue[d.tail].takes(p, to, from):
		o.queue[d.tail].size += int32(len(p))
		o.queue[d.tail].count++
		return
	case len(o.queue) == outboxSize || !lent && len(o.copies)+len(p) > copyRoom:
		b.send()
		fallthrough
	default:
		if o.borrowed = o.borrowed || lent; !lent {
			start := len(o.copies)
			o.copies = append(o.copies, p...)
			p = o.copies[start:]
		}
	}
	b.append(d, outgoing{
		base: unsafe.SliceData(p), size: int32(len(p)), segment: int32(len(p)), count: 1, next: none, to: to, from: from,
	})
}

// owns reports whether p lies in the slots, and so stays as it is until the next batch is read.
func (b *Batcher) owns(p []byte) bool {
	at, start := uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(unsafe.Pointer(&b.memory[0]))
	return len(p) > 0 && at >= start && at < start+uintptr(len(b.memory))
}

// append puts one more into d's list.
func (b *Batcher) append(d *Datagrams, one outgoing) {
	o := &b.out
	number := int32(len(o.queue))
	o.queue = append(o.queue, one)
	if d.head == none {
		d.head = number
		o.sockets = append(o.sockets, d)
	} else {
		o.queue[d.tail].next = number
	}
	d.tail = number
}

// flush ends a turn: it sends what is queued and tells of what was lost. What is sent in answer to that waits for the end of
// another turn, so that sending for ever keeps the loop from nothing.
func (b *Batcher) flush() {
	b.send()
	if len(b.out.losses) == 0 {
		return
	}
	b.tell()
	if len(b.out.queue)+len(b.out.losses) > 0 && b.loop.Post(func() {}) != nil {
		b.send() // the loop is about to end, and nobody wants to know of losses
	}
}

// tell has the owners learn of the losses so far.
func (b *Batcher) tell() {
	losses := b.out.losses
	b.out.losses, b.out.told = b.out.told[:0], nil
	for _, l := range losses {
		if l.d.gen == l.gen {
			l.d.tellLost(l.to, l.n, l.err)
		}
	}
	clear(losses)
	b.out.told = losses[:0]
}

// send empties the queue.
func (b *Batcher) send() {
	o := &b.out
	for i, d := range o.sockets {
		o.sockets[i] = nil
		b.flushOne(d)
	}
	o.sockets, o.queue, o.copies, o.borrowed = o.sockets[:0], o.queue[:0], o.copies[:0], false
}

// flushOne sends d's part of the queue.
func (b *Batcher) flushOne(d *Datagrams) {
	next := d.head
	d.head, d.tail = none, none
	for next != none {
		var messages int
		messages, next = b.compose(d, next)
		if !b.transmit(d, messages) {
			b.loseRest(d, next)
			return
		}
	}
}

// compose makes messages of the queue from next on, and returns how many, and what is left.
func (b *Batcher) compose(d *Datagrams, next int32) (messages int, rest int32) {
	for vectors := 0; next != none && messages < sendBatch; messages++ {
		s := b.couple(d, next, vectors)
		b.address(d, messages, s)
		b.out.messages[messages].header.Iov = &b.out.vectors[vectors]
		b.out.messages[messages].header.SetIovlen(int(s.outs))
		b.out.spans[messages] = s
		vectors += int(s.outs)
		for range s.outs {
			next = b.out.queue[next].next
		}
	}
	return messages, next
}

// couple joins as many of the queue from first on as can be one train, and puts their bytes into the vectors from v on.
func (b *Batcher) couple(d *Datagrams, first int32, v int) span {
	o := &b.out
	head := &o.queue[first]
	s := span{first: first}
	total := int32(0)
	for next := first; next != none; next = o.queue[next].next {
		e := &o.queue[next]
		if s.outs > 0 && !b.follows(d, head, e, s.count, total) {
			break
		}
		o.vectors[v] = unix.Iovec{Base: e.base, Len: uint64(e.size)}
		v++
		s.outs++
		s.count += e.count
		total += e.size
	}
	return s
}

// follows tells whether e can go on a train that head began, of count datagrams and total bytes so far.
func (b *Batcher) follows(d *Datagrams, head, e *outgoing, count, total int32) bool {
	if d.single || total != head.segment*count || count+e.count > trainSegments || total+e.size > trainBytes {
		return false
	}
	alike := e.segment == head.segment || e.count == 1 && e.segment < head.segment
	return alike && e.size > 0 && e.to == head.to && e.from == head.from
}

// address writes where message i goes, from where, and how it is cut.
func (b *Batcher) address(d *Datagrams, i int, s span) {
	o := &b.out
	head, h := &o.queue[s.first], &o.messages[i].header
	h.Name, h.Namelen = nil, 0
	if d.socket != nil {
		peer := &o.peers[i]
		if to := head.to; d.six && to.Addr().Is4() {
			peer.set(netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port()))
		} else {
			peer.set(to)
		}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&peer.sa)), peer.length
	}
	size := 0
	if head.from.IsValid() {
		size = putLocal(o.controls[i][:], head.from, d.six)
	}
	if s.count > 1 {
		size += putSegment(o.controls[i][size:], int(head.segment))
	}
	h.Control = &o.controls[i][0]
	h.SetControllen(size)
}

// transmit gives n messages to the system. False means that it takes no more for now: the rest of them is lost.
func (b *Batcher) transmit(d *Datagrams, n int) bool {
	told := -1 // the message before which an error of earlier ones was found
	for done := 0; done < n; {
		sent, errno := sendMessages(d.fd, b.out.messages[done:n])
		switch s := b.out.spans[done]; {
		case errno == 0:
			done += sent
			continue
		case told != done && d.socket == nil && fromNetwork(errno):
			told = done
			b.lose(d, netip.AddrPort{}, 0, errno)
			continue // the message itself has not been tried yet
		case full(errno):
			b.loseSpans(d, done, n, errno)
			return false
		case s.count > 1 && refusesTrain(errno):
			if !b.sendApart(d, done) {
				b.loseSpans(d, done+1, n, unix.EAGAIN)
				return false
			}
		default:
			b.lose(d, b.out.queue[s.first].to, int(s.count), errno)
		}
		done++
	}
	return true
}

// fromNetwork tells the errors that ICMP messages about earlier datagrams cause (RFC 1122 §4.1.3.3, icmp(7)).
func fromNetwork(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENOPROTOOPT, unix.EPROTO:
		return true
	}
	return false
}

// sendApart sends the datagrams of the train in message i one by one, and reports false when the system takes no more. The
// train was refused because its datagrams are larger than the path takes in one piece, and only single ones are cut into
// fragments, or because something on the way wants no trains. The path of a dialled socket remains the same.
func (b *Batcher) sendApart(d *Datagrams, i int) bool {
	d.single = d.socket == nil
	o := &b.out
	s, m := o.spans[i], o.messages[i:i+1]
	h := &m[0].header
	h.Iov = &o.part
	h.SetIovlen(1)
	h.SetControllen(int(h.Controllen) - controlAlign(controlHeader+segmentSize)) // how to cut it came last
	next := s.first
	for range s.outs {
		e := &o.queue[next]
		next = e.next
		for at := int32(0); at < e.size; at += e.segment {
			o.part = unix.Iovec{Base: (*byte)(unsafe.Add(unsafe.Pointer(e.base), at)), Len: uint64(min(e.segment, e.size-at))}
			if _, errno := sendMessages(d.fd, m); full(errno) {
				b.lose(d, e.to, int(s.count), errno)
				return false
			} else if errno != 0 {
				b.lose(d, e.to, 1, errno)
			}
			s.count--
		}
	}
	return true
}

// full tells the errors that mean that there is no room for any datagram now.
func full(errno unix.Errno) bool { return errno == unix.EAGAIN || errno == unix.ENOBUFS }

// refusesTrain tells the errors by which a train is refused whose datagrams may well go one by one.
func refusesTrain(errno unix.Errno) bool {
	return errno == unix.EINVAL || errno == unix.EMSGSIZE || errno == unix.EIO
}

// loseRest drops what is left of d's list.
func (b *Batcher) loseRest(d *Datagrams, next int32) {
	for ; next != none; next = b.out.queue[next].next {
		b.lose(d, b.out.queue[next].to, int(b.out.queue[next].count), unix.EAGAIN)
	}
}

// loseSpans drops messages i to n.
func (b *Batcher) loseSpans(d *Datagrams, i, n int, errno unix.Errno) {
	for _, s := range b.out.spans[i:n] {
		b.lose(d, b.out.queue[s.first].to, int(s.count), errno)
	}
}

// lose counts n datagrams that could not be sent, and notes that the owner is to be told.
func (b *Batcher) lose(d *Datagrams, to netip.AddrPort, n int, errno unix.Errno) {
	d.lost += uint32(n)
	if d.losses == nil {
		return
	}
	if last := len(b.out.losses) - 1; last >= 0 {
		if l := &b.out.losses[last]; l.d == d && l.gen == d.gen && l.to == to && l.err == errno {
			l.n += n
			return
		}
	}
	if len(b.out.losses) < outboxSize {
		b.out.losses = append(b.out.losses, loss{d: d, gen: d.gen, to: to, n: n, err: errno})
	}
}

// sendMessages gives messages to the kernel, and returns how many it took: at least one when there is no error.
func sendMessages(fd int32, messages []mmsghdr) (int, unix.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])),
			uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
