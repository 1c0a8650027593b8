package main

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// shape names one configuration that every balancer has a template for.
type shape string

const (
	relay shape = "tcp" // one address in, one backend behind it
	bySNI shape = "sni" // TLS passed through to one of two backends, by name
)

// scenario is one kind of work to measure. It is plain data: what is done is
// the load tools' business, how a balancer is set up that of its templates.
type scenario struct {
	name, title string
	shape       shape
	exchange    load.Exchange
	connections int
	sni         string // name the client asks for; empty means no TLS
	idle        bool   // the connections are held and memory is measured
	unit        unit
}

// unit says how the cost of a sample is counted.
type unit struct {
	cost string // what the main column holds; less is better
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
	bulkSize   = 10_000_000
	gigabyte   = 1e9
)

// idleConnections is how many connections the memory scenario wants. Each
// takes two of the balancer's descriptors.
const idleConnections = 8000

// sniNames are the names that balancers route by in the shape bySNI, one for
// each backend.
var sniNames = [2]string{"one.bench.test", "two.bench.test"}

func scenarios() []scenario {
	perRoundTrip := perExchange("round trip")
	perConnection := perExchange("connection")
	perGigabyte := unit{
		cost:   "ms/GB",
		rate:   "GB/s",
		costOf: func(m measured) float64 { return over(float64(m.cpu.Milliseconds()), float64(m.bytes)/gigabyte) },
		rateOf: func(m measured) float64 { return over(float64(m.bytes)/gigabyte, m.elapsed.Seconds()) },
	}
	memory := unit{
		cost:   "KiB/connection",
		rate:   "connections",
		costOf: func(m measured) float64 { return over(float64(m.rss)/1024, float64(m.held)) },
		rateOf: func(m measured) float64 { return float64(m.held) },
	}
	ping := load.Exchange{Request: askSize, Answer: answerSize}
	once := load.Exchange{Request: askSize, Answer: answerSize, Close: true}
	return []scenario{
		{
			name: "tcp-keepalive", title: fmt.Sprintf("TCP relay, 64 lasting connections, %d bytes asked, %d answered", askSize, answerSize),
			shape: relay, exchange: ping, connections: 64, unit: perRoundTrip,
		},
		{
			name: "tcp-connect", title: "TCP relay, one connection per request, 64 at a time, the backend closes",
			shape: relay, exchange: once, connections: 64, unit: perConnection,
		},
		{
			name: "tcp-download", title: "TCP relay, answers of 10 MB on 8 lasting connections",
			shape: relay, exchange: load.Exchange{Request: askSize, Answer: bulkSize}, connections: 8, unit: perGigabyte,
		},
		{
			name: "tcp-upload", title: "TCP relay, requests of 10 MB on 8 lasting connections",
			shape: relay, exchange: load.Exchange{Request: bulkSize, Answer: answerSize}, connections: 8, unit: perGigabyte,
		},
		{
			name: "tcp-sni", title: "TLS passthrough by SNI, one connection per ClientHello, 64 at a time",
			shape: bySNI, exchange: once, connections: 64, sni: sniNames[1], unit: perConnection,
		},
		{
			name: "tcp-idle", title: "memory of relayed TCP connections that are silent after one round trip",
			shape: relay, exchange: ping, connections: idleConnections, idle: true, unit: memory,
		},
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
