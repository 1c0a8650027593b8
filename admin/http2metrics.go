package admin

import "github.com/prometheus/client_golang/prometheus"

// http2Families are the metrics of the connections of HTTP/2 at an entrypoint.
type http2Families struct {
	connections *prometheus.Desc
	active      *prometheus.Desc
	streams     *prometheus.Desc
	open        *prometheus.Desc
	reset       *prometheus.Desc
	goAways     *prometheus.Desc
}

func newHTTP2Families() http2Families {
	const prefix = "weir_entrypoint_http2_"
	labels, reasons := []string{"entrypoint"}, []string{"entrypoint", "reason"}
	return http2Families{
		connections: prometheus.NewDesc(prefix+"connections_total", "Connections of HTTP/2 begun.", labels, nil),
		active:      prometheus.NewDesc(prefix+"active_connections", "Open connections of HTTP/2.", labels, nil),
		streams:     prometheus.NewDesc(prefix+"streams_total", "Streams of HTTP/2 that became requests.", labels, nil),
		open:        prometheus.NewDesc(prefix+"active_streams", "Open streams of HTTP/2.", labels, nil),
		reset:       prometheus.NewDesc(prefix+"streams_reset_total", "Streams of HTTP/2 that were refused, or reset by either side, by reason.", reasons, nil),
		goAways:     prometheus.NewDesc(prefix+"goaways_total", "Connections of HTTP/2 that weir has told to end, by reason.", reasons, nil),
	}
}

func (f *http2Families) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.connections, f.active, f.streams, f.open, f.reset, f.goAways} {
		out <- d
	}
}

// collect makes the series of h, none of a nil one.
func (f *http2Families) collect(out chan<- prometheus.Metric, h *HTTP2Stats, entrypoint string) {
	if h == nil {
		return
	}
	name := valid(entrypoint)
	out <- prometheus.MustNewConstMetric(f.connections, counter, float64(h.Connections), name)
	out <- prometheus.MustNewConstMetric(f.active, gauge, float64(h.Active), name)
	out <- prometheus.MustNewConstMetric(f.streams, counter, float64(h.Streams), name)
	out <- prometheus.MustNewConstMetric(f.open, gauge, float64(h.ActiveStreams), name)
	collectReasons(out, f.reset, h.Reset, name)
	collectReasons(out, f.goAways, h.GoAways, name)
}
