package admin

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector makes metrics of one State each time it is asked. Label values are names from the configuration, addresses
// and words of closed sets: nothing that a client sends. What leaves the configuration leaves the metrics.
type collector struct {
	weir        Weir
	process     []family[State]
	web         []family[State] // where HTTP is served
	entrypoints group[Entrypoint]
	services    group[Service]
	backends    group[Backend]

	buildInfo   *prometheus.Desc
	ended       *prometheus.Desc
	reloads     *prometheus.Desc
	rejected    *prometheus.Desc
	serviceEnd  *prometheus.Desc
	calls       *prometheus.Desc
	loopsActive *prometheus.Desc

	entrypointHTTP httpFamilies
	routerHTTP     httpFamilies
	serviceHTTP    httpFamilies
	backendHTTP    httpFamilies
	idle           *prometheus.Desc
	http2          http2Families

	entrypointUDP udpFamilies
	serviceUDP    udpFamilies

	sources      sourceFamilies
	cluster      clusterFamilies
	compressions compressionFamilies
}

// family is one metric that every T has.
type family[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

// group is the metrics of one kind of thing. Each thing has those of all, and by its protocol either those of connections
// or those of flows: so a sum over things does not add connections to flows, and nothing is 0 for ever because it cannot
// happen.
type group[T any] struct{ all, connections, flows []family[T] }

// newGroup makes a group of what its things have, with the labels of that kind.
func newGroup[T any](labels []string, all, connections, flows []definition[T]) group[T] {
	return group[T]{families(labels, all), families(labels, connections), families(labels, flows)}
}

func (g *group[T]) describe(out chan<- *prometheus.Desc) {
	describe(out, g.all)
	describe(out, g.connections)
	describe(out, g.flows)
}

func (g *group[T]) collect(out chan<- prometheus.Metric, of *T, protocol string, labels ...string) {
	collect(out, g.all, of, labels...)
	if protocol == udp {
		collect(out, g.flows, of, labels...)
	} else {
		collect(out, g.connections, of, labels...)
	}
}

// definition names a family.
type definition[T any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*T) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func families[T any](labels []string, defs []definition[T]) []family[T] {
	out := make([]family[T], len(defs))
	for i, d := range defs {
		out[i] = family[T]{prometheus.NewDesc(d.name, d.help, labels, nil), d.kind, d.value}
	}
	return out
}

func newCollector(weir Weir) *collector {
	ofClient := httpHelp{
		requests: "HTTP requests that ended, by class of the status sent, or aborted.",
		duration: "How long HTTP requests took, from the first byte to the end.",
	}
	ofBackend := httpHelp{
		requests: "HTTP requests sent to the backend that ended, by class of the status it sent, or aborted.",
		duration: "How long the backend took, from sending it the HTTP request to the end of its answer.",
	}
	ofEntrypoint, ofService, ofServer := []string{"entrypoint"}, []string{"protocol", "service"}, []string{"protocol", "service", "backend"}
	return &collector{
		weir:        weir,
		process:     families(nil, processMetrics()),
		web:         families(nil, webMetrics()),
		entrypoints: newGroup(ofEntrypoint, entrypointMetrics(), entrypointConnectionMetrics(), entrypointFlowMetrics()),
		services:    newGroup(ofService, serviceMetrics(), serviceConnectionMetrics(), serviceFlowMetrics()),
		backends:    newGroup(ofServer, backendMetrics(), backendConnectionMetrics(), backendFlowMetrics()),

		buildInfo:   prometheus.NewDesc("weir_build_info", "Always 1; the labels say what runs.", []string{"version", "commit", "go_version"}, nil),
		ended:       prometheus.NewDesc("weir_connections_ended_total", "Connections that ended, by reason.", []string{"reason"}, nil),
		reloads:     prometheus.NewDesc("weir_config_reloads_total", "Attempts to load a changed configuration.", []string{"result"}, nil),
		rejected:    prometheus.NewDesc("weir_entrypoint_rejected_total", "Connections and requests turned away, by reason.", []string{"entrypoint", "reason"}, nil),
		serviceEnd:  prometheus.NewDesc("weir_service_connections_ended_total", "Connections of the service that ended, by reason.", []string{"protocol", "service", "reason"}, nil),
		calls:       prometheus.NewDesc("weir_service_grpc_calls_total", "Calls of gRPC that ended, by status.", []string{"service", "status"}, nil),
		loopsActive: prometheus.NewDesc("weir_loop_active_connections", "Open client connections of an event loop.", []string{"loop"}, nil),

		entrypointHTTP: newHTTPFamilies("entrypoint", ofClient, "entrypoint"),
		routerHTTP:     newHTTPFamilies("router", ofClient, "protocol", "router"),
		serviceHTTP:    newHTTPFamilies("service", ofClient, "protocol", "service"),
		backendHTTP:    newHTTPFamilies("backend", ofBackend, "protocol", "service", "backend"),
		idle:           prometheus.NewDesc("weir_upstream_idle_connections", "Open HTTP connections to backends that no request uses now.", []string{"protocol", "service"}, nil),
		http2:          newHTTP2Families(),

		entrypointUDP: newUDPFamilies("entrypoint", "entrypoint"),
		serviceUDP:    newUDPFamilies("service", "protocol", "service"),

		sources:      newSourceFamilies(),
		cluster:      newClusterFamilies(),
		compressions: newCompressionFamilies(),
	}
}

// webMetrics are those of the process that are there if any entrypoint serves HTTP.
func webMetrics() []definition[State] {
	return []definition[State]{
		{"weir_http_backend_connections", "Open connections to backends of HTTP, idle ones included.", gauge, func(s *State) float64 { return float64(s.Connections.HTTPBackend) }},
		{"weir_http_max_backend_connections", "Limit of these, less what TCP services use of it; 0 means none.", gauge, func(s *State) float64 { return float64(s.Connections.MaxHTTPBackend) }},
	}
}

func processMetrics() []definition[State] {
	return []definition[State]{
		{"weir_ready", "Whether weir wants traffic: 1 as long as /readyz is 200.", gauge, func(s *State) float64 { return oneIf(len(s.NotReady) == 0) }},
		{"weir_start_time_seconds", "When weir started, in seconds since 1970.", gauge, func(s *State) float64 { return unixSeconds(s.Started) }},
		{"weir_config_generation", "Generation of the configuration in force; 1 is the one weir started with.", gauge, func(s *State) float64 { return float64(s.Generation) }},
		{"weir_config_last_reload_success", "Whether the last attempt to load a configuration succeeded.", gauge, func(s *State) float64 { return oneIf(s.Reloads.Last.OK) }},
		{"weir_config_last_reload_timestamp_seconds", "When that attempt was, in seconds since 1970.", gauge, func(s *State) float64 { return unixSeconds(s.Reloads.Last.At) }},
		{"weir_active_connections", "Open client connections.", gauge, func(s *State) float64 { return float64(s.Connections.Active) }},
		{"weir_max_connections", "Limit of open client connections; 0 means none.", gauge, func(s *State) float64 { return float64(s.Connections.Max) }},
		{"weir_active_flows", "Flows of UDP under way.", gauge, func(s *State) float64 { return float64(s.Flows.Active) }},
		{"weir_max_flows", "Limit of flows under way; 0 means none.", gauge, func(s *State) float64 { return float64(s.Flows.Max) }},
		{"weir_access_log_records_total", "Access-log records written.", counter, func(s *State) float64 { return float64(s.AccessLog.Written) }},
		{"weir_access_log_dropped_total", "Access-log records dropped because the sink was too slow or failed.", counter, func(s *State) float64 { return float64(s.AccessLog.Dropped) }},
		{"weir_access_log_errors_total", "Writes to the access log that failed; they are tried again.", counter, func(s *State) float64 { return float64(s.AccessLog.Errors) }},
		{"weir_spans_exported_total", "Spans that the collector has taken.", counter, func(s *State) float64 { return float64(s.Spans.Exported) }},
		{"weir_spans_failed_total", "Spans that the collector refused, or that no attempt delivered.", counter, func(s *State) float64 { return float64(s.Spans.Failed) }},
		{"weir_spans_dropped_total", "Spans that were not sent, because too many waited or weir stopped.", counter, func(s *State) float64 { return float64(s.Spans.Dropped) }},
	}
}

func entrypointMetrics() []definition[Entrypoint] {
	return []definition[Entrypoint]{
		{"weir_entrypoint_received_bytes_total", "Bytes received from clients and passed on.", counter, func(e *Entrypoint) float64 { return float64(e.BytesIn) }},
		{"weir_entrypoint_sent_bytes_total", "Bytes sent to clients.", counter, func(e *Entrypoint) float64 { return float64(e.BytesOut) }},
	}
}

func entrypointConnectionMetrics() []definition[Entrypoint] {
	return []definition[Entrypoint]{
		{"weir_entrypoint_connections_total", "Connections accepted.", counter, func(e *Entrypoint) float64 { return float64(e.Connections) }},
		{"weir_entrypoint_active_connections", "Open connections.", gauge, func(e *Entrypoint) float64 { return float64(e.Active) }},
		{"weir_entrypoint_max_connections", "Limit of open connections; 0 means none of its own.", gauge, func(e *Entrypoint) float64 { return float64(e.Max) }},
		{"weir_entrypoint_accept_errors_total", "Failed accepts, such as for want of file descriptors.", counter, func(e *Entrypoint) float64 { return float64(e.AcceptErrors) }},
	}
}

func serviceMetrics() []definition[Service] {
	return []definition[Service]{
		{"weir_service_received_bytes_total", "Bytes received from clients and passed to backends.", counter, func(s *Service) float64 { return float64(s.BytesIn) }},
		{"weir_service_sent_bytes_total", "Bytes sent from backends to clients.", counter, func(s *Service) float64 { return float64(s.BytesOut) }},
		{"weir_service_retries_refused_total", "Retries that the retry budget did not allow.", counter, func(s *Service) float64 { return float64(s.RetriesRefused) }},
		{"weir_service_backends", "Backends.", gauge, func(s *Service) float64 { return float64(s.Backends) }},
		{"weir_service_backends_in_use", "Backends that get new connections or flows.", gauge, func(s *Service) float64 { return float64(s.InUse) }},
		{"weir_service_tier", "Priority of the failover tier in use.", gauge, func(s *Service) float64 { return float64(s.Tier) }},
		{"weir_service_panic", "Whether so few backends are healthy that health is ignored.", gauge, func(s *Service) float64 { return oneIf(s.Panic) }},
	}
}

func serviceConnectionMetrics() []definition[Service] {
	return []definition[Service]{
		{"weir_service_connections_total", "Connections given to the service.", counter, func(s *Service) float64 { return float64(s.Connections) }},
		{"weir_service_active_connections", "Open connections.", gauge, func(s *Service) float64 { return float64(s.Active) }},
		{"weir_service_retries_total", "Connection attempts beyond the first.", counter, func(s *Service) float64 { return float64(s.Retries) }},
		{"weir_service_no_backend_total", "Connections for which there was no usable backend.", counter, func(s *Service) float64 { return float64(s.Ended["no-backend"]) }},
		{"weir_service_queue_length", "Connections waiting for a backend below its limit.", gauge, func(s *Service) float64 { return float64(s.Waiting) }},
		{"weir_service_queue_overflows_total", "Connections turned away because the queue was full.", counter, func(s *Service) float64 { return float64(s.QueueOverflows) }},
	}
}

func backendMetrics() []definition[Backend] {
	return []definition[Backend]{
		{"weir_backend_up", "Whether the health check lets the backend serve: 0 is down, 1 up or not known yet.", gauge, func(b *Backend) float64 { return oneIf(b.Health != "down") }},
		{"weir_backend_weight", "Weight: that of an operator, or else the configured one.", gauge, func(b *Backend) float64 { return float64(b.Weight) }},
		{"weir_backend_received_bytes_total", "Bytes received from clients and passed to the backend.", counter, func(b *Backend) float64 { return float64(b.BytesIn) }},
		{"weir_backend_sent_bytes_total", "Bytes sent from the backend to clients.", counter, func(b *Backend) float64 { return float64(b.BytesOut) }},
		{"weir_backend_health_checks_total", "Probes of the health check.", counter, func(b *Backend) float64 { return float64(b.Checks) }},
		{"weir_backend_health_check_failures_total", "Probes that failed.", counter, func(b *Backend) float64 { return float64(b.CheckFailures) }},
		{"weir_backend_ejections_total", "Times the backend was taken out after failed connections.", counter, func(b *Backend) float64 { return float64(b.Ejections) }},
		{"weir_backend_ejected", "Whether it is out now.", gauge, func(b *Backend) float64 { return oneIf(!b.EjectedUntil.IsZero()) }},
		{"weir_backend_draining", "Whether it gets nothing new by somebody's will.", gauge, func(b *Backend) float64 { return oneIf(b.Draining) }},
	}
}

func backendConnectionMetrics() []definition[Backend] {
	return []definition[Backend]{
		{"weir_backend_active_connections", "Open connections.", gauge, func(b *Backend) float64 { return float64(b.Active) }},
		{"weir_backend_max_connections", "Limit of open connections; 0 means none.", gauge, func(b *Backend) float64 { return float64(b.Max) }},
		{"weir_backend_connections_total", "Connections given to the backend.", counter, func(b *Backend) float64 { return float64(b.Connections) }},
		{"weir_backend_connect_failures_total", "Connects that failed, timeouts included.", counter, func(b *Backend) float64 { return float64(b.ConnectFailures) }},
		{"weir_backend_connect_timeouts_total", "Connects that ran into their deadline.", counter, func(b *Backend) float64 { return float64(b.ConnectTimeouts) }},
		{"weir_backend_connect_duration_seconds", "How long the last connect took.", gauge, func(b *Backend) float64 { return b.ConnectSeconds }},
	}
}

func oneIf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// unixSeconds returns 0 for no time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	describe(out, c.process)
	describe(out, c.web)
	c.entrypoints.describe(out)
	c.services.describe(out)
	c.backends.describe(out)
	for _, d := range []*prometheus.Desc{c.buildInfo, c.ended, c.reloads, c.rejected, c.serviceEnd, c.calls, c.loopsActive, c.idle} {
		out <- d
	}
	for _, f := range []*httpFamilies{&c.entrypointHTTP, &c.routerHTTP, &c.serviceHTTP, &c.backendHTTP} {
		f.describe(out)
	}
	c.http2.describe(out)
	c.entrypointUDP.describe(out)
	c.serviceUDP.describe(out)
	c.sources.describe(out)
	c.cluster.describe(out)
	c.compressions.describe(out)
}

