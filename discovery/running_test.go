package discovery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// fileWait is how long a test waits for what must come; it is not a measure of anything.
const fileWait = time.Minute

// running is a provider that runs, and what it has emitted.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	updates []Update
}

// start runs p until the end of the test, or stop.
func start(t *testing.T, p Provider) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		p.Run(ctx, func(u Update) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.updates = append(r.updates, u)
		})
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the run, which must not have ended by itself, and waits for it.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if r.cancel == nil {
		return
	}
	select {
	case <-r.done:
		t.Error("Run returned before its context ended")
	default:
	}
	r.cancel()
	r.cancel = nil
	<-r.done
}

func (r *running) last() (u Update, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.updates) == 0 {
		return Update{}, false
	}
	return r.updates[len(r.updates)-1], true
}

func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.updates)
}

// expect waits until the last update is one of that outcome with that set.
func (r *running) expect(t *testing.T, outcome Outcome, set []upstream.Endpoint) {
	t.Helper()
	weirtest.Eventually(t, fileWait, func() bool {
		u, ok := r.last()
		return ok && u.Status.Outcome == outcome && sameEndpoints(set, u.Endpoints) == ""
	}, fmt.Sprintf("%s %v", outcome, set))
}
