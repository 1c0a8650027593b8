package admin

import (
	"sync/atomic"
	"time"
)

var start = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

// fixed is a Weir that shows one State, and counts how often it is asked.
type fixed struct {
	state State
	asked atomic.Int64
}

func (f *fixed) State() *State {
	f.asked.Add(1)
	s := f.state
	return &s
}

// busy is the state of a weir that has seen some of everything.
func busy() State {
	return State{
		Now: start.Add(90*time.Minute + 500*time.Millisecond), Version: "1.2.3", Commit: "abc", GoVersion: "go1.26.9", Started: start,
		Generation: 7, ConfigHash: "5f2e", LogLevel: "info",
		Reloads:     Reloads{Succeeded: 5, Failed: 1, Last: LastReload{At: start.Add(time.Hour), OK: true}},
		Loops:       []Loop{{Active: 3}, {Active: 4}},
		Connections: Connections{Active: 7, Max: 1000, HTTPBackend: 5, MaxHTTPBackend: 900},
		Ended:       map[string]uint64{"done": 90, "client-abort": 2, "no-route": 1, "drain": 0},
		AccessLog:   AccessLog{Written: 92, Dropped: 1},
		Spans:       Spans{Exported: 41, Failed: 3, Dropped: 2},
		Entrypoints: []Entrypoint{{
			Name: "postgres", Protocol: "tcp", Address: "[::]:5432", Connections: 100, Active: 7, Max: 500,
			BytesIn: 2048, BytesOut: 3 << 20, AcceptErrors: 1, Rejected: map[string]uint64{"no-route": 1, "sniff-timeout": 2},
		}},
		Routers: []Router{{
			Name: "orders", Protocol: "tcp", Entrypoints: []string{"postgres", "secure"}, Rule: "HostSNI(`orders.db.example.com`)",
			Priority: 32, TLS: "passthrough", Middlewares: []string{"office"}, Service: "orders",
		}},
		Services: []Service{
			{
				Name: "orders", Protocol: "tcp", Kind: "loadBalancer", Strategy: "leastconn", Connections: 99, Active: 7,
				BytesIn: 2048, BytesOut: 3 << 20, Retries: 4, Waiting: 2, Backends: 2, InUse: 1, Panic: true,
				Ended: map[string]uint64{"done": 90, "no-backend": 3},
			},
			{Name: "ha", Protocol: "tcp", Kind: "failover", Services: []string{"orders", "orders-dr"}},
		},
		Backends: []Backend{
			{
				Service: "orders", Protocol: "tcp", Address: "10.0.0.1:5432", Name: "one", Health: "up", Since: start, LastCheck: start.Add(time.Hour),
				Checks: 10, Weight: 2, Active: 7, Max: 500, Connections: 95, BytesIn: 2048, BytesOut: 3 << 20,
				SlowStartUntil: start.Add(2 * time.Hour),
			},
			{
				Service: "orders", Protocol: "tcp", Address: "10.0.0.2:5432", Health: "down", LastCheck: start.Add(time.Hour),
				LastCheckError: "\x1b[31mconnection refused\n", Checks: 10, CheckFailures: 4, Weight: 1, Priority: 1, Connections: 4,
				ConnectFailures: 4, ConnectTimeouts: 1, Ejections: 1, EjectedUntil: start.Add(3 * time.Hour), Draining: true,
			},
			{Service: "other", Protocol: "tcp", Address: "10.0.0.3:1", Health: "unknown", Weight: 1},
		},
	}
}

// busyHTTP is the state of a weir that balances HTTP as well: an entrypoint, a router of the same name as one of TCP,
// a service with a backend that has answered and one that has not been asked yet.
func busyHTTP() State {
	s := busy()
	stats := func(ok, bad, aborted uint64) *HTTPStats {
		return &HTTPStats{
			Requests: map[string]uint64{"2xx": ok, "5xx": bad, "aborted": aborted},
			Duration: Histogram{Bounds: []float64{0.001, 0.01, 0.1}, Counts: []uint64{ok, bad, 0, aborted}, Sum: 2.5},
			BytesIn:  4096, BytesOut: 5 << 20,
		}
	}
	s.Entrypoints = append(s.Entrypoints, Entrypoint{
		Name: "web", Protocol: "tcp", Address: "[::]:80", Connections: 20, Active: 2, Rejected: map[string]uint64{"bad-request": 3},
		HTTP: stats(200, 4, 1),
		HTTP2: &HTTP2Stats{
			Connections: 6, Active: 2, Streams: 180, ActiveStreams: 17,
			Reset: map[string]uint64{"cancelled": 9, "limit": 0}, GoAways: map[string]uint64{"age": 3, "h2-flood": 1},
		},
	})
	s.Routers = append(s.Routers, Router{
		Name: "orders", Protocol: "http", Entrypoints: []string{"web"}, Rule: "Host(`shop.example.com`)", Priority: 24, Service: "shop",
		HTTP: stats(190, 4, 1),
	})
	s.Services = append(s.Services, Service{
		Name: "shop", Protocol: "http", Kind: "loadBalancer", Strategy: "wrr", Idle: 5, Backends: 2, InUse: 2,
		HTTP: stats(190, 4, 1),
	})
	s.Services[len(s.Services)-1].HTTP.Calls = map[string]uint64{"OK": 70, "UNAVAILABLE": 0, "none": 2}
	s.Backends = append(s.Backends,
		Backend{Service: "shop", Protocol: "http", Address: "10.0.0.4:8080", Health: "up", Weight: 1, HTTP: stats(190, 4, 1)},
		Backend{Service: "shop", Protocol: "http", Address: "10.0.0.5:8080", Health: "unknown", Weight: 1, HTTP: &HTTPStats{
			Requests: map[string]uint64{}, Duration: Histogram{Bounds: []float64{0.001, 0.01, 0.1}, Counts: make([]uint64, 4)},
		}},
	)
	return s
}

