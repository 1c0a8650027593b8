package config

// HTTPService is exactly one of its members. All but LoadBalancer name other
// services and nest without cycles.
type HTTPService struct {
	LoadBalancer        *HTTPLoadBalancer    `yaml:"loadBalancer" doc:"Servers that share the requests."`
	Weighted            *HTTPWeighted        `yaml:"weighted" doc:"Other services that share the requests by weight."`
	HighestRandomWeight *HighestRandomWeight `yaml:"highestRandomWeight" doc:"Other services that share the clients by hash of their address and by weight."`
	Failover            *HTTPFailover        `yaml:"failover" doc:"A service, and another one for when it has no usable server or fails."`
	Mirroring           *Mirroring           `yaml:"mirroring" doc:"A service, and others that get a copy of some of its requests."`
}

// HTTPWeighted shares requests between services.
type HTTPWeighted struct {
	Services    []WeightedService `yaml:"services" need:"true" doc:"The services and their weights."`
	Sticky      *Sticky           `yaml:"sticky" doc:"Keeps a client at the service that answered it first."`
	HealthCheck *Propagation      `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always skips a service without a usable server."`
}

// HighestRandomWeight shares clients between services by rendezvous hashing, so
// that a client stays at its service while that can be used.
type HighestRandomWeight struct {
	Services    []WeightedService `yaml:"services" need:"true" doc:"The services and their weights."`
	HealthCheck *Propagation      `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always skips a service without a usable server."`
}

// HTTPFailover uses Fallback while Service has no usable server, and for the
// requests whose answer Errors lists.
type HTTPFailover struct {
	Service     string          `yaml:"service" need:"true" doc:"The service used while it can be."`
	Fallback    string          `yaml:"fallback" need:"true" doc:"The service used otherwise."`
	Errors      *FailoverErrors `yaml:"errors" doc:"Answers of the service after which the request is sent to fallback instead."`
	HealthCheck *Propagation    `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always looks at the health behind a service."`
}

// FailoverErrors says which answers make a failover. In a loaded Config
// MaxRequestBodyBytes is from 0 to 1 MiB.
type FailoverErrors struct {
	Status              []StatusRange `yaml:"status" need:"true" doc:"Status codes and ranges of them, such as \"500-504\" and \"404\"."`
	MaxRequestBodyBytes int           `yaml:"maxRequestBodyBytes" min:"-1" max:"1048576" doc:"Bytes of a request's body that are kept to send it again; a request with more is not sent again. -1 means the most there may be, 1 MiB."`
}

func (e *FailoverErrors) setDefaults() { e.MaxRequestBodyBytes = usualBodyCopy }

// Mirroring sends requests to Service and copies of them to mirrors, whose
// answers nobody sees. In a loaded Config MaxBodySize is from 0 to 1 MiB.
type Mirroring struct {
	Service     string       `yaml:"service" need:"true" doc:"The service that answers."`
	Mirrors     []Mirror     `yaml:"mirrors" doc:"The services that get copies."`
	MirrorBody  bool         `yaml:"mirrorBody" doc:"Copy the bodies too; where not, requests with a body are copied without it."`
	MaxBodySize int          `yaml:"maxBodySize" min:"-1" max:"1048576" doc:"Bytes of a body that are kept to copy it; a request with more is not mirrored. -1 means the most there may be, 1 MiB."`
	HealthCheck *Propagation `yaml:"healthCheck" doc:"Accepted for Traefik's sake: weir always looks at the health behind a service."`
}

func (m *Mirroring) setDefaults() { m.MirrorBody, m.MaxBodySize = true, usualBodyCopy }

// Mirror is one service that gets copies.
type Mirror struct {
	Name    string `yaml:"name" need:"true" doc:"A service."`
	Percent int    `yaml:"percent" min:"0" max:"100" doc:"Share of the requests that are copied to it."`
}

// A body that may be sent twice is held in memory, for every request at one
// time that has one. Traefik's own default, no limit, would let clients choose
// how much that is.
const (
	usualBodyCopy = 64 << 10
	mostBodyCopy  = 1 << 20
)

// settleBodyCopy turns Traefik's "no limit" into weir's.
func settleBodyCopy(size *int) {
	if *size < 0 {
		*size = mostBodyCopy
	}
}
