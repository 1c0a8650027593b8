package eventloop

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// readBufferSize is the size of the one buffer through which a loop moves short transfers. It bounds what one read can
// bring, and so what one stream can leave over when its peer is slow.
const readBufferSize = 64 << 10

// ErrLoopClosed is returned by Post once the loop has ended.
var ErrLoopClosed = errors.New("event loop is closed")

// watcher is what a descriptor's events go to: a stream, a listener or the loop's timer.
type watcher interface {
	event(events uint32)
}

// Loop is one event loop: a goroutine, its poller, and everything registered there.
type Loop struct {
	id     int
	log    *slog.Logger
	poller *netpoll.Poller
	epoll  int   // its descriptor
	gate   *Gate // bounds the CPU that TLS handshakes take from the loops

	// Everything below is the loop goroutine's own.
	watchers    []watcher // by descriptor
	buf         []byte    // shared read buffer; its content never outlives one event
	seal        []byte    // shared scratch that gathers TLS records before one write
	addr        rawAddr   // scratch for system calls that fill in an address
	tasks       tasks
	buffers     bufferPool
	pipes       pipePool
	timers      timers
	shed        func() bool // see SetShed; nil = there is nothing to spare
	ready       int         // events in this turn
	batcher     *Batcher    // ends a turn; nil when the loop has no datagrams
	enders      []TurnEnder
	spareEnders []TurnEnder // memory for the next ones

	panics atomic.Int64 // events whose handler panicked; such a descriptor is closed
	done   chan struct{}

	mu      sync.RWMutex // held shared while posting, so that the poller is not closed under a post
	started bool         // Run has begun
	closed  bool         // Close was called or Run has ended: posts are refused
}

// New opens a loop that is not running yet. id names it in logs. gate may be shared between loops; nil gives the loop a
// gate of its own. The caller must call Run or Close.
func New(id int, gate *Gate, log *slog.Logger) (*Loop, error) {
	poller, err := netpoll.OpenPoller()
	if err != nil {
		return nil, fmt.Errorf("loop %d: open poller: %w", id, err)
	}
	if gate == nil {
		gate = NewGate(1)
	}
	l := &Loop{
		id:     id,
		log:    log,
		poller: poller,
		gate:   gate,
		buf:    make([]byte, readBufferSize),
		done:   make(chan struct{}),
	}
	if err := l.open(); err != nil {
		_ = poller.Close()
		return nil, fmt.Errorf("loop %d: %w", id, err)
	}
	return l, nil
}

func (l *Loop) open() (err error) {
	if l.epoll, err = descriptorOf(l.poller); err != nil {
		return err
	}
	if err := l.tasks.open(l); err != nil {
		return err
	}
	if err := l.timers.open(l); err != nil {
		l.tasks.close()
		return err
	}
	return nil
}

// ID is the number the loop was opened with.
func (l *Loop) ID() int { return l.id }

// Panics counts the events whose handler panicked since the loop started. Safe from any goroutine.
func (l *Loop) Panics() int64 { return l.panics.Load() }

// Run serves events until Close. It returns once every task posted before Close has run and the poller is closed.
func (l *Loop) Run() error {
	l.mu.Lock()
	if l.started || l.closed {
		l.mu.Unlock()
		return nil
	}
	l.started = true
	l.mu.Unlock()

	err := l.poll()
	l.mu.Lock()
	l.closed = true
	l.release()
	l.mu.Unlock()
	if err == nil {
		return nil
	}
	return fmt.Errorf("loop %d: poll: %w", l.id, err)
}

// release gives the loop's own descriptors back. mu is held: a post must not write to a number that is somebody else's.
func (l *Loop) release() {
	l.timers.close()
	l.tasks.close()
	l.pipes.close()
	_ = l.poller.Close()
	close(l.done)
}

// Post runs task on the loop, soon and in the order posted. Safe from any goroutine, the loop's own included. A task is
// refused once Close was called; one that was taken runs, unless the loop never does.
func (l *Loop) Post(task func()) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrLoopClosed
	}
	return l.tasks.push(task)
}

func (l *Loop) runTask(task func()) {
	defer l.rescue(-1)
	task()
}

