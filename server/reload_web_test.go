package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

// webApp is a server of HTTP in the test's process.
type webApp struct {
	addr   string
	conns  atomic.Int64  // it has had
	asked  chan string   // the paths of requests that wait
	answer chan struct{} // lets one of them be answered
}

// serveWeb starts a server that says its name. Requests under /wait are answered when the test says so.
func serveWeb(t *testing.T, name string) *webApp {
	t.Helper()
	a := &webApp{asked: make(chan string, 8), answer: make(chan struct{})}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/wait") {
			a.asked <- r.URL.Path
			select {
			case <-a.answer:
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, name)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			a.conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	a.addr = s.Listener.Addr().String()
	return a
}

// get asks for a path and returns status and body.
func (l *line) get(path string) (status int, body string) {
	l.t.Helper()
	l.ask(path)
	return l.answer()
}

func (l *line) ask(path string) {
	l.t.Helper()
	if _, err := fmt.Fprintf(l, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, l.host); err != nil {
		l.t.Fatalf("ask for %s: %v", path, err)
	}
}

func (l *line) answer() (status int, body string) {
	l.t.Helper()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		l.t.Fatalf("answer: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatalf("answer: %v", err)
	}
	return resp.StatusCode, string(text)
}

// simpleWeb is a configuration with one entrypoint, one HTTP router and one HTTP service.
func simpleWeb(entrypoint, balancer string, servers ...string) string {
	var list []string
	for _, s := range servers {
		list = append(list, `{ url: "http://`+s+`" }`)
	}
	return `entryPoints: { web: { address: "127.0.0.1:0" ` + entrypoint + ` } }
http:
  routers:
    all: { rule: "PathPrefix(` + "`/`" + `)", service: app }
  services:
    app: { loadBalancer: { servers: [ ` + strings.Join(list, ", ") + ` ], slowStart: 0s ` + balancer + ` } }
`
}

// service is the state of a service.
func (r *running) service(name, protocol string) admin.Service {
	r.t.Helper()
	for _, s := range r.State().Services {
		if s.Name == name && s.Protocol == protocol {
			return s
		}
	}
	r.t.Fatalf("no %s service %s", protocol, name)
	return admin.Service{}
}

// router is the state of a router.
func (r *running) router(name, protocol string) admin.Router {
	r.t.Helper()
	for _, s := range r.State().Routers {
		if s.Name == name && s.Protocol == protocol {
			return s
		}
	}
	r.t.Fatalf("no %s router %s", protocol, name)
	return admin.Router{}
}

func TestReloadKeepsWhatHTTPDoesNotConcern(t *testing.T) {
	a := serveWeb(t, "a")
	text := simpleWeb("", ", healthCheck: { path: /, interval: 1h }", a.addr)
	r := start(t, text)
	r.eventually(func() bool { return r.backend(a.addr).Health == "up" }, "the backend is checked")
	web := r.addr("web")
	old := dial(t, web)
	old.get("/1")
	pool, transport, conns := r.pools["app@http"], r.web.transports["app"], a.conns.Load()

	for i, change := range []func(string) string{
		func(s string) string { return s + "accessLog: { path: " + t.TempDir() + "/access.log }\n" },
		func(s string) string {
			return strings.Replace(s, "  routers:\n", "  routers:\n    more: { rule: \"Path(`/more`)\", service: app, middlewares: [add] }\n", 1) +
				"  middlewares: { add: { addPrefix: { prefix: /x } } }\n"
		},
		func(s string) string {
			return s + "    other: { loadBalancer: { servers: [ { url: \"http://127.0.0.1:1\" } ] } }\n"
		},
		func(s string) string {
			return s + "tcp:\n  services: { app: { loadBalancer: { servers: [ { address: \"127.0.0.1:1\" } ] } } }\n"
		},
		func(s string) string { return s },
	} {
		r.mustReload(change(text))
		if status, body := old.get("/again"); status != 200 || body != "a" {
			t.Errorf("change %d: the open connection is answered %d %q", i, status, body)
		}
		if r.pools["app@http"] != pool || r.web.transports["app"] != transport {
			t.Errorf("change %d: pool or transport is another object", i)
		}
	}
	if n := a.conns.Load(); n != conns {
		t.Errorf("the server has had %d connections after the reloads, before them %d: idle ones were not used again", n, conns)
	}
	// A client has its answer a moment before it is counted.
	r.eventually(func() bool { return r.service("app", "http").HTTP.Requests["2xx"] == 6 }, "the service counts 6 answers")
	if got := r.router("all", "http").HTTP.Requests["2xx"]; got != 6 {
		t.Errorf("the router counts %d answers, want 6", got)
	}
	if b := r.backend(a.addr); b.Health != "up" || b.Checks != 1 || b.Connections != 6 || b.Active != 0 {
		t.Errorf("the backend began anew: %s, %d checks, %d requests, %d active", b.Health, b.Checks, b.Connections, b.Active)
	}
	if got := r.addr("web"); got != web {
		t.Errorf("the entrypoint moved from %s to %s", web, got)
	}
}

