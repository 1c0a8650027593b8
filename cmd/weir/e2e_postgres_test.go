package main_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// psql runs a statement through weir. addr is weir's, name the server's: libpq sends it as SNI and checks the certificate against it.
func psql(t *testing.T, addr, name, options, statement string) (string, error) {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	dsn := fmt.Sprintf("host=%s hostaddr=%s port=%s user=postgres dbname=postgres connect_timeout=20 %s", name, host, port, options)
	out, err := weirtest.TryRun(t, "psql", "-XAtqc", statement, dsn)
	return strings.TrimSpace(out), err
}

// whoami answers with the name of the server, and with whether its client speaks TLS to it.
const whoami = "SELECT current_setting('cluster_name') || ',' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

func namedPostgres(t *testing.T, name string, c *weirtest.Certificate) *weirtest.PostgresServer {
	t.Helper()
	return weirtest.Postgres(t, weirtest.PostgresOptions{TLS: c, Settings: map[string]string{"cluster_name": name}})
}

// Three servers behind three entrypoints: one with a catch-all for what speaks no TLS or asks for another name, one without, and one that ends TLS.
func TestPostgres(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	orders := namedPostgres(t, "orders", ca.Server("orders.db.test"))
	billing := namedPostgres(t, "billing", ca.Server("billing.db.test"))
	rest := namedPostgres(t, "rest", ca.Server("rest.db.test"))
	own := ca.Server("ended.db.test")
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints:
  db:     { address: "127.0.0.1:0" }
  strict: { address: "127.0.0.1:0" }
  ended:  { address: "127.0.0.1:0" }
tcp:
  routers:
    orders:  { entryPoints: [db, strict], rule: "HostSNI(%[1]sorders.db.test%[1]s)", tls: { passthrough: true }, service: orders }
    billing: { entryPoints: [db, strict], rule: "HostSNI(%[1]sbilling.db.test%[1]s)", tls: { passthrough: true }, service: billing }
    rest:    { entryPoints: [db], rule: "HostSNI(%[1]s*%[1]s)", service: rest }
    ended:   { entryPoints: [ended], rule: "HostSNI(%[1]sended.db.test%[1]s)", tls: {}, service: rest }
  services:
    orders:  { loadBalancer: { servers: [ { address: "%[2]s" } ], healthCheck: { type: postgres } } }
    billing: { loadBalancer: { servers: [ { address: "%[3]s" } ], healthCheck: { type: postgres } } }
    rest:    { loadBalancer: { servers: [ { address: "%[4]s" } ], healthCheck: { type: postgres } } }
tls:
  certificates: [ { certFile: %[5]s, keyFile: %[6]s } ]
`, "`", orders.Addr, billing.Addr, rest.Addr, own.CertFile, own.KeyFile))
	db, strict, ended := addressOf(t, w, "db"), addressOf(t, w, "strict"), addressOf(t, w, "ended")
	verified := "sslmode=verify-full sslrootcert=" + ca.File

	for _, tt := range []struct{ name, addr, host, options, want string }{
		{"by name", db, "orders.db.test", "sslmode=require", "orders,true"},
		{"by the other name", db, "billing.db.test", "sslmode=require", "billing,true"},
		{"by name in capitals", db, "ORDERS.db.TEST", "sslmode=require", "orders,true"},
		{"by name, verified", db, "orders.db.test", verified, "orders,true"},
		{"by the other name, verified", db, "billing.db.test", verified, "billing,true"},
		{"by name, as libpq does without being told", db, "orders.db.test", "", "orders,true"},
		{"by name, GSSAPI preferred", db, "orders.db.test", "sslmode=require gssencmode=prefer", "orders,true"},
		{"by name, where nothing else is", strict, "billing.db.test", verified, "billing,true"},
		{"another name falls to the catch-all", db, "rest.db.test", verified, "rest,true"},
		{"no name falls to the catch-all", db, "orders.db.test", "sslmode=require sslsni=0", "rest,true"},
		{"no TLS falls to the catch-all", db, "orders.db.test", "sslmode=disable", "rest,false"},
		{"no TLS unless it must be", db, "orders.db.test", "sslmode=allow", "rest,false"},
		{"no TLS, GSSAPI preferred", db, "orders.db.test", "sslmode=disable gssencmode=prefer", "rest,false"},
		{"TLS ended, plain to the server", ended, "ended.db.test", "sslmode=require", "rest,false"},
		{"TLS ended, verified", ended, "ended.db.test", verified, "rest,false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := psql(t, tt.addr, tt.host, tt.options, whoami)
			if err != nil || got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ name, addr, host, options, want string }{
		{"nobody's name", strict, "nobody.db.test", "sslmode=require", "unrecognized name"},
		{"no name", strict, "orders.db.test", "sslmode=require sslsni=0", "unrecognized name"},
		{"no TLS", strict, "orders.db.test", "sslmode=disable", "server closed the connection unexpectedly"},
		{"nobody's name where TLS ends", ended, "nobody.db.test", "sslmode=require", "unrecognized name"},
	} {
		t.Run("refused: "+tt.name, func(t *testing.T) {
			got, err := psql(t, tt.addr, tt.host, tt.options, whoami)
			if err == nil || !strings.Contains(got, tt.want) {
				t.Errorf("%q, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
	t.Run("asked for GSSAPI first", func(t *testing.T) { gssThenSSL(t, db, ca) })
}

// gssThenSSL does by hand what libpq does when it has a Kerberos ticket: it asks for GSSAPI encryption, is told no, and goes on with TLS.
func gssThenSSL(t *testing.T, addr string, ca *weirtest.Authority) {
	conn := dial(t, addr)
	for _, request := range []struct{ code, want string }{
		{"\x00\x00\x00\x08\x04\xd2\x16\x30", "N"},
		{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "S"},
	} {
		send(t, conn, request.code)
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || string(answer[:]) != request.want {
			t.Fatalf("answer %q, %v; want %q", answer, err, request.want)
		}
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "billing.db.test"})
	send(t, secure, "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	head := make([]byte, 9)
	if _, err := io.ReadFull(secure, head); err != nil {
		t.Fatal(err)
	}
	if want := []byte("R\x00\x00\x00\x08\x00\x00\x00\x00"); !bytes.Equal(head, want) {
		t.Errorf("the server answers the start-up with %q, want AuthenticationOk", head)
	}
}
