package load

import (
	"sync"
	"time"
)

// tally is what the goroutines of a client count together.
type tally struct {
	mu      sync.Mutex
	slots   []int // exchanges of each place
	latency Histogram
	res     Result
	begun   time.Time // of the measurement
	over    bool
}

func newTally(places int) *tally { return &tally{slots: make([]int, places), begun: time.Now()} }

// begin forgets what was counted before it.
func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.slots)
	t.latency.Reset()
	t.res = Result{}
	t.begun = time.Now()
}

// count enters an exchange of a place. It reports whether there is a need for
// more; one that comes after the end is not counted.
func (t *tally) count(slot int, took time.Duration, bytes int) (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.latency.Add(took)
	t.slots[slot]++
	t.res.Exchanges++
	t.res.Bytes += int64(bytes)
	return true
}

// fault enters a failed connection.
func (t *tally) fault(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.res.fault(err)
	}
}

// tooMany returns ErrTooManyErrors if the load is not worth measuring.
func (t *tally) tooMany() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.res.worthIt()
}

// end returns what was counted since begin; nothing is counted any more.
func (t *tally) end() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	res := t.res
	res.Elapsed = time.Since(t.begun)
	res.timed(&t.latency)
	for _, n := range t.slots {
		if n == 0 {
			res.Stalled++
		}
	}
	return res
}
