package eventloop

import (
	"errors"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

var (
	// ErrAgain says that there is nothing to read now; the stream's Handler is told when there may be.
	ErrAgain = errors.New("no bytes to read yet")
	// ErrClosed is returned by calls on a stream that was closed.
	ErrClosed = errors.New("stream is closed")
	// ErrPeekFull is returned by Fill when as many bytes are held as were asked for at most.
	ErrPeekFull = errors.New("peek limit reached")
	// ErrPanicked ends what a panic in a handler or callback has left in an unknown state.
	ErrPanicked = errors.New("handler panicked")
)

// States of a TCP connection in which the peer has not sent its end (linux/tcp_states.h).
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpFinWait2    = 5
)

// keepalive notices a peer that vanished without a word: probes after 60 s of silence, 10 s apart, six of them.
var keepalive = [...]struct{ level, option, value int }{
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 6},
}

// Handler is told that a stream may have made progress: bytes or the end can be read, or room to write has come back.
// It is a hint; Read and Buffered tell what is so.
type Handler interface {
	Ready(s *Stream)
}

// Owner is told once, after a stream that was handed on was closed, by whomever.
type Owner interface {
	Closed(s *Stream)
}

// Stream is one connection, accepted or dialled, plain or TLS, on its loop. It is meant to be embedded in the object that
// represents the connection, so that a connection costs one allocation; its zero value is ready for Open or Dial.
type Stream struct {
	loop    *Loop
	handler Handler
	owner   Owner
	dialer  Dialer    // only while connecting
	tls     *tlsState // nil for plain bytes
	peer    Peer      // of a virtual stream; nil where there is a descriptor
	in      []byte    // read and not yet consumed; a buffer only while something is held
	out     []byte    // accepted by Write and refused by the socket so far
	remote  netip.AddrPort
	failed  error // first error of a write; reading reports it once what was received is read
	fd      int32
	gen     uint32 // counts the lives of this object, so that late news of an earlier life is told apart
	outDone int32  // bytes of out that are written
	flags
}

type flags struct {
	open       bool
	connecting bool
	readable   bool // the descriptor may have something to read
	writable   bool // the descriptor may take bytes
	hangup     bool // the peer has sent its end, or urgent data: a short read does not mean that all is read
	errored    bool // the socket reported an error, which reading may hide behind an end
	broken     bool // the poller reported an error or that both directions are over
	ended      bool // the end was read
	finish     bool // CloseWrite was called
	finished   bool // and the end is sent
	wrote      bool // a first write went out
	noDelay    bool // TCP_NODELAY is set
	reset      bool // Reset was called
	leading    bool // what out holds waits for what is written next
	tellsRoom  bool // the descriptor is registered for writing too
}

// Open starts the life of a stream on an accepted, non-blocking descriptor, which the stream owns from now on.
func (s *Stream) Open(l *Loop, fd int, remote netip.AddrPort, h Handler) error {
	s.begin(l, fd, remote, h)
	s.writable, s.noDelay = true, true // the listening socket passes NODELAY on
	if err := l.watchReads(fd, s); err != nil {
		s.Close()
		return err
	}
	return nil
}

func (s *Stream) begin(l *Loop, fd int, remote netip.AddrPort, h Handler) {
	*s = Stream{loop: l, handler: h, remote: remote, fd: int32(fd), gen: s.gen + 1, flags: flags{open: true}}
}

// Loop is the loop the stream lives on.
func (s *Stream) Loop() *Loop { return s.loop }

// Remote is the peer's address as the kernel gave it.
func (s *Stream) Remote() netip.AddrPort { return s.remote }

// SetRemote replaces what Remote answers, when somebody trusted has said who the peer really is.
func (s *Stream) SetRemote(addr netip.AddrPort) { s.remote = addr }

