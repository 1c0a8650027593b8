package eventloop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxHandshakeBytes = 64 << 10  // what a peer may send ahead while a handshake goes on
	maxUnasked        = 32 << 10  // answers to its KeyUpdates that a peer may leave unread
	sealKept          = 256 << 10 // a larger gathering of records goes to the garbage collector
)

// ErrHandshakes is returned by StartTLS when as many handshakes are under way as the gate admits.
var ErrHandshakes = errors.New("too many TLS handshakes at once")

// ErrHandshaking is returned by Write while a TLS handshake goes on.
var ErrHandshaking = errors.New("TLS handshake is not over")

var errUnasked = errors.New("peer asks for new TLS keys and does not read them")

// Gate bounds TLS handshakes: how many are under way, and how many of them compute at the same time, so that a flood of
// them cannot take the processors from the loops. It is shared by all loops and safe from any goroutine.
type Gate struct {
	slots   chan struct{}
	pending atomic.Int64
	limit   int64
}

// defaultPending is how many handshakes a gate admits per computing one. It is about what a loop has connections for: a
// lower bound would let a crowd that stalls in its handshakes keep everybody else out.
const defaultPending = 4096

// NewGate lets `computing` handshakes compute at once, at least one.
func NewGate(computing int) *Gate {
	computing = max(computing, 1)
	return &Gate{slots: make(chan struct{}, computing), limit: int64(computing) * defaultPending}
}

func (g *Gate) admit() bool {
	if g.pending.Add(1) > g.limit {
		g.pending.Add(-1)
		return false
	}
	return true
}

func (g *Gate) enter() { g.slots <- struct{}{} }
func (g *Gate) leave() { <-g.slots }

// Pending is how many handshakes are under way.
func (g *Gate) Pending() int64 { return g.pending.Load() }

// SecureHandler learns how a TLS handshake ended.
type SecureHandler interface {
	// Secured is called on the loop. With a nil error Read and Write carry plaintext from now on; otherwise the peer was
	// told by an alert where TLS has one, and the stream is still open for its owner to close.
	Secured(s *Stream, err error)
}

// tlsState drives crypto/tls without blocking the loop. The handshake, which computes for long and wants to block, runs
// on a goroutine over bytes the loop brings and takes. Afterwards the loop owns the tls.Conn: reading the descriptor
// says "timeout" where it would block, which crypto/tls documents as recoverable, and writing never fails short.
type tlsState struct {
	s      *Stream // the loop's only: its object may serve another connection before the handshake's goroutine is done
	loop   *Loop
	remote net.Addr
	conn   *tls.Conn
	more   bool // reading may bring bytes: from the descriptor or from inside conn

	handshaking bool // the loop's view: bytes go through inbox and outbox
	cutOff      bool // the connection has ended; crypto/tls asks for more only while the peer has not said that it ends
	sealing     bool // records are gathered in the loop's scratch, to leave in one write
	unasked     int  // bytes crypto/tls has sent by itself since the socket last took everything

	mu      sync.Mutex // guards what follows while the handshake goroutine runs
	inbox   []byte
	outbox  []byte
	err     error         // why no more bytes will come
	arrival chan struct{} // signals inbox or err to the goroutine; holds one
	posted  bool          // a flush of outbox is on its way to the loop
	full    bool          // the loop stopped reading because of inbox, and has to be asked to go on
	settled atomic.Bool   // the loop has taken over
}

// StartTLS begins a TLS handshake over the stream: what was peeked is its first bytes. conn makes the tls.Conn, server or
// client, over the connection it is given. Until h is told, reading answers ErrAgain and Write ErrHandshaking. The caller
// bounds the handshake by a timer and Close.
func (s *Stream) StartTLS(conn func(net.Conn) *tls.Conn, h SecureHandler) error {
	t := &tlsState{
		s:           s,
		loop:        s.loop,
		remote:      net.TCPAddrFromAddrPort(s.remote),
		handshaking: true,
		arrival:     make(chan struct{}, 1),
	}
	t.conn = conn(t)
	if !s.loop.gate.admit() {
		return ErrHandshakes
	}
	t.inbox = append(t.inbox, s.in...)
	s.dropIn()
	s.tls = t
	t.arrived()
	go t.handshake(s.gen, h)
	return nil
}

// handshake runs on its own goroutine and touches the stream only by posting to its loop.
func (t *tlsState) handshake(gen uint32, h SecureHandler) {
	err := t.shakeHands()
	_ = t.loop.Post(func() { // fails only when the loop is gone, and the stream with it
		if t.s.gen == gen && t.s.open {
			t.settle(err)
			h.Secured(t.s, err)
		}
	})
}

// shakeHands computes in its turn. A panic, in a callback of the configuration for one, fails this handshake only.
func (t *tlsState) shakeHands() (err error) {
	g := t.loop.gate
	g.enter()
	defer func() {
		g.leave()
		g.pending.Add(-1)
		if cause := recover(); cause != nil {
			t.loop.panicked(cause)
			err = ErrPanicked
		}
	}()
	return t.conn.HandshakeContext(context.Background())
}

// settle hands the connection from the handshake's goroutine, which is done with it, to the loop.
func (t *tlsState) settle(err error) {
	t.flushOutbox()
	t.handshaking = false
	t.settled.Store(true)
	t.more = err == nil
}