// busyUDP is the state of a weir that balances UDP beside TCP and HTTP: an entrypoint that has dropped something of what it
// got, and a service of the same name as one of HTTP, whose flows have left one backend for the other.
func busyUDP() State {
	s := busyHTTP()
	s.Flows = Flows{Active: 12, Max: 65536}
	s.Entrypoints = append(s.Entrypoints, Entrypoint{
		Name: "dns", Protocol: "udp", Address: "[::]:53", Connections: 900, Active: 12, Max: 4096, BytesIn: 64 << 10, BytesOut: 512 << 10,
		UDP: &UDPStats{
			DatagramsIn: 1200, DatagramsOut: 1180, Moved: 3, Dropped: map[string]uint64{"no-backend": 4, "too-many-of-source": 20, "late": 0},
			Ended: map[string]uint64{"idle-timeout": 800, "done": 87, "no-backend": 1},
		},
	})
	s.Routers = append(s.Routers, Router{Name: "dns", Protocol: "udp", Entrypoints: []string{"dns"}, Service: "shop"})
	s.Services = append(s.Services, Service{
		Name: "shop", Protocol: "udp", Kind: "loadBalancer", Strategy: "maglev", Connections: 900, Active: 12, BytesIn: 64 << 10, BytesOut: 512 << 10,
		Backends: 2, InUse: 1, UDP: &UDPStats{
			DatagramsIn: 1200, DatagramsOut: 1180, Moved: 3, Dropped: map[string]uint64{"no-backend": 4},
			Ended: map[string]uint64{"idle-timeout": 800, "done": 87, "no-backend": 1},
		},
	})
	s.Backends = append(s.Backends,
		Backend{
			Service: "shop", Protocol: "udp", Address: "10.0.0.53:53", Health: "up", Weight: 1, Active: 12, Max: 100, Connections: 901,
			BytesIn: 60 << 10, BytesOut: 512 << 10,
		},
		Backend{Service: "shop", Protocol: "udp", Address: "10.0.1.53:53", Health: "down", Weight: 1, Connections: 2, ConnectFailures: 2, BytesIn: 4 << 10},
	)
	return s
}

// busyDiscovery is the state of a weir that looks for backends as well, for services of all protocols: sources that do well, one that
// says less than it did, one that fails and one that never said anything.
func busyDiscovery() State {
	s := busyUDP()
	at := func(ago time.Duration) time.Time { return s.Now.Add(-ago) }
	s.Sources = []Source{
		{
			Service: "orders", Protocol: "tcp", Source: "dnsSRV _postgres._tcp.orders.internal", Resolver: "corp", Outcome: "ok",
			Asked: at(4 * time.Second), Answered: at(4 * time.Second), Next: at(-26 * time.Second), TTLSeconds: 30,
			Endpoints: 2, Attempts: map[string]uint64{"ok": 180},
		},
		{
			Service: "orders", Protocol: "tcp", Source: "dnsSRV _postgres._tcp.orders.internal", Resolver: "branch", Outcome: "ok",
			Error: "3 of 4 endpoints are left out, and no answer over TCP confirms it: they are kept; check that the name servers can be reached on their TCP port",
			Asked: at(time.Second), Answered: at(time.Second), Next: at(0), TTLSeconds: 5,
			Held: true, Endpoints: 4, Attempts: map[string]uint64{"ok": 12, "empty": 1},
		},
		{
			Service: "shop", Protocol: "http", Source: "file /etc/weir/shop.json", Outcome: "ok",
			Asked: at(time.Hour), Answered: at(time.Hour), Endpoints: 1, Attempts: map[string]uint64{"ok": 2, "failed": 1},
		},
		{
			Service: "shop", Protocol: "http", Source: "http http://registry.internal/shop", Outcome: "unasked", Attempts: map[string]uint64{},
		},
		{
			Service: "shop", Protocol: "udp", Source: "dns resolvers.internal", Outcome: "failed", Error: "10.0.0.2:53 says \x1b[31mSERVFAIL\n",
			Asked: at(3 * time.Second), Answered: at(12 * time.Minute), Next: at(-17*time.Second - 900*time.Millisecond), TTLSeconds: 60,
			Held: true, Stale: true, Endpoints: 2, Attempts: map[string]uint64{"ok": 70, "failed": 19},
		},
		{
			Service: "shop", Protocol: "udp", Source: "file /etc/weir/resolvers.json", Outcome: "failed",
			Error: "open /etc/weir/resolvers.json: no such file or directory", Asked: at(time.Hour), Attempts: map[string]uint64{"failed": 1},
		},
	}
	s.Backends[0].Sources = []string{"configuration", "dnsSRV _postgres._tcp.orders.internal"}
	s.Backends[1].Sources = []string{"dnsSRV _postgres._tcp.orders.internal"}
	s.Backends[3].Sources = []string{"file /etc/weir/shop.json"}
	s.Backends[5].Sources = []string{"dns resolvers.internal"}
	return s
}

