package load

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBuckets(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 127, 128, 129, 130, 255, 256, 1 << 20, 1<<20 + 1<<14, math.MaxUint64} {
		i := bucket(v)
		if i < last {
			t.Errorf("bucket(%d) = %d, before %d", v, i, last)
		}
		last = i
		if high := highest(i); high < v || float64(high-v) > float64(v)/64 {
			t.Errorf("%d falls into a bucket that ends at %d", v, high)
		}
	}
	if len((&Histogram{}).counts) != last+1 {
		t.Errorf("the largest value has bucket %d of %d", last, len((&Histogram{}).counts))
	}
}

// The quantile is the exact one of the sorted values, rounded up by at most
// the width of a bucket.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "values")
		q := float64(rapid.IntRange(1, 100).Draw(t, "percent")) / 100
		var h Histogram
		for _, v := range values {
			h.Add(time.Duration(v))
		}
		slices.Sort(values)
		want := values[max(int(math.Ceil(q*float64(len(values))-1e-6)), 1)-1]
		got := int64(h.Quantile(q))
		if got < want || float64(got-want) > float64(want)/64+1 {
			t.Errorf("Quantile(%v) = %d, want %d", q, got, want)
		}
	})
}

func TestHistogramEmptyAndReset(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
	h.Add(-time.Second)
	h.Add(time.Second)
	if h.Count() != 2 || h.Quantile(0.5) != 0 {
		t.Errorf("count %d, median %v, want 2 and 0", h.Count(), h.Quantile(0.5))
	}
	h.Reset()
	if h.Count() != 0 {
		t.Errorf("count %d after a reset", h.Count())
	}
}

// A curve rises from the median to the slowest, and says nothing of quantiles that it has not enough values for.
func TestCurve(t *testing.T) {
	var h Histogram
	if got := h.Curve(); got != nil {
		t.Errorf("the curve of nothing is %v", got)
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	var quantiles []float64
	last := 0.0
	for _, p := range h.Curve() {
		quantiles = append(quantiles, p.Quantile)
		if want := p.Quantile * 1000; p.MS < want || p.MS > want*(1+1.0/64) || p.MS < last {
			t.Errorf("quantile %v is %v ms, after %v", p.Quantile, p.MS, last)
		}
		last = p.MS
	}
	want := []float64{0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1}
	if !slices.Equal(quantiles, want) {
		t.Errorf("quantiles %v, want %v", quantiles, want)
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Add(123456)
	}
}

// A histogram survives the way from one process to another, and what two count is what one would have.
func TestHistogramsMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Int64Range(0, int64(time.Hour))).Draw(t, "values")
		var whole, sum Histogram
		var parts [2]Histogram
		for i, v := range values {
			whole.Add(time.Duration(v))
			parts[i%2].Add(time.Duration(v))
		}
		for i := range parts {
			text, err := json.Marshal(&parts[i])
			if err != nil {
				t.Fatal(err)
			}
			var read Histogram
			if err := json.Unmarshal(text, &read); err != nil {
				t.Fatal(err)
			}
			sum.Merge(&read)
		}
		if sum != whole {
			t.Errorf("%d values merged, median %v; want %d, %v", sum.Count(), sum.Quantile(0.5), whole.Count(), whole.Quantile(0.5))
		}
	})
	for _, text := range []string{`[[9999999,1]]`, `{}`, `[[1]`} {
		if err := json.Unmarshal([]byte(text), new(Histogram)); err == nil {
			t.Errorf("%s is a histogram", text)
		}
	}
}