// arrived is told by the loop that the descriptor may have something to read.
func (t *tlsState) arrived() {
	t.more = true
	if !t.handshaking {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.err == nil && len(t.inbox) < maxHandshakeBytes {
		n, err := t.s.receiveRaw(t.s.loop.buf[:maxHandshakeBytes-len(t.inbox)])
		t.inbox = append(t.inbox, t.s.loop.buf[:n]...)
		if err == ErrAgain {
			break
		}
		t.err = err
	}
	t.full = len(t.inbox) >= maxHandshakeBytes
	t.signal()
}

// refill goes on reading after the goroutine has used up a full inbox: the descriptor will not be reported again.
func (t *tlsState) refill() {
	if t.s.tls == t && t.handshaking {
		t.arrived()
	}
}

func (t *tlsState) signal() {
	select {
	case t.arrival <- struct{}{}:
	default:
	}
}

// read decrypts into p, as many records as fit and are there.
func (t *tlsState) read(p []byte) (int, error) {
	if t.handshaking {
		return 0, ErrAgain // inside conn the loop would wait for the handshake
	}
	n := 0
	for n < len(p) {
		m, err := t.conn.Read(p[n:])
		n += m
		if err == nil {
			continue
		}
		t.more = false
		if n > 0 {
			t.more = !errors.Is(err, errWouldBlock) // any other error is sticky: the next read reports it
			return n, nil
		}
		if errors.Is(err, errWouldBlock) {
			return 0, t.s.again()
		}
		t.s.ended = ended(err)
		if err == io.EOF && t.cutOff {
			err = io.ErrUnexpectedEOF // between records crypto/tls makes no difference
		}
		return 0, err
	}
	return n, nil
}

// write encrypts p; the records leave in one write.
func (t *tlsState) write(p []byte) error {
	if t.handshaking {
		return ErrHandshaking
	}
	l := t.loop
	l.seal, t.sealing = l.seal[:0], true
	_, err := t.conn.Write(p)
	t.sealing = false
	if err != nil {
		t.s.fail(err)
		return err
	}
	err = t.s.send(l.seal)
	if cap(l.seal) > sealKept {
		l.seal = nil
	}
	return err
}

func (t *tlsState) closeWrite() {
	if !t.handshaking {
		_ = t.conn.CloseWrite() // says close_notify by way of Write below; errors stay with the stream
	}
}

// close ends a handshake that may still be waiting for bytes.
func (t *tlsState) close() {
	if !t.handshaking {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = net.ErrClosed
	t.inbox = nil
	t.signal()
}

// State is what the handshake agreed on. ok is false for a plain stream or before the handshake is over.
func (s *Stream) State() (state tls.ConnectionState, ok bool) {
	if s.tls == nil || s.tls.handshaking {
		return state, false
	}
	return s.tls.conn.ConnectionState(), true
}

// wouldBlock is the net.Error that makes crypto/tls keep a partial record and try again later.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "no bytes to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

// Read is what crypto/tls reads from: the inbox, then, on the loop, the descriptor.
func (t *tlsState) Read(p []byte) (int, error) {
	if !t.settled.Load() {
		return t.readInbox(p)
	}
	if len(t.inbox) > 0 {
		return t.take(p), nil
	}
	if t.unasked > maxUnasked {
		return 0, errUnasked
	}
	if t.err != nil {
		t.cutOff = t.err == io.EOF
		return 0, t.err
	}
	n, err := t.s.receiveRaw(p)
	if err == ErrAgain {
		return 0, errWouldBlock
	}
	t.cutOff = err == io.EOF
	return n, err
}

// take moves bytes from the inbox to p. An empty inbox holds no memory: connections outlive their handshake by far.
func (t *tlsState) take(p []byte) int {
	n := copy(p, t.inbox)
	if t.inbox = t.inbox[n:]; len(t.inbox) == 0 {
		t.inbox = nil
	}
	return n
}

// readInbox waits for bytes from the loop; while it waits it computes nothing and gives its slot to another handshake.
func (t *tlsState) readInbox(p []byte) (int, error) {
	for {
		t.mu.Lock()
		n, err, full := t.take(p), t.err, t.full
		t.full = full && n > 0
		t.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if full {
			_ = t.loop.Post(t.refill) // fails only when the loop is gone
		}
		t.loop.gate.leave()
		<-t.arrival
		t.loop.gate.enter()
	}
}

// Write is what crypto/tls writes to. It never fails short: errors are kept with the stream.
func (t *tlsState) Write(p []byte) (int, error) {
	switch {
	case !t.settled.Load():
		t.writeOutbox(p)
	case t.sealing:
		t.loop.seal = append(t.loop.seal, p...)
	default:
		t.unasked += len(p)
		_ = t.s.send(p)
		if t.s.Buffered() == 0 {
			t.unasked = 0
		}
	}
	return len(p), nil
}

// writeOutbox leaves a flight for the loop to send.
func (t *tlsState) writeOutbox(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outbox = append(t.outbox, p...)
	if t.posted {
		return
	}
	t.posted = true
	_ = t.loop.Post(t.flushOutbox) // fails only when the loop is gone
}

func (t *tlsState) flushOutbox() {
	t.mu.Lock()
	out := t.outbox
	t.outbox, t.posted = nil, false
	t.mu.Unlock()
	if len(out) > 0 && t.s.tls == t && t.s.open {
		_ = t.s.send(out) // an error stays with the stream and ends the handshake's wait for an answer
	}
}

// The rest of net.Conn. Deadlines are timers of the loop.

func (t *tlsState) Close() error                     { return nil }
func (t *tlsState) LocalAddr() net.Addr              { return nil }
func (t *tlsState) RemoteAddr() net.Addr             { return t.remote }
func (t *tlsState) SetDeadline(time.Time) error      { return nil }
func (t *tlsState) SetReadDeadline(time.Time) error  { return nil }
func (t *tlsState) SetWriteDeadline(time.Time) error { return nil }

var _ io.ReadWriter = (*tlsState)(nil)
