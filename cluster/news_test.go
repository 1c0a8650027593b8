package cluster

import (
	"context"
	"testing"
)

// News that nobody takes are bounded, and the watcher learns that some are missing.
func TestWatcherIsBounded(t *testing.T) {
	told := make(chan News)
	w := newWatcher(func(n News) { told <- n })
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	w.tell(News{})
	w.tell(News{Members: true})
	if n := <-told; !n.Members || n.Missed {
		t.Errorf("told %+v", n)
	}
	w.tell(News{Cells: []Cell{cell("a", "k", 1, 1)}})
	w.tell(News{Commands: []Command{{}}})
	n := <-told
	if len(n.Commands) == 0 {
		n.Commands = (<-told).Commands
	}
	if len(n.Cells) != 1 || len(n.Commands) != 1 {
		t.Errorf("told %+v", n)
	}
	cancel()
	<-done
	for range 3 {
		w.tell(News{Cells: make([]Cell, maxNews/2)})
	}
	if !w.waiting.Missed || len(w.waiting.Cells) > 0 {
		t.Errorf("%d cells wait, missed %t", len(w.waiting.Cells), w.waiting.Missed)
	}
}
