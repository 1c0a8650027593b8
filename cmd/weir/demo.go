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

// maxDemoNodes is how many balancers a demonstration has at most.
const maxDemoNodes = 9

func newDemo() *cobra.Command {
	nodes := 1
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run balancers with backends of their own on loopback, and say what to try",
		Long: `Run a balancer, or with --nodes a cluster of them, with backends of its own on free loopback ports, and say what to try.
Nothing needs to be installed, and nothing is left behind. Ctrl-C ends it.`,
		Args: noArgs,
	}
	cmd.Flags().IntVar(&nodes, "nodes", 1, fmt.Sprintf("how many balancers, from 1 to %d; they form a cluster", maxDemoNodes))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if nodes < 1 || nodes > maxDemoNodes {
			return usage(cmd, fmt.Errorf("%d nodes: from 1 to %d", nodes, maxDemoNodes))
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return runDemo(ctx, nodes, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// demo is what the configurations and the text shown are filled in with.
type demo struct {
	Dir string // where configurations and certificates are
	CA  string // certificate of the demo's own authority

	EchoA, EchoB, Hello, Shop, Blog, App string // addresses of the TCP backends
	PageA, PageB, API                    string // addresses of the HTTP backends
	DatagramA, DatagramB                 string // addresses of the UDP backends
	AppCert, AppKey, SiteCert, SiteKey   string // files

	Nodes       []*demoNode
	EchoProcess int // of EchoA, where backends are processes of their own; 0 = they are not
}

// demoNode is one of the demo's balancers.
type demoNode struct {
	*demo
	Name   string
	Config string // the configuration file
	Gossip string // where the nodes of a cluster reach it

	Admin, Echo, Greeter, Secure, Web string // TCP addresses
	Datagrams                         string // UDP address
	DatagramHost, DatagramPort        string
	EchoHost, EchoPort, GreetPort     string
	SecurePort                        string
}

// demoConfig is a configuration such as a user would write.
const demoConfig = `# What "weir demo" runs. Edit it while the demo runs: it is reloaded as soon as it is saved.
admin: { address: "{{.Admin}}" }
{{- if gt (len .Nodes) 1}}
engine: { loops: 1 }
cluster:
  name: demo
  node: {{.Name}}
  bind: "{{.Gossip}}"
  join: [ {{range $i, $n := .Nodes}}{{if $i}}, {{end}}"{{$n.Gossip}}"{{end}} ]
  stateFile: {{.Dir}}/{{.Name}}.json
{{- end}}

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
    few:
      entryPoints: [web]
      rule: "Host(` + "`site.weir.test`" + `) && PathPrefix(` + "`/few`" + `)"
      middlewares: [few, strip]
      service: pages
    # HTTPS shares its port with the names of TCP routers, which come first.
    secure-pages: { entryPoints: [secure], rule: "Host(` + "`site.weir.test`" + `)", tls: {}, service: pages }
    secure-api:   { entryPoints: [secure], rule: "Host(` + "`site.weir.test`" + `) && PathPrefix(` + "`/api`" + `)", tls: {}, service: api }

  middlewares:
    few:   { rateLimit: { average: 1, period: 10s, burst: 2 } }
    strip: { stripPrefix: { prefixes: [/few] } }

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

  Middlewares do something to requests on their way; here a client has two, and one more every 10 seconds:
    curl -i -H 'Host: site.weir.test' http://{{.Web}}/few http://{{.Web}}/few http://{{.Web}}/few
      two answers, and then 429 Too Many Requests

  HTTPS, on the port of the TLS names above:
    curl --cacert {{.CA}} --resolve site.weir.test:{{.SecurePort}}:127.0.0.1 https://site.weir.test:{{.SecurePort}}/
      gamma or delta answers, and knows from X-Forwarded-Proto that it was https

  HTTP/2, without anything to configure; each request is balanced on its own:
    curl -i --cacert {{.CA}} --resolve site.weir.test:{{.SecurePort}}:127.0.0.1 https://site.weir.test:{{.SecurePort}}/api/items
      HTTP/2 200

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
{{if gt (len .Nodes) 1}}
This was {{.Name}}. There are {{len .Nodes}} balancers, which share what they know:

  Who is there, and whether all run the same configuration:
    weir members --admin {{.Admin}}

  Kill the backend alpha, and all balancers drop it before a client notices:
    kill -9 {{.EchoProcess}}
{{- range .Nodes}}
    weir backends --service echo --admin {{.Admin}}
{{- end}}
      {{.EchoA}} is down at every one of them, and says why; the lines below tell when

  Bring it back (this one ends with Ctrl-C):
    weir demo-backend alpha {{.EchoA}}

  Take a backend out at one balancer, and it is out at all, until you say otherwise:
{{- with index .Nodes 1}}
    weir drain echo {{.EchoB}} --admin {{.Admin}}
      drained, acked {{len .Nodes}}/{{len .Nodes}}
{{- end}}
    weir orders --admin {{.Admin}}
    weir undrain echo {{.EchoB}} --admin {{.Admin}}
{{end}}
Ctrl-C ends the demo.

`

// runDemo serves until ctx ends.
func runDemo(ctx context.Context, nodes int, out, logTo io.Writer) error {
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{Dir: dir}
	backends := newDemoBackends()
	defer backends.close()
	if err := d.prepare(backends, nodes); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, nodes)
	var servers []*server.Server
	for _, n := range d.Nodes {
		s, err := n.server(logTo)
		if err != nil {
			stop()
			return errors.Join(fmt.Errorf("demo: %w", err), join(done, len(servers)))
		}
		servers = append(servers, s)
		go func() { done <- s.Run(ctx) }()
	}
	for _, s := range servers {
		select {
		case err := <-done: // before it was asked to: something is wrong
			stop()
			return errors.Join(err, join(done, nodes-1))
		case <-s.Ready():
		}
	}
	if err := render(out, demoText, d.Nodes[0]); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return join(done, nodes)
}

// join waits for n servers to end.
func join(done <-chan error, n int) error {
	var failed error
	for range n {
		failed = errors.Join(failed, <-done)
	}
	return failed
}

// server makes a node's balancer.
func (n *demoNode) server(logTo io.Writer) (*server.Server, error) {
	load := config.Loader{Paths: []string{n.Config}}.Load
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	log := server.NewLog(logTo)
	if len(n.Nodes) > 1 {
		log.Logger = log.With("at", n.Name)
	}
	return server.New(server.Options{Config: cfg, Load: load, Watch: true, Log: log, Build: build()}), nil
}

// prepare makes certificates, backends and configurations.
func (d *demo) prepare(b *demoBackends, nodes int) error {
	authority, err := newDemoAuthority(d.Dir)
	if err != nil {
		return err
	}
	d.CA = authority.file
	if err := d.serve(b, authority, nodes > 1); err != nil {
		return err
	}
	for i := range nodes {
		n := &demoNode{demo: d, Name: fmt.Sprintf("lb-%d", i+1)}
		n.Config = filepath.Join(d.Dir, "weir.yaml")
		if nodes > 1 {
			n.Config = filepath.Join(d.Dir, n.Name+".yaml")
		}
		d.Nodes = append(d.Nodes, n)
	}
	if err := d.choosePorts(); err != nil {
		return err
	}
	for _, n := range d.Nodes {
		file, err := os.Create(n.Config)
		if err != nil {
			return err
		}
		if err := errors.Join(render(file, demoConfig, n), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the backends. apart: the one that is to be killed is a process of its own.
func (d *demo) serve(b *demoBackends, authority *demoAuthority, apart bool) error {
	var failed error
	address := func(addr string, err error) string {
		failed = errors.Join(failed, err)
		return addr
	}
	if apart {
		var err error
		if d.EchoA, d.EchoProcess, err = b.process("alpha"); err != nil {
			return err
		}
	} else {
		d.EchoA = address(b.echo("alpha"))
	}
	d.EchoB = address(b.echo("beta"))
	d.Hello = address(b.greet("hello, you came through weir\n"))
	d.Shop = address(b.https("shop", authority))
	d.Blog = address(b.https("blog", authority))
	d.App, d.API = address(b.http("app")), address(b.http("api"))
	d.PageA, d.PageB = address(b.http("gamma")), address(b.http("delta"))
	d.DatagramA, d.DatagramB = address(b.datagrams("epsilon")), address(b.datagrams("zeta"))
	var err error
	d.AppCert, d.AppKey, err = authority.write("app.weir.test")
	failed = errors.Join(failed, err)
	d.SiteCert, d.SiteKey, err = authority.write("site.weir.test")
	return errors.Join(failed, err)
}

// choosePorts finds addresses for the balancers to listen on.
func (d *demo) choosePorts() error {
	const each = 6
	free, err := freeAddresses(each * len(d.Nodes))
	if err != nil {
		return err
	}
	for i, n := range d.Nodes {
		own := free[i*each:]
		n.Admin, n.Echo, n.Greeter, n.Secure, n.Web, n.Gossip = own[0], own[1], own[2], own[3], own[4], own[5]
		n.EchoHost, n.EchoPort, _ = strings.Cut(n.Echo, ":")
		_, n.GreetPort, _ = strings.Cut(n.Greeter, ":")
		_, n.SecurePort, _ = strings.Cut(n.Secure, ":")
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer conn.Close()
		n.Datagrams = conn.LocalAddr().String()
		n.DatagramHost, n.DatagramPort, _ = strings.Cut(n.Datagrams, ":")
	}
	return nil
}

func render(w io.Writer, text string, n *demoNode) error {
	t, err := template.New("").Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(w, n)
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
