package server

import (
	"sync"

	"github.com/weirlb/weir/cluster"
)

// notices are backends about which something is to be decided. They gather until somebody takes them.
type notices struct {
	ready chan struct{} // holds one: there are some

	mu   sync.Mutex
	keys map[cluster.Key]struct{}
}

func newNotices() *notices {
	return &notices{ready: make(chan struct{}, 1), keys: make(map[cluster.Key]struct{})}
}

// add may be called from any goroutine and does not wait.
func (n *notices) add(key cluster.Key) {
	n.mu.Lock()
	n.keys[key] = struct{}{}
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

func (n *notices) take() []cluster.Key {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := make([]cluster.Key, 0, len(n.keys))
	for key := range n.keys {
		keys = append(keys, key)
	}
	clear(n.keys)
	return keys
}