// Gone reports whether the connection is over in both directions, without reading what may still be there. It is for
// those who wait for something else meanwhile.
func (s *Stream) Gone() bool {
	return !s.open || s.broken && s.loop.addr.peerName(int(s.fd)) != nil // the event may have been a stale one
}

// PeerLeft reports whether the peer has sent its end or is gone, whatever of what it sent is still to be read. It is for
// those who would rather stop working for a peer that does not wait for the result.
func (s *Stream) PeerLeft() bool {
	if !s.open || s.failed != nil {
		return true
	}
	if s.peer != nil || !s.hangup && !s.ended {
		return false // the end of a virtual stream is that of what it says, and it still listens
	}
	info, err := unix.GetsockoptTCPInfo(int(s.fd), unix.IPPROTO_TCP, unix.TCP_INFO) // the event may have been a stale one
	if err != nil {                                                                 // not TCP
		n, err := s.peek()
		return n == 0 && err == nil
	}
	return info.State != tcpEstablished && info.State != tcpFinWait1 && info.State != tcpFinWait2
}

// peek tells whether a byte is there to read: 0 without an error is the end.
func (s *Stream) peek() (int, error) {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(s.fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, err
}

// Quiet reports whether the connection stands and has nothing to read, not even its end. It costs a system call.
func (s *Stream) Quiet() bool {
	if !s.open || s.failed != nil || s.ended || len(s.in) > 0 {
		return false
	}
	_, err := s.peek()
	return err == unix.EAGAIN
}

// Local asks the kernel for the address of this end: what the client called. A virtual stream has none.
func (s *Stream) Local() netip.AddrPort {
	if !s.open || s.peer != nil || s.loop.addr.localName(int(s.fd)) != nil {
		return netip.AddrPort{}
	}
	return s.loop.addr.addrPort()
}

// IsOpen reports whether the stream is open or still connecting.
func (s *Stream) IsOpen() bool { return s.open }

// SetHandler sends readiness to h from now on. What was ready before is not told again.
func (s *Stream) SetHandler(h Handler) { s.handler = h }

// SetOwner makes o learn of the end of the stream.
func (s *Stream) SetOwner(o Owner) { s.owner = o }

// event turns the poller's flags into hints and passes them on.
func (s *Stream) event(events uint32) {
	const out = unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR
	if s.connecting {
		s.connectEvent(events)
		return
	}
	if s.hint(events) && s.tls != nil {
		s.tls.arrived()
	}
	if events&out != 0 {
		s.writable = true
		if len(s.out) > 0 {
			s.flush()
		}
	}
	if events&unix.EPOLLERR != 0 && s.ended {
		s.fetchError()
	}
	if s.open && s.handler != nil {
		s.handler.Ready(s)
	}
}

// hint notes what an event says about reading, and reports whether it says anything. A read stops short before urgent
// data too, with more behind it, and no further event would tell.
func (s *Stream) hint(events uint32) bool {
	const early = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR | unix.EPOLLPRI
	if events&(unix.EPOLLIN|early) == 0 {
		return false
	}
	s.readable = true
	s.hangup = s.hangup || events&early != 0
	s.broken = s.broken || events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
	s.errored = s.errored || events&unix.EPOLLERR != 0
	return true
}

// fetchError notices the reset of a peer that had sent its end before: reading would not tell any more.
func (s *Stream) fetchError() {
	if code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
		s.fail(unix.Errno(code))
	}
}

// Peeked is what Fill has read and nobody has consumed. It stays valid until the next call on the stream.
func (s *Stream) Peeked() []byte { return s.in }

// Consume drops the first n held bytes.
func (s *Stream) Consume(n int) {
	s.in = s.in[:copy(s.in, s.in[n:])]
	if len(s.in) == 0 {
		s.dropIn()
	}
	if s.peer != nil && n > 0 {
		s.peer.Consumed(n)
	}
}

func (s *Stream) dropIn() {
	if s.in != nil {
		s.loop.buffers.put(s.in)
		s.in = nil
	}
}

