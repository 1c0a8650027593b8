package cluster

import (
	"slices"
	"time"
)

const (
	// keepInterval is the least time between two writings of the state file for the sake of peers, and before one that
	// failed is tried again.
	keepInterval = time.Second
)

// keeper is when the state file is written, and what may be told to others only when it has been: a copy of a command is a
// promise that a disk has it. It belongs to the loop; the writing itself is done elsewhere, since disks may be slow.
type keeper struct {
	path    string
	request chan Saved // has room for one
	result  chan error // has room for one

	dirty   bool // what is kept has changed, and should be written at once
	peers   bool // peers have changed, which can wait
	writing bool
	last    time.Time // when writing was last begun
	failed  bool      // the last time

	waiting, underway promises
}

// promises is what follows upon the state file being written.
type promises struct {
	cells []Cell       // to publish; only key and value count
	told  []chan error // each has room for one
}

func newKeeper(path string) keeper {
	return keeper{path: path, request: make(chan Saved, 1), result: make(chan error, 1)}
}

// run writes state files until there is nothing more to come.
func (k *keeper) run() {
	for saved := range k.request {
		k.result <- writeState(k.path, saved)
	}
}

// promise publishes a cell once everything up to now has been written.
func (k *keeper) promise(key Key, value []byte) {
	k.dirty = true
	k.waiting.cells = slices.DeleteFunc(k.waiting.cells, func(c Cell) bool { return c.Key == key })
	k.waiting.cells = append(k.waiting.cells, Cell{Key: key, Value: value})
}

// tell answers once everything up to now has been written.
func (k *keeper) tell() chan error {
	told := make(chan error, 1)
	k.waiting.told = append(k.waiting.told, told)
	k.dirty = true
	return told
}

// due reports whether the state file is to be written now.
func (k *keeper) due(now time.Time) bool {
	early := now.Sub(k.last) < keepInterval
	return !k.writing && (k.dirty && !(k.failed && early) || k.peers && !early)
}

// begin hands the state over, if there is a file to write it to; if not, it is as good as written.
func (k *keeper) begin(saved Saved, now time.Time) {
	k.dirty, k.peers, k.writing, k.last = false, false, true, now
	k.underway, k.waiting = k.waiting, promises{}
	if k.path != "" {
		k.request <- saved
	}
}

// end takes the result of a writing in. It returns the cells that may be published. What could not be written is tried
// again, but those who wait are told.
func (k *keeper) end(err error) []Cell {
	k.writing, k.failed = false, err != nil
	done := k.underway
	k.underway = promises{}
	for _, told := range done.told {
		told <- err
	}
	if err == nil {
		return done.cells
	}
	later := k.waiting.cells
	k.waiting.cells = nil
	for _, c := range append(done.cells, later...) {
		k.promise(c.Key, c.Value)
	}
	k.dirty = true
	return nil
}
