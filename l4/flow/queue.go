package flow

// queue is the flows of a table in the order of their last activity, the longest idle first. All of them have the same
// timeout, so whichever ends next by time is its head: no wheel, no heap.
type queue struct {
	head, tail *Flow
}

func (q *queue) push(f *Flow) {
	f.prev, f.next = q.tail, nil
	if q.tail == nil {
		q.head = f
	} else {
		q.tail.next = f
	}
	q.tail = f
}

func (q *queue) remove(f *Flow) {
	if f.prev == nil {
		q.head = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		q.tail = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}
