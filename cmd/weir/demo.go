package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/server"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Run a balancer with backends of its own on loopback, and say what to try",
		Long: `Run a balancer with backends of its own on free loopback ports, and say what to try.
Nothing needs to be installed, and nothing is left behind. Ctrl-C ends it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// demo is what the configuration and the text shown are filled in with.
type demo struct {
	Dir    string // where configuration and certificates are
	Config string // the configuration file
	CA     string // certificate of the demo's own authority

	Admin, Echo, Greeter, Secure, Web    string // TCP addresses of the balancer
	Datagrams                            string // its UDP address
	EchoA, EchoB, Hello, Shop, Blog, App string // addresses of the TCP backends
	PageA, PageB, API                    string // addresses of the HTTP backends
	DatagramA, DatagramB                 string // addresses of the UDP backends
	DatagramHost, DatagramPort           string
	EchoHost, EchoPort, GreetPort        string
	SecurePort                           string
	AppCert, AppKey, SiteCert, SiteKey   string // files
}

// demoConfig is a configuration such as a user would write.
const demoConfig = `# What "weir demo" runs. Edit it while the demo runs: it is reloaded as soon as it is saved.
admin: { address: "{{.Admin}}" }

entryPoints:
  echo:    { address: "{{.Echo}}" }
  greeter: { address: "{{.Greeter}}" }
  web:     { address: "{{.Web}}" }
  secure:  { address: "{{.Secure}}" }
  shout:   { address: "{{.Datagrams}}/udp", udp: { timeout: 10s }, transport: { lifeCycle: { graceTimeOut: 1s } } }

tcp:
  routers:
    echo:    { entryPoints: [echo], rule: "HostSNI(` + "`*`" + `)", service: echo }
    greeter: { entryPoints: [greeter], rule: "HostSNI(` + "`*`" + `)", service: greeter }
    # Who is meant stands in the first bytes of TLS; the rest goes on to the backend unread.
    shop:    { entryPoints: [secure], rule: "HostSNI(` + "`shop.weir.test`" + `)", tls: { passthrough: true }, service: shop }
    blog:    { entryPoints: [secure], rule: "HostSNI(` + "`blog.weir.test`" + `)", tls: { passthrough: true }, service: blog }
    # TLS ends in weir; the backend speaks plainly.
    app:     { entryPoints: [secure], rule: "HostSNI(` + "`app.weir.test`" + `)", tls: {}, service: app }

  services:
    echo:
      loadBalancer:
        servers: [ { address: "{{.EchoA}}", weight: 2 }, { address: "{{.EchoB}}" } ]
        healthCheck: { interval: 1s }
    greeter: { loadBalancer: { servers: [ { address: "{{.Hello}}" } ], healthCheck: { expect: "hello" } } }
    shop:    { loadBalancer: { servers: [ { address: "{{.Shop}}" } ], healthCheck: { type: tls } } }
    blog:    { loadBalancer: { servers: [ { address: "{{.Blog}}" } ], healthCheck: { type: tls } } }
    app:     { loadBalancer: { servers: [ { address: "{{.App}}" } ], healthCheck: { type: http, path: /health } } }

udp:
  routers:
    shout: { entryPoints: [shout], service: shout }

  services:
    shout:
      loadBalancer:
        servers: [ { address: "{{.DatagramA}}" }, { address: "{{.DatagramB}}" } ]
        # A server is well that has an answer. One that is gone is noticed by ICMP, too, when a client sends.
        healthCheck: { type: udp, send: "ping", expect: "ping", interval: 1s }

http:
  routers:
    pages:        { entryPoints: [web], rule: "Host(` + "`site.weir.test`" + `)", service: pages }
    api:          { entryPoints: [web], rule: "Host(` + "`site.weir.test`" + `) && PathPrefix(` + "`/api`" + `)", service: api }
    # HTTPS shares its port with the names of TCP routers, which come first.
    secure-pages: { entryPoints: [secure], rule: "Host(` + "`site.weir.test`" + `)", tls: {}, service: pages }
    secure-api:   { entryPoints: [secure], rule: "Host(` + "`site.weir.test`" + `) && PathPrefix(` + "`/api`" + `)", tls: {}, service: api }

  services:
    pages:
      loadBalancer:
        servers: [ { url: "http://{{.PageA}}" }, { url: "http://{{.PageB}}" } ]
        healthCheck: { path: /health, interval: 1s }
    api: { loadBalancer: { servers: [ { url: "http://{{.API}}" } ], healthCheck: { path: /health } } }

tls:
  certificates:
    - { certFile: "{{.AppCert}}", keyFile: "{{.AppKey}}" }
    - { certFile: "{{.SiteCert}}", keyFile: "{{.SiteKey}}" }
