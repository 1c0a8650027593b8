package config

import (
	"strings"
	"testing"
)

const traced = "entryPoints: { web: { address: \":80\" } }\ntracing: "

func TestTracing(t *testing.T) {
	cfg := mustParse(t, "x.yaml", traced+"{ otlp: { http: {} } }")
	if tr := cfg.Tracing; tr.ServiceName != "weir" || tr.SampleRate != 1 || tr.OTLP.HTTP.Endpoint != "https://localhost:4318/v1/traces" || tr.OTLP.GRPC != nil {
		t.Errorf("defaults: %+v, %+v", tr, tr.OTLP.HTTP)
	}
	for text, want := range map[string]Share{"0": 0, "1": 1, "0.25": 0.25, "1e-3": 0.001} {
		if got := mustParse(t, "x.yaml", traced+"{ sampleRate: "+text+", otlp: { grpc: {} } }").Tracing.SampleRate; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if cfg := mustParse(t, "x.yaml", "entryPoints: { web: { address: \":80\" } }\n"); cfg.Tracing != nil {
		t.Error("tracing is on by default")
	}
}

func TestTracingProblems(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{}`, "tracing.otlp: missing"},
		{`{ otlp: {} }`, "tracing.otlp: is empty"},
		{`{ otlp: { http: {}, grpc: {} } }`, "tracing.otlp: is http and grpc at the same time (spans go to one collector"},
		{`{ sampleRate: 1.01, otlp: { http: {} } }`, "tracing.sampleRate: 1.01 is not a number from 0 to 1"},
		{`{ sampleRate: -0.5, otlp: { http: {} } }`, "tracing.sampleRate: -0.5 is not a number from 0 to 1"},
		{`{ sampleRate: .nan, otlp: { http: {} } }`, "tracing.sampleRate: .nan is not a number from 0 to 1"},
		{`{ sampleRate: .inf, otlp: { http: {} } }`, "tracing.sampleRate: .inf is not a number from 0 to 1"},
		{`{ capturedRequestHeaders: ["a b"], otlp: { http: {} } }`, `tracing.capturedRequestHeaders[0]: "a b" is not a header name`},
		{`{ resourceAttributes: { service.name: x }, otlp: { http: {} } }`, "tracing.resourceAttributes.service.name: is said twice (write serviceName)"},
		{`{ globalAttributes: { a: x }, otlp: { http: {} } }`, "tracing.globalAttributes: not supported by weir (write resourceAttributes)"},
		{`{ otlp: { http: { endpoint: "collector:4318" } } }`, "tracing.otlp.http.endpoint: "},
		{`{ otlp: { http: { endpoint: "http://c/v1/traces", tls: { ca: /x } } } }`, "tracing.otlp.http.tls: the endpoint is not https"},
		{`{ otlp: { http: { tls: { cert: /x } } } }`, "tracing.otlp.http.tls: cert and key go together"},
		{`{ otlp: { http: { headers: { "a b": x } } } }`, `tracing.otlp.http.headers.a b: "a b" is not a header name`},
		{`{ otlp: { grpc: { headers: { a: "x\ny" } } } }`, "tracing.otlp.grpc.headers.a: the value has a control character"},
		{`{ otlp: { grpc: { endpoint: "https://c:4317" } } }`, `tracing.otlp.grpc.endpoint: "https://c:4317" is not host:port`},
		{`{ otlp: { grpc: { endpoint: "c" } } }`, `tracing.otlp.grpc.endpoint: "c" is not host:port`},
		{`{ otlp: { grpc: { insecure: true, tls: {} } } }`, "tracing.otlp.grpc.tls: insecure is true, which is no TLS"},
	}
	for _, tt := range tests {
		_, err := Parse("x.yaml", []byte(traced+tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\ngives\n%v\nwant %q", tt.text, err, tt.want)
		}
	}
}

// TestTracingFiles: what a collector is called with is read anew when it changes, as certificates are.
func TestTracingFiles(t *testing.T) {
	cfg := mustParse(t, "x.yaml", traced+"{ otlp: { grpc: { tls: { ca: /a, cert: /b, key: /c } } } }")
	if got := strings.Join(cfg.Files(), " "); got != "/a /b /c" {
		t.Errorf("files %s", got)
	}
}