func describe[T any](out chan<- *prometheus.Desc, all []family[T]) {
	for _, f := range all {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector. All numbers are of one State.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.weir.State()
	collect(out, c.process, s)
	if slices.ContainsFunc(s.Entrypoints, func(e Entrypoint) bool { return e.HTTP != nil }) {
		collect(out, c.web, s)
	}
	out <- prometheus.MustNewConstMetric(c.buildInfo, gauge, 1, valid(s.Version), valid(s.Commit), valid(s.GoVersion))
	out <- prometheus.MustNewConstMetric(c.reloads, counter, float64(s.Reloads.Succeeded), "success")
	out <- prometheus.MustNewConstMetric(c.reloads, counter, float64(s.Reloads.Failed), "failure")
	collectReasons(out, c.ended, s.Ended)
	for i, l := range s.Loops {
		out <- prometheus.MustNewConstMetric(c.loopsActive, gauge, float64(l.Active), strconv.Itoa(i))
	}
	for i := range s.Entrypoints {
		e := &s.Entrypoints[i]
		c.entrypoints.collect(out, e, e.Protocol, e.Name)
		collectReasons(out, c.rejected, e.Rejected, e.Name)
		c.entrypointHTTP.collect(out, e.HTTP, e.Name)
		c.http2.collect(out, e.HTTP2, e.Name)
		c.entrypointUDP.collect(out, e.UDP, e.Name)
	}
	for i := range s.Routers {
		r := &s.Routers[i]
		c.routerHTTP.collect(out, r.HTTP, r.Protocol, r.Name)
	}
	for i := range s.Services {
		v := &s.Services[i]
		c.services.collect(out, v, v.Protocol, v.Protocol, v.Name)
		collectReasons(out, c.serviceEnd, v.Ended, v.Protocol, v.Name)
		c.serviceHTTP.collect(out, v.HTTP, v.Protocol, v.Name)
		c.serviceUDP.collect(out, v.UDP, v.Protocol, v.Name)
		if v.HTTP != nil {
			out <- prometheus.MustNewConstMetric(c.idle, gauge, float64(v.Idle), valid(v.Protocol), valid(v.Name))
			for status, n := range v.HTTP.Calls {
				out <- prometheus.MustNewConstMetric(c.calls, counter, float64(n), valid(v.Name), status)
			}
		}
	}
	for i := range s.Backends {
		b := &s.Backends[i]
		c.backends.collect(out, b, b.Protocol, b.Protocol, b.Service, b.Address)
		c.backendHTTP.collect(out, b.HTTP, b.Protocol, b.Service, b.Address)
	}
	for i := range s.Sources {
		c.sources.collect(out, &s.Sources[i])
	}
	c.cluster.collect(out, s.Cluster)
	for i := range s.Compressions {
		c.compressions.collect(out, &s.Compressions[i])
	}
}

func collect[T any](out chan<- prometheus.Metric, all []family[T], of *T, labels ...string) {
	for i, l := range labels {
		labels[i] = valid(l)
	}
	for _, f := range all {
		out <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(of), labels...)
	}
}

// collectReasons makes one series of each reason, written as metric labels are: client_abort for client-abort.
func collectReasons(out chan<- prometheus.Metric, d *prometheus.Desc, byReason map[string]uint64, labels ...string) {
	for i, l := range labels {
		labels[i] = valid(l)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		values := append(slices.Clone(labels), valid(strings.ReplaceAll(reason, "-", "_")))
		out <- prometheus.MustNewConstMetric(d, counter, float64(byReason[reason]), values...)
	}
}

// valid keeps a label value the exposition format can carry: MustNewConstMetric panics on others.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
