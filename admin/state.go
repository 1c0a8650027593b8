package admin

import "time"

// Weir is the running load balancer, as far as it shows its state.
type Weir interface {
	// State returns a snapshot. It may be called from several goroutines at once and must not wait for the data plane. The caller
	// does not change what it gets, and whoever made it does not change it afterwards.
	State() *State
}

// State is everything the admin endpoint shows, at one moment. Lists are in the order in which they are shown.
type State struct {
	Now         time.Time // when the snapshot was taken
	Version     string
	Commit      string
	GoVersion   string
	Started     time.Time
	NotReady    []string // why weir does not want traffic; empty: ready
	Generation  uint64   // of the configuration in force; 1 is the one weir started with
	ConfigHash  string   // of that configuration
	Reloads     Reloads
	LogLevel    string
	Loops       []Loop
	Connections Connections
	Flows       Flows
	Ended       map[string]uint64 // connections that ended, by reason
	AccessLog   AccessLog
	Spans       Spans
	Entrypoints []Entrypoint
	Routers     []Router
	Services    []Service
	Backends    []Backend
	Sources     []Source
	Cluster     *Cluster // nil: this weir is on its own

	Compressions []Compression // of HTTP middlewares that compress; shown as metrics alone
}

// Reloads counts attempts to load a changed configuration.
type Reloads struct {
	Succeeded uint64     `json:"succeeded"`
	Failed    uint64     `json:"failed"`
	Last      LastReload `json:"last"` // the start is the first one
}

// LastReload is the last attempt to load a configuration.
type LastReload struct {
	At    time.Time `json:"at,omitzero"`
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
}

// Loop is one event loop.
type Loop struct {
	Active int64 `json:"active"` // open client connections
}

// Connections counts client connections of the whole process, and those to backends of HTTP, which many clients share.
type Connections struct {
	Active         int64 `json:"active"`
	Max            int64 `json:"max"`            // the limit; 0 = none
	HTTPBackend    int64 `json:"httpBackend"`    // idle ones included
	MaxHTTPBackend int64 `json:"maxHTTPBackend"` // the limit; 0 = none
}

// Flows counts the flows of UDP of the whole process.
type Flows struct {
	Active int64 `json:"active"`
	Max    int64 `json:"max"` // the limit; 0 = none
}

// AccessLog counts what became of access-log records.
type AccessLog struct {
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"`
	Errors  uint64 `json:"errors"`
}

// Spans counts what became of the spans of requests.
type Spans struct {
	Exported uint64 `json:"exported"`
	Failed   uint64 `json:"failed"`  // refused by the collector, or not delivered in any attempt
	Dropped  uint64 `json:"dropped"` // not sent, because too many waited or weir stopped
}

// Entrypoint is one place where weir listens.
type Entrypoint struct {
	Name         string            `json:"name"`
	Protocol     string            `json:"protocol"`    // tcp or udp
	Address      string            `json:"address"`     // as it is bound: with the port in place of 0
	Connections  uint64            `json:"connections"` // of UDP: flows, as in all that follows
	Active       int64             `json:"active"`
	Max          int64             `json:"max"` // 0 = no limit of its own
	BytesIn      uint64            `json:"bytesIn"`
	BytesOut     uint64            `json:"bytesOut"`
	AcceptErrors uint64            `json:"acceptErrors"`
	Rejected     map[string]uint64 `json:"rejected"` // connections and requests turned away, by reason; none of UDP

	HTTP  *HTTPStats  `json:"http,omitempty"`  // nil: serves no HTTP
	HTTP2 *HTTP2Stats `json:"http2,omitempty"` // likewise
	UDP   *UDPStats   `json:"udp,omitempty"`   // nil: serves no UDP
}

