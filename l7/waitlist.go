package l7

// waitlist is a queue of those that wait for something, who came first; each is in it once at most. Each has a waiter, where
// its neighbours are kept, so that waiting allocates nothing. The zero value is empty.
type waitlist[T any] struct {
	first, last *waiter[T]
	count       int
}

type waiter[T any] struct {
	of         *T
	prev, next *waiter[T]
	in         bool
}

// head is who comes next; nil = nobody waits.
func (q *waitlist[T]) head() *T {
	if q.first == nil {
		return nil
	}
	return q.first.of
}

// add puts of, whose waiter is w, behind those who wait, or in front of them. Who waits already stays where it is, and false is returned.
func (q *waitlist[T]) add(w *waiter[T], of *T, front bool) bool {
	if w.in {
		return false
	}
	*w = waiter[T]{of: of, prev: q.last, in: true}
	if front {
		w.prev, w.next = nil, q.first
	}
	if w.prev != nil {
		w.prev.next = w
	} else {
		q.first = w
	}
	if w.next != nil {
		w.next.prev = w
	} else {
		q.last = w
	}
	q.count++
	return true
}

// remove takes one out that may be in it.
func (q *waitlist[T]) remove(w *waiter[T]) {
	if !w.in {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	q.count--
	*w = waiter[T]{}
}
