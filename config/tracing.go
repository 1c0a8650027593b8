package config

// Tracing records requests as spans and sends them to a collector.
type Tracing struct {
	ServiceName             string            `yaml:"serviceName" need:"true" doc:"What weir is called in traces."`
	SampleRate              Share             `yaml:"sampleRate" doc:"The part of the requests, from 0 to 1, that are recorded. A request that comes with a traceparent is recorded if that says so."`
	ResourceAttributes      map[string]string `yaml:"resourceAttributes" doc:"Attributes of weir as a whole, by name, such as deployment.environment.name."`
	CapturedRequestHeaders  []string          `yaml:"capturedRequestHeaders" doc:"Headers of requests that spans tell."`
	CapturedResponseHeaders []string          `yaml:"capturedResponseHeaders" doc:"Headers of responses that spans tell."`
	SafeQueryParams         []string          `yaml:"safeQueryParams" doc:"Parameters of queries whose values spans tell; those of the others are replaced by REDACTED."`
	OTLP                    *OTLP             `yaml:"otlp" need:"true" doc:"The collector: exactly one of http and grpc."`
}

func (t *Tracing) setDefaults() { *t = Tracing{ServiceName: "weir", SampleRate: 1} }

// OTLP is a collector that speaks the OpenTelemetry protocol: exactly one of
// its members.
type OTLP struct {
	HTTP *OTLPHTTP `yaml:"http" doc:"A collector that is spoken to by HTTP, with protobuf."`
	GRPC *OTLPGRPC `yaml:"grpc" doc:"A collector that is spoken to by gRPC."`
}

// OTLPHTTP is a collector that is spoken to by HTTP.
type OTLPHTTP struct {
	Endpoint string            `yaml:"endpoint" need:"true" doc:"URL that spans are posted to; http or https."`
	Headers  map[string]string `yaml:"headers" doc:"Headers to send along, such as Authorization."`
	TLS      *OTLPTLS          `yaml:"tls" doc:"TLS to an https endpoint."`
}

func (o *OTLPHTTP) setDefaults() { o.Endpoint = "https://localhost:4318/v1/traces" }

// OTLPGRPC is a collector that is spoken to by gRPC.
type OTLPGRPC struct {
	Endpoint string            `yaml:"endpoint" need:"true" doc:"host:port of the collector."`
	Insecure bool              `yaml:"insecure" doc:"Speak without TLS."`
	Headers  map[string]string `yaml:"headers" doc:"Metadata to send along, such as authorization."`
	TLS      *OTLPTLS          `yaml:"tls" doc:"TLS to the collector."`
}

func (o *OTLPGRPC) setDefaults() { o.Endpoint = "localhost:4317" }

// OTLPTLS is TLS to a collector.
type OTLPTLS struct {
	CA                 string `yaml:"ca" doc:"PEM file with the authorities that sign its certificate; without the key, those of the system."`
	Cert               string `yaml:"cert" doc:"PEM file with a certificate to show it; goes with key."`
	Key                string `yaml:"key" doc:"PEM file with the key of cert."`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify" doc:"Take any certificate. For tests only."`
}

// TLSOf returns how TLS is spoken to the collector, and where that stands; nil
// where nothing is said about it.
func (o *OTLP) TLSOf() (at string, t *OTLPTLS) {
	if o.GRPC != nil {
		return "tracing.otlp.grpc.tls", o.GRPC.TLS
	}
	return "tracing.otlp.http.tls", o.HTTP.TLS
}
