package upstream

import (
	"sync/atomic"
	"time"
)

// The retry budget: retries may be this share of the connections of the last
// budgetSeconds, and this many in every second whatever the share, so that a quiet
// service can retry until passive health has ejected a dead backend, which every
// other connection may meet meanwhile.
const (
	budgetSeconds   = 10
	budgetDivisor   = 5 // a fifth: 20 %
	budgetPerSecond = 10
)

// budget counts the connections and retries of each of the last seconds. The
// seconds lie in a ring; each is one word, so that it can be counted and reused
// without a lock:
//
//	20 bits second | 24 bits connections | 20 bits retries
//
// A count that overflows (2^24 connections in a second) or a second that comes
// round after 12 days spoils one second of a soft limit, no more.
type budget struct {
	ring    [budgetSeconds]atomic.Uint64
	granted atomic.Uint64 // retries allowed ever
	refused atomic.Uint64 // retries refused ever
}

const (
	oneRetry       = 1
	oneConnection  = 1 << 20
	secondShift    = 44
	retryMask      = oneConnection - 1
	connectionMask = 1<<24 - 1
	secondMask     = 1<<20 - 1
)

// slot returns the word of the second, and what it holds, after clearing it if it
// held an older one.
func (g *budget) slot(second uint64) (*atomic.Uint64, uint64) {
	word := &g.ring[second%budgetSeconds]
	for {
		v := word.Load()
		if v>>secondShift == second&secondMask {
			return word, v
		}
		fresh := (second & secondMask) << secondShift
		if word.CompareAndSwap(v, fresh) {
			return word, fresh
		}
	}
}

// connection counts a first attempt.
func (g *budget) connection(at time.Duration) {
	word, _ := g.slot(uint64(at / time.Second))
	word.Add(oneConnection)
}

// retry reports whether one more retry fits, and counts it if so.
func (g *budget) retry(at time.Duration) bool {
	second := uint64(at / time.Second)
	for {
		word, v := g.slot(second)
		connections, retries := g.sums(second)
		if v&retryMask >= budgetPerSecond && (retries+1)*budgetDivisor > connections {
			g.refused.Add(1)
			return false
		}
		if word.CompareAndSwap(v, v+oneRetry) {
			g.granted.Add(1)
			return true
		}
	}
}

// sums adds up the seconds that end with the given one.
func (g *budget) sums(second uint64) (connections, retries uint64) {
	for i := range g.ring {
		v := g.ring[i].Load()
		if age := (second - v>>secondShift) & secondMask; age < budgetSeconds {
			connections += v >> 20 & connectionMask
			retries += v & retryMask
		}
	}
	return connections, retries
}
