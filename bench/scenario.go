package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// shape names one configuration that every balancer has a template for.
type shape string

const (
	relay    shape = "tcp"           // one address in, one backend behind it
	bySNI    shape = "sni"           // TLS passed through to one of two backends, by name
	web      shape = "http"          // HTTP with one router and one backend
	secure   shape = "https"         // the same behind TLS
	routes   shape = "route"         // HTTP with a router for each path of each host, and one backend
	proxied  shape = "tcp-proxy"     // relay, with PROXY headers in and out
	pair     shape = "tcp-pair"      // relay to two backends with health checks
	webPair  shape = "http-pair"     // web with two backends with health checks
	many     shape = "tcp-many"      // relay to many backends
	services shape = "http-services" // HTTP with a router, a service and a backend for each host
	second   shape = "http2"         // HTTP/2 behind TLS with one router and one backend
	passes   shape = "chain"         // HTTP with one router, ten middlewares and one backend

	// UDP, with one backend each.
	lasting shape = "udp"         // a flow lasts until it is silent
	brief   shape = "udp-once"    // a flow ends with the first answer
	queries shape = "udp-dns"     // DNS, no flows needed
	oneWay  shape = "udp-one-way" // nothing is answered
)

// scenario is one kind of work to measure. It is plain data: what is done is
// the load tools' business, how a balancer is set up that of its templates.
type scenario struct {
	name, title string
	shape       shape
	exchange    load.Exchange
	connections int
	sni         string // name the client asks for; empty means no TLS
	targets     load.Targets
	resume      bool // of the shape https: connections resume a session
	streams     int  // of the shape http2: requests under way on each connection
	// outside is the load tool of others that makes the load. Empty is the
	// bench's own, or h2load for HTTP/2.
	outside string
	// bare is the shape that weir is measured in besides, in each round, so
	// that its cost can be compared with its own. Empty is none.
	bare shape
	idle bool // the connections are held and memory is measured
	// flows says what the client of a UDP scenario does, but for addresses
	// and times; connections are its flows. nil is TCP.
	flows  *load.FlowSpec
	cabled bool // client and backend are in network namespaces of their own
	unit   unit
	goal   *goal // nil is none

	// What differs from another scenario in one number is a point of a series.
	series   string
	x        float64
	xName    string  // what x counts
	share    float64 // of its own capacity, at which exchanges come at a steady rate; 0 is a closed loop
	backends int     // of the shapes that have many
	loops    int     // threads, workers or loops of the balancer; 0 is one
	// What happens during the measurement, every so often: the configuration
	// changes, or the first backend goes away, or comes back.
	reload, flap time.Duration
}

// network is what the client speaks to the balancer.
func (s scenario) network() string {
	if s.flows != nil {
		return "udp"
	}
	return "tcp"
}

// family is the first word of the name: tcp, udp, http, https or http2.
func (s scenario) family() string {
	family, _, _ := strings.Cut(s.name, "-")
	return family
}

// called reports whether a name means the scenario: its own, its series' or its family's.
func (s scenario) called(name string) bool {
	return name != "" && (s.name == name || s.series == name || s.family() == name)
}

// goal is what weir's cost must not exceed.
type goal struct {
	Most float64 `json:"most"`
	// Of is the rival to whose cost it is a ratio, anyRival for the cheapest,
	// itself for weir's own in the bare shape; empty means that it is the cost
	// itself.
	Of string `json:"of,omitempty"`
}

// anyRival stands for the rival that is cheapest in the scenario.
const anyRival = "best"

// itself stands for weir in the bare shape of the scenario.
const itself = "itself"

// unit says how the cost of a sample is counted.
type unit struct {
	cost string // what the main column holds; less is better
	bulk bool   // a unit is 10^9 bytes, not an exchange
	rate string // what the throughput column holds
	// costOf and rateOf turn a measurement into the two figures.
	costOf func(measured) float64
	rateOf func(measured) float64
}

// measured is what one round of one balancer gave.
type measured struct {
	cpu      time.Duration // of the balancer's tree
	rss      int64         // growth of the balancer's tree, bytes
	held     int           // idle connections
	elapsed  time.Duration
	finished int   // exchanges
	bytes    int64 // of the longer direction
}

const (
	askSize    = 64
	answerSize = 128
	kilobyte   = 1024
	bulkSize   = 10_000_000
	pageSize   = 10 << 20 // of bulk over HTTP/2
	gigabyte   = 1e9
)

// idleConnections is how many connections the memory scenario wants. Each
// takes two of the balancer's descriptors.
const idleConnections = 8000

