package span

import "sync/atomic"

// Queue is the way from the loops to whoever sends spans. It outlives those who send: what becomes of spans is counted here.
type Queue struct {
	full chan Chunk  // from the loops
	free chan []byte // emptied chunks, on their way back to the loops

	exported atomic.Uint64
	failed   atomic.Uint64
	dropped  atomic.Uint64
}

// Stats counts what became of the spans since the Queue was made.
type Stats struct {
	Exported uint64 // taken by the collector
	Failed   uint64 // refused by it, or not delivered in any attempt
	Dropped  uint64 // not sent, because too many waited, or nobody was left to send them
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{full: make(chan Chunk, maxQueued), free: make(chan []byte, maxQueued)}
}

// NewBuffer returns a buffer for one loop.
func (q *Queue) NewBuffer() *Buffer { return &Buffer{queue: q} }

// Next is where chunks come out. Whoever takes one gives it back by Recycle, and counts its spans by one of the others.
func (q *Queue) Next() <-chan Chunk { return q.full }

// Recycle takes back a chunk that nobody reads any more.
func (q *Queue) Recycle(c Chunk) {
	select {
	case q.free <- c.Spans:
	default:
	}
}

// spare returns an empty buffer to write spans into, a used one where there is one.
func (q *Queue) spare() []byte {
	select {
	case b := <-q.free:
		return b[:0]
	default:
		return make([]byte, 0, fullAt+8<<10)
	}
}

// Export counts spans that a collector has taken. Safe from any goroutine, as are the others.
func (q *Queue) Export(n int) { q.exported.Add(uint64(n)) }

// Fail counts spans that it has not.
func (q *Queue) Fail(n int) { q.failed.Add(uint64(n)) }

// Drop counts spans that were not sent.
func (q *Queue) Drop(n int) { q.dropped.Add(uint64(n)) }

// Stats returns the counters.
func (q *Queue) Stats() Stats { return Stats{q.exported.Load(), q.failed.Load(), q.dropped.Load()} }