`

// demoText is what the user is told.
const demoText = `
weir balances on loopback. In another terminal, try:

  Two backends take turns, the first with twice the weight:
    for i in 1 2 3; do echo hi | nc -N {{.EchoHost}} {{.EchoPort}}; done
      alpha and beta say "hi" back, alpha two times of three

  A server that speaks first:
    nc -N {{.EchoHost}} {{.GreetPort}} </dev/null
      hello, you came through weir

  TLS routed by name and passed through, each to a server with a certificate of its own:
    curl --cacert {{.CA}} --resolve shop.weir.test:{{.SecurePort}}:127.0.0.1 https://shop.weir.test:{{.SecurePort}}/
    curl --cacert {{.CA}} --resolve blog.weir.test:{{.SecurePort}}:127.0.0.1 https://blog.weir.test:{{.SecurePort}}/
      shop answers, then blog
    openssl s_client -connect {{.Secure}} -servername shop.weir.test </dev/null 2>/dev/null | openssl x509 -noout -subject
      the certificate is the shop's, not weir's

  TLS ended by weir, with plain HTTP behind it:
    curl --cacert {{.CA}} --resolve app.weir.test:{{.SecurePort}}:127.0.0.1 https://app.weir.test:{{.SecurePort}}/
      app answers, over a connection without TLS

  UDP: each client is a flow, and flows are dealt out in turn; the second client gets the other backend:
    for i in 1 2; do echo hi | nc -u -w 1 {{.DatagramHost}} {{.DatagramPort}}; done
      epsilon and zeta say "hi" back

  HTTP, request by request: two backends take turns, over one connection:
    curl -H 'Host: site.weir.test' http://{{.Web}}/ http://{{.Web}}/
      gamma and delta answer, one after the other

  The path decides too:
    curl -H 'Host: site.weir.test' http://{{.Web}}/api/items
      api answers: it was asked for /api/items

  HTTPS, on the port of the TLS names above:
    curl --cacert {{.CA}} --resolve site.weir.test:{{.SecurePort}}:127.0.0.1 https://site.weir.test:{{.SecurePort}}/
      gamma or delta answers, and knows from X-Forwarded-Proto that it was https

  Why a request goes where it goes, asked of the file without sending it:
    weir routes test -c {{.Config}} http://site.weir.test/api/items
      router api, service api, and what every other router's rule found

  A host nobody serves gets weir's own answer:
    curl -i -H 'Host: else.weir.test' http://{{.Web}}/
      404 Not Found

  A name nobody serves is refused in the TLS handshake:
    curl --cacert {{.CA}} --resolve else.weir.test:{{.SecurePort}}:127.0.0.1 https://else.weir.test:{{.SecurePort}}/
      curl: TLS alert, unrecognized name

  See it:
    weir status --admin {{.Admin}}
    weir backends --admin {{.Admin}}
    curl http://{{.Admin}}/metrics
      connections and requests by entrypoint, service and backend

  Change it: edit {{.Config}} and save; it is reloaded and no connection is lost.

Ctrl-C ends the demo.

`

// runDemo serves until ctx ends.
func runDemo(ctx context.Context, out, logTo io.Writer) error {
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{Dir: dir, Config: filepath.Join(dir, "weir.yaml")}
	backends := newDemoBackends()
	defer backends.close()
	if err := d.prepare(backends); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	load := config.Loader{Paths: []string{d.Config}}.Load
	cfg, err := load()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s := server.New(server.Options{Config: cfg, Load: load, Watch: true, Log: server.NewLog(logTo), Build: build()})
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-s.Ready():
	}
	if err := render(out, demoText, d); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return <-done
}

// prepare makes certificates, backends and configuration.
func (d *demo) prepare(b *demoBackends) error {
	authority, err := newDemoAuthority(d.Dir)
	if err != nil {
		return err
	}
	d.CA = authority.file
	var failed error
	address := func(addr string, err error) string {
		failed = errors.Join(failed, err)
		return addr
	}
	d.EchoA, d.EchoB = address(b.echo("alpha")), address(b.echo("beta"))
	d.Hello = address(b.greet("hello, you came through weir\n"))
	d.Shop = address(b.https("shop", authority))
	d.Blog = address(b.https("blog", authority))
	d.App, d.API = address(b.http("app")), address(b.http("api"))
	d.PageA, d.PageB = address(b.http("gamma")), address(b.http("delta"))
	d.DatagramA, d.DatagramB = address(b.datagrams("epsilon")), address(b.datagrams("zeta"))
	d.AppCert, d.AppKey, err = authority.write("app.weir.test")
	failed = errors.Join(failed, err)
	d.SiteCert, d.SiteKey, err = authority.write("site.weir.test")
	if failed = errors.Join(failed, err); failed != nil {
		return failed
	}
	if err := d.choosePorts(); err != nil {
		return err
	}
	file, err := os.Create(d.Config)
	if err != nil {
		return err
	}
	return errors.Join(render(file, demoConfig, d), file.Close())
}

// choosePorts finds addresses for the balancer to listen on.
func (d *demo) choosePorts() error {
	free, err := freeAddresses(5)
	if err != nil {
		return err
	}
	d.Admin, d.Echo, d.Greeter, d.Secure, d.Web = free[0], free[1], free[2], free[3], free[4]
	d.EchoHost, d.EchoPort, _ = strings.Cut(d.Echo, ":")
	_, d.GreetPort, _ = strings.Cut(d.Greeter, ":")
	_, d.SecurePort, _ = strings.Cut(d.Secure, ":")
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.Datagrams = conn.LocalAddr().String()
	d.DatagramHost, d.DatagramPort, _ = strings.Cut(d.Datagrams, ":")
	return conn.Close()
}

func render(w io.Writer, text string, d *demo) error {
	t, err := template.New("").Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(w, d)
}

// freeAddresses returns loopback addresses that nobody listens on. All are taken at one time, so that they differ.
func freeAddresses(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}