// sniNames are the names that balancers route by in the shape bySNI, one for
// each backend.
var sniNames = [2]string{"one.bench.test", "two.bench.test"}

func scenarios() []scenario {
	return slices.Concat(tcpScenarios(), udpScenarios(), httpScenarios(), httpsScenarios(), http2Scenarios(), outsideScenarios(), seriesScenarios())
}

func tcpScenarios() []scenario {
	ping := load.Exchange{Request: askSize, Answer: answerSize}
	once := load.Exchange{Request: askSize, Answer: answerSize, Close: true}
	all := []scenario{
		{
			name: "tcp-keepalive", title: fmt.Sprintf("TCP relay, 64 lasting connections, %d bytes asked, %d answered", askSize, answerSize),
			shape: relay, exchange: ping, connections: 64, unit: perExchange("round trip"), goal: &goal{1.00, anyRival},
		},
		{
			name: "tcp-connect", title: "TCP relay, one connection per request, 64 at a time, the backend closes",
			shape: relay, exchange: once, connections: 64, unit: perExchange("connection"), goal: &goal{1.10, anyRival},
		},
		{
			name: "tcp-download", title: "TCP relay, answers of 10 MB on 8 lasting connections",
			shape: relay, exchange: load.Exchange{Request: askSize, Answer: bulkSize}, connections: 8,
			unit: perGigabyte(), goal: &goal{1.00, anyRival},
		},
		{
			name: "tcp-upload", title: "TCP relay, requests of 10 MB on 8 lasting connections",
			shape: relay, exchange: load.Exchange{Request: bulkSize, Answer: answerSize}, connections: 8,
			unit: perGigabyte(), goal: &goal{1.00, anyRival},
		},
		{
			name: "tcp-sni", title: "TLS passthrough by SNI, one connection per ClientHello, 64 at a time",
			shape: bySNI, exchange: once, connections: 64, sni: sniNames[1], unit: perExchange("connection"),
		},
		{
			name: "tcp-idle", title: "memory of relayed TCP connections that are silent after one round trip",
			shape: relay, exchange: ping, connections: idleConnections, idle: true, unit: memory("connection"), goal: &goal{Most: 2},
		},
		{
			name: "tcp-proxy", title: "TCP relay with PROXY headers in and out, one connection per request, 64 at a time",
			shape: proxied, exchange: announced(once), connections: 64, unit: perExchange("connection"),
		},
	}
	for _, n := range []int{1, 1000} {
		all = append(all, scenario{
			name: fmt.Sprintf("tcp-keepalive-%d", n), title: fmt.Sprintf("TCP relay, lasting connections: %d, %d bytes asked, %d answered", n, askSize, answerSize),
			shape: relay, exchange: ping, connections: n, unit: perExchange("round trip"),
		})
	}
	return all
}

// announced is the exchange with PROXY headers.
func announced(e load.Exchange) load.Exchange {
	e.Proxy = true
	return e
}

const (
	datagramSize = 64
	logSize      = 200
	trainSize    = 1200
	trainLength  = 32
	renewal      = 1000 // queries until a client of DNS is another one
	sharedBy     = 32   // sockets that the flows of a scenario are spread over
)

