package flow

import "sync/atomic"

// Budget bounds how many of something there may be at one time, for several tables together. A nil Budget has no bound.
// Safe from any goroutine.
type Budget struct{ most, used atomic.Int64 }

// NewBudget returns a budget of most.
func NewBudget(most int) *Budget {
	b := new(Budget)
	b.SetMost(most)
	return b
}

// SetMost changes the bound. What was taken beyond a lower one stays taken.
func (b *Budget) SetMost(most int) { b.most.Store(int64(most)) }

// Most is the bound.
func (b *Budget) Most() int64 { return b.most.Load() }

// Used is how many are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// Take takes one and returns true, unless all are taken.
func (b *Budget) Take() bool {
	if b == nil {
		return true
	}
	for {
		n := b.used.Load()
		if n >= b.most.Load() {
			return false
		}
		if b.used.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Give gives one back.
func (b *Budget) Give() {
	if b != nil {
		b.used.Add(-1)
	}
}
