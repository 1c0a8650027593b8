package admin

import "github.com/prometheus/client_golang/prometheus"

// httpFamilies are the metrics of the HTTP requests that passed one kind of thing, such as a service.
type httpFamilies struct {
	requests *prometheus.Desc
	duration *prometheus.Desc
	received *prometheus.Desc
	sent     *prometheus.Desc
}

// httpHelp says what differs between the kinds.
type httpHelp struct{ requests, duration string }

// newHTTPFamilies returns the metrics weir_<kind>_http_... with the labels of that kind.
func newHTTPFamilies(kind string, help httpHelp, labels ...string) httpFamilies {
	prefix := "weir_" + kind + "_http_"
	classes := append(append([]string{}, labels...), "code")
	return httpFamilies{
		requests: prometheus.NewDesc(prefix+"requests_total", help.requests, classes, nil),
		duration: prometheus.NewDesc(prefix+"request_duration_seconds", help.duration, labels, nil),
		received: prometheus.NewDesc(prefix+"request_bytes_total", "Content bytes of HTTP requests.", labels, nil),
		sent:     prometheus.NewDesc(prefix+"response_bytes_total", "Content bytes of HTTP responses.", labels, nil),
	}
}

func (f *httpFamilies) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.requests, f.duration, f.received, f.sent} {
		out <- d
	}
}

// collect makes the series of h, none of a nil one. Every class has a series from the start, so that the first request
// of a class is seen as an increase.
func (f *httpFamilies) collect(out chan<- prometheus.Metric, h *HTTPStats, labels ...string) {
	if h == nil {
		return
	}
	for i, l := range labels {
		labels[i] = valid(l)
	}
	for _, class := range httpClasses {
		values := append(append([]string{}, labels...), class)
		out <- prometheus.MustNewConstMetric(f.requests, counter, float64(h.Requests[class]), values...)
	}
	total, upTo := h.Duration.cumulative()
	out <- prometheus.MustNewConstHistogram(f.duration, total, h.Duration.Sum, upTo, labels...)
	out <- prometheus.MustNewConstMetric(f.received, counter, float64(h.BytesIn), labels...)
	out <- prometheus.MustNewConstMetric(f.sent, counter, float64(h.BytesOut), labels...)
}
