package main_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/weirlb/weir/internal/weirtest"
)

// receiver is a collector: it keeps what it gets over HTTP and over gRPC.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	addr  string
	mu    sync.Mutex
	spans []*otlp.Span
	of    string // the service that the last ones are of
	conns int    // that were opened
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				r.of = a.Value.GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var got collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &got) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	out, _ := r.Export(req.Context(), &got)
	text, _ := proto.Marshal(out)
	_, _ = w.Write(text)
}

// receive starts a collector at an address, or at one of its own.
func receive(t *testing.T, kind, addr string) *receiver {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{addr: ln.Addr().String()}
	if kind == "grpc" {
		s := grpc.NewServer()
		collector.RegisterTraceServiceServer(s, r)
		go func() { _ = s.Serve(ln) }()
		t.Cleanup(s.Stop)
		return r
	}
	s := httptest.NewUnstartedServer(r)
	s.Listener.Close()
	s.Listener = ln
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.conns++
		}
	}
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return r
}

// section is the section tracing for a collector.
func section(kind, addr, more string) string {
	at := fmt.Sprintf(`http: { endpoint: "http://%s/v1/traces" }`, addr)
	if kind == "grpc" {
		at = fmt.Sprintf("grpc: { endpoint: %q, insecure: true }", addr)
	}
	return "tracing: { otlp: { " + at + " }" + more + " }\n"
}

// await waits for n spans and returns them all.
func (r *receiver) await(t *testing.T, n int) []*otlp.Span {
	t.Helper()
	var all []*otlp.Span
	weirtest.Eventually(t, soon, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		all = r.spans
		return len(all) >= n
	}, fmt.Sprintf("%d spans arrive", n))
	return all
}

// traceOf returns what the last record of a target says of its trace.
func traceOf(t *testing.T, log, target string) (trace, span string) {
	t.Helper()
	awaitRequest(t, log, target)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r struct {
			RequestPath string
			Trace       string `json:"trace_id"`
			Span        string `json:"span_id"`
		}
		if json.Unmarshal(line, &r) == nil && r.RequestPath == target {
			trace, span = r.Trace, r.Span
		}
	}
	return trace, span
}

// TestTracing: client, weir, attempt and server stand below each other in one trace, for HTTP/1.1 and HTTP/2 and over both protocols to the
// collector, and the access log names it.
func TestTracing(t *testing.T) {
	t.Parallel()
	const client, trace = "b7ad6b7169203331", "0af7651916cd43dd8448eb211c80319c"
	for _, kind := range []string{"http", "grpc"} {
		r := receive(t, kind, "")
		var mu sync.Mutex
		parents := map[string]string{}
		server := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			parents[r.URL.Path] = r.Header.Get("traceparent")
		})
		ca := weirtest.CA(t)
		log := filepath.Join(t.TempDir(), "access.log")
		w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+section(kind, r.addr, ", serviceName: edge, sampleRate: 0")+secureSite(ca.Server("shop.test"), "", server))
		addr := addressOf(t, w, "secure")
		for i, protocol := range []string{"--http1.1", "--http2"} {
			path := "/" + kind + protocol
			got, err := curl(t, addr, path, "--cacert", ca.File, protocol, "-H", "traceparent: 00-"+trace+"-"+client+"-01", "-w", "%{http_code}")
			if err != nil || got != "200" {
				t.Fatalf("%s: %q, %v", path, got, err)
			}
			spans := r.await(t, 2*i+2)[2*i:]
			if len(spans) != 2 {
				t.Fatalf("%d spans of %s", len(spans), path)
			}
			attempt, own := spans[0], spans[1]
			logged, span := traceOf(t, log, path)
			mu.Lock()
			parent := parents[path]
			mu.Unlock()
			if hex.EncodeToString(own.ParentSpanId) != client || !bytes.Equal(attempt.ParentSpanId, own.SpanId) ||
				parent != "00-"+trace+"-"+hex.EncodeToString(attempt.SpanId)+"-01" || logged != trace || span != hex.EncodeToString(own.SpanId) {
				t.Errorf("%s: client %s, weir %x below %x, attempt %x below %x, server %s; logged %s %s", path, client,
					own.SpanId, own.ParentSpanId, attempt.SpanId, attempt.ParentSpanId, parent, logged, span)
			}
		}
		// What nobody wants to be recorded is part of a trace all the same.
		if got, err := curl(t, addr, "/not", "--cacert", ca.File, "-w", "%{http_code}"); err != nil || got != "200" {
			t.Fatalf("%q, %v", got, err)
		}
		logged, span := traceOf(t, log, "/not")
		mu.Lock()
		if want := "00-" + logged + "-" + span + "-02"; parents["/not"] != want {
			t.Errorf("the server gets %s, the log says %s", parents["/not"], want)
		}
		mu.Unlock()
		w.Stop()
		if all := r.await(t, 4); len(all) != 4 || r.of != "edge" {
			t.Errorf("%d spans of %q", len(all), r.of)
		}
	}
}

