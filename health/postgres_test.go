package health

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/weirtest"
)

// postgresMessage builds a message of a server.
func postgresMessage(kind byte, body string) string {
	n := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return string(n) + body
}

func postgresErrorMessage(code, message string) string {
	return postgresMessage('E', "SFATAL\x00VFATAL\x00C"+code+"\x00M"+message+"\x00\x00")
}

func TestPostgresAnswers(t *testing.T) {
	authOK := postgresMessage('R', "\x00\x00\x00\x00") + postgresMessage('S', "server_version\x0015\x00")
	tests := []struct {
		name   string
		answer string
		want   string
	}{
		{"session", authOK, ""},
		{"password wanted", postgresMessage('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), ""},
		{"after a notice and a negotiation", postgresMessage('N', "Mhello\x00\x00") + postgresMessage('v', "\x00\x00\x00\x00\x00\x00\x00\x00") + authOK, ""},
		{"unknown user", postgresErrorMessage("28000", `role "weir" does not exist`), ""},
		{"unknown database", postgresErrorMessage("3D000", `database "weir" does not exist`), ""},
		{"too many connections", postgresErrorMessage("53300", "sorry, too many clients already"), ""},
		{"starting up", postgresErrorMessage("57P03", "the database system is starting up"), `57P03: "the database system is starting up"`},
		{"shutting down by an administrator", postgresErrorMessage("57P01", "terminating connection"), "57P01"},
		{"crashed", postgresErrorMessage("57P02", "terminating connection"), "57P02"},
		{"error without a code", postgresMessage('E', "Mwhat\x00\x00"), "without a code"},
		{"error before the protocol is agreed", "Ecould not fork new process\n\x00", "not PostgreSQL"},
		{"answer to an SSLRequest", "S", "EOF"},
		{"notices for ever", strings.Repeat(postgresMessage('N', "Mx\x00\x00"), 50), "8 messages"},
		{"another message", postgresMessage('Z', "I"), `type 'Z'`},
		{"authentication without a body", postgresMessage('R', ""), "0 bytes"},
		{"length that counts nothing", "R\x00\x00\x00\x03", "not PostgreSQL"},
		{"length out of bounds", "R\x7f\xff\xff\xff", "not PostgreSQL"},
		{"cut off", "R\x00\x00\x00\x08\x00", "EOF"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "not PostgreSQL"},
		{"nothing", "", "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "postgres", Params{}), weirtest.Serve(t, weirtest.Answer(tt.answer)).Addr), tt.want)
		})
	}
}

// A session is ended with Terminate; a login that would need a password just ends.
func TestPostgresGoodbye(t *testing.T) {
	tests := []struct {
		name, answer, want string
	}{
		{"session", postgresMessage('R', "\x00\x00\x00\x00"), "X\x00\x00\x00\x04"},
		{"password wanted", postgresMessage('R', "\x00\x00\x00\x03"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan string, 1)
			s := weirtest.Serve(t, func(conn net.Conn) {
				_, _ = io.ReadFull(conn, make([]byte, len(postgresStartup("weir", "weir"))))
				_, _ = io.WriteString(conn, tt.answer)
				rest, err := io.ReadAll(conn)
				if err != nil {
					rest = []byte(err.Error())
				}
				got <- string(rest)
			})
			check(t, probe(t, newProber(t, "postgres", Params{}), s.Addr), "")
			if rest := <-got; rest != tt.want {
				t.Errorf("after the answer the client sends %q, want %q", rest, tt.want)
			}
		})
	}
}

func TestPostgresStartup(t *testing.T) {
	got := string(postgresStartup("u", "d"))
	want := "\x00\x00\x00\x31\x00\x03\x00\x00user\x00u\x00database\x00d\x00application_name\x00weir\x00\x00"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("start-up (-want +got):\n%s", diff)
	}
}

func TestPostgresServer(t *testing.T) {
	ca := weirtest.CA(t)
	log := map[string]string{"log_connections": "off", "log_min_messages": "info"}
	tests := []struct {
		name  string
		o     weirtest.PostgresOptions
		login Login
	}{
		{"a session", weirtest.PostgresOptions{Settings: log}, Login{User: "postgres"}},
		{"a password wanted", weirtest.PostgresOptions{Settings: log, Auth: "scram-sha-256"}, Login{User: "postgres"}},
		{"a password wanted of a user that does not exist", weirtest.PostgresOptions{Settings: log, Auth: "scram-sha-256"}, Login{}},
		{"with TLS on", weirtest.PostgresOptions{Settings: log, TLS: ca.Server("orders.test")}, Login{User: "postgres"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := weirtest.Postgres(t, tt.o)
			weirtest.Eventually(t, 5*time.Second, func() bool {
				return strings.Contains(server.Log(), "ready to accept connections") // said before the server answers, and read here a moment after
			}, "the server's start is in its log")
			before := server.Log()
			p := newProber(t, "postgres", Params{Login: tt.login})
			for range 20 {
				check(t, probe(t, p, server.Addr), "")
			}
			weirtest.Eventually(t, 5*time.Second, func() bool {
				return strings.TrimSpace(server.Query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir'")) == "0"
			}, "no session of a probe is left")
			if said, _ := strings.CutPrefix(server.Log(), before); strings.Contains(said, "LOG") || strings.Contains(said, "FATAL") {
				t.Errorf("probes made the server log:\n%s", said)
			}
		})
	}
}

func TestPostgresServerRefusesAndStops(t *testing.T) {
	server := weirtest.Postgres(t, weirtest.PostgresOptions{Auth: "reject", Settings: map[string]string{"max_connections": "4", "superuser_reserved_connections": "0"}})
	p := newProber(t, "postgres", Params{})
	check(t, probe(t, p, server.Addr), "") // rejected, and alive
	server.Stop()
	check(t, probe(t, p, server.Addr), "connection refused")
	server.Start()
	check(t, probe(t, p, server.Addr), "")
}

// A server that recovers answers every start-up with 57P03 until it is done.
func TestPostgresServerInRecovery(t *testing.T) {
	server := weirtest.Postgres(t, weirtest.PostgresOptions{Settings: map[string]string{"hot_standby": "off"}})
	p := newProber(t, "postgres", Params{Login: Login{User: "postgres"}})
	check(t, probe(t, p, server.Addr), "")
	server.Stop()
	server.StartStandby()
	weirtest.Eventually(t, 10*time.Second, func() bool {
		err := probe(t, p, server.Addr)
		return err != nil && strings.Contains(err.Error(), "57P03")
	}, "a standby that takes no sessions answers 57P03")
}

func FuzzPostgresMessage(f *testing.F) {
	f.Add([]byte(postgresMessage('R', "\x00\x00\x00\x00")))
	f.Add([]byte(postgresErrorMessage("57P03", "the database system is starting up")))
	f.Add([]byte("E\x00\x00\x00\x0aC57P03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, err := readPostgresMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(body)+5 > len(b) || kind != b[0] || !bytes.Equal(body, b[5:5+len(body)]) {
			t.Fatalf("message %q of %q", body, b)
		}
		e := parsePostgresError(body)
		if !bytes.Contains(body, []byte(e.code)) || !bytes.Contains(body, []byte(e.message)) {
			t.Fatalf("%+v is not in %q", e, body)
		}
		if err := e.failure(); err == nil && (e.code == "" || e.code == "57P03") {
			t.Fatalf("%+v counts as alive", e)
		}
	})
}
