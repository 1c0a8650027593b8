package flow

import (
	"testing"

	"pgregory.net/rapid"
)

// TestIndexAgainstMap holds the index against a map, with hashes that collide as often as can be.
func TestIndexAgainstMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		x, m := newIndex(), map[int]*Flow{}
		bits := rapid.SampledFrom([]uint64{0, 3, 63, 1<<64 - 1}).Draw(r, "bits")
		hash := func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 & bits }
		for range rapid.IntRange(1, 400).Draw(r, "steps") {
			n := rapid.IntRange(0, 300).Draw(r, "key")
			if f := m[n]; f != nil {
				x.remove(f)
				delete(m, n)
			} else {
				m[n] = &Flow{Key: keyOf(n), hash: hash(n)}
				x.add(m[n])
			}
			if x.used != len(m) || len(x.slots) > minSlots && 8*x.used < len(x.slots) || 4*x.used > 3*len(x.slots) {
				r.Fatalf("%d of %d slots are used, want %d", x.used, len(x.slots), len(m))
			}
		}
		for n := range 301 {
			key := keyOf(n)
			if got := x.find(&key, hash(n)); got != m[n] {
				r.Fatalf("key %d: found %v, want %v", n, got, m[n])
			}
		}
	})
}
