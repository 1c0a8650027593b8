package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// call sends a request to the handler alone.
func call(t *testing.T, s *Server, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

func TestProbes(t *testing.T) {
	ready, notReady, unserved := busy(), busy(), unservedDiscovery()
	notReady.NotReady = []string{"entrypoint postgres is not bound", "draining"}
	tests := []struct {
		name, path string
		state      State
		code       int
		want       string
	}{
		{"alive", "/livez", ready, 200, "ok\n"},
		{"alive although not ready", "/livez", notReady, 200, "ok\n"},
		{"alias", "/healthz", notReady, 200, "ok\n"},
		{"ready", "/readyz", ready, 200, "ok\n"},
		{"not ready", "/readyz", notReady, 503, "entrypoint postgres is not bound\ndraining\n"},
		{"ready, verbose", "/readyz?verbose", ready, 200,
			"ready: generation 7\n+ entrypoint postgres listens on [::]:5432 (tcp)\n+ service orders (tcp) uses 1 of 2 backends\n"},
		{"not ready, verbose", "/readyz?verbose", notReady, 503,
			"not ready: generation 7\n- entrypoint postgres is not bound\n- draining\n" +
				"+ entrypoint postgres listens on [::]:5432 (tcp)\n+ service orders (tcp) uses 1 of 2 backends\n"},
		{"services without backends", "/readyz", unserved, 200, "ok\n"},
		{"services without backends, verbose", "/readyz?verbose", unserved, 200, "ready: generation 7\n" +
			"! service orders (tcp) has no usable backend of 3\n" +
			"  dnsSRV _postgres._tcp.orders.internal (corp): ok, 2 endpoints, answered 4s ago\n" +
			"  dnsSRV _postgres._tcp.orders.internal (branch): ok, 4 endpoints, answered 1s ago: " +
			"3 of 4 endpoints are left out, and no answer over TCP confirms it: they are kep…\n" +
			"! service shop (http) has no usable backend of 0\n" +
			"  file /etc/weir/shop.json: ok, 1 endpoint, answered 1h0m0s ago\n" +
			"  http http://registry.internal/shop: not asked yet\n" +
			"! service shop (udp) has no usable backend of 2\n" +
			"  dns resolvers.internal: failed, 2 endpoints, answered 12m0s ago: 10.0.0.2:53 says \ufffd[31mSERVFAIL\ufffd\n" +
			"  file /etc/weir/resolvers.json: failed, 0 endpoints, never answered: open /etc/weir/resolvers.json: no such file or directory\n" +
			"! service listed (tcp) has no usable backend of 1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := call(t, New(Options{Weir: &fixed{state: tt.state}}), "GET", tt.path, "")
			if rec.Code != tt.code || rec.Body.String() != tt.want {
				t.Errorf("got %d %q, want %d %q", rec.Code, rec.Body, tt.code, tt.want)
			}
		})
	}
}

// unservedDiscovery is busyDiscovery with no service that has a usable backend, and one more that has no sources.
func unservedDiscovery() State {
	s := busyDiscovery()
	s.Entrypoints = nil
	s.Services = []Service{
		{Name: "orders", Protocol: "tcp", Kind: "loadBalancer", Backends: 3},
		{Name: "ha", Protocol: "tcp", Kind: "failover", Services: []string{"orders"}},
		{Name: "shop", Protocol: "http", Kind: "loadBalancer"},
		{Name: "shop", Protocol: "udp", Kind: "loadBalancer", Backends: 2},
		{Name: "listed", Protocol: "tcp", Kind: "loadBalancer", Backends: 1},
	}
	return s
}

