package weirtest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// PostgresOptions says what kind of PostgreSQL to start; the zero value is plain, trusting and on 127.0.0.1.
type PostgresOptions struct {
	TLS      *Certificate      // serve TLS (plain stays possible)
	Auth     string            // pg_hba method of TCP connections, default "trust"
	Settings map[string]string // further settings, as in postgresql.conf
	Port     int               // default: a free one
}

// A PostgresServer is a running PostgreSQL with the superuser and the database "postgres".
type PostgresServer struct {
	*Process
	Addr string // 127.0.0.1:port

	data string
}

// Postgres starts a PostgreSQL server. It is as fast as it is forgetful: nothing is ever synced to disk.
func Postgres(t testing.TB, o PostgresOptions) *PostgresServer {
	t.Helper()
	who := unprivileged(t, "postgres", "nobody")
	dir := serverDir(t, "postgres", who)
	data := filepath.Join(dir, "data")
	initdb := Tool(t, "initdb")
	runAs(t, who, dir, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

	auth := o.Auth
	if auth == "" {
		auth = "trust"
	}
	hba := filepath.Join(data, "pg_hba.conf")
	writeFile(t, hba, 0o600, []byte("local all all trust\nhost all all 0.0.0.0/0 "+auth+"\nhost all all ::/0 "+auth+"\n"))

	port := o.Port
	if port == 0 {
		port = FreePort(t)
	}
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(port), "unix_socket_directories": dir,
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB",
	}
	if o.TLS != nil {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = giveCopy(t, o.TLS.CertFile, data, "server.crt", who)
		settings["ssl_key_file"] = giveCopy(t, o.TLS.KeyFile, data, "server.key", who)
	}
	args := []string{"-D", data}
	for _, more := range []map[string]string{settings, o.Settings} {
		for key, value := range more {
			args = append(args, "-c", key+"="+value)
		}
	}
	p := &PostgresServer{Addr: loopback(port), data: data}
	p.Process = startProcess(t, spec{
		name: "postgres " + p.Addr,
		// Next to initdb: another version's server would refuse the data.
		path: filepath.Join(filepath.Dir(initdb), "postgres"), args: args, dir: dir, credential: who,
		stopSignal: 2, // SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for the clients
		ready:      postgresReady(t, dir, port),
	})
	return p
}

// postgresReady asks over the Unix socket, so that the method of TCP connections does not matter.
func postgresReady(t testing.TB, dir string, port int) func(context.Context) error {
	psql := Tool(t, "psql")
	return func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, psql, "-X", "-h", dir, "-p", strconv.Itoa(port), "-U", "postgres", "-c", "SELECT 1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// StartStandby starts the stopped server as a standby that takes no sessions: it answers every start-up with 57P03, for ever, as one that
// recovers does for a while. It needs the setting hot_standby=off and returns before the server listens.
func (p *PostgresServer) StartStandby() {
	p.t.Helper()
	signal := filepath.Join(p.data, "standby.signal")
	writeFile(p.t, signal, 0o600, nil)
	give(p.t, signal, p.spec.credential)
	p.launch()
}

// DSN returns a libpq connection string for the server as seen through addr, with further settings such as "sslmode=require" appended.
func (p *PostgresServer) DSN(addr, more string) string {
	p.t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		p.t.Fatalf("address of a PostgreSQL: %v", err)
	}
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres connect_timeout=5 %s", host, port, more)
}

// Query runs one statement on the server itself, over its Unix socket, and returns its rows, columns parted by |.
func (p *PostgresServer) Query(statement string) string {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.Addr)
	return Run(p.t, "psql", "-XAtq", "-h", p.spec.dir, "-p", port, "-U", "postgres", "-c", statement)
}
