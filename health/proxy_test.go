package health

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

func TestNginxServer(t *testing.T) {
	ca := weirtest.CA(t)
	cert := ca.Server("shop.test")
	plain, secure, behind := weirtest.FreeAddr(t), weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	weirtest.Nginx(t, weirtest.NginxOptions{
		HTTP: fmt.Sprintf(`
server {
	listen %s;
	listen %s ssl;
	listen %s proxy_protocol;
	server_name shop.test;
	ssl_certificate %s;
	ssl_certificate_key %s;
	location / { return 200 "well"; }
	location /sick { return 503; }
	location /moved { return 302 http://127.0.0.1:1/; }
	location /named { if ($host != shop.test) { return 404; } return 204; }
}`, plain, secure, behind, cert.CertFile, cert.KeyFile),
		Listen: []string{plain, secure, behind},
	})
	verified := &TLS{ServerName: "shop.test", RootCAs: ca.Pool()}
	tests := []struct {
		name, kind, addr string
		p                Params
		want             string
	}{
		{"http", "http", plain, Params{}, ""},
		{"http, sick", "http", plain, Params{HTTP: HTTP{Path: "/sick"}}, "status 503"},
		{"http, moved", "http", plain, Params{HTTP: HTTP{Path: "/moved"}}, ""},
		{"http, by name", "http", plain, Params{HTTP: HTTP{Path: "/named", Host: "shop.test", Method: "HEAD"}}, ""},
		{"https", "http", secure, Params{TLS: verified}, ""},
		{"http to https", "http", secure, Params{}, "status 400"},
		{"https to http", "http", plain, Params{TLS: verified}, "tls handshake"},
		{"tls", "tls", secure, Params{TLS: verified}, ""},
		{"http behind PROXY v1", "http", behind, Params{ProxyProtocol: 1}, ""},
		{"http behind PROXY v2", "http", behind, Params{ProxyProtocol: 2}, ""},
		{"http without the PROXY header", "http", behind, Params{}, "before the status was known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, tt.kind, tt.p), tt.addr), tt.want)
		})
	}
}

func TestHAProxyServer(t *testing.T) {
	ca := weirtest.CA(t)
	behind, secure := weirtest.FreeAddr(t), weirtest.FreeAddr(t)
	weirtest.HAProxy(t, fmt.Sprintf(`
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
listen behind
  bind %s accept-proxy
  bind %s accept-proxy ssl crt %s
  http-request return status 204 if { src 127.0.0.1 }
`, behind, secure, ca.Server("shop.test").BothFile), behind, secure)
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			// 204 comes only if HAProxy takes the connection's own address for the client's, which is what the header asks for.
			check(t, probe(t, newProber(t, "http", Params{ProxyProtocol: version, HTTP: HTTP{Status: 204}}), behind), "")
			// The header goes before the handshake, not inside it.
			check(t, probe(t, newProber(t, "http", Params{ProxyProtocol: version, TLS: &TLS{}, HTTP: HTTP{Status: 204}}), secure), "")
		})
	}
}

// A checker follows a server through its death and its return.
func TestCheckerFollowsServer(t *testing.T) {
	server := weirtest.Redis(t, weirtest.RedisOptions{})
	b := upstream.NewBackend("cache", upstream.Endpoint{Addr: netip.MustParseAddrPort(server.Addr), Weight: 1})
	transitions := make(chan Transition)
	ctx, cancel := context.WithCancel(t.Context())
	c := NewChecker(b, Options{Prober: newProber(t, "redis", Params{}), Interval: 50 * time.Millisecond, FastInterval: 10 * time.Millisecond},
		func(tr Transition) {
			select {
			case transitions <- tr:
			case <-ctx.Done():
			}
		})
	done := make(chan struct{})
	go func() {
		c.Run(ctx)
		close(done)
	}()
	expect := func(up bool) {
		t.Helper()
		select {
		case tr := <-transitions:
			if tr.Up != up || tr.Backend != b || (tr.Cause == nil) != up {
				t.Fatalf("transition %+v, want up %v", tr, up)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no transition to up %v; status %+v", up, c.Status())
		}
	}
	expect(true)
	server.Kill()
	expect(false)
	server.Start()
	expect(true)
	cancel()
	<-done
}