// busyCluster is the state of a weir that is a node of a cluster as well, in which there is some of everything that can be
// amiss.
func busyCluster() State {
	s := busyDiscovery()
	at := func(ago time.Duration) time.Time { return s.Now.Add(-ago) }
	s.Cluster = &Cluster{
		Name: "prod", Node: "lb-1", Settled: true, Encrypted: true, Awareness: 1,
		Members: []Member{
			{Name: "lb-1", Address: "10.0.0.11:7946", Self: true, State: "alive", Version: "1.2.3", Awareness: 1, ConfigHash: "5f2e00aa11bb", Generation: 7, SameConfig: true},
			{
				Name: "lb-2", Address: "10.0.0.12:7946", State: "alive", Since: start, Version: "1.2.3", LastHeard: at(900 * time.Millisecond),
				RTTSeconds: 0.000321, DelaySeconds: 0.00425, ConfigHash: "5f2e00aa11bb", Generation: 3, SameConfig: true,
			},
			{
				Name: "lb-3", Address: "10.0.0.13:7946", State: "alive", Since: at(time.Minute), Version: "1.2.2", LastHeard: at(2 * time.Second),
				Doubt: "saw most of its backends fail at once", Distrusted: true, Awareness: 2, RTTSeconds: 0.012, DelaySeconds: 1.204,
				ConfigHash: "77d1c0ffee00", Generation: 12,
			},
			{Name: "lb-4", Address: "10.0.0.14:7946", State: "alive", Since: at(time.Second)},
			{Name: "lb-5", Address: "10.0.0.15:7946", State: "failed", Since: at(12 * time.Minute), Version: "1.2.3", Distrusted: true, DelaySeconds: 0.04},
			{Name: "lb-6", Address: "10.0.0.16:7946", State: "left", Since: at(50 * time.Hour), Version: "\x1b[31m"},
		},
		Tables: []Table{
			{Service: "orders", Protocol: "tcp", Groups: []TableGroup{
				{Sum: "00000000000000aa", Members: []string{"lb-1", "lb-2"}}, {Sum: "00000000000000bb", Members: []string{"lb-3"}}, {Members: []string{"lb-4"}},
			}},
			{Service: "shop", Protocol: "udp", Groups: []TableGroup{
				{Sum: "00000000000000cc", Members: []string{"lb-1", "lb-2", "lb-3"}}, {Members: []string{"lb-4"}},
			}},
		},
		Conflicts: []NameConflict{
			{Name: "lb-3", Holder: "10.0.0.13:7946", Claimant: "10.0.0.33:7946", First: at(time.Minute), Last: at(time.Second), Count: 9, Alarm: true},
			{Name: "lb-2", Holder: "10.0.0.12:7946", Claimant: "10.0.0.22:7946", First: at(time.Second), Last: at(time.Second), Count: 1},
		},
		Disagreements: 4, Cells: 300, Orders: 3, GossipQueue: 2, GossipAgeSeconds: 0.25, InboxWaitSeconds: 0.5,
		Sent:     ClusterSent{Gossiped: 10, Direct: 20, Streamed: 30, Packets: 400, PacketBytes: 50000, Streams: 6, StreamBytes: 70000},
		Received: ClusterReceived{Messages: 11, Cells: 120, Beacons: 130, Pulls: 2, Packets: 410, PacketBytes: 51000, Streams: 7, StreamBytes: 71000},
		Dropped:  map[string]uint64{"inbox": 1, "slow-member": 0}, Refused: map[string]uint64{"wrong-key": 3, "node": 0},
		Saves: 12, SavesFailed: 1,
	}
	s.Backends[0].Reason, s.Backends[0].Duty, s.Backends[0].Probers = "works from here", true, []string{"lb-1", "lb-2", "lb-3"}
	s.Backends[1].Reason = "drained by an operator"
	s.Backends[1].Votes = []string{"lb-2: down for 4s; counts", "lb-3: down for 3s; does not count: often wrong lately"}
	return s
}
