package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// secureSite is a configuration with HTTPS for shop.test on the entrypoint secure, and what else is written behind it.
func secureSite(cert *weirtest.Certificate, options, server string) string {
	return fmt.Sprintf(`
entryPoints:
  secure: { address: "127.0.0.1:0" }
http:
  routers:
    shop: { entryPoints: [secure], rule: "Host(%[1]sshop.test%[1]s)", tls: { %[2]s }, service: app }
  services: { app: { loadBalancer: { servers: [ %[3]s ] } } }
tls:
  certificates: [ { certFile: %[4]s, keyFile: %[5]s } ]
`, "`", options, urls(server), cert.CertFile, cert.KeyFile)
}

// curl asks for a path of shop.test at addr and returns what it prints; args come first.
func curl(t *testing.T, addr, path string, args ...string) (string, error) {
	t.Helper()
	port := portOf(addr)
	args = append([]string{"-sS", "--max-time", "20", "--connect-to", "shop.test:" + port + ":" + addr}, args...)
	return weirtest.TryRun(t, "curl", append(args, "https://shop.test:"+port+path)...)
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+secureSite(ca.Server("shop.test"), "", goApp(t)))
	addr := addressOf(t, w, "secure")
	got, err := curl(t, addr, "/said?x", "--cacert", ca.File, "--http1.1", "-w", " %{http_version} %{http_code}")
	want := "GET|/said?x|||shop.test:" + portOf(addr) + "|127.0.0.1|https 1.1 200"
	if err != nil || got != want {
		t.Errorf("curl: %q, %v, want %q", got, err, want)
	}
	if r := awaitRequest(t, log, "/said?x"); r.RequestScheme != "https" || r.SNI != "shop.test" || r.TLSVersion == "" || r.RequestHost != "shop.test" {
		t.Errorf("the log says %+v", r)
	}
	if got, err := curl(t, addr, "/said"); err == nil || !strings.Contains(got, "certificate") {
		t.Errorf("curl that does not trust the authority: %q, %v", got, err)
	}
	load := strings.Repeat("0123456789", 100_000)
	file := writeTemp(t, load)
	if got, err := curl(t, addr, "/body", "--cacert", ca.File, "--data-binary", "@"+file); err != nil || got != load {
		t.Errorf("curl: of %d bytes come back %d, %v", len(load), len(got), err)
	}

	conn := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test", NextProtos: []string{"h2", "http/1.1"}})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	if s := conn.ConnectionState(); s.NegotiatedProtocol != "h2" {
		t.Errorf("the protocol is %q", s.NegotiatedProtocol)
	}
	conn.Close()
	other := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "nobody.test"})
	if err := other.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that nobody serves: %v", err)
	}
	if text := rawHTTP(t, addr, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(text, "HTTP/1.1 404 ") {
		t.Errorf("plain HTTP where only HTTPS is served: %q", text)
	}
}

// TestHTTPSResumes sees that clients that come back need no full handshake.
func TestHTTPSResumes(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	w := weirtest.Weir(t, secureSite(ca.Server("shop.test"), "", goApp(t)))
	addr := addressOf(t, w, "secure")
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 3 {
		conn := tls.Client(dial(t, addr), config)
		if _, err := io.WriteString(conn, "GET /said HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 200 ") {
			t.Fatalf("%q, %v", text, err)
		}
		if resumed := conn.ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d is resumed: %v", i, resumed)
		}
		conn.Close()
	}
}

// TestClientCertificates wants a certificate of clients for one host and not for another.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, people := weirtest.CA(t), weirtest.CA(t)
	w := weirtest.Weir(t, strings.Replace(secureSite(ca.Server("shop.test", "open.test"), "options: known", goApp(t)),
		"\n  services:", "\n    open: { entryPoints: [secure], rule: \"Host(`open.test`)\", tls: {}, service: app }\n  services:", 1)+
		fmt.Sprintf("  options: { known: { clientAuth: { caFiles: [ %s ], clientAuthType: RequireAndVerifyClientCert } } }\n", people.File))
	addr := addressOf(t, w, "secure")
	known, stranger := people.Client("anna"), weirtest.CA(t).Client("eve")
	trust := []string{"--cacert", ca.File}
	if got, err := curl(t, addr, "/said", append(trust, "--cert", known.CertFile, "--key", known.KeyFile)...); err != nil || !strings.HasPrefix(got, "GET|/said|") {
		t.Errorf("a known client: %q, %v", got, err)
	}
	for name, args := range map[string][]string{"nobody": trust, "a stranger": append(trust, "--cert", stranger.CertFile, "--key", stranger.KeyFile)} {
		if got, err := curl(t, addr, "/said", args...); err == nil || strings.Contains(got, "GET|") {
			t.Errorf("%s is let in: %q", name, got)
		}
	}
	// Who has come in by the open door must not ask for what is behind the other one.
	conn := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "open.test"})
	send(t, conn, "GET /said HTTP/1.1\r\nHost: open.test\r\n\r\n")
	send(t, conn, "GET /said HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
	statuses, bodies := responses(t, conn, "GET", "GET")
	if statuses[0] != 200 || statuses[1] != 421 || strings.Contains(bodies[1], "GET|") {
		t.Errorf("statuses %v, %q", statuses, bodies)
	}
}

