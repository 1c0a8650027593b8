package cluster

import (
	"bytes"
	"sync"
	"time"
)

const (
	// inboxMessages and inboxBytes bound what waits for the loop. What is beyond is dropped, and fetched again when the next
	// beacons show that it is lacking.
	inboxMessages = 1 << 12
	inboxBytes    = 4 * MaxMessage
)

// inbox is what has come in and waits for the loop.
type inbox struct {
	ready chan struct{} // has room for one

	mu       sync.Mutex
	messages [][]byte
	size     int
	first    time.Time // when the first of messages came
	worst    time.Duration
	dropped  uint64 // messages
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

// put keeps a copy of a message. It does not wait.
func (i *inbox) put(b []byte, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(b) > MaxMessage || len(i.messages) >= inboxMessages || i.size+len(b) > inboxBytes {
		i.dropped++
		return
	}
	if len(i.messages) == 0 {
		i.first = now
	}
	i.messages = append(i.messages, bytes.Clone(b))
	i.size += len(b)
	select {
	case i.ready <- struct{}{}:
	default:
	}
}

// take returns all that waits.
func (i *inbox) take(now time.Time) [][]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.messages
	if len(all) > 0 {
		i.worst = max(i.worst, now.Sub(i.first))
	}
	i.messages, i.size = nil, 0
	return all
}

// measure returns how many messages were dropped, and for how long one has waited at most since the last call.
func (i *inbox) measure() (dropped uint64, worst time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	worst, i.worst = i.worst, 0
	return i.dropped, worst
}
