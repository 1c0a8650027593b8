package server

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l4"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/l7/route"
	"github.com/weirlb/weir/upstream"
)

// drawConfig makes a valid configuration from few names, so that two of them have much in common.
func drawConfig(t *rapid.T, label string) string {
	pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label+" "+what) }
	some := func(what string) bool { return rapid.Bool().Draw(t, label+" "+what) }
	var b strings.Builder
	network := pick("e2", "", "/udp")
	fmt.Fprintf(&b, "entryPoints:\n  e2: { address: \"127.0.0.3:0%s\" }\n", network)
	if network == "/udp" {
		fmt.Fprintf(&b, "  e3: { address: \"127.0.0.1:0/udp\", udp: { timeout: %s } }\n", pick("e3 timeout", "1m", "2m"))
	}
	b.WriteString("  e0: { address: \"" + pick("e0", "127.0.0.1:0", "127.0.0.2:0") + "\" }\n")
	if some("e1") {
		fmt.Fprintf(&b, "  e1: { address: \"127.0.0.1:0\", maxConnections: %s }\n", pick("e1 max", "0", "7"))
	}
	b.WriteString("tcp:\n  middlewares:\n")
	fmt.Fprintf(&b, "    m0: { inFlightConn: { amount: %s } }\n", pick("m0", "3", "4"))
	if some("m1") {
		b.WriteString("    m1: { rateLimit: { average: 10 } }\n")
	}
	b.WriteString("  services:\n")
	for _, name := range []string{"p0", "p1"} {
		b.WriteString("    " + name + ": { loadBalancer: { slowStart: 0s, strategy: " + pick(name+" strategy", "wrr", "maglev") + ", servers: [ { address: \"127.0.0.1:1\" }")
		for port := 2; port < 5; port++ {
			if what := fmt.Sprint(name, " server ", port); some(what) {
				fmt.Fprintf(&b, ", { address: \"127.0.0.1:%d\", weight: %s }", port, pick(what+" weight", "1", "2"))
			}
		}
		b.WriteString(" ]")
		if some(name + " discovery") {
			b.WriteString(", discovery: [ { file: { path: " + pick(name+" file", "/nowhere/one", "/nowhere/two") + " } }, { dnsSRV: { name: a.example, resolver: " +
				pick(name+" resolver", "x", "y") + " } } ]")
		}
		if some(name + " check") {
			b.WriteString(", healthCheck: { interval: 1h, fall: " + pick(name+" fall", "2", "5") + " }")
		}
		b.WriteString(" } }\n")
	}
	services := []string{"p0", "p1"}
	switch pick("s0", "none", "weighted", "failover", "pool") {
	case "weighted":
		fmt.Fprintf(&b, "    s0: { weighted: { services: [ { name: p0, weight: %s }, { name: p1 } ] } }\n", pick("s0 weight", "1", "3"))
		services = append(services, "s0")
	case "failover":
		b.WriteString("    s0: { failover: { service: p1, fallback: p0 } }\n")
		services = append(services, "s0")
	case "pool":
		b.WriteString("    s0: { loadBalancer: { servers: [ { address: \"127.0.0.1:9\" } ] } }\n")
		services = append(services, "s0")
	}
	if slices.Contains(services, "s0") && some("s1") {
		fmt.Fprintf(&b, "    s1: { weighted: { services: [ { name: s0, weight: 2 }, { name: %s } ] } }\n", pick("s1 child", "p0", "p1"))
		services = append(services, "s1")
	}
	b.WriteString("  routers:\n")
	fmt.Fprintf(&b, "    r0: { rule: \"HostSNI(`*`)\", service: %s, middlewares: [%s] }\n", pick("r0 service", services...), pick("r0 middleware", "", "m0"))
	if some("r1") {
		fmt.Fprintf(&b, "    r1: { entryPoints: [e0], rule: \"HostSNI(`a.example`)%s\", tls: { %s }, service: %s }\n",
			pick("r1 rule", "", " && ALPN(`x`)"), pick("r1 tls", "", "passthrough: true"), pick("r1 service", services...))
	}
	if some("http") {
		b.WriteString(drawHTTP(pick, some))
	}
	if network == "/udp" && some("udp") {
		b.WriteString(drawUDP(pick, some))
	}
	fmt.Fprintf(&b, "resolvers: { x: { nameservers: [\"127.0.0.1:%s\"] }, y: { nameservers: [\"127.0.0.1:9\"] } }\n", pick("x", "8", "7"))
	if some("tls") {
		b.WriteString("tls: { options: { default: { minVersion: VersionTLS13 } } }\n")
	}
	return b.String()
}

