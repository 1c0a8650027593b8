package accesslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// Format says how records are encoded.
type Format int32

// The formats. Off writes nothing.
const (
	Off Format = iota
	JSON
	Common
)

// Options says where lines go and how they look.
type Options struct {
	Format Format
	Path   string // a file, or "stdout" or "stderr"; not looked at when Format is Off
}

// Stats counts what became of the records since the Writer was made.
type Stats struct {
	Written uint64 // records that reached the sink
	Dropped uint64 // records lost because the writer lagged, the sink failed for too long, or weir stopped meanwhile
	Errors  uint64 // writes that failed; what they did not write is tried again
}

// ErrClosed is returned by Configure and Reopen after Close.
var ErrClosed = errors.New("access log: closed")

// Writer moves lines from the loops' buffers to one sink. One goroutine of its own does all the writing. Configure,
// Reopen and Close are for one caller at a time (server.run); Stats may be called from anywhere.
type Writer struct {
	queue chan chunk          // from the loops
	free  chan []byte         // written buffers, on their way back to the loops
	next  chan io.WriteCloser // the sink to use from now on, nil for none; holds at most the newest one
	quit  chan struct{}
	done  chan struct{}

	format  atomic.Int32 // written by Configure, read by the loops
	written atomic.Uint64
	dropped atomic.Uint64
	errors  atomic.Uint64

	onError func(error)                          // called on the writer goroutine, once for each run of failures
	openAt  func(string) (io.WriteCloser, error) // how Configure opens a path
	current Options                              // owned by the caller of Configure
	closed  bool                                 // owned by the caller of Close
}

// New returns a running Writer that is Off until Configure is called. onError, which may be nil, is told once when writing
// begins to fail and again when it fails after having worked; it is called on the writer's goroutine and must not block.
func New(onError func(error)) *Writer {
	return newWriter(onError, openSink)
}

func newWriter(onError func(error), openAt func(string) (io.WriteCloser, error)) *Writer {
	if onError == nil {
		onError = func(error) {}
	}
	w := &Writer{
		queue:   make(chan chunk, maxQueued),
		free:    make(chan []byte, maxQueued),
		next:    make(chan io.WriteCloser, 1),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
		onError: onError,
		openAt:  openAt,
	}
	go w.run()
	return w
}

// Format returns the format in force.
func (w *Writer) Format() Format { return Format(w.format.Load()) }

// Stats returns the counters.
func (w *Writer) Stats() Stats {
	return Stats{Written: w.written.Load(), Dropped: w.dropped.Load(), Errors: w.errors.Load()}
}

// Configure sets format and sink from now on. Lines that loops still hold go to the new sink in the format they were
// encoded with. When the sink cannot be opened, the error says so and everything stays as it was.
func (w *Writer) Configure(o Options) error {
	if w.closed {
		return ErrClosed
	}
	if o == w.current {
		return nil
	}
	switch {
	case o.Format == Off:
		w.replace(nil)
	case o.Path != w.current.Path || w.current.Format == Off:
		if err := w.use(o.Path); err != nil {
			return err
		}
	}
	w.current = o
	w.format.Store(int32(o.Format))
	return nil
}

// Reopen opens the sink's path anew, as SIGUSR1 asks for after a log file was renamed. Every line goes whole either to
// the old file or to the new one. On failure the old file stays in use.
func (w *Writer) Reopen() error {
	switch {
	case w.closed:
		return ErrClosed
	case w.current.Format == Off:
		return nil
	}
	return w.use(w.current.Path)
}

// use opens path and makes it the sink.
func (w *Writer) use(path string) error {
	s, err := w.openAt(path)
	if err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	w.replace(s)
	return nil
}

// replace leaves s for the writer goroutine, which may be busy: a caller never waits for a slow disk.
func (w *Writer) replace(s io.WriteCloser) {
	select {
	case unused := <-w.next:
		if unused != nil {
			_ = unused.Close() // nothing was written to it
		}
	default:
	}
	w.next <- s // cannot block: this is the only sender, and the place was just emptied
}

// Close writes what the loops have flushed, and closes the sink. The loops must have stopped appending. It returns
// ctx's error when the sink does not take the lines in time; the writer goroutine is then left to its fate.
func (w *Writer) Close(ctx context.Context) error {
	if !w.closed {
		w.closed = true
		w.format.Store(int32(Off))
		close(w.quit)
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("access log: not everything written: %w", ctx.Err())
	}
}

// run is the writer goroutine.
func (w *Writer) run() {
	defer close(w.done)
	o := output{w: w}
	for o.step() {
	}
	o.finish()
}
