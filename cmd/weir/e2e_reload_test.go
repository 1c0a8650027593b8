package main_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// door is one entrypoint of its own router and service.
type door struct{ name, address, backend string }

// doors makes a configuration.
func doors(list ...door) string {
	var entrypoints, routers, services strings.Builder
	for _, d := range list {
		fmt.Fprintf(&entrypoints, "  %s: { address: %q }\n", d.name, d.address)
		fmt.Fprintf(&routers, "    %s: { entryPoints: [%s], rule: \"HostSNI(`*`)\", service: %s }\n", d.name, d.name, d.name)
		fmt.Fprintf(&services, "    %s: { loadBalancer: { servers: [ { address: %q } ] } }\n", d.name, d.backend)
	}
	return "entryPoints:\n" + entrypoints.String() + "tcp:\n  routers:\n" + routers.String() + "  services:\n" + services.String()
}

func TestReloadAddsAndRemovesEntrypoints(t *testing.T) {
	t.Parallel()
	one, two := weirtest.Serve(t, weirtest.WhoWhenAsked("one")), weirtest.Serve(t, weirtest.WhoWhenAsked("two"))
	first := door{"first", "127.0.0.1:0", one.Addr}
	second := door{"second", weirtest.FreeAddr(t), two.Addr}
	w := weirtest.Weir(t, doors(first))
	addr := addressOf(t, w, "first")
	old := dial(t, addr)
	ask(t, old, "who")
	if !refused(second.address) {
		t.Fatal("somebody listens where the second entrypoint will be")
	}

	w.Reload(doors(first, second))
	if got := ask(t, dial(t, second.address), "who"); got != "two" {
		t.Errorf("the new entrypoint leads to %q", got)
	}
	if got := addressOf(t, w, "first"); got != addr {
		t.Errorf("the first entrypoint moved from %s to %s", addr, got)
	}
	staying := dial(t, second.address)
	ask(t, staying, "who")

	w.Reload(doors(first))
	if !refused(second.address) {
		t.Error("the removed entrypoint still listens")
	}
	for name, conn := range map[string]net.Conn{"one": old, "two": staying} {
		if got := ask(t, conn, "who"); got != name {
			t.Errorf("the connection to %s answers %q", name, got)
		}
	}
	m := metrics(t, w)
	if got := m[`weir_entrypoint_connections_total{entrypoint="first"}`]; got != 1 {
		t.Errorf("the first entrypoint counts %v connections, want the 1 from before the reloads", got)
	}
}

// A port that is taken fails the whole reload: nothing of it is in force, be it before or after the port in the file.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	one, two := weirtest.Serve(t, weirtest.WhoWhenAsked("one")), weirtest.Serve(t, weirtest.WhoWhenAsked("two"))
	first := door{"first", "127.0.0.1:0", one.Addr}
	early, late := door{"early", weirtest.FreeAddr(t), two.Addr}, door{"late", weirtest.FreeAddr(t), two.Addr}
	w := weirtest.Weir(t, doors(first))
	addr := addressOf(t, w, "first")
	status := func() (s struct {
		Generation, Entrypoints, Routers, Services int
		ConfigHash                                 string
	}) {
		w.JSON("/api/v1/status", &s)
		return s
	}
	before := status()

	taken := weirtest.Serve(t, weirtest.WhoWhenAsked("somebody else"))
	moved := door{"first", first.address, two.Addr}
	next := doors(early, moved, door{"gone", taken.Addr, two.Addr}, late)
	w.Write(next)
	w.Signal(syscall.SIGHUP)
	awaitMetric(t, w, "weir_config_last_reload_success", 0)
	if after := status(); after != before {
		t.Errorf("in force is %+v, want as before %+v", after, before)
	}
	if got := ask(t, dial(t, addr), "who"); got != "one" {
		t.Errorf("the old entrypoint leads to %q", got)
	}
	if !refused(early.address) || !refused(late.address) {
		t.Error("an entrypoint of the configuration that failed is open")
	}
	if got := ask(t, dial(t, taken.Addr), "who"); got != "somebody else" {
		t.Errorf("the taken port leads to %q", got)
	}
	if log := w.Log(); !strings.Contains(log, taken.Addr) || !strings.Contains(log, "address already in use") {
		t.Errorf("the log does not tell why: %s", log)
	}

	taken.Stop()
	w.Signal(syscall.SIGHUP)
	weirtest.Eventually(t, soon, func() bool { return w.Generation() > before.Generation }, "the configuration is in force once the port is free")
	for _, addr := range []string{addr, early.address, taken.Addr, late.address} {
		if got := ask(t, dial(t, addr), "who"); got != "two" {
			t.Errorf("%s leads to %q", addr, got)
		}
	}
}

func TestCertificateIsReplacedOnDisk(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	echo := weirtest.Serve(t, weirtest.Echo)
	served := ca.Server("shop.test")
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints: { secure: { address: "127.0.0.1:0" } }
tcp:
  routers:  { shop: { rule: "HostSNI(%[1]sshop.test%[1]s)", tls: {}, service: shop } }
  services: { shop: { loadBalancer: { servers: [ { address: %[2]q } ], healthCheck: { interval: 1h } } } }
tls: { certificates: [ { certFile: %[3]s, keyFile: %[4]s } ] }
`, "`", echo.Addr, served.CertFile, served.KeyFile))
	awaitHealth(t, w, echo.Addr, "up")
	addr := addressOf(t, w, "secure")
	serial := func() (string, *tls.Conn) {
		conn := tls.Client(dial(t, addr), &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test"})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), conn
	}
	before, old := serial()
	ask(t, old, "before")

	install(t, ca.Server("shop.test"), served)
	weirtest.Eventually(t, soon, func() bool {
		now, conn := serial()
		return now != before && ask(t, conn, "new") == "new"
	}, "the new certificate is served")
	if got := ask(t, old, "after"); got != "after" {
		t.Errorf("the old connection answers %q", got)
	}
	b := backendAt(t, w, echo.Addr)
	if b.Health != "up" || b.Checks != 1 || b.Connections < 2 {
		t.Errorf("the backend began anew: %+v", b)
	}
	if got := addressOf(t, w, "secure"); got != addr {
		t.Errorf("the entrypoint moved from %s to %s", addr, got)
	}
}