// TestHTTPSBackends verifies the certificates of servers, and shows them one where they want it.
func TestHTTPSBackends(t *testing.T) {
	t.Parallel()
	ca, other, people := weirtest.CA(t), weirtest.CA(t), weirtest.CA(t)
	mine := people.Client("weir")
	start := func(config *tls.Config) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				who = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			fmt.Fprintf(w, "%s|%s", r.TLS.ServerName, who)
		}))
		s.TLS = config
		s.Config.ErrorLog = quiet()
		s.StartTLS()
		t.Cleanup(s.Close)
		return "https://" + s.Listener.Addr().String()
	}
	named := start(&tls.Config{Certificates: []tls.Certificate{ca.Server("app.internal").TLS}})
	addressed := start(&tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}})
	mutual := start(&tls.Config{
		Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: people.Pool(),
	})
	tests := []struct {
		name, server, transport string
		status                  int
		body                    string
	}{
		{"by-name", named, "serverName: app.internal, rootCAs: [ " + ca.File + " ]", 200, "app.internal|nobody"},
		{"by-address", addressed, "rootCAs: [ " + ca.File + " ]", 200, "|nobody"},
		{"shown-ours", mutual, fmt.Sprintf("rootCAs: [ %s ], certificates: [ { certFile: %s, keyFile: %s } ]", ca.File, mine.CertFile, mine.KeyFile), 200, "|weir"},
		{"insecure", named, "insecureSkipVerify: true", 200, "|nobody"},
		{"of-nobody", named, "serverName: app.internal", 502, ""},
		{"of-another", named, "serverName: app.internal, rootCAs: [ " + other.File + " ]", 502, ""},
		{"wrong-name", named, "serverName: elsewhere.internal, rootCAs: [ " + ca.File + " ]", 502, ""},
		{"wrong-address", named, "rootCAs: [ " + ca.File + " ]", 502, ""},
		{"shown-none", mutual, "rootCAs: [ " + ca.File + " ]", 502, ""},
		{"not-even-tls", "https://" + goApp(t), "rootCAs: [ " + ca.File + " ]", 502, ""},
	}
	var routers, services strings.Builder
	for _, tt := range tests {
		fmt.Fprintf(&routers, "    %[1]s: { rule: \"Host(`%[1]s`)\", service: %[1]s }\n", tt.name)
		fmt.Fprintf(&services, "    %s: { loadBalancer: { servers: [ { url: %q } ], serversTransport: { %s } } }\n", tt.name, tt.server, tt.transport)
	}
	w := weirtest.Weir(t, "entryPoints: { web: { address: \"127.0.0.1:0\" } }\nhttp:\n  routers:\n"+routers.String()+"  services:\n"+services.String())
	addr := addressOf(t, w, "web")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := browser(t)
			for range 2 { // the second time on the same connection, where there is one
				resp, body := do(t, c, request(t, "GET", addr, tt.name, "/", nil))
				if resp.StatusCode != tt.status || tt.body != "" && body != tt.body {
					t.Errorf("status %d, %q, want %d, %q", resp.StatusCode, body, tt.status, tt.body)
				}
			}
		})
	}
}

