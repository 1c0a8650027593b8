package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirlb/weir/bench/load"
)

// The scenarios here ask how a cost, or a latency, changes with one number. Those of a name but for that number are a series.

// reloadEvery and flapEvery are how often a configuration changes, and how long a backend is away and then there again.
const (
	reloadEvery = time.Second
	flapEvery   = time.Second
)

// latencyScenarios ask what a balancer adds to latencies at a steady rate, at shares of what it manages at most.
func latencyScenarios() []scenario {
	bases := []scenario{
		{
			name: "tcp-latency", title: "TCP relay, %d%% of own capacity, round trips at a steady rate over 64 lasting connections",
			shape: relay, exchange: load.Exchange{Request: askSize, Answer: answerSize}, connections: 64,
		},
		{
			name: "http-latency", title: "HTTP, %d%% of own capacity, requests at a steady rate over 64 lasting connections",
			shape: web, exchange: load.Exchange{Answer: answerSize, HTTP: true}, connections: 64,
		},
		{
			name: "udp-latency", title: "UDP, %d%% of own capacity, datagrams at a steady rate from 64 clients",
			shape: lasting, connections: 64, flows: &load.FlowSpec{InFlight: 4, Datagrams: load.Datagrams{Size: datagramSize}},
		},
	}
	var all []scenario
	for _, sc := range bases {
		title := sc.title
		sc.series, sc.xName, sc.unit = sc.name, "% of own capacity", addedLatency()
		for _, percent := range []int{30, 70, 90} {
			sc.name, sc.title = fmt.Sprintf("%s-%d", sc.series, percent), fmt.Sprintf(title, percent)
			sc.share, sc.x = float64(percent)/100, float64(percent)
			sc.goal = nil
			if percent == 70 && sc.network() == "tcp" {
				sc.goal = &goal{1.50, "haproxy"}
			}
			all = append(all, sc)
		}
	}
	return all
}

// growthScenarios ask what it costs to have more of something.
func growthScenarios() []scenario {
	once := load.Exchange{Request: askSize, Answer: answerSize, Close: true}
	get := load.Exchange{Answer: answerSize, HTTP: true}
	var all []scenario
	for _, n := range []int{10, 100, 1000, 10_000} {
		all = append(all, scenario{
			name: fmt.Sprintf("tcp-backends-%d", n), title: fmt.Sprintf("TCP relay to %d backends in turn, one connection per request, 64 at a time", n),
			shape: many, exchange: once, connections: 64, backends: n, unit: perExchange("connection"),
			series: "tcp-backends", x: float64(n), xName: "backends",
		})
	}
	for _, n := range []int{10, 100, 1000, 10_000} {
		all = append(all, scenario{
			name: fmt.Sprintf("http-services-%d", n), title: fmt.Sprintf("HTTP, 64 lasting connections, %d hosts with a service of their own each, all asked for in turn", n),
			shape: services, exchange: get, connections: 64, targets: load.Targets{Hosts: n}, backends: n, unit: perExchange("request"),
			series: "http-services", x: float64(n), xName: "services",
		})
	}
	for _, n := range []int{1, 2} {
		all = append(all, scenario{
			name: fmt.Sprintf("http-loops-%d", n), title: fmt.Sprintf("HTTP, 64 lasting connections, small answers, %d threads, workers or loops", n),
			shape: web, exchange: get, connections: 64, loops: n, unit: perExchange("request"),
			series: "http-loops", x: float64(n), xName: "loops",
		})
	}
	return all
}

// changeScenarios ask what it costs, and which errors clients see, when something changes under load. The first of each pair is
// the same without the change.
func changeScenarios() []scenario {
	once := load.Exchange{Request: askSize, Answer: answerSize, Close: true}
	get := load.Exchange{Answer: answerSize, HTTP: true}
	steady := []scenario{
		{
			name: "tcp-reload", title: "TCP relay, one connection per request, 64 at a time",
			shape: relay, exchange: once, unit: perExchange("connection"), reload: reloadEvery,
		},
		{
			name: "http-reload", title: "HTTP, 64 lasting connections, small answers",
			shape: web, exchange: get, unit: perExchange("request"), reload: reloadEvery,
		},
		{
			name: "tcp-flap", title: "TCP relay to 2 backends with health checks, one connection per request, 64 at a time",
			shape: pair, exchange: once, unit: perExchange("connection"), flap: flapEvery,
		},
		{
			name: "http-flap", title: "HTTP, 2 backends with health checks, 64 lasting connections, small answers",
			shape: webPair, exchange: get, unit: perExchange("request"), flap: flapEvery,
		},
	}
	var all []scenario
	for _, sc := range steady {
		sc.connections, sc.series = 64, sc.name
		without := sc
		without.name += "-none"
		without.reload, without.flap = 0, 0
		without.x, sc.x = 0, 1
		switch {
		case sc.reload > 0:
			sc.xName = "reloads a second"
			sc.title += ", another configuration every second"
		default:
			sc.xName = "backends that come and go"
			sc.title += fmt.Sprintf(", one of them away for %v and back for %v in turns", flapEvery, flapEvery)
		}
		without.xName = sc.xName
		all = append(all, without, sc)
	}
	return all
}

func seriesScenarios() []scenario {
	return slices.Concat(latencyScenarios(), growthScenarios(), changeScenarios())
}

// lenient reports that errors are part of what is measured.
func (sc scenario) lenient() bool { return sc.reload > 0 || sc.flap > 0 }

// addedLatency is the cost of a scenario that asks for latencies; it is worked out from two measurements.
func addedLatency() unit {
	u := perExchange("exchange")
	u.cost = "us added to p99.9"
	return u
}
