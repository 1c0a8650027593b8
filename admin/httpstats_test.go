package admin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistogramMean(t *testing.T) {
	tests := []struct {
		name string
		h    Histogram
		want time.Duration
		ok   bool
	}{
		{"nothing", Histogram{}, 0, false},
		{"buckets, but no duration", Histogram{Bounds: []float64{1}, Counts: []uint64{0, 0}}, 0, false},
		{"one", Histogram{Bounds: []float64{1}, Counts: []uint64{1, 0}, Sum: 0.25}, 250 * time.Millisecond, true},
		{"some above all bounds", Histogram{Bounds: []float64{1}, Counts: []uint64{1, 3}, Sum: 10}, 2500 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := tt.h.mean(); got != tt.want || ok != tt.ok {
				t.Errorf("mean %v, %v, want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestLatency(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {850_400 * time.Nanosecond, "850µs"}, {12_345 * time.Microsecond, "12.3ms"}, {1_254 * time.Millisecond, "1.25s"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := latency(tt.d); got != tt.want {
				t.Errorf("latency(%d) = %q, want %q", tt.d, got, tt.want)
			}
		})
	}
}

func TestStatusSumsRequests(t *testing.T) {
	none, idle, two := busy(), busy(), busyHTTP()
	idle.Entrypoints[0].HTTP = &HTTPStats{}
	two.Entrypoints[0].HTTP = &HTTPStats{Requests: map[string]uint64{"1xx": 1, "2xx": 10, "4xx": 2, "other": 9}}
	tests := []struct {
		name  string
		state State
		want  map[string]uint64
		text  string
	}{
		{"no HTTP", none, nil, ""},
		{"no request yet", idle, map[string]uint64{"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "aborted": 0}, "0"},
		{
			"two entrypoints", two, map[string]uint64{"1xx": 1, "2xx": 210, "3xx": 0, "4xx": 2, "5xx": 4, "aborted": 1},
			"218: 1 1xx, 210 2xx, 2 4xx, 4 5xx, 1 aborted",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status := tt.state.status()
			if diff := cmp.Diff(tt.want, status.Requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			text := ""
			for _, row := range statusRows(status) {
				if row[0] == "requests" {
					text = row[1]
				}
			}
			if text != tt.text {
				t.Errorf("shown as %q, want %q", text, tt.text)
			}
		})
	}
}