// TestRedirection sends those who come without TLS to where it is, and keeps what they asked for.
func TestRedirection(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	secure := weirtest.FreeAddr(t)
	config := strings.Replace(secureSite(ca.Server("shop.test"), "", goApp(t)), `secure: { address: "127.0.0.1:0" }`, fmt.Sprintf(`secure: { address: %q }
  web: { address: "127.0.0.1:0", http: { redirections: { entryPoint: { to: secure } } } }
  ours: { address: "127.0.0.1:0", http: { redirections: { entryPoint: { to: ":443", permanent: false } } } }`, secure), 1)
	w := weirtest.Weir(t, config)
	c := browser(t)
	for _, tt := range []struct {
		entrypoint, method, target string
		status                     int
		location                   string
	}{
		{"web", "GET", "/a/b?c=d&e", 301, "https://shop.test:" + portOf(secure) + "/a/b?c=d&e"},
		{"web", "POST", "/form", 308, "https://shop.test:" + portOf(secure) + "/form"},
		{"ours", "GET", "/", 302, "https://shop.test/"},
		{"ours", "POST", "/", 307, "https://shop.test/"},
	} {
		resp, _ := do(t, c, request(t, tt.method, addressOf(t, w, tt.entrypoint), "shop.test", tt.target, nil))
		if got := resp.Header.Get("Location"); resp.StatusCode != tt.status || got != tt.location {
			t.Errorf("%s %s %s: %d to %q, want %d to %q", tt.entrypoint, tt.method, tt.target, resp.StatusCode, got, tt.status, tt.location)
		}
	}
	out := weirtest.Run(t, "curl", "-sSL", "--max-time", "20", "--cacert", ca.File, "--connect-to", "shop.test:80:"+addressOf(t, w, "web"),
		"--connect-to", "shop.test:"+portOf(secure)+":"+secure, "http://shop.test/said")
	if !strings.HasPrefix(out, "GET|/said|") || !strings.HasSuffix(out, "|https") {
		t.Errorf("curl that follows: %q", out)
	}
}

// TestOnePort serves TCP routes by name, HTTPS and plain HTTP, and a TCP catch-all, all on one port.
func TestOnePort(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	both := ca.Server("shop.test", "db.test", "ended.test")
	passed := weirtest.ServeTLS(t, ca.Server("db.test"), weirtest.WhoWhenAsked("db"))
	rest := weirtest.ServeTLS(t, ca.Server("rest.test", "*.rest.test"), weirtest.WhoWhenAsked("rest"))
	ended := weirtest.Serve(t, weirtest.WhoWhenAsked("ended"))
	config := fmt.Sprintf(`
entryPoints: { any: { address: "127.0.0.1:0" } }
tcp:
  routers:
    db:    { rule: "HostSNI(%[1]sdb.test%[1]s)", tls: { passthrough: true }, service: db }
    ended: { rule: "HostSNI(%[1]sended.test%[1]s)", tls: {}, service: ended }
    rest:  { rule: "HostSNI(%[1]s*%[1]s)", tls: { passthrough: true }, service: rest }
  services:
    db:    { loadBalancer: { servers: [ { address: %[2]q } ] } }
    ended: { loadBalancer: { servers: [ { address: %[3]q } ] } }
    rest:  { loadBalancer: { servers: [ { address: %[4]q } ] } }
http:
  routers:
    plain:  { rule: "PathPrefix(%[1]s/%[1]s)", service: app }
    secure: { rule: "Host(%[1]sshop.test%[1]s)", tls: {}, service: app }
  services: { app: { loadBalancer: { servers: [ %[5]s ] } } }
tls: { certificates: [ { certFile: %[6]s, keyFile: %[7]s } ] }
`, "`", passed.Addr, ended.Addr, rest.Addr, urls(goApp(t)), both.CertFile, both.KeyFile)
	w := weirtest.Weir(t, config)
	addr := addressOf(t, w, "any")
	for _, name := range []string{"db", "ended", "rest"} {
		conn := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: name + ".test"})
		if got := ask(t, conn, "who"); got != name {
			t.Errorf("%s.test leads to %q", name, got)
		}
		conn.Close()
	}
	if got, err := curl(t, addr, "/said", "--cacert", ca.File); err != nil || !strings.HasSuffix(got, "|https") {
		t.Errorf("HTTPS: %q, %v", got, err)
	}
	if _, body := fetch(t, browser(t), "http://"+addr+"/said"); !strings.HasSuffix(body, "|http") {
		t.Errorf("plain HTTP: %q", body)
	}

	// A plain TCP router takes what is plain before HTTP does.
	plainTCP := weirtest.Serve(t, weirtest.WhoWhenAsked("raw"))
	w.Reload(strings.Replace(config, "\n  services:\n    db:", fmt.Sprintf(`
    raw:   { rule: "HostSNI(%[1]s*%[1]s)", service: raw }
  services:
    raw:   { loadBalancer: { servers: [ { address: %[2]q } ] } }
    db:`, "`", plainTCP.Addr), 1))
	if got := ask(t, dial(t, addr), "GET / HTTP/1.1"); got != "raw" {
		t.Errorf("plain bytes lead to %q", got)
	}
	if got, err := curl(t, addr, "/said", "--cacert", ca.File); err != nil || !strings.HasSuffix(got, "|https") {
		t.Errorf("HTTPS beside a plain TCP router: %q, %v", got, err)
	}
}
