package config

import "time"

// HealthCheck is the active probe of a service's servers. Which keys beyond
// the timing ones have a meaning depends on Type; the others are refused.
type HealthCheck struct {
	Type            string            `yaml:"type" enum:"tcp|tls|http|grpc|postgres|mysql|redis|dns|udp" doc:"What is asked of the server; without the key tcp for a TCP service, udp for a UDP service, http for an HTTP service."`
	Mode            string            `yaml:"mode" enum:"http|grpc" doc:"HTTP services: Traefik's word for type; give one of the two."`
	Interval        Duration          `yaml:"interval" min:"1ms" doc:"Time between two probes of one server."`
	Timeout         Duration          `yaml:"timeout" min:"1ms" doc:"Deadline of one probe."`
	Fall            int               `yaml:"fall" min:"1" max:"1000" doc:"Failed probes in a row that take a server down."`
	Rise            int               `yaml:"rise" min:"1" max:"1000" doc:"Good probes in a row that bring it up again."`
	Jitter          int               `yaml:"jitter" min:"0" max:"100" doc:"Percent by which each interval varies at random."`
	FastInterval    Duration          `yaml:"fastInterval" min:"1ms" doc:"Interval while a server is between up and down; without the key 500ms, or interval where that is shorter."`
	Unhealthy       Duration          `yaml:"unhealthyInterval" min:"1ms" doc:"Interval while a server is down; without the key, interval."`
	Port            int               `yaml:"port" min:"1" max:"65535" doc:"Another port to ask than the server's."`
	Send            string            `yaml:"send" doc:"tcp, tls, udp: what to send; udp needs it."`
	Expect          string            `yaml:"expect" doc:"tcp, tls, udp: what the answer must contain, written like send. Without the key, a server of type udp is healthy with any answer."`
	Scheme          string            `yaml:"scheme" enum:"http|https" doc:"http, grpc: http or https; without the key as the servers are spoken to, http where nothing says so."`
	Service         string            `yaml:"service" doc:"grpc: the service to ask about; without the key, the server as a whole."`
	Path            string            `yaml:"path" doc:"http: path of the request."`
	Method          string            `yaml:"method" doc:"http: method of the request."`
	Status          int               `yaml:"status" min:"100" max:"599" doc:"http: the expected status; without the key, any 2xx or 3xx."`
	Hostname        string            `yaml:"hostname" doc:"http: Host header. tls, https: name asked for."`
	Headers         map[string]string `yaml:"headers" doc:"http: further request headers."`
	FollowRedirects *bool             `yaml:"followRedirects" usual:"true" doc:"http, HTTP services: judge where a redirect leads to instead of the redirect."`
	User            string            `yaml:"user" doc:"postgres, mysql: the user to log in as, without a password."`
	Database        string            `yaml:"database" doc:"postgres: the database to ask for."`
	Name            string            `yaml:"name" doc:"dns: the name to ask for. Healthy is a server that answers, be it that there is no such name (NOERROR, NXDOMAIN); SERVFAIL, REFUSED and others are failures."`
	RecordType      string            `yaml:"recordType" enum:"A|AAAA|SOA|NS|SRV|TXT|MX|PTR|CNAME" usual:"\"A\"" doc:"dns: the type of the records to ask for."`
}

func (h *HealthCheck) setDefaults() {
	*h = HealthCheck{
		Interval: Duration(2 * time.Second), Timeout: Duration(time.Second),
		Fall: 3, Rise: 2, Jitter: 10,
	}
}

// settle fills in what depends on other keys, once those are known. A server
// of an HTTP service has a scheme of its own, and a redirect is followed.
func (h *HealthCheck) settle(family string) {
	if h.FastInterval == 0 {
		h.FastInterval = min(h.Interval, Duration(500*time.Millisecond))
	}
	if h.Unhealthy == 0 {
		h.Unhealthy = h.Interval
	}
	if h.Type == "dns" {
		h.RecordType = orDefault(h.RecordType, "A")
	}
	if h.Type != "http" {
		return
	}
	h.Path = orDefault(h.Path, "/")
	h.Method = orDefault(h.Method, "GET")
	if family != "HTTP" {
		h.Scheme = orDefault(h.Scheme, "http")
		return
	}
	if h.FollowRedirects == nil {
		follow := true
		h.FollowRedirects = &follow
	}
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