// Fill reads once and holds what came, up to limit bytes in all. It returns ErrAgain when nothing has arrived, io.EOF at
// the end, ErrPeekFull when limit bytes are held already.
func (s *Stream) Fill(limit int) error {
	if len(s.in) >= limit {
		return ErrPeekFull
	}
	if len(s.in) == cap(s.in) {
		// Only what is full grows: a peer that sends a little and falls silent holds the small buffer, not a large one.
		s.in = s.loop.buffers.grow(s.in, min(limit-len(s.in), smallBuffer))
	}
	room := min(limit, cap(s.in)) - len(s.in)
	n, err := s.receive(s.in[len(s.in) : len(s.in)+room])
	s.in = s.in[:len(s.in)+n]
	if len(s.in) == 0 {
		s.dropIn() // an idle connection holds no buffer
	}
	return err
}

// Receive reads once and returns all there is: what was held before, and up to limit bytes with what has come since. It
// spares the buffer that Fill takes: where nothing was held, the bytes are in the loop's shared buffer, and gone with the
// next call on any stream of the loop. The caller says by Hold what is to be seen again. The errors are those of Fill.
func (s *Stream) Receive(limit int) ([]byte, error) {
	if len(s.in) > 0 {
		err := s.Fill(limit)
		return s.in, err
	}
	n, err := s.receive(s.loop.buf[:min(limit, len(s.loop.buf))])
	return s.loop.buf[:n], err
}

// Hold keeps b, the end of what Receive has just returned, to be seen again before what comes next; the rest is dropped.
func (s *Stream) Hold(b []byte) {
	if len(s.in) > 0 {
		s.Consume(len(s.in) - len(b))
		return
	}
	if len(b) > 0 {
		s.in = append(s.loop.buffers.get(len(b)), b...)
	}
}

// Read takes held bytes first, then reads. It returns ErrAgain when nothing has arrived and io.EOF at the end; TLS bytes
// come decrypted, and the end is io.ErrUnexpectedEOF where the peer has not said by close_notify that it ends.
func (s *Stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // the system answers 0 here as it does at the end
	}
	if len(s.in) > 0 {
		n := copy(p, s.in)
		s.Consume(n)
		return n, nil
	}
	return s.receive(p)
}

func (s *Stream) receive(p []byte) (int, error) {
	switch {
	case s.tls != nil:
		return s.tls.read(p)
	case s.peer != nil:
		return s.receiveVirtual()
	}
	return s.receiveRaw(p)
}

// receiveRaw reads the descriptor once. A short read means that it is drained, which saves the read that says EAGAIN.
func (s *Stream) receiveRaw(p []byte) (int, error) {
	if !s.open {
		return 0, ErrClosed
	}
	if s.ended {
		return 0, io.EOF
	}
	if !s.readable {
		return 0, s.again()
	}
	for {
		n, err := recv(int(s.fd), p)
		switch {
		case n > 0:
			s.readable = n == len(p) || s.hangup
			return n, nil
		case err == nil:
			s.end()
			return 0, io.EOF
		case err == unix.EAGAIN:
			s.readable = false
			return 0, s.again()
		case err != unix.EINTR:
			return 0, err
		}
	}
}

// end notes that the peer's end was read. A reset that came right after it is fetched, because Linux answers every
// further read with the end and never with the error.
func (s *Stream) end() {
	s.ended = true
	if s.errored {
		s.fetchError()
	}
}

func (s *Stream) again() error {
	if s.failed != nil {
		return s.failed
	}
	return ErrAgain
}

// MayRead reports whether a read has a chance to bring something, an end or an error included. False means that it would
// say ErrAgain; true costs a read to be sure of.
func (s *Stream) MayRead() bool {
	switch {
	case s.tls != nil:
		return s.tls.more
	case s.peer != nil:
		return len(s.in) > 0 || s.ended || s.failed != nil
	}
	return s.readable
}

