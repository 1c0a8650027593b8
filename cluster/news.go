package cluster

import (
	"context"
	"sync"
)

// maxNews is how many cells wait for the watcher.
const maxNews = 1 << 16

// News is what has changed since the watcher was last told.
type News struct {
	Cells     []Cell     // of other members, in the order in which they came
	Commands  []Command  // of operators, given at this node or elsewhere
	Conflicts []Conflict // names that two nodes claim; an alarm, since only one of them is in the cluster
	Members   bool       // somebody came, went, or began a new life
	Settled   bool       // the others have been heard, or have been awaited for long enough
	Missed    bool       // there was more than could wait: everything is to be looked at
}

// empty reports whether nothing has changed.
func (n News) empty() bool {
	return len(n.Cells)+len(n.Commands)+len(n.Conflicts) == 0 && !n.Members && !n.Settled && !n.Missed
}

// watcher passes news on to whoever wants them, on its own goroutine.
type watcher struct {
	watch func(News)
	ready chan struct{} // has room for one

	mu      sync.Mutex
	waiting News
}

func newWatcher(watch func(News)) *watcher {
	return &watcher{watch: watch, ready: make(chan struct{}, 1)}
}

// tell adds to the news that wait. It does not.
func (w *watcher) tell(n News) {
	if w.watch == nil || n.empty() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting.Cells = append(w.waiting.Cells, n.Cells...)
	w.waiting.Commands = append(w.waiting.Commands, n.Commands...)
	w.waiting.Conflicts = append(w.waiting.Conflicts, n.Conflicts...)
	w.waiting.Members = w.waiting.Members || n.Members
	w.waiting.Settled = w.waiting.Settled || n.Settled
	if len(w.waiting.Cells)+len(w.waiting.Commands)+len(w.waiting.Conflicts) > maxNews {
		w.waiting = News{Members: true, Settled: w.waiting.Settled, Missed: true}
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// run tells until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for {
		select {
		case <-w.ready:
			w.mu.Lock()
			news := w.waiting
			w.waiting = News{}
			w.mu.Unlock()
			if !news.empty() { // what two signals were for may have been taken by one
				w.watch(news)
			}
		case <-ctx.Done():
			return
		}
	}
}