// TestReloadGivesOpenConnectionsTheNewRules: what a request is decided with is what is in force when it comes.
func TestReloadGivesOpenConnectionsTheNewRules(t *testing.T) {
	a, b := serveWeb(t, "a"), serveWeb(t, "b")
	text := simpleWeb("", "", a.addr)
	r := start(t, text)
	conn := dial(t, r.addr("web"))
	if _, body := conn.get("/"); body != "a" {
		t.Errorf("answer %q", body)
	}
	r.mustReload(simpleWeb("", "", b.addr))
	if _, body := conn.get("/"); body != "b" {
		t.Errorf("after another server: answer %q", body)
	}
	r.mustReload(strings.Replace(text, "PathPrefix(`/`)", "Path(`/only`)", 1))
	if status, _ := conn.get("/"); status != 404 {
		t.Errorf("after another rule: status %d", status)
	}
	r.mustReload("entryPoints: { web: { address: \"127.0.0.1:0\" } }\n")
	if status, _ := conn.get("/only"); status != 404 {
		t.Errorf("without any router: status %d", status)
	}
	r.mustReload(text)
	if _, body := conn.get("/"); body != "a" {
		t.Errorf("there again: answer %q", body)
	}
}

func TestRemovedHTTPBackendDrains(t *testing.T) {
	a, b := serveWeb(t, "a"), serveWeb(t, "b")
	const grace = ", transport: { lifeCycle: { graceTimeOut: 300ms } }"
	r := start(t, simpleWeb(grace, "", b.addr))
	web := r.addr("web")
	first, second, idle := dial(t, web), dial(t, web), dial(t, web)
	first.ask("/wait")
	second.ask("/wait")
	for range 2 {
		<-b.asked
	}
	idle.get("/")
	r.eventually(func() bool { return r.backend(b.addr).Active == 2 }, "two requests are under way")
	r.mustReload(simpleWeb(grace, "", a.addr))
	if got := r.backend(b.addr); !got.Draining || got.Active != 2 {
		t.Errorf("the removed backend: draining %v, %d active", got.Draining, got.Active)
	}
	for range 3 {
		if status, body := idle.get("/"); status != 200 || body != "a" {
			t.Errorf("a new request is answered %d %q", status, body)
		}
	}
	b.answer <- struct{}{}
	// The other request runs into the deadline; it may be repeated, and is.
	<-a.asked
	a.answer <- struct{}{}
	answers := make(map[string]int)
	for _, conn := range []*line{first, second} {
		status, body := conn.answer()
		answers[fmt.Sprint(status, " ", body)]++
	}
	if answers["200 a"] != 1 || answers["200 b"] != 1 {
		t.Errorf("the two requests under way are answered %v", answers)
	}
	r.eventually(func() bool { _, ok := r.lookup(b.addr); return !ok }, "the drained backend is gone")
}

