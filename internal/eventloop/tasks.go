package eventloop

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// tasks are what others have posted to a loop.
type tasks struct {
	loop  *Loop
	fd    int  // an eventfd: readable while something is posted
	ended bool // the end of the loop was among them; the loop's own

	mu     sync.Mutex
	posted []func() // in order; nil is the end of the loop
	spare  []func() // memory for the next ones
}

func (t *tasks) open(l *Loop) error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	t.fd, t.loop = fd, l
	if err := l.watchLevel(fd, t); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return nil
}

func (t *tasks) close() { t.loop.forget(t.fd) }

// push adds a task and wakes the loop up. Safe from any goroutine, as long as the loop is not closed meanwhile.
func (t *tasks) push(task func()) error {
	t.mu.Lock()
	alone := len(t.posted) == 0
	t.posted = append(t.posted, task)
	t.mu.Unlock()
	if !alone {
		return nil // who came first has woken it up
	}
	one := [8]byte{1}
	_, err := unix.Write(t.fd, one[:])
	return err
}

// event runs what is posted. What these tasks post themselves comes after other events.
func (t *tasks) event(uint32) {
	var count [8]byte
	_, _ = unix.Read(t.fd, count[:]) // it is readable, or somebody else's event was late
	t.mu.Lock()
	batch := t.posted
	t.posted = t.spare[:0]
	t.mu.Unlock()
	for i, task := range batch {
		batch[i] = nil
		if task == nil {
			t.ended = true
			continue
		}
		t.loop.runTask(task)
	}
	t.mu.Lock()
	t.spare = batch[:0]
	t.mu.Unlock()
}
