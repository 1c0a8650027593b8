package limit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
)

// Per-source state lives in a table of fixed size, so that a flood of sources cannot take memory, and a slot is one
// atomic word, so that loops neither lock nor allocate. A source may stand in any of a few neighbouring slots; when all
// of them are taken by others that are live, it goes uncounted: under such a flood the limits of entrypoint and process
// are what protects, and an honest client is not turned away for what others do.
const (
	sourceSlots  = 1 << 16
	sourceProbes = 8
)

// sources finds the slots of a client address. The seed is secret: nobody can choose whom to collide with.
type sources struct {
	seed  maphash.Seed
	slots []atomic.Uint64
}

func newSources() sources {
	return sources{seed: maphash.MakeSeed(), slots: make([]atomic.Uint64, sourceSlots)}
}

// find hashes a client: home is its first slot, tag what tells it from others there. IPv6 clients count by their /64,
// which is what one customer commands.
func (s *sources) find(client netip.Addr) (home int, tag uint64) {
	ip := client.As16()
	n := len(ip)
	if client.Is6() && !client.Is4In6() {
		n = 8
	}
	return s.place(Key(maphash.Bytes(s.seed, ip[:n])))
}

// Key stands for a source that is told apart by something else than its address, in one table alone.
type Key uint64

// place is where the slots of a key begin, and what tells it from others there.
func (s *sources) place(k Key) (home int, tag uint64) { return int(k % sourceSlots), uint64(k >> 16) }

// key stands for what is the same byte by byte.
func (s *sources) key(b []byte) Key { return Key(maphash.Bytes(s.seed, b)) }

func (s *sources) slot(home, i int) *atomic.Uint64 { return &s.slots[(home+i)%sourceSlots] }