// TestHTTPAndTCPNamesDoNotClash names everything twice.
func TestHTTPAndTCPNamesDoNotClash(t *testing.T) {
	tcp, web := weirtest.Serve(t, weirtest.WhoWhenAsked("tcp")), serveWeb(t, "http")
	text := fmt.Sprintf(`
entryPoints: { web: { address: "127.0.0.1:0" }, raw: { address: "127.0.0.1:0" } }
tcp:
  middlewares: { same: { inFlightConn: { amount: 20 } } }
  routers: { same: { entryPoints: [raw], rule: "HostSNI(%[1]s*%[1]s)", middlewares: [same], service: same } }
  services:
    same: { loadBalancer: { servers: [ { address: %[2]q } ] } }
http:
  middlewares: { same: { addPrefix: { prefix: /x } } }
  routers: { same: { entryPoints: [web], rule: "PathPrefix(%[1]s/%[1]s)", middlewares: [same], service: same } }
  services:
    same: { loadBalancer: { servers: [ { url: "http://%[3]s" } ] } }
`, "`", tcp.Addr, web.addr)
	r := start(t, text)
	check := func() {
		t.Helper()
		if got := dial(t, r.addr("raw")).say("x"); got != "tcp" {
			t.Errorf("TCP is answered %q", got)
		}
		if _, body := dial(t, r.addr("web")).get("/"); body != "http" {
			t.Errorf("HTTP is answered %q", body)
		}
	}
	check()
	for _, protocol := range []string{"tcp", "http"} {
		if s := r.service("same", protocol); s.Connections != 1 {
			t.Errorf("%s service: %d connections", protocol, s.Connections)
		}
		if got := r.router("same", protocol); len(got.Entrypoints) != 1 || len(got.Middlewares) != 1 {
			t.Errorf("%s router: %+v", protocol, got)
		}
	}
	if b := r.backend(web.addr); b.Protocol != "http" || b.Service != "same" {
		t.Errorf("backend of HTTP: %+v", b)
	}
	// The one goes, the other stays.
	r.mustReload(strings.Replace(text, fmt.Sprintf("{ address: %q }", tcp.Addr), `{ address: "127.0.0.1:1" }`, 1))
	if _, body := dial(t, r.addr("web")).get("/"); body != "http" || r.backend(web.addr).Draining {
		t.Errorf("a change of the TCP service reaches the HTTP service: %q", body)
	}
	r.mustReload(text)
	check()
}

// TestTLSOptionsOfOneHost: where routers want TLS ended differently for one host, it is ended in the usual way; who has come in
// that way is kept from hosts that want more.
func TestTLSOptionsOfOneHost(t *testing.T) {
	ca := weirtest.CA(t)
	cert := ca.Server("a.example", "b.example")
	app := serveWeb(t, "a")
	text := fmt.Sprintf(`
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    open:   { rule: "Host(%[1]sa.example%[1]s)", tls: {}, service: app }
    closed: { rule: "Host(%[1]sa.example%[1]s) && Path(%[1]s/closed%[1]s)", tls: { options: mutual }, service: app }
    any:    { rule: "Path(%[1]s/any%[1]s)", priority: 1000, tls: { options: mutual }, service: app }
    other:  { rule: "Host(%[1]sb.example%[1]s)", tls: { options: mutual }, service: app }
  services: { app: { loadBalancer: { servers: [ { url: "http://%[2]s" } ] } } }
tls:
  certificates: [ { certFile: %[3]s, keyFile: %[4]s } ]
  options: { mutual: { clientAuth: { caFiles: [ %[5]s ], clientAuthType: RequireAndVerifyClientCert } } }
`, "`", app.addr, cert.CertFile, cert.KeyFile, ca.File)
	p := mustCompile(t, text)
	if len(p.warnings) != 1 || !strings.Contains(p.warnings[0], "different tls.options for a.example at entrypoint web") {
		t.Errorf("warnings %q", p.warnings)
	}
	front := p.entrypoints["web"].front
	got := make(map[string]string)
	for _, h := range front.hosts {
		got[h.host.Name] = h.config
	}
	if len(got) != 3 || got["*"] != "mutual for HTTP" || got["a.example"] != "default for HTTP" || got["b.example"] != "mutual for HTTP" {
		t.Errorf("TLS is ended as %v", got)
	}

	r := start(t, text)
	secure := func(name string) *line {
		conn := tls.Client(dial(t, r.addr("web")), &tls.Config{RootCAs: ca.Pool(), ServerName: name, MaxVersion: tls.VersionTLS12})
		return wrap(t, conn)
	}
	conn := secure("a.example")
	if status, _ := conn.get("/"); status != 200 {
		t.Errorf("the host with the usual options: status %d", status)
	}
	for _, tt := range []struct{ name, host, path string }{
		{"the host with options of its own", "b.example", "/"},
		{"the path whose router demands a certificate", "a.example", "/closed"},
		{"a router without a host that demands one", "a.example", "/any"},
	} {
		conn := secure("a.example")
		conn.host = tt.host
		if status, body := conn.get(tt.path); status != 421 {
			t.Errorf("%s, on a connection without: status %d, %q", tt.name, status, body)
		}
	}
	if err := secure("b.example").Conn.(*tls.Conn).Handshake(); err == nil {
		t.Error("a client without a certificate is let in")
	}
}