func udpScenarios() []scenario {
	small := load.Datagrams{Size: datagramSize}
	return []scenario{
		{
			name: "udp-roundtrip", title: fmt.Sprintf("UDP, 32 clients with 8 datagrams of %d bytes under way each", datagramSize),
			shape: lasting, connections: 32, flows: &load.FlowSpec{InFlight: 8, Datagrams: small},
			unit: perExchange("round trip"), goal: &goal{1.00, anyRival},
		},
		{
			name: "udp-flows", title: fmt.Sprintf("UDP, 1000 clients with one datagram of %d bytes under way each", datagramSize),
			shape: lasting, connections: 1000, flows: &load.FlowSpec{InFlight: 1, Sockets: sharedBy, Datagrams: small},
			unit: perExchange("round trip"), goal: &goal{1.00, anyRival},
		},
		{
			name: "udp-10000-flows", title: fmt.Sprintf("UDP, 10000 clients that send %d bytes in turn, 1000 datagrams under way", datagramSize),
			shape: lasting, connections: 10_000, flows: &load.FlowSpec{InFlight: 1, Window: 1000, Sockets: sharedBy, Datagrams: small},
			unit: perExchange("round trip"),
		},
		{
			name: "udp-new", title: "UDP, a new flow for every datagram and its answer, 128 at a time",
			shape: brief, connections: 128, flows: &load.FlowSpec{InFlight: 1, Sockets: sharedBy, Renew: 1, Datagrams: small},
			unit: perExchange("flow"),
		},
		{
			name: "udp-dns", title: fmt.Sprintf("DNS over UDP, 1000 clients with one query under way each, others after %d", renewal),
			shape: queries, connections: 1000,
			flows: &load.FlowSpec{InFlight: 1, Sockets: sharedBy, Renew: renewal, Datagrams: load.Datagrams{DNS: true}},
			unit:  perExchange("answer"), goal: &goal{0.80, anyRival},
		},
		{
			name: "udp-oneway", title: fmt.Sprintf("UDP one way, datagrams of %d bytes from 32 clients, 128 under way", logSize),
			shape: oneWay, connections: 32,
			flows: &load.FlowSpec{InFlight: 4, Datagrams: load.Datagrams{Size: logSize, OneWay: true}},
			unit:  perExchange("datagram"), goal: &goal{0.80, anyRival},
		},
		{
			name:  "udp-trains",
			title: fmt.Sprintf("UDP over veth, trains of %d datagrams of %d bytes, one under way for each of 4 clients", trainLength, trainSize),
			shape: lasting, connections: 4, cabled: true,
			flows: &load.FlowSpec{InFlight: trainLength, Datagrams: load.Datagrams{Size: trainSize, Train: trainLength}},
			unit:  perExchange("round trip"), goal: &goal{0.80, anyRival},
		},
		{
			name: "udp-full", title: fmt.Sprintf("UDP, 32 clients that send %d bytes as fast as they can", datagramSize),
			shape: lasting, connections: 32, flows: &load.FlowSpec{InFlight: 4096, Sockets: 4, Open: true, Datagrams: small},
			unit: perExchange("round trip"),
		},
		{
			name: "udp-memory", title: "memory of UDP flows that are silent after one round trip",
			shape: lasting, connections: idleConnections, idle: true,
			flows: &load.FlowSpec{InFlight: 1, Sockets: sharedBy, Datagrams: small}, unit: memory("flow"), goal: &goal{Most: 1},
		},
	}
}

func httpScenarios() []scenario {
	get := load.Exchange{Answer: answerSize, HTTP: true}
	all := []scenario{
		{
			name: "http-keepalive", title: fmt.Sprintf("HTTP, 64 lasting connections, %d bytes answered", answerSize),
			shape: web, exchange: get, connections: 64, unit: perExchange("request"), goal: &goal{0.90, anyRival},
		},
		{
			name: "http-connect", title: "HTTP, one connection per request, 64 at a time, the balancer closes",
			shape: web, exchange: closing(get), connections: 64, unit: perExchange("request"), goal: &goal{1.00, anyRival},
		},
		{
			name: "http-download", title: "HTTP, answers of 10 MB on 8 lasting connections",
			shape: web, exchange: load.Exchange{Answer: bulkSize, HTTP: true}, connections: 8,
			unit: perGigabyte(), goal: &goal{0.60, anyRival},
		},
		{
			name: "http-upload", title: "HTTP, requests of 10 MB on 8 lasting connections",
			shape: web, exchange: load.Exchange{Request: bulkSize, Answer: answerSize, HTTP: true}, connections: 8,
			unit: perGigabyte(), goal: &goal{0.60, anyRival},
		},
		{
			name: "http-idle", title: "memory of HTTP client connections that are silent after one request",
			shape: web, exchange: get, connections: idleConnections, idle: true, unit: memory("connection"),
		},
		{
			name: "http-middlewares", title: "HTTP, 64 lasting connections, 1 KB answered, through ten middlewares",
			shape: passes, bare: web, exchange: load.Exchange{Answer: kilobyte, HTTP: true}, connections: 64,
			unit: perExchange("request"), goal: &goal{1.25, itself},
		},
	}
	for _, hosts := range []int{100, 1000} {
		const paths = 10
		all = append(all, scenario{
			name:  fmt.Sprintf("http-%d-routers", hosts*paths),
			title: fmt.Sprintf("HTTP, 64 lasting connections, %d hosts with %d paths each, all asked for in turn", hosts, paths),
			shape: routes, exchange: get, targets: load.Targets{Hosts: hosts, Paths: paths}, connections: 64,
			unit: perExchange("request"),
		})
	}
	return all
}