func TestViews(t *testing.T) {
	state := busyDiscovery()
	s := New(Options{
		Weir:   &fixed{state: state},
		Config: func(context.Context) ([]byte, error) { return []byte(`{"log":{}}`), nil },
	})
	tests := []struct {
		name, path string
		want       any
	}{
		{"version", "/version", Version{"1.2.3", "abc", "go1.26.9"}},
		{"status", "/api/v1/status", state.status()},
		{"entrypoints", "/api/v1/entrypoints", state.Entrypoints},
		{"routers", "/api/v1/routers", state.Routers},
		{"services", "/api/v1/services", state.Services},
		{"backends", "/api/v1/backends", state.Backends},
		{"backends of a service", "/api/v1/backends?service=orders", state.Backends[:2]},
		{"backends of a service of two protocols", "/api/v1/backends?service=shop", state.Backends[3:7]},
		{"backends of a service of one protocol", "/api/v1/backends?service=shop&protocol=udp", state.Backends[5:7]},
		{"backends of a protocol", "/api/v1/backends?protocol=http", state.Backends[3:5]},
		{"backends of a service that is another protocol's", "/api/v1/backends?service=orders&protocol=udp", []Backend{}},
		{"backends of no service", "/api/v1/backends?service=none", []Backend{}},
		{"sources", "/api/v1/sources", state.Sources},
		{"sources of a service", "/api/v1/sources?service=orders", state.Sources[:2]},
		{"sources of a service of two protocols", "/api/v1/sources?service=shop", state.Sources[2:]},
		{"sources of a service of one protocol", "/api/v1/sources?service=shop&protocol=http", state.Sources[2:4]},
		{"sources of a protocol", "/api/v1/sources?protocol=udp", state.Sources[4:]},
		{"sources of no service", "/api/v1/sources?service=none", []Source{}},
		{"config", "/api/v1/config", map[string]any{"log": map[string]any{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := call(t, s, "GET", tt.path, "")
			if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("got %d %s", rec.Code, rec.Header())
			}
			got := reflect.New(reflect.TypeOf(tt.want))
			if err := json.Unmarshal(rec.Body.Bytes(), got.Interface()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Elem().Interface()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.path, diff)
			}
		})
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	s := New(Options{Weir: &fixed{}})
	for _, path := range []string{"entrypoints", "routers", "services", "backends", "sources"} {
		if got := call(t, s, "GET", "/api/v1/"+path, "").Body.String(); got != "[]\n" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestStatusCounts(t *testing.T) {
	state := busy()
	got := state.status()
	if want := (BackendCount{Total: 3, Up: 1, Down: 1, Unknown: 1, Ejected: 1, Draining: 1}); got.Backends != want {
		t.Errorf("backends %+v, want %+v", got.Backends, want)
	}
	if got.UptimeSeconds != 5400.5 || !got.Ready {
		t.Errorf("uptime %v, ready %v", got.UptimeSeconds, got.Ready)
	}
}

func TestCommands(t *testing.T) {
	var reloads int
	var level string
	working := Options{
		Reload:      func(context.Context) error { reloads++; return nil },
		SetLogLevel: func(l string) error { level = l; return nil },
	}
	failing := Options{
		Config:      func(context.Context) ([]byte, error) { return nil, errors.New("no config") },
		Reload:      func(context.Context) error { return errors.New("weir.yaml:3:1: tcp: what") },
		SetLogLevel: func(string) error { return errors.New("no level") },
	}
	tests := []struct {
		name               string
		o                  Options
		method, path, body string
		header             []string
		code               int
		want               string // a part of the answer
	}{
		{"reload", working, "POST", "/api/v1/reload", "", nil, 200, `"generation": 7`},
		{"reload fails", failing, "POST", "/api/v1/reload", "", nil, 422, "weir.yaml:3:1: tcp: what"},
		{"reload is not there", Options{}, "POST", "/api/v1/reload", "", nil, 501, "cannot reload"},
		{"reload by GET", working, "GET", "/api/v1/reload", "", nil, 405, ""},
		{"reload by a foreign page", working, "POST", "/api/v1/reload", "", []string{"Sec-Fetch-Site", "cross-site"}, 403, "another site"},
		{"reload by an old foreign page", working, "POST", "/api/v1/reload", "", []string{"Origin", "https://evil.example"}, 403, "another site"},
		{"log level", working, "POST", "/api/v1/log-level", `{"level":"debug"}`, nil, 200, `"level": "debug"`},
		{"log level fails", failing, "POST", "/api/v1/log-level", `{"level":"debug"}`, nil, 500, "no level"},
		{"log level is not there", Options{}, "POST", "/api/v1/log-level", `{"level":"debug"}`, nil, 501, "cannot"},
		{"unknown log level", working, "POST", "/api/v1/log-level", `{"level":"loud"}`, nil, 400, "loud"},
		{"unknown key", working, "POST", "/api/v1/log-level", `{"level":"info","x":1}`, nil, 400, "the body must be"},
		{"two values", working, "POST", "/api/v1/log-level", `{"level":"info"}{}`, nil, 400, "the body must be"},
		{"no body", working, "POST", "/api/v1/log-level", ``, nil, 400, "the body must be"},
		{"endless body", working, "POST", "/api/v1/log-level", `{"level":"` + strings.Repeat("x", 1<<20), nil, 400, "too large"},
		{"config fails", failing, "GET", "/api/v1/config", "", nil, 500, "no config"},
		{"config is not there", Options{}, "GET", "/api/v1/config", "", nil, 501, "not shown"},
		{"backends of an unknown protocol", working, "GET", "/api/v1/backends?protocol=sctp", "", nil, 400, `\"sctp\" is none of tcp, udp, http`},
		{"sources of an unknown protocol", working, "GET", "/api/v1/sources?protocol=dns", "", nil, 400, `\"dns\" is none of tcp, udp, http`},
		{"backends of no protocol", working, "GET", "/api/v1/backends?protocol=", "", nil, 400, "none of tcp, udp, http"},
		{"a view by POST", working, "POST", "/api/v1/backends", "", nil, 405, ""},
		{"a view by DELETE", working, "DELETE", "/api/v1/status", "", nil, 405, ""},
		{"HEAD", working, "HEAD", "/readyz", "", nil, 200, ""},
		{"CONNECT", working, "CONNECT", "/", "", nil, 405, "CONNECT"},
		{"unknown path", working, "GET", "/api/v1/secrets", "", nil, 404, ""},
		{"profiles are off", working, "GET", "/debug/pprof/", "", nil, 404, ""},
		{"profiles are on", Options{Pprof: true}, "GET", "/debug/pprof/", "", nil, 200, "goroutine"},
		{"index", working, "GET", "/", "", nil, 200, "POST /api/v1/reload"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reloads, level = 0, ""
			tt.o.Weir = &fixed{state: busy()}
			rec := call(t, New(tt.o), tt.method, tt.path, tt.body, tt.header...)
			if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d with %q", rec.Code, rec.Body, tt.code, tt.want)
			}
			if rec.Header().Get("Cache-Control") != "no-store" {
				t.Error("the answer may be kept")
			}
			if ran := reloads > 0 || level != ""; ran && rec.Code != 200 {
				t.Error("the command ran although the answer says no")
			}
		})
	}
}

