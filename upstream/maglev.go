package upstream

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// maglevSize is the number of slots in the lookup table, the prime of Eisenbud et
// al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016.
const maglevSize = 65537

// maglev is consistent hashing by a table that the backends fill in turns, each
// along its own permutation of the slots, with turns in proportion to weight. All
// nodes that know the same addresses and weights compute the same table. Only the
// first 65536 backends in address order fit.
type maglev struct {
	set   []Share
	table []uint16
}

func newMaglev(set []Share, _ *atomic.Uint64) Balancer {
	return &maglev{set: set, table: maglevTable(set[:min(len(set), maglevSize-1)])}
}

// maglevTable fills the table from a set in address order.
func maglevTable(set []Share) []uint16 {
	type walker struct {
		at, step uint32 // position in, and stride of, the backend's permutation
		credit   int
	}
	walkers := make([]walker, len(set))
	most := 0
	for i, s := range set {
		second := xxhash.Sum64String(s.Backend.key.Addr.String() + " step")
		walkers[i] = walker{
			at:   uint32(s.Backend.hash % maglevSize),
			step: uint32(second%(maglevSize-1)) + 1,
		}
		most = max(most, s.Weight)
	}

	table := make([]uint16, maglevSize)
	taken := make([]bool, maglevSize)
	for filled := 0; ; {
		for i := range walkers {
			// The heaviest moves in every round, the others as often as their
			// weight is contained in its weight.
			w := &walkers[i]
			if w.credit += set[i].Weight; w.credit < most {
				continue
			}
			w.credit -= most
			for taken[w.at] {
				w.at = (w.at + w.step) % maglevSize
			}
			taken[w.at] = true
			table[w.at] = uint16(i)
			if filled++; filled == maglevSize {
				return table
			}
		}
	}
}

// Pick looks the key up. Second choices come from looking up again with the key
// stirred, which spreads the load of a failed backend over all the others.
func (m *maglev) Pick(key uint64, skip Skip) *Backend {
	for range maxProbes {
		if b := m.set[m.table[key%maglevSize]].Backend; !skip.Has(b) {
			return b
		}
		key = stir(key + goldenRatio)
	}
	return firstOf(m.set, key, &skip)
}

// TableSum returns a checksum of the table by which the pool balances, equal on all nodes that send the same clients to the same
// backends. ok is false for strategies without a table.
func (p *Pool) TableSum() (sum uint64, ok bool) {
	m, ok := p.snapshot.Load().balancer.(*maglev)
	if !ok {
		return 0, false
	}
	h := xxhash.New()
	for _, s := range m.set {
		_, _ = h.WriteString(s.Backend.key.Addr.String() + "\n")
	}
	b := make([]byte, 0, 2*len(m.table))
	for _, i := range m.table {
		b = binary.BigEndian.AppendUint16(b, i)
	}
	_, _ = h.Write(b)
	return h.Sum64(), true
}
