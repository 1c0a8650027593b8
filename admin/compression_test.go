package admin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompressionMetrics(t *testing.T) {
	state := State{Compressions: []Compression{
		{Middleware: "smaller", Responses: map[string]uint64{"gzip": 2, "br": 0}, Skipped: map[string]uint64{"no-transform": 1, "short": 4}, BytesIn: 5000, BytesOut: 700},
		{Middleware: "idle\xff"},
	}}
	got := map[string]float64{}
	for name, v := range series(t, scrape(t, &fixed{state: state})) {
		if strings.HasPrefix(name, "weir_compress_") {
			got[name] = v
		}
	}
	if diff := cmp.Diff(map[string]float64{
		`weir_compress_responses_total{coding="gzip",middleware="smaller"}`:       2,
		`weir_compress_responses_total{coding="br",middleware="smaller"}`:         0,
		`weir_compress_skipped_total{middleware="smaller",reason="no_transform"}`: 1,
		`weir_compress_skipped_total{middleware="smaller",reason="short"}`:        4,
		`weir_compress_input_bytes_total{middleware="smaller"}`:                   5000,
		`weir_compress_output_bytes_total{middleware="smaller"}`:                  700,
		"weir_compress_input_bytes_total{middleware=\"idle\ufffd\"}":              0,
		"weir_compress_output_bytes_total{middleware=\"idle\ufffd\"}":             0,
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