// Call runs task on the loop and waits for it. It must not be called on the loop itself.
func (l *Loop) Call(task func()) error {
	finished := make(chan struct{})
	if err := l.Post(func() { defer close(finished); task() }); err != nil {
		return err
	}
	select {
	case <-finished:
		return nil
	case <-l.done:
	}
	select {
	case <-finished: // it was the last one before the end
		return nil
	default:
		return ErrLoopClosed
	}
}

// Close ends Run. Streams still open on the loop are not told; their owner closes them first. Safe from any goroutine.
func (l *Loop) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if !l.started {
		l.release()
		return nil
	}
	return l.tasks.push(nil)
}

// Done is closed when the loop has ended: Run is about to return, or Close was called before Run.
func (l *Loop) Done() <-chan struct{} { return l.done }

// dispatch hands one event to the descriptor's watcher.
func (l *Loop) dispatch(fd int, events uint32) {
	defer l.rescue(fd)
	if fd < len(l.watchers) {
		if w := l.watchers[fd]; w != nil {
			w.event(events)
		}
	}
}

// rescue keeps one connection's bug from ending everybody's loop: the panic is counted and logged, its stream closed.
func (l *Loop) rescue(fd int) {
	cause := recover()
	if cause == nil {
		return
	}
	l.panicked(cause)
	l.abandon(fd)
}

// panicked counts and logs a panic. Safe from any goroutine.
func (l *Loop) panicked(cause any) {
	l.panics.Add(1)
	l.log.Error("event handler panicked; the connection is closed", "loop", l.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// abandon closes the stream on fd and reports whether there was one.
func (l *Loop) abandon(fd int) bool {
	if fd < 0 || fd >= len(l.watchers) {
		return false
	}
	s, ok := l.watchers[fd].(*Stream)
	if ok {
		s.abandon()
	}
	return ok
}

// watch registers fd edge-triggered, for reading and writing, and sends its events to w.
func (l *Loop) watch(fd int, w watcher) error {
	l.setWatcher(fd, w)
	if err := l.poller.AddReadWrite(&netpoll.PollAttachment{FD: fd}, true); err != nil {
		l.watchers[fd] = nil
		return err
	}
	return nil
}

// watchLevel registers fd for reading, level-triggered: an event repeats until there is nothing left to read.
func (l *Loop) watchLevel(fd int, w watcher) error {
	l.setWatcher(fd, w)
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: fd}, false); err != nil {
		l.watchers[fd] = nil
		return err
	}
	return nil
}

// watchReads registers fd edge-triggered and for reading only. An accepted connection would be an event of writing at once, and
// so would each datagram that the interface has sent.
func (l *Loop) watchReads(fd int, w watcher) error {
	l.setWatcher(fd, w)
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: fd}, true); err != nil {
		l.watchers[fd] = nil
		return err
	}
	return nil
}

// unwatch removes fd from the poller while it stays open.
func (l *Loop) unwatch(fd int) {
	l.watchers[fd] = nil
	_ = l.poller.Delete(fd) // fails only if fd is not registered, which is what is wanted
}

// again asks for another event of an edge-triggered fd that is still ready, behind those of everybody else.
func (l *Loop) again(fd int) {
	_ = l.poller.ModReadWrite(&netpoll.PollAttachment{FD: fd}, true) // fails only for a descriptor that is not registered
}

// againReads is again for what is registered for reading only.
func (l *Loop) againReads(fd int) {
	_ = l.poller.ModRead(&netpoll.PollAttachment{FD: fd}, true)
}

// forget drops the watcher and closes the descriptor, which also removes it from the poller: no duplicates exist.
func (l *Loop) forget(fd int) {
	l.watchers[fd] = nil
	closeFD(fd) // on Linux the descriptor is gone whatever close says
}

// Discard closes an accepted descriptor that nobody wants.
func (l *Loop) Discard(fd int) { _ = unix.Close(fd) }

// SetShed has the loop call shed when the process has no descriptor left for a connection that comes or is to be made: it
// closes one that can be spared, such as an idle one, and reports whether there was one. On the loop only.
func (l *Loop) SetShed(shed func() bool) { l.shed = shed }

// relieved reports whether an error says that there are no descriptors, and one has been given back meanwhile.
func (l *Loop) relieved(err error) bool {
	return (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && l.shed != nil && l.shed()
}

func (l *Loop) setWatcher(fd int, w watcher) {
	for fd >= len(l.watchers) {
		l.watchers = append(l.watchers, make([]watcher, 1024)...)
	}
	l.watchers[fd] = w
}