// TestBackendsLeaveNothingBehind: what HTTP counts of a backend goes with it, even when it had nothing left to wait for.
func TestBackendsLeaveNothingBehind(t *testing.T) {
	one, two := serveWeb(t, "one"), serveWeb(t, "two")
	site := func(addr string) string {
		return fmt.Sprintf("entryPoints: { web: { address: \"127.0.0.1:0\" } }\nhttp: { routers: { r: { rule: \"PathPrefix(`/`)\", service: app } },"+
			" services: { app: { loadBalancer: { servers: [ { url: \"http://%s\" } ] } } } }\n", addr)
	}
	r := start(t, site(one.addr))
	if status, body := dial(t, r.addr("web")).get("/"); status != 200 || body != "one" {
		t.Fatalf("%d %q", status, body)
	}
	var gone *upstream.Backend
	r.do(t.Context(), func() { gone = r.pools[webKey("app")].members[0].backend })
	r.eventually(func() bool { return r.web.server.BackendStats(gone).Requests[2] == 1 }, "the request is counted")
	r.mustReload(site(two.addr))
	r.eventually(func() bool { return r.web.server.BackendStats(gone).Requests[2] == 0 }, "nothing is kept of the backend that has left")
}

// TestLongResponseHeads: servers may say more than clients, up to a bound.
func TestLongResponseHeads(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", strings.Repeat("x", 20<<10))
		if r.URL.Path == "/much" {
			w.Header().Set("X-Too-Much", strings.Repeat("x", 50<<10))
		}
	}))
	defer s.Close()
	r := start(t, fmt.Sprintf("entryPoints: { web: { address: \"127.0.0.1:0\" } }\nhttp: { routers: { r: { rule: \"PathPrefix(`/`)\", service: app } },"+
		" services: { app: { loadBalancer: { servers: [ { url: \"%s\" } ] } } } }\n", s.URL))
	for path, want := range map[string]int{"/": 200, "/much": 502} {
		if status, _ := dial(t, r.addr("web")).get(path); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
}

// TestGRPCHealthCheck asks servers of an HTTP service by gRPC, under the host name that the check gives.
func TestGRPCHealthCheck(t *testing.T) {
	var serving atomic.Bool
	hosts := make(chan string, 64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case hosts <- r.Host + r.URL.Path:
		default:
		}
		answer := []byte{0, 0, 0, 0, 2, 8, 2} // a message of two bytes: status (field 1) NOT_SERVING
		if serving.Load() {
			answer[6] = 1
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(answer)
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	r := start(t, fmt.Sprintf("entryPoints: { web: { address: \"127.0.0.1:0\" } }\nhttp: { routers: { r: { rule: \"PathPrefix(`/`)\", service: app } },"+
		" services: { app: { loadBalancer: { servers: [ { url: \"%s\" } ], healthCheck: { mode: grpc, hostname: health.example, interval: 20ms, rise: 1, fall: 1 } } } } }\n", s.URL))
	is := func(health string) func() bool {
		return func() bool { return r.State().Backends[0].Health == health }
	}
	r.eventually(is("down"), "a server that does not serve is down")
	serving.Store(true)
	r.eventually(is("up"), "a server that serves is up")
	if got := <-hosts; got != "health.example/grpc.health.v1.Health/Check" {
		t.Errorf("asked for %s", got)
	}
}

// TestHTTP2IsSeen: the state tells of connections of HTTP/2 and of their streams, and of what became of them.
func TestHTTP2IsSeen(t *testing.T) {
	a := serveWeb(t, "a")
	r := start(t, simpleWeb(", transport: { keepAliveMaxRequests: 2 }", "", a.addr))
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}
	for range 4 {
		resp, err := client.Get("http://" + r.addr("web"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	var got *admin.HTTP2Stats
	r.eventually(func() bool {
		got = r.State().Entrypoints[0].HTTP2
		return got != nil && got.Connections == 2 && got.Streams == 4 && got.Active == 0 && got.ActiveStreams == 0
	}, "4 streams on 2 connections that are over")
	if got.GoAways["age"] != 2 || got.Reset["cancelled"] != 0 {
		t.Errorf("%+v", got)
	}
}
