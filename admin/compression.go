package admin

import "github.com/prometheus/client_golang/prometheus"

// Compression counts what an HTTP middleware that compresses has done with the responses of servers.
type Compression struct {
	Middleware string
	Responses  map[string]uint64 // compressed, by coding
	Skipped    map[string]uint64 // not compressed, by reason
	BytesIn    uint64            // content of those that were compressed, before
	BytesOut   uint64            // and after
}

// compressionFamilies are the metrics of middlewares that compress.
type compressionFamilies struct{ responses, skipped, in, out *prometheus.Desc }

func newCompressionFamilies() compressionFamilies {
	of := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("weir_compress_"+name, help, append([]string{"middleware"}, more...), nil)
	}
	return compressionFamilies{
		responses: of("responses_total", "Responses compressed, by coding.", "coding"),
		skipped:   of("skipped_total", "Responses with a body that were not compressed, by reason.", "reason"),
		in:        of("input_bytes_total", "Content bytes of compressed responses, before."),
		out:       of("output_bytes_total", "Content bytes of compressed responses, after."),
	}
}

func (f *compressionFamilies) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.responses, f.skipped, f.in, f.out} {
		out <- d
	}
}

func (f *compressionFamilies) collect(out chan<- prometheus.Metric, c *Compression) {
	collectReasons(out, f.responses, c.Responses, c.Middleware)
	collectReasons(out, f.skipped, c.Skipped, c.Middleware)
	out <- prometheus.MustNewConstMetric(f.in, counter, float64(c.BytesIn), valid(c.Middleware))
	out <- prometheus.MustNewConstMetric(f.out, counter, float64(c.BytesOut), valid(c.Middleware))
}