func httpsScenarios() []scenario {
	get := load.Exchange{Answer: answerSize, HTTP: true}
	return []scenario{
		{
			name: "https-keepalive", title: "HTTPS (TLS 1.3, P-256), 64 lasting connections, small answers",
			shape: secure, exchange: get, connections: 64, unit: perExchange("request"), goal: &goal{0.80, "nginx"},
		},
		{
			name: "https-handshake", title: "HTTPS (TLS 1.3, P-256), a full handshake per request, 64 at a time",
			shape: secure, exchange: closing(get), connections: 64, unit: perExchange("request"), goal: &goal{0.95, "nginx"},
		},
		{
			name: "https-resume", title: "HTTPS (TLS 1.3), a resumed session per request, 64 at a time",
			shape: secure, exchange: closing(get), resume: true, connections: 64, unit: perExchange("request"),
		},
	}
}

// http2Scenarios are HTTP/2 on the side of the client; the backend gets
// HTTP/1.1 as ever.
func http2Scenarios() []scenario {
	get := load.Exchange{Answer: kilobyte, HTTP: true}
	return []scenario{
		{
			name: "http2-streams", title: "HTTP/2 over TLS, 10 connections with 100 streams each, 1 KB answered",
			shape: second, exchange: get, connections: 10, streams: 100, unit: perExchange("request"), goal: &goal{1.00, anyRival},
		},
		{
			name: "http2-few", title: "HTTP/2 over TLS, one connection with 10 streams, 1 KB answered",
			shape: second, exchange: get, connections: 1, streams: 10, unit: perExchange("request"), goal: &goal{1.00, anyRival},
		},
		{
			name: "http2-download", title: "HTTP/2 over TLS, answers of 10 MiB on 2 connections with 10 streams each",
			shape: second, exchange: load.Exchange{Answer: pageSize, HTTP: true}, connections: 2, streams: 10,
			unit: perGigabyte(), goal: &goal{1.00, anyRival},
		},
	}
}

// program is the load tool that has to be installed, and the Debian package
// that it is in; empty is none.
func (s scenario) program() (name, debian string) {
	switch {
	case s.shape == second:
		return "h2load", "nghttp2-client"
	case s.outside != "":
		return s.outside, s.outside
	}
	return "", ""
}

// outsideScenarios are some of the others with the load of a tool that others
// have written, for whoever would rather believe that.
func outsideScenarios() []scenario {
	return []scenario{
		{
			name: "tcp-download-iperf3", title: "TCP relay, bulk on 8 connections by iperf3, which is the backend too",
			shape: relay, connections: 8, outside: load.Iperf3, unit: perGigabyte(),
		},
		{
			name: "udp-dns-dnsperf", title: "DNS over UDP by dnsperf, 200 clients with one query under way each",
			shape: queries, connections: 200, outside: load.Dnsperf, flows: &load.FlowSpec{Datagrams: load.Datagrams{DNS: true}},
			unit: perExchange("answer"),
		},
		{
			name: "http-keepalive-wrk", title: fmt.Sprintf("HTTP by wrk, 64 lasting connections, %d bytes answered", answerSize),
			shape: web, exchange: load.Exchange{Answer: answerSize, HTTP: true}, connections: 64, outside: load.Wrk, unit: perExchange("request"),
		},
	}
}

// closing is the exchange with a connection of its own.
func closing(e load.Exchange) load.Exchange {
	e.Close = true
	return e
}

// perGigabyte counts milliseconds of CPU for 10^9 bytes.
func perGigabyte() unit {
	return unit{
		cost:   "ms/GB",
		bulk:   true,
		rate:   "GB/s",
		costOf: func(m measured) float64 { return over(float64(m.cpu.Milliseconds()), float64(m.bytes)/gigabyte) },
		rateOf: func(m measured) float64 { return over(float64(m.bytes)/gigabyte, m.elapsed.Seconds()) },
	}
}

// memory counts by how much a connection, or what it is called, makes the
// balancer grow.
func memory(name string) unit {
	return unit{
		cost:   "KiB/" + name,
		rate:   name + "s",
		costOf: func(m measured) float64 { return over(float64(m.rss)/1024, float64(m.held)) },
		rateOf: func(m measured) float64 { return float64(m.held) },
	}
}

// perExchange counts microseconds of CPU for each finished exchange.
func perExchange(name string) unit {
	return unit{
		cost:   "us/" + name,
		rate:   name + "s/s",
		costOf: func(m measured) float64 { return over(float64(m.cpu.Microseconds()), float64(m.finished)) },
		rateOf: func(m measured) float64 { return over(float64(m.finished), m.elapsed.Seconds()) },
	}
}

// over divides, and is 0 where there is nothing to divide by.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
