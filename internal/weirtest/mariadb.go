package weirtest

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// MariaDBOptions says what kind of MariaDB to start; the zero value is plain and on 127.0.0.1.
type MariaDBOptions struct {
	TLS      *Certificate
	Settings map[string]string // further settings, as in my.cnf
	Flags    []string          // further command line flags
	Bind     string            // default 127.0.0.1
}

// A MariaDBServer is a running MariaDB with the superuser "root" and the user "weir", both without password, from every address.
type MariaDBServer struct {
	*Process
	Addr string // bind address and port

	socket string
}

// MariaDB starts a MariaDB server.
func MariaDB(t testing.TB, o MariaDBOptions) *MariaDBServer {
	t.Helper()
	who := unprivileged(t, "mysql", "nobody")
	dir := serverDir(t, "mariadb", who)
	data := filepath.Join(dir, "data")
	runAs(t, who, dir, Tool(t, "mariadb-install-db"), "--no-defaults", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")

	bind := o.Bind
	if bind == "" {
		bind = "127.0.0.1"
	}
	port := FreePort(t)
	m := &MariaDBServer{Addr: fmt.Sprintf("%s:%d", bind, port), socket: filepath.Join(dir, "sock")}
	users := filepath.Join(dir, "users.sql")
	writeFile(t, users, 0o644, []byte("CREATE USER IF NOT EXISTS weir@'%';\nGRANT ALL ON *.* TO weir@'%';\nCREATE USER IF NOT EXISTS root@'%';\nGRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"))
	args := []string{"--no-defaults", "--datadir=" + data, "--bind-address=" + bind, "--port=" + strconv.Itoa(port),
		"--socket=" + m.socket, "--pid-file=" + filepath.Join(dir, "pid"), "--init-file=" + users,
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-log-bin"}
	if o.TLS != nil {
		args = append(args,
			"--ssl-cert="+giveCopy(t, o.TLS.CertFile, dir, "server.crt", who),
			"--ssl-key="+giveCopy(t, o.TLS.KeyFile, dir, "server.key", who))
	}
	for key, value := range o.Settings {
		args = append(args, "--"+key+"="+value)
	}
	m.Process = startProcess(t, spec{
		name: "mariadb " + m.Addr, path: Tool(t, "mariadbd"), args: append(args, o.Flags...), dir: dir, credential: who,
		ready: m.ready(t),
	})
	return m
}

// ready asks over the Unix socket, which leaves the server's notes about TCP peers alone. The users come from the init file, the last step of the start.
func (m *MariaDBServer) ready(t testing.TB) func(context.Context) error {
	client := Tool(t, "mariadb")
	return func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, client, "--no-defaults", "-S", m.socket, "-u", "weir", "-e", "SELECT 1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// Query runs one statement on the server itself, over its Unix socket, and returns its rows, columns parted by tabs.
func (m *MariaDBServer) Query(statement string) string {
	m.t.Helper()
	return Run(m.t, "mariadb", "--no-defaults", "-S", m.socket, "-u", "root", "-N", "-B", "-e", statement)
}
