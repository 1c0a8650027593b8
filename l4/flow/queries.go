package flow

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// query is a question that was sent to a backend and not answered yet.
type query struct {
	key        Key
	pool       *upstream.Pool // holds the slot that the query has on the backend
	counters   *Counters      // of the service
	gate       Gate           // that let it in; nil = none
	sent       time.Duration
	question   uint64
	prev, next int32  // by time; none at the ends
	original   uint16 // the client's identifier
	id         uint16 // ours
	waits      bool   // it is one
}

const (
	none       = -1
	minQueries = 64
)

// queries are those that wait for one backend, by the identifier they were given. It is drawn by chance: who wants to
// answer in the backend's place must guess it (RFC 5452). The low bits say in which slot the query stands, so that an answer
// is found by one look; a free slot is drawn first and the other bits then, which makes all of them chance. The slots grow
// by doubling, up to the limit.
type queries struct {
	slots      []query
	free       []uint16
	head, tail int32 // the longest waiting and the newest
	limit      int   // a power of two, at most 65,536
	draw       func() uint32
}

func newQueries(limit int, draw func() uint32) queries {
	q := queries{limit: limit, draw: draw, head: none, tail: none}
	q.resize(min(minQueries, limit))
	return q
}

func (q *queries) len() int { return len(q.slots) - len(q.free) }

// add takes in a query and gives it an identifier, unless as many wait as may.
func (q *queries) add(e query) (id uint16, added bool) {
	if len(q.free) == 0 {
		if len(q.slots) >= q.limit {
			return 0, false
		}
		q.resize(2 * len(q.slots))
	}
	last := len(q.free) - 1
	at := int(uint64(q.draw()) * uint64(len(q.free)) >> 32)
	slot := q.free[at]
	q.free[at] = q.free[last]
	q.free = q.free[:last]
	e.id = uint16(q.draw())&^uint16(len(q.slots)-1) | slot
	q.put(e)
	return e.id, true
}

// put lets a query with an identifier wait, behind all others.
func (q *queries) put(e query) {
	at := int32(e.id) & int32(len(q.slots)-1)
	e.waits, e.prev, e.next = true, q.tail, none
	if q.tail == none {
		q.head = at
	} else {
		q.slots[q.tail].next = at
	}
	q.tail = at
	q.slots[at] = e
}

// find returns the query that waits for an answer with this identifier, or nil.
func (q *queries) find(id uint16) *query {
	e := &q.slots[int(id)&(len(q.slots)-1)]
	if !e.waits || e.id != id {
		return nil
	}
	return e
}

// oldest returns the longest waiting query, or nil.
func (q *queries) oldest() *query {
	if q.head == none {
		return nil
	}
	return &q.slots[q.head]
}

// remove ends the waiting of e, which find or oldest returned. What it says may be read until the next add.
func (q *queries) remove(e *query) {
	if e.prev == none {
		q.head = e.next
	} else {
		q.slots[e.prev].next = e.next
	}
	if e.next == none {
		q.tail = e.prev
	} else {
		q.slots[e.next].prev = e.prev
	}
	e.waits = false
	q.free = append(q.free, e.id&uint16(len(q.slots)-1))
}

// resize moves the queries to n slots, in their order. Identifiers that differ in the lower bits differ in more of them.
func (q *queries) resize(n int) {
	old, at := q.slots, q.head
	q.slots, q.head, q.tail = make([]query, n), none, none
	for at != none {
		next := old[at].next
		q.put(old[at])
		at = next
	}
	q.free = make([]uint16, 0, n)
	for i := range q.slots {
		if !q.slots[i].waits {
			q.free = append(q.free, uint16(i))
		}
	}
}
