package load

import (
	"math/bits"
	"time"
)

// ledger keeps account of the datagrams that one flow has under way: what is
// asked, answered, or given up as lost. Numbers begin at 0 and grow; the last
// len(ring) of them are remembered.
type ledger struct {
	next    uint32 // number of the next question
	highest uint32 // number after the highest that was answered
	open    int    // asked and neither answered nor given up
	ring    []question
}

// question is one datagram of a ledger.
type question struct {
	number uint32
	state  state
	asked  time.Duration
}

type state uint8

const (
	unused state = iota
	waiting
	answered
	lost
)

// verdict says what an answer means to the ledger.
type verdict uint8

const (
	fresh      verdict = iota // the answer to a question under way
	overtaken                 // the same, behind the answer to a later question
	late                      // the answer to a question that was given up
	forgotten                 // the answer to a question, or its double, that is too long ago to tell
	duplicate                 // it has been answered before
	unexpected                // nobody asked this
)

// remembered is how many times over a ledger remembers what may be under way, to
// tell late answers from doubles.
const remembered = 4

// newLedger returns a ledger for n questions under way.
func newLedger(n int) ledger {
	return ledger{ring: make([]question, 1<<bits.Len(uint(remembered*max(1, n)-1)))}
}

func (l *ledger) at(number uint32) *question { return &l.ring[number&uint32(len(l.ring)-1)] }

// ask begins a question. Numbers whose place is still taken by one under way
// are left out; the caller has fewer than len(ring) open.
func (l *ledger) ask(now time.Duration) (number uint32) {
	for l.at(l.next).state == waiting {
		l.next++
	}
	return l.push(now)
}

// push begins a question and forgets the one whose place it takes, whatever
// has become of it.
func (l *ledger) push(now time.Duration) (number uint32) {
	number = l.next
	l.next++
	q := l.at(number)
	if q.state != waiting {
		l.open++
	}
	*q = question{number: number, state: waiting, asked: now}
	return number
}

// answer enters an answer, and how long it took if its question is still
// remembered.
func (l *ledger) answer(number uint32, now time.Duration) (v verdict, took time.Duration) {
	q := l.at(number)
	switch {
	case number >= l.next || number > q.number:
		// The second: numbers that were left out.
		return unexpected, 0
	case number < q.number:
		return forgotten, 0
	case q.state == answered:
		return duplicate, 0
	case q.state == lost:
		v = late
	case number < l.highest:
		v = overtaken
	}
	if q.state == waiting {
		l.open--
	}
	q.state = answered
	l.highest = max(l.highest, number+1)
	return v, now - q.asked
}

// expire gives up the questions that were asked before a time and returns
// their number.
func (l *ledger) expire(before time.Duration) (given int) {
	if l.open == 0 {
		return 0
	}
	for i := range l.ring {
		if q := &l.ring[i]; q.state == waiting && q.asked < before {
			q.state = lost
			given++
		}
	}
	l.open -= given
	return given
}

// arrivals tells doubles and late ones among the numbers that reach the other
// end of a flow, over the last 64 of them (RFC 6479 names the technique).
type arrivals struct {
	next uint32 // number after the highest that has come
	seen uint64 // bit i: next-1-i has come
}

// note enters a number. One that is too old to be told from a double counts
// as overtaken.
func (a *arrivals) note(number uint32) verdict {
	if number >= a.next {
		a.seen = a.seen<<(number-a.next+1) | 1
		a.next = number + 1
		return fresh
	}
	behind := a.next - 1 - number
	if behind >= 64 {
		return overtaken
	}
	if a.seen>>behind&1 == 1 {
		return duplicate
	}
	a.seen |= 1 << behind
	return overtaken
}