// TestTracingIsReloaded: what is the same stays, what is another takes over, and what is gone is gone.
func TestTracingIsReloaded(t *testing.T) {
	t.Parallel()
	server := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("traceparent")) })
	first, second := receive(t, "http", ""), receive(t, "grpc", "")
	rest := site("", "", server)
	w := weirtest.Weir(t, section("http", first.addr, "")+rest)
	url := "http://" + addressOf(t, w, "web") + "/"
	client := browser(t)
	fetch(t, client, url)
	first.await(t, 2)
	w.Reload(section("http", first.addr, ", safeQueryParams: [a]") + rest)
	fetch(t, client, url)
	first.await(t, 4)
	first.mu.Lock()
	if first.conns != 1 {
		t.Errorf("a reload that leaves the collector alone makes %d connections to it", first.conns)
	}
	first.mu.Unlock()
	w.Reload(section("grpc", second.addr, "") + rest)
	fetch(t, client, url)
	second.await(t, 2)
	w.Reload(rest)
	if _, parent := fetch(t, client, url); parent != "" {
		t.Errorf("without tracing the server gets %q", parent)
	}
	w.Stop()
	if a, b := len(first.await(t, 4)), len(second.await(t, 2)); a != 4 || b != 2 {
		t.Errorf("%d and %d spans", a, b)
	}
}

// TestTracingIsFlushedAtStop: the last request's spans leave before the process does.
func TestTracingIsFlushedAtStop(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "grpc"} {
		r := receive(t, kind, "")
		w := weirtest.Weir(t, section(kind, r.addr, "")+site("", "", serveHTTP(t, func(http.ResponseWriter, *http.Request) {})))
		fetch(t, browser(t), "http://"+addressOf(t, w, "web")+"/")
		w.Signal(syscall.SIGTERM)
		if code := w.ExitCode(soon); code != 0 {
			t.Errorf("%s: exit code %d", kind, code)
		}
		if n := len(r.await(t, 2)); n != 2 {
			t.Errorf("%s: %d spans", kind, n)
		}
	}
}

// TestTracingWithoutCollector: nobody is there, and then somebody is. Requests do not notice.
func TestTracingWithoutCollector(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"http", "grpc"} {
		addr := weirtest.FreeAddr(t)
		w := weirtest.Weir(t, section(kind, addr, "")+site("", "", serveHTTP(t, func(http.ResponseWriter, *http.Request) {})))
		url, client := "http://"+addressOf(t, w, "web")+"/", browser(t)
		for range 3 {
			if status, _ := fetch(t, client, url); status != 200 {
				t.Errorf("status %d", status)
			}
		}
		awaitMetric(t, w, "weir_spans_failed_total", 6)
		if n := strings.Count(w.Log(), "spans are lost"); n != 1 {
			t.Errorf("%s: the log says %d times that spans are lost:\n%s", kind, n, w.Log())
		}
		r := receive(t, kind, addr)
		fetch(t, client, url)
		r.await(t, 2)
		awaitMetric(t, w, "weir_spans_exported_total", 2)
	}
}

// TestTracingWithHangingCollector: one that takes everything and answers nothing holds up neither requests nor the end.
func TestTracingWithHangingCollector(t *testing.T) {
	t.Parallel()
	hang := weirtest.Serve(t, func(c net.Conn) { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
	for _, kind := range []string{"http", "grpc"} {
		w := weirtest.Weir(t, section(kind, hang.Addr, "")+site("", "", serveHTTP(t, func(http.ResponseWriter, *http.Request) {})))
		url, client := "http://"+addressOf(t, w, "web")+"/", browser(t)
		for range 100 {
			if status, _ := fetch(t, client, url); status != 200 {
				t.Fatalf("status %d", status)
			}
		}
		w.Signal(syscall.SIGTERM)
		if code := w.ExitCode(soon); code != 0 {
			t.Errorf("%s: exit code %d", kind, code)
		}
	}
}

// TestBuildWithoutTracing: a weir that is built with the tag refuses the section and says so. Neither build links OpenTelemetry's SDK or
// grpc-go; protobuf's runtime is there without tracing, too, for the sake of Prometheus.
func TestBuildWithoutTracing(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"", "notracing"} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, "github.com/weirlb/weir/cmd/weir").Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := string(out)
		if !strings.Contains(deps, "github.com/weirlb/weir/internal/otlp\n") {
			t.Errorf("tags %q: go list shows nothing of tracing, and so the test nothing:\n%s", tags, deps)
		}
		for _, module := range []string{"go.opentelemetry.io/", "google.golang.org/grpc", "google.golang.org/genproto", "github.com/grpc-ecosystem/"} {
			if strings.Contains(deps, module) {
				t.Errorf("tags %q: %s is linked", tags, module)
			}
		}
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-tags", "notracing", "-o", binary, "github.com/weirlb/weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := site("", "", "127.0.0.1:1")
	check := func(config string) (string, int) {
		out, err := exec.Command(binary, "check", "-c", writeConfig(t, config)).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if exit != nil {
			return string(out), exit.ExitCode()
		}
		return string(out), 0
	}
	if out, code := check(rest); code != 0 {
		t.Errorf("without the section: exit code %d\n%s", code, out)
	}
	out, code := check(section("http", "127.0.0.1:1", "") + rest)
	if want := "tracing: this weir was built without tracing (remove the section, or take a weir that was built without the tag notracing)"; code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d\n%s\nwant %q", code, out, want)
	}
}
