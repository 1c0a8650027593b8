package admin

import "github.com/prometheus/client_golang/prometheus"

// udpFamilies are the metrics of the datagrams that passed one kind of thing, and of what became of their flows.
type udpFamilies struct {
	received *prometheus.Desc
	sent     *prometheus.Desc
	dropped  *prometheus.Desc
	moved    *prometheus.Desc
	ended    *prometheus.Desc
}

// newUDPFamilies returns the metrics weir_<kind>_datagrams_... and weir_<kind>_flows_... with the labels of that kind.
func newUDPFamilies(kind string, labels ...string) udpFamilies {
	prefix := "weir_" + kind + "_"
	reasons := append(append([]string{}, labels...), "reason")
	return udpFamilies{
		received: prometheus.NewDesc(prefix+"datagrams_received_total", "Datagrams received from clients and passed on.", labels, nil),
		sent:     prometheus.NewDesc(prefix+"datagrams_sent_total", "Datagrams sent to clients.", labels, nil),
		dropped:  prometheus.NewDesc(prefix+"datagrams_dropped_total", "Datagrams that went nowhere, both ways, by cause.", reasons, nil),
		moved:    prometheus.NewDesc(prefix+"flows_moved_total", "Times that a flow went to another backend.", labels, nil),
		ended:    prometheus.NewDesc(prefix+"flows_ended_total", "Flows that ended, by reason.", reasons, nil),
	}
}

func (f *udpFamilies) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{f.received, f.sent, f.dropped, f.moved, f.ended} {
		out <- d
	}
}

// collect makes the series of u, none of a nil one.
func (f *udpFamilies) collect(out chan<- prometheus.Metric, u *UDPStats, labels ...string) {
	if u == nil {
		return
	}
	for i, l := range labels {
		labels[i] = valid(l)
	}
	out <- prometheus.MustNewConstMetric(f.received, counter, float64(u.DatagramsIn), labels...)
	out <- prometheus.MustNewConstMetric(f.sent, counter, float64(u.DatagramsOut), labels...)
	out <- prometheus.MustNewConstMetric(f.moved, counter, float64(u.Moved), labels...)
	collectReasons(out, f.dropped, u.Dropped, labels...)
	collectReasons(out, f.ended, u.Ended, labels...)
}

func entrypointFlowMetrics() []definition[Entrypoint] {
	return []definition[Entrypoint]{
		{"weir_entrypoint_flows_total", "Flows begun.", counter, func(e *Entrypoint) float64 { return float64(e.Connections) }},
		{"weir_entrypoint_active_flows", "Flows under way.", gauge, func(e *Entrypoint) float64 { return float64(e.Active) }},
		{"weir_entrypoint_max_flows", "Limit of flows under way; 0 means none of its own.", gauge, func(e *Entrypoint) float64 { return float64(e.Max) }},
	}
}

func serviceFlowMetrics() []definition[Service] {
	return []definition[Service]{
		{"weir_service_flows_total", "Flows given to the service.", counter, func(s *Service) float64 { return float64(s.Connections) }},
		{"weir_service_active_flows", "Flows under way.", gauge, func(s *Service) float64 { return float64(s.Active) }},
	}
}

func backendFlowMetrics() []definition[Backend] {
	return []definition[Backend]{
		{"weir_backend_flows_total", "Flows given to the backend.", counter, func(b *Backend) float64 { return float64(b.Connections) }},
		{"weir_backend_active_flows", "Flows under way.", gauge, func(b *Backend) float64 { return float64(b.Active) }},
		{"weir_backend_max_flows", "Limit of flows under way; 0 means none.", gauge, func(b *Backend) float64 { return float64(b.Max) }},
		{"weir_backend_unreachable_total", "Times that ICMP told a flow that the backend takes no datagrams.", counter, func(b *Backend) float64 { return float64(b.ConnectFailures) }},
	}
}