func TestForeignNamesOnLoopback(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9901}
	tests := []struct {
		name  string
		local net.Addr
		host  string
		code  int
	}{
		{"address", loopback, "127.0.0.1:9901", 200},
		{"IPv6 address", loopback, "[::1]:9901", 200},
		{"IPv6 address without port", loopback, "[::1]", 200},
		{"localhost", loopback, "LocalHost:9901", 200},
		{"below localhost", loopback, "weir.localhost", 200},
		{"a name somebody else controls", loopback, "rebind.example:9901", 421},
		{"a name that ends like localhost", loopback, "evillocalhost", 421},
		{"a name on a public address", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "lb-1.example:9901", 200},
		{"a name on a socket file", &net.UnixAddr{Name: "/run/weir.sock"}, "weir", 200},
	}
	s := New(Options{Weir: &fixed{state: busy()}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest("GET", "/readyz", nil)
			req.Host = tt.host
			req = req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, tt.local))
			rec := httptest.NewRecorder()
			s.Handler().ServeHTTP(rec, req)
			if rec.Code != tt.code {
				t.Errorf("got %d %s, want %d", rec.Code, rec.Body, tt.code)
			}
		})
	}
}

// serve runs a server on an address until the test ends.
func serve(t *testing.T, address string, o Options) net.Listener {
	t.Helper()
	ln, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	leaveDeadSocket(t, path)
	serve(t, "unix:"+path, Options{Weir: &fixed{state: busy()}})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o660 {
		t.Errorf("socket has mode %o", perm)
	}
	c, err := NewClient("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(t.Context())
	if err != nil || status.Version != "1.2.3" {
		t.Errorf("status over the socket: %+v, %v", status, err)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "somebody listens there") {
		t.Errorf("a second listener on a live socket: %v", err)
	}
}

// leaveDeadSocket makes the file that a killed process leaves behind.
func leaveDeadSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"nonsense", "127.0.0.1:99999", "unix:" + file, "unix:/nowhere/at/all.sock"} {
		if ln, err := Listen(address); err == nil {
			_ = ln.Close()
			t.Errorf("%s: no error", address)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "data" {
		t.Errorf("the file at the path was touched: %q, %v", data, err)
	}
}

// TestConnectionLimit fills the endpoint with silent connections: the next one waits, and is served when one goes.
func TestConnectionLimit(t *testing.T) {
	ln := serve(t, "127.0.0.1:0", Options{Weir: &fixed{state: busy()}})
	var idle []net.Conn
	for range maxConns {
		idle = append(idle, dial(t, ln))
	}
	for _, c := range idle { // each is accepted: it gets an answer
		ask(t, c)
	}
	late := dial(t, ln)
	if _, err := fmt.Fprint(late, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if n := len(ln.(*limited).slots); n != maxConns {
		t.Errorf("%d connections counted, want %d", n, maxConns)
	}
	if err := idle[0].Close(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func dial(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ask(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// openAPI is as much of openapi.yaml as the test compares with the code.
type openAPI struct {
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]struct {
			Required   []string
			Properties map[string]any
		}
	}
}

func readOpenAPI(t *testing.T) openAPI {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc openAPI
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIListsTheServedPaths(t *testing.T) {
	var want, got []string
	for _, r := range New(Options{Weir: &fixed{}}).routes() {
		want = append(want, r.method+" "+strings.TrimSuffix(r.path, "{$}"))
	}
	for path, methods := range readOpenAPI(t).Paths {
		for method := range methods {
			got = append(got, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("served (-) and documented (+):\n%s", diff)
	}
}

func TestOpenAPISchemasAreTheTypes(t *testing.T) {
	types := []any{
		Status{}, Reloads{}, LastReload{}, Loop{}, Connections{}, Flows{}, AccessLog{}, Spans{}, BackendCount{},
		Entrypoint{}, Router{}, Service{}, Backend{}, HTTPStats{}, HTTP2Stats{}, Histogram{}, UDPStats{}, Source{}, SourceCount{}, Version{}, Reloaded{}, LogLevel{},
		Cluster{}, ClusterSent{}, ClusterReceived{}, Member{}, Table{}, TableGroup{}, NameConflict{}, ClusterStatus{},
		Drain{}, Weight{}, Ordered{}, StandingOrder{}, Keys{}, KeyChange{},
	}
	doc := readOpenAPI(t)
	if len(doc.Components.Schemas) != len(types) {
		t.Errorf("%d schemas, want %d", len(doc.Components.Schemas), len(types))
	}
	for _, v := range types {
		typ := reflect.TypeOf(v)
		var all, required []string
		for i := range typ.NumField() {
			name, option, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			all = append(all, name)
			if option == "" {
				required = append(required, name)
			}
		}
		schema := doc.Components.Schemas[typ.Name()]
		var documented []string
		for name := range schema.Properties {
			documented = append(documented, name)
		}
		slices.Sort(all)
		slices.Sort(documented)
		if diff := cmp.Diff(all, documented); diff != "" {
			t.Errorf("%s: fields (-) and properties (+):\n%s", typ.Name(), diff)
		}
		if diff := cmp.Diff(required, schema.Required); diff != "" {
			t.Errorf("%s: fields always sent (-) and required (+):\n%s", typ.Name(), diff)
		}
	}
}