// drawHTTP makes an http section, whose names are those of the tcp section.
func drawHTTP(pick func(string, ...string) string, some func(string) bool) string {
	var b strings.Builder
	b.WriteString("http:\n  middlewares:\n")
	fmt.Fprintf(&b, "    m0: { stripPrefix: { prefixes: [%s] } }\n", pick("http m0", "/a", "/b"))
	if some("http m1") {
		b.WriteString("    m1: { rateLimit: { average: 10 } }\n")
	}
	usable := []string{"", "m0", "m3"}
	if some("http m2") {
		fmt.Fprintf(&b, "    m2: { errors: { status: [ \"500\" ], service: %s } }\n", pick("http m2 service", "p0", "p1"))
		usable = append(usable, "m2")
	}
	fmt.Fprintf(&b, "    m3: { chain: { middlewares: [m0, m4%s] } }\n", pick("http m3", "", ", m4"))
	b.WriteString("    m4: { " + pick("http m4", "circuitBreaker: { expression: NetworkErrorRatio() > 1 }", "compress: {}", "buffering: {}", "retry: { attempts: 2 }") + " }\n")
	b.WriteString("  services:\n")
	for _, name := range []string{"p0", "p1"} {
		fmt.Fprintf(&b, "    %s: { loadBalancer: { slowStart: 0s, servers: [ { url: \"http://127.0.0.1:1\" }", name)
		for port := 2; port < 4; port++ {
			if some(fmt.Sprint("http ", name, " server ", port)) {
				fmt.Fprintf(&b, ", { url: \"http://127.0.0.1:%d\" }", port)
			}
		}
		b.WriteString(" ], " + pick("http "+name+" more", "", "passHostHeader: false", "sticky: { cookie: { name: c } }",
			"serversTransport: { maxIdleConnsPerHost: 5 }", "healthCheck: { path: /, interval: 1h }") + " } }\n")
	}
	services := []string{"p0", "p1"}
	if what := pick("http s0", "none", "weighted", "highestRandomWeight", "failover", "mirroring", "loadBalancer"); what != "none" {
		b.WriteString("    s0: { " + what + ": " + map[string]string{
			"weighted": "{ services: [ { name: p0, weight: 3 }, { name: p1 } ] }", "highestRandomWeight": "{ services: [ { name: p0 }, { name: p1 } ] }",
			"failover": "{ service: p1, fallback: p0 }", "mirroring": "{ service: p0, mirrors: [ { name: p1, percent: 50 } ] }",
			"loadBalancer": "{ servers: [ { url: \"http://127.0.0.1:9\" } ] }",
		}[what] + " }\n")
		services = append(services, "s0")
	}
	b.WriteString("  routers:\n")
	fmt.Fprintf(&b, "    r0: { entryPoints: [e0], rule: \"PathPrefix(`/`)\", service: %s, middlewares: [%s] }\n",
		pick("http r0 service", services...), pick("http r0 middleware", usable...))
	if some("http r1") {
		fmt.Fprintf(&b, "    r1: { entryPoints: [e0], rule: \"Host(`%s`)\", tls: {}, service: %s }\n",
			pick("http r1 host", "a.example", "b.example"), pick("http r1 service", services...))
	}
	return b.String()
}

// drawUDP makes a udp section, whose names are those of the tcp section, for the entrypoints for UDP if there are any.
func drawUDP(pick func(string, ...string) string, some func(string) bool) string {
	var b strings.Builder
	b.WriteString("udp:\n  middlewares:\n")
	way := pick("udp way", "", "affinity: none, ", "affinity: none, protocol: dns, ", "responses: 1, ")
	if strings.HasPrefix(way, "affinity") {
		fmt.Fprintf(&b, "    m0: { rateLimit: { average: %s } }\n", pick("udp m0", "3", "4"))
	} else {
		fmt.Fprintf(&b, "    m0: { maxSessionsPerSource: { amount: %s } }\n", pick("udp m0", "3", "4"))
	}
	if some("udp m1") {
		b.WriteString("    m1: { rateLimit: { average: 10 } }\n")
	}
	b.WriteString("  services:\n")
	for _, name := range []string{"p0", "p1"} {
		fmt.Fprintf(&b, "    %s: { loadBalancer: { slowStart: 0s, %sservers: [ { address: \"127.0.0.1:1\" }", name, way)
		for port := 2; port < 4; port++ {
			if some(fmt.Sprint("udp ", name, " server ", port)) {
				fmt.Fprintf(&b, ", { address: \"127.0.0.1:%d\" }", port)
			}
		}
		b.WriteString(" ] } }\n")
	}
	services := []string{"p0", "p1"}
	if some("udp s0") {
		b.WriteString("    s0: { weighted: { services: [ { name: p0, weight: 3 }, { name: p1 } ] } }\n")
		services = append(services, "s0")
	}
	if some("udp router") {
		fmt.Fprintf(&b, "  routers:\n    r0: { service: %s, middlewares: [%s] }\n", pick("udp r0 service", services...), pick("udp r0 middleware", "", "m0"))
	}
	return b.String()
}

