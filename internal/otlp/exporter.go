//go:build !notracing

package otlp

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/internal/span"
)

// Included says whether this build of weir can send spans.
const Included = true

const (
	batchChunks  = 8                      // of 64 KiB, in one request
	batchWait    = time.Second            // for more chunks, after the first one of a batch
	sendTimeout  = 10 * time.Second       // of one attempt
	maxAttempts  = 4                      // to send one batch
	firstPause   = 500 * time.Millisecond // between attempts; each is twice as long as the one before
	longestPause = 30 * time.Second       // that a collector may ask for
	logEvery     = time.Minute            // while batches are lost
)

// Exporter takes chunks from a queue and sends them to one collector. One of Retire and Finish is called once.
type Exporter struct {
	queue  *span.Queue
	sender sender
	frame  frame
	log    *slog.Logger
	ctx    context.Context // of all that is sent
	cancel context.CancelFunc
	drain  atomic.Bool   // the queue is emptied before the end
	quit   chan struct{} // closed when that is wanted
	done   chan struct{} // closed when it has come

	// Everything below is the goroutine's own.
	failing bool      // the last batch was lost
	lost    int       // spans since the last line in the log
	logged  time.Time // when that was
}

// sender makes one attempt to send a request, whose bytes it does not keep.
type sender interface {
	send(ctx context.Context, body []byte) (rejected int, err error)
}

// refusal is why an attempt has failed.
type refusal struct {
	error
	final bool          // a further attempt would end in the same way
	pause time.Duration // that the collector has asked for; 0 = it has not
}

func (r refusal) Unwrap() error { return r.error }

// Start begins to send what comes out of a queue.
func Start(o Options, q *span.Queue, log *slog.Logger) *Exporter {
	e := &Exporter{
		queue: q, log: log.With("collector", o.URL), frame: newFrame(o), quit: make(chan struct{}), done: make(chan struct{}),
	}
	e.sender = newHTTPSender(o)
	if o.GRPC {
		e.sender = newGRPCSender(o)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	go e.run()
	return e
}

// Retire ends the exporter without waiting for it: it sends what it has taken, in one attempt, and leaves the rest to another one.
func (e *Exporter) Retire() { close(e.quit) }

// Finish ends the exporter when it has sent what is in the queue, without waiting for it.
func (e *Exporter) Finish() {
	e.drain.Store(true)
	close(e.quit)
}

// Wait waits for the end. What is not sent when ctx ends is dropped and counted.
func (e *Exporter) Wait(ctx context.Context) {
	select {
	case <-e.done:
	case <-ctx.Done():
		e.cancel()
		<-e.done
	}
}

func (e *Exporter) run() {
	defer close(e.done)
	defer e.cancel()
	for {
		select {
		case <-e.quit:
			e.empty()
			return
		case c := <-e.queue.Next():
			e.deliver(e.gather(c))
		}
	}
}

// empty sends, at the end, what is left in the queue.
func (e *Exporter) empty() {
	for e.drain.Load() {
		select {
		case c := <-e.queue.Next():
			if e.ctx.Err() != nil {
				e.queue.Drop(c.Count)
				continue
			}
			e.deliver(e.gather(c))
		default:
			return
		}
	}
}

// batch is a request that is ready to be sent.
type batch struct {
	body  []byte
	spans int
}

// gather puts a batch together: of the first chunk, and of what comes soon after it.
func (e *Exporter) gather(first span.Chunk) batch {
	chunks := []span.Chunk{first}
	timer := time.NewTimer(batchWait)
	defer timer.Stop()
	for more := true; more && len(chunks) < batchChunks; {
		select {
		case c := <-e.queue.Next():
			chunks = append(chunks, c)
		case <-timer.C:
			more = false
		case <-e.quit:
			more = e.drain.Load() && len(e.queue.Next()) > 0
		}
	}
	b := batch{body: e.frame.enclose(chunks)}
	for _, c := range chunks {
		b.spans += c.Count
		e.queue.Recycle(c)
	}
	return b
}

// deliver sends a batch, in as many attempts as it takes and may take. When the end is wanted, there is one more.
func (e *Exporter) deliver(b batch) {
	pause, last := firstPause, false
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(e.ctx, sendTimeout)
		rejected, err := e.sender.send(ctx, b.body)
		cancel()
		if err == nil {
			e.delivered(b.spans, min(rejected, b.spans))
			return
		}
		var r refusal
		if errors.As(err, &r) && r.pause > 0 {
			pause = min(r.pause, longestPause)
		}
		if r.final || last || attempt == maxAttempts {
			e.failed(b.spans, err)
			return
		}
		last = !e.rest(pause)
		pause *= 2
	}
}

// rest waits, and reports whether there is time for that. While weir stops there is none.
func (e *Exporter) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.quit:
		return false
	}
}

func (e *Exporter) delivered(spans, rejected int) {
	e.queue.Export(spans - rejected)
	e.queue.Fail(rejected)
	if rejected > 0 {
		e.complain(rejected, errRejected)
		return
	}
	if e.failing {
		e.failing, e.lost, e.logged = false, 0, time.Time{}
		e.log.Info("spans are delivered again")
	}
}

var errRejected = errors.New("the collector has taken a part of the spans only")

func (e *Exporter) failed(spans int, err error) {
	e.queue.Fail(spans)
	e.complain(spans, err)
}

// complain logs that spans are lost, when it begins and now and then.
func (e *Exporter) complain(spans int, err error) {
	e.failing = true
	e.lost += spans
	if now := time.Now(); now.Sub(e.logged) >= logEvery {
		e.log.Warn("spans are lost", "spans", e.lost, "error", err)
		e.lost, e.logged = 0, now
	}
}