// Router is one routing rule.
type Router struct {
	Name        string   `json:"name"`
	Protocol    string   `json:"protocol"`
	Entrypoints []string `json:"entrypoints"`
	Rule        string   `json:"rule"` // empty of UDP: everything goes there
	Priority    int      `json:"priority"`
	TLS         string   `json:"tls,omitempty"` // passthrough, terminated or empty
	Middlewares []string `json:"middlewares,omitempty"`
	Service     string   `json:"service"`

	HTTP *HTTPStats `json:"http,omitempty"` // nil: serves no HTTP
}

// Service is a set of backends, or of other services.
type Service struct {
	Name           string            `json:"name"`
	Protocol       string            `json:"protocol"`
	Kind           string            `json:"kind"`               // loadBalancer, weighted or failover
	Strategy       string            `json:"strategy,omitempty"` // of a loadBalancer
	Services       []string          `json:"services,omitempty"` // those below a weighted or failover
	Connections    uint64            `json:"connections"`
	Active         int64             `json:"active"`
	BytesIn        uint64            `json:"bytesIn"`
	BytesOut       uint64            `json:"bytesOut"`
	Retries        uint64            `json:"retries"`
	RetriesRefused uint64            `json:"retriesRefused"` // those the retry budget did not allow
	Waiting        int64             `json:"waiting"`        // connections and requests in the queue
	Idle           int64             `json:"idle"`           // open HTTP connections to backends that no request uses now
	QueueOverflows uint64            `json:"queueOverflows"`
	Backends       int               `json:"backends"`
	InUse          int               `json:"inUse"` // backends that get new connections
	Tier           int               `json:"tier"`  // their priority
	Panic          bool              `json:"panic"` // too few are healthy, so health is ignored
	Ended          map[string]uint64 `json:"ended"` // connections that ended, by reason; none of UDP, see UDPStats

	HTTP *HTTPStats `json:"http,omitempty"` // nil: serves no HTTP
	UDP  *UDPStats  `json:"udp,omitempty"`  // nil: serves no UDP
}

// Backend is one server of one service.
type Backend struct {
	Service         string    `json:"service"`
	Protocol        string    `json:"protocol"`
	Address         string    `json:"address"`
	Name            string    `json:"name,omitempty"`
	Sources         []string  `json:"sources,omitempty"`        // that name it; configuration: it is listed there; none: nothing is discovered
	Health          string    `json:"health"`                   // up, down or unknown (not probed yet; counts as usable)
	Since           time.Time `json:"since,omitzero"`           // of that verdict
	LastCheck       time.Time `json:"lastCheck,omitzero"`       // zero: never probed
	LastCheckError  string    `json:"lastCheckError,omitempty"` // empty: it succeeded
	Checks          uint64    `json:"checks"`
	CheckFailures   uint64    `json:"checkFailures"`
	Weight          int       `json:"weight"`
	Priority        int       `json:"priority"`
	Active          int64     `json:"active"`
	Max             int64     `json:"max"` // 0 = no limit
	Connections     uint64    `json:"connections"`
	ConnectFailures uint64    `json:"connectFailures"` // timeouts included; of UDP what ICMP told
	ConnectTimeouts uint64    `json:"connectTimeouts"`
	ConnectSeconds  float64   `json:"connectSeconds"` // how long the last connect took
	BytesIn         uint64    `json:"bytesIn"`
	BytesOut        uint64    `json:"bytesOut"`
	Ejections       uint64    `json:"ejections"`
	EjectedUntil    time.Time `json:"ejectedUntil,omitzero"`   // zero: not ejected
	SlowStartUntil  time.Time `json:"slowStartUntil,omitzero"` // zero: it has its full share
	Draining        bool      `json:"draining"`
	Reason          string    `json:"reason,omitempty"`  // why the node of a cluster holds it for what it does
	Votes           []string  `json:"votes,omitempty"`   // what other nodes say of it and whether that counts, a line each
	Duty            bool      `json:"duty,omitempty"`    // this node is one of those that probe it for the cluster
	Probers         []string  `json:"probers,omitempty"` // the nodes that do

	HTTP *HTTPStats `json:"http,omitempty"` // nil: serves no HTTP
}