// visible tells what clients could find out about a topology, and holds its parts against each other.
func visible(t *rapid.T, topo *topology) string {
	var b strings.Builder
	for _, name := range sorted(topo.entrypoints) {
		e := topo.entrypoints[name]
		fmt.Fprintf(&b, "entrypoint %s", name)
		for _, a := range e.addrs {
			fmt.Fprintf(&b, " %s", a.Addr())
		}
		b.WriteString("\n")
		for _, r := range e.routes {
			fmt.Fprintf(&b, "  %s %s %d %d", r.Name, r.Rule, r.Priority, r.TLS)
			if r.Service != topo.services[r.Service.Name()] {
				t.Fatalf("route %s leads to a service that is not in force", r.Name)
			}
			fmt.Fprintf(&b, " to %s by %v", r.Service.Name(), shares(topo.choosers[r.Service.Name()]))
			for _, m := range r.Middlewares {
				fmt.Fprintf(&b, " via %s", nameOfMiddleware(t, topo, m))
			}
			if r.Config != nil {
				fmt.Fprintf(&b, " tls %x %v", r.Config.MinVersion, r.Config.NextProtos)
			}
			b.WriteString("\n")
		}
		b.WriteString(visibleFront(t, topo, name))
		b.WriteString(visibleUDP(t, topo, e))
	}
	fmt.Fprintf(&b, "http middlewares %v services %v routers %v transports %v\n", sorted(topo.web.middlewares), sorted(topo.web.services),
		sorted(topo.web.routers), sorted(topo.web.transports))
	fmt.Fprintf(&b, "resolvers %v\n", sorted(topo.resolvers))
	fmt.Fprintf(&b, "udp services %v\n", sorted(topo.udpServices))
	fmt.Fprintf(&b, "middlewares %v services %v tls %v certificates %d\n", sorted(topo.middlewares), sorted(topo.services),
		sorted(topo.configs), len(topo.store.Load().fallback))
	for _, name := range sorted(topo.pools) {
		p := topo.pools[name]
		fmt.Fprintf(&b, "pool %s %+v\n", name, p.live.Options())
		for _, s := range p.sources {
			if s.cancel == nil || s.resolver != topo.resolvers[s.plan.resolver] {
				t.Fatalf("a source of pool %s does not run, or asks by a resolver that is not in force", name)
			}
			fmt.Fprintf(&b, "  source srv=%+v file=%q resolver=%q\n", s.plan.srv, s.plan.file, s.plan.resolver)
		}
		for i, m := range p.members {
			if p.live.Backends()[i] != m.backend {
				t.Fatalf("pool %s balances other backends than its members", name)
			}
			fmt.Fprintf(&b, "  %+v draining=%v", m.backend.Endpoint(), m.backend.Draining())
			if m.checker != nil {
				fmt.Fprintf(&b, " check fall %d", m.check.options.Fall)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// visibleUDP tells what clients could find out about an entrypoint for UDP.
func visibleUDP(t *rapid.T, topo *topology, e *entrypoint) string {
	if e.udp == nil {
		return ""
	}
	r := e.route
	if r == nil {
		return "  udp to nobody\n"
	}
	key := udpKey(r.Service.Name())
	if r.Service != topo.udpServices[key] {
		t.Fatalf("udp router %s leads to a service that is not in force", r.Name)
	}
	text := fmt.Sprintf("  udp by %s to %s by %v shared %+v", r.Name, key, shares(topo.choosers[key]), r.Shared)
	for _, m := range r.Middlewares {
		text += " via " + nameOfMiddleware(t, topo, m)
	}
	return text + "\n"
}

// visibleFront tells what clients could find out about the HTTP side of an entrypoint.
func visibleFront(t *rapid.T, topo *topology, name string) string {
	f, planned := topo.web.fronts[name], topo.plan.entrypoints[name].front
	if f == nil {
		if planned != nil {
			t.Fatalf("entrypoint %s has no HTTP side", name)
		}
		return ""
	}
	set := f.Settings()
	var b strings.Builder
	for _, path := range []string{"/a", "/b"} {
		for _, host := range []string{"a.example", "b.example"} {
			for _, secure := range []bool{false, true} {
				r, ok := set.Table.Match(&route.Request{Host: []byte(host), Path: []byte(path), Method: []byte("GET"), Headers: headers{}, TLS: secure})
				if !ok {
					continue
				}
				if r.Value.Service != topo.web.services[r.Value.Service.Name()] || r.Value.Counters != topo.web.routers[r.Name] {
					t.Fatalf("router %s leads to a service, or has counters, not in force", r.Name)
				}
				fmt.Fprintf(&b, "  http %s%s tls=%v: %s to %s", host, path, secure, r.Name, r.Value.Service.Name())
				for _, m := range r.Value.Middlewares {
					if m != topo.web.middlewares[m.Name] {
						t.Fatalf("router %s asks a middleware that is not in force", r.Name)
					}
					fmt.Fprintf(&b, " via %s", m.Name)
				}
				b.WriteString("\n")
			}
		}
	}
	for _, host := range []string{"a.example", "b.example"} {
		if _, ok := f.HandlerFor([]byte(host)); ok {
			fmt.Fprintf(&b, "  https for %s\n", host)
		}
	}
	return b.String()
}

// shares counts where a service leads over many turns.
func shares(c upstream.Chooser) map[string]int {
	counts := make(map[string]int)
	for range 24 {
		p, _ := c.Choose(0)
		counts[p.Service()]++
	}
	return counts
}

func nameOfMiddleware(t *rapid.T, topo *topology, m l4.Middleware) string {
	for name, known := range topo.middlewares {
		if known == m {
			return name
		}
	}
	t.Fatal("a route asks a middleware that is not in force")
	return ""
}

// TestApplyOfDiffIsLikeStarting: whatever was before, a configuration leads to the same, and one that cannot be applied
// leads to nothing new.
func TestApplyOfDiffIsLikeStarting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	accessLog := accesslog.New(nil)
	defer accessLog.Close(t.Context())
	log := slog.New(slog.DiscardHandler)
	engine, err := l4.NewServer(l4.Options{Loops: 1, AccessLog: accessLog, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	requests := l7.NewServer(l7.Options{Loops: engine.EventLoops(), AccessLog: accessLog, Log: log})
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Now()
		first, second := drawConfig(rt, "first"), drawConfig(rt, "second")
		old, fresh := newTopology(engine, newWeb(requests), accessLog, log), newTopology(engine, newWeb(requests), accessLog, log)
		defer old.close()
		defer fresh.close()
		mustApply(rt, old, mustCompile(t, first), now)
		before := visible(rt, old)

		blocked := strings.Replace(second, "entryPoints:\n", "entryPoints:\n  zz: { address: \""+taken.Addr().String()+"\" }\n", 1)
		if _, err := old.apply(mustCompile(t, blocked), now); err == nil {
			rt.Fatal("an address that is taken was bound")
		}
		if diff := cmp.Diff(before, visible(rt, old)); diff != "" {
			rt.Fatalf("a failed change left traces (-before +after):\n%s", diff)
		}

		mustApply(rt, old, mustCompile(t, second), now)
		mustApply(rt, fresh, mustCompile(t, second), now)
		if diff := cmp.Diff(visible(rt, fresh), visible(rt, old)); diff != "" {
			rt.Fatalf("changed is not like started (-started +changed):\n%s", diff)
		}
		// And back, over what is still leaving.
		mustApply(rt, old, mustCompile(t, first), now)
		if diff := cmp.Diff(before, visible(rt, old)); diff != "" {
			rt.Fatalf("there and back is not the same (-first +back):\n%s", diff)
		}
	})
}

func mustApply(t *rapid.T, topo *topology, p *plan, now time.Time) {
	t.Helper()
	if _, err := topo.apply(p, now); err != nil {
		t.Fatalf("apply: %v", err)
	}
}