// Write sends p, keeping what the socket refuses; it never writes short. The caller bounds what is kept by not writing
// while Buffered is above its mark. An error means that the peer cannot be reached any more.
func (s *Stream) Write(p []byte) error {
	if !s.open || s.finish {
		return ErrClosed
	}
	if s.tls != nil {
		return s.tls.write(p)
	}
	return s.send(p)
}

// Lead has p go out in front of what is written next, with it where the socket takes both: one segment and one wake-up of
// the peer less. Nothing may be buffered. Push sends it alone when nothing comes.
func (s *Stream) Lead(p []byte) {
	if s.open && s.failed == nil {
		s.keep(p)
		s.leading = true
	}
}

// Push sends what Lead was given if nothing has been written since.
func (s *Stream) Push() {
	if s.leading {
		s.flush()
	}
}

// send writes p to the descriptor and keeps the rest.
func (s *Stream) send(p []byte) error {
	if s.failed != nil {
		return s.failed
	}
	if s.leading {
		s.keep(p)
		s.flush()
		return s.failed
	}
	n := 0
	if len(s.out) == 0 && s.writable {
		var err error
		if n, err = s.write(p); err != nil {
			return err
		}
	}
	if n < len(p) {
		s.keep(p[n:])
	}
	return nil
}

// keep holds p for later. The room of what is written already is used again once it is the larger part, or a writer that
// always stays a little ahead of the socket would make the buffer grow for ever.
func (s *Stream) keep(p []byte) {
	if cap(s.out)-len(s.out) < len(p) && int(s.outDone) >= len(s.out)/2 {
		s.out = s.out[:copy(s.out, s.out[s.outDone:])]
		s.outDone = 0
	}
	s.out = append(s.loop.buffers.grow(s.out, len(p)), p...)
}

// write offers p to the socket once. A short count means that it is full for now.
func (s *Stream) write(p []byte) (int, error) {
	if s.peer != nil {
		return s.takeVirtual(p), nil
	}
	s.beforeWrite()
	for {
		n, err := send(int(s.fd), p)
		switch {
		case err == nil:
			if n < len(p) {
				s.full()
			}
			return n, nil
		case err == unix.EAGAIN:
			s.full()
			return 0, nil
		case err != unix.EINTR:
			s.fail(err)
			return 0, err
		}
	}
}

// full notes that the socket takes nothing now; an event tells when it does again. An accepted connection is registered for
// that the first time it is so: most never get there.
func (s *Stream) full() {
	s.writable = false
	if !s.tellsRoom {
		s.Again()
	}
}

// beforeWrite turns Nagle's algorithm off when a dialled connection is written to for the second time: the first write
// is never delayed, so connections that send once are spared the system call.
func (s *Stream) beforeWrite() {
	if s.noDelay {
		return
	}
	if s.wrote {
		s.noDelay = true
		_ = unix.SetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // without it the bytes still flow, later
	}
	s.wrote = true
}

// fail keeps the first error of a write. What the peer said before it went may still be here: a server that refuses a large
// request answers, closes, and its reset comes before the news of its answer.
func (s *Stream) fail(err error) {
	if s.failed == nil {
		s.failed = err
	}
	s.readable, s.hangup = true, true
}

// flush writes kept bytes, and the end after them when CloseWrite asked for it.
func (s *Stream) flush() {
	s.leading = false
	for s.writable && int(s.outDone) < len(s.out) {
		n, err := s.write(s.out[s.outDone:])
		if err != nil {
			s.dropOut()
			return
		}
		s.outDone += int32(n)
	}
	if int(s.outDone) == len(s.out) {
		s.dropOut()
		if s.finish {
			s.sendEnd()
		}
	}
}

func (s *Stream) dropOut() {
	s.leading = false
	if s.out != nil {
		s.loop.buffers.put(s.out)
		s.out, s.outDone = nil, 0
	}
}