// Status is the summary that `weir status` shows.
type Status struct {
	Version       string            `json:"version"`
	Commit        string            `json:"commit"`
	GoVersion     string            `json:"goVersion"`
	Started       time.Time         `json:"started"`
	UptimeSeconds float64           `json:"uptimeSeconds"`
	Ready         bool              `json:"ready"`
	NotReady      []string          `json:"notReady,omitempty"`
	Generation    uint64            `json:"generation"`
	ConfigHash    string            `json:"configHash"`
	Reloads       Reloads           `json:"reloads"`
	LogLevel      string            `json:"logLevel"`
	Loops         []Loop            `json:"loops"`
	Connections   Connections       `json:"connections"`
	Flows         Flows             `json:"flows"`
	Ended         map[string]uint64 `json:"ended"`
	Requests      map[string]uint64 `json:"requests,omitempty"` // HTTP requests by class, as in HTTPStats; none: no entrypoint serves HTTP
	HTTP2         *HTTP2Stats       `json:"http2,omitempty"`    // of all entrypoints together; nil: none serves HTTP
	UDP           *UDPStats         `json:"udp,omitempty"`      // of all entrypoints together; nil: none serves UDP
	AccessLog     AccessLog         `json:"accessLog"`
	Spans         Spans             `json:"spans"`
	Entrypoints   int               `json:"entrypoints"`
	Routers       int               `json:"routers"`
	Services      int               `json:"services"`
	Backends      BackendCount      `json:"backends"`
	Sources       *SourceCount      `json:"sources,omitempty"` // nil: nothing is discovered
	Cluster       *ClusterStatus    `json:"cluster,omitempty"` // nil: this weir is on its own
}

// BackendCount counts backends by what they can do now.
type BackendCount struct {
	Total    int `json:"total"`
	Up       int `json:"up"`
	Down     int `json:"down"`
	Unknown  int `json:"unknown"`
	Ejected  int `json:"ejected"`
	Draining int `json:"draining"`
}

// status sums s up.
func (s *State) status() *Status {
	out := &Status{
		Version: s.Version, Commit: s.Commit, GoVersion: s.GoVersion,
		Started: s.Started, UptimeSeconds: s.Now.Sub(s.Started).Seconds(),
		Ready: len(s.NotReady) == 0, NotReady: s.NotReady,
		Generation: s.Generation, ConfigHash: s.ConfigHash, Reloads: s.Reloads, LogLevel: s.LogLevel,
		Loops: notNil(s.Loops), Connections: s.Connections, Flows: s.Flows, Ended: s.Ended, AccessLog: s.AccessLog, Spans: s.Spans,
		Entrypoints: len(s.Entrypoints), Routers: len(s.Routers), Services: len(s.Services),
	}
	if out.Ended == nil {
		out.Ended = map[string]uint64{}
	}
	for i := range s.Entrypoints {
		out.Requests = addRequests(out.Requests, s.Entrypoints[i].HTTP)
		out.HTTP2 = addHTTP2(out.HTTP2, s.Entrypoints[i].HTTP2)
		out.UDP = addUDP(out.UDP, s.Entrypoints[i].UDP)
	}
	for i := range s.Backends {
		out.Backends.add(&s.Backends[i])
	}
	out.Sources = countSources(s.Sources)
	out.Cluster = s.Cluster.status()
	return out
}

func (c *BackendCount) add(b *Backend) {
	c.Total++
	switch b.Health {
	case "up":
		c.Up++
	case "down":
		c.Down++
	default:
		c.Unknown++
	}
	if !b.EjectedUntil.IsZero() {
		c.Ejected++
	}
	if b.Draining {
		c.Draining++
	}
}

// notNil makes an empty list of a missing one: JSON readers expect [].
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
