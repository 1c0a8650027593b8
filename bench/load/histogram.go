package load

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are exact below 128 ns and at
// most 1/64 of their value wide above, from nanoseconds to centuries. The
// zero value is empty and ready.
type Histogram struct {
	counts [(64 - steps + 1) << steps]uint32
	total  int
}

// steps is the binary logarithm of the buckets to each doubling.
const steps = 6

// Add counts one duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(0, d)))]++
	h.total++
}

// Count returns the number of durations added.
func (h *Histogram) Count() int { return h.total }

// Quantile returns the duration that a share q of what was added did not
// exceed, as the upper end of its bucket; 0 when nothing was added.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(max(int(q*float64(h.total)+0.999999), 1), h.total)
	for i, n := range h.counts {
		rank -= int(n)
		if rank <= 0 {
			return time.Duration(highest(i))
		}
	}
	return 0
}

// Point is a quantile of latencies.
type Point struct {
	Quantile float64 `json:"quantile"` // share of the exchanges that took no longer; 1 is all
	MS       float64 `json:"ms"`       // milliseconds
}

// Curve returns the quantiles that a plot of latencies needs, rising. Between
// the median and the slowest of all it has those that at least one exchange
// was slower than; nil when nothing was added.
func (h *Histogram) Curve() []Point {
	if h.total == 0 {
		return nil
	}
	var curve []Point
	for _, q := range quantiles() {
		if tells(q, h.total) {
			curve = append(curve, Point{Quantile: q, MS: h.Quantile(q).Seconds() * 1000})
		}
	}
	return curve
}

// quantiles are those that a plot of latencies may have.
func quantiles() []float64 {
	return []float64{0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99999, 1}
}

// tells reports whether a quantile of n exchanges says something of its own: at least one of them was slower.
func tells(q float64, n int) bool {
	return q <= 0.5 || q == 1 || int(q*float64(n)+0.999999) < n
}

// Merge adds what another one has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// clone returns a copy.
func (h *Histogram) clone() *Histogram {
	copied := *h
	return &copied
}

// MarshalJSON writes the buckets that are not empty, each as its index and its count.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	filled := [][2]uint32{}
	for i, n := range h.counts {
		if n > 0 {
			filled = append(filled, [2]uint32{uint32(i), n})
		}
	}
	return json.Marshal(filled)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var filled [][2]uint32
	if err := json.Unmarshal(text, &filled); err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	h.Reset()
	for _, f := range filled {
		if int(f[0]) >= len(h.counts) {
			return fmt.Errorf("histogram: bucket %d of %d", f[0], len(h.counts))
		}
		h.counts[f[0]] += f[1]
		h.total += int(f[1])
	}
	return nil
}

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// bucket returns the index of a value: the value itself while it is small,
// else its doubling and the steps bits below its highest one.
func bucket(v uint64) int {
	if v < 1<<(steps+1) {
		return int(v)
	}
	shift := bits.Len64(v) - steps - 1
	return shift<<steps + int(v>>shift)
}

// highest returns the largest value of a bucket.
func highest(i int) uint64 {
	if i < 1<<(steps+1) {
		return uint64(i)
	}
	shift := i>>steps - 1
	mantissa := uint64(i) - uint64(shift)<<steps
	return (mantissa+1)<<shift - 1
}