// Buffered is how many bytes Write has accepted and the socket not yet taken.
func (s *Stream) Buffered() int { return len(s.out) - int(s.outDone) }

// unsent is how many bytes the peer has not confirmed yet, those in the kernel included.
func (s *Stream) unsent() int {
	if s.peer != nil {
		return s.Buffered()
	}
	queued, err := unix.IoctlGetInt(int(s.fd), unix.SIOCOUTQ)
	if err != nil || !s.open {
		return 0
	}
	return s.Buffered() + queued
}

// HasRoom reports whether a write is likely to go out at once: nothing is buffered, and the socket takes bytes. Whoever
// moves bytes here reads only while there is room; the Handler is told when it has come back.
func (s *Stream) HasRoom() bool { return s.writable && (len(s.out) == 0 || s.leading) }

// Again has the Handler told once more, behind everybody else on the loop, as long as there is room to write. It is for
// those who have had their share of a turn.
func (s *Stream) Again() {
	if s.peer != nil {
		s.notifyLater()
		return
	}
	s.tellsRoom = true
	s.loop.again(int(s.fd))
}

// Failed is the error of an earlier write, nil while all is well.
func (s *Stream) Failed() error { return s.failed }

// CloseWrite sends the end after everything written so far, and leaves reading open. TLS says close_notify first.
func (s *Stream) CloseWrite() error {
	if !s.open {
		return ErrClosed
	}
	if s.finish {
		return nil
	}
	if s.tls != nil {
		s.tls.closeWrite()
	}
	s.finish = true
	s.Push()
	if len(s.out) == 0 {
		s.sendEnd()
	}
	return s.failed
}

func (s *Stream) sendEnd() {
	if s.finished || s.failed != nil {
		return
	}
	s.finished = true
	if s.peer != nil {
		s.peer.Finished()
		return
	}
	if err := unix.Shutdown(int(s.fd), unix.SHUT_WR); err != nil {
		s.fail(err)
	}
}

// Close closes the stream at once; what was buffered and not yet sent is dropped. Closing twice is fine.
func (s *Stream) Close() {
	if !s.open {
		return
	}
	s.open = false
	s.gen++
	s.dropIn()
	s.dropOut()
	if s.tls != nil {
		s.tls.close()
		s.tls = nil
	}
	s.handler, s.dialer = nil, nil
	if p := s.peer; p != nil {
		s.peer = nil
		p.Closed(s.reset)
	} else {
		s.loop.forget(int(s.fd))
	}
	if o := s.owner; o != nil {
		s.owner = nil
		o.Closed(s)
	}
}

// Reset closes the stream with a TCP reset, so that the peer learns that the connection did not end well.
func (s *Stream) Reset() {
	if s.reset = true; s.open && s.peer == nil {
		_ = unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // then a plain close
	}
	s.Close()
}

// Revoke closes the stream, with a reset, away from its Handler, which is told once more: reading then says ErrClosed. It
// is for those who end what somebody else holds.
func (s *Stream) Revoke() {
	h := s.handler
	s.Reset()
	if h != nil {
		h.Ready(s)
	}
}

// KeepAlive turns TCP keepalive on, for a connection that has shown itself long-lived.
func (s *Stream) KeepAlive() {
	if !s.open || s.peer != nil {
		return
	}
	for _, o := range keepalive {
		_ = unix.SetsockoptInt(int(s.fd), o.level, o.option, o.value) // without it a vanished peer is noticed by idle deadlines
	}
}

// abandon closes a stream whose handler panicked, whatever state its owner is in.
func (s *Stream) abandon() {
	defer func() { _ = recover() }() // the first panic is logged; the owner may be broken enough to panic again
	if r, ok := s.handler.(*Relay); ok {
		r.Stop(ErrPanicked, true) // the other side of a relay has no one else to end it
	}
	s.failed = ErrPanicked
	s.Reset()
}
