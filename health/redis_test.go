package health

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

func TestRedisAnswers(t *testing.T) {
	tests := []struct {
		name, answer, want string
	}{
		{"pong", "+PONG\r\n", ""},
		{"password wanted", "-NOAUTH Authentication required.\r\n", ""},
		{"no permission", "-NOPERM this user has no permissions to run the 'ping' command\r\n", ""},
		{"loading", "-LOADING Redis is loading the dataset in memory\r\n", "not ready: \"LOADING"},
		{"master down", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", "not ready: \"MASTERDOWN"},
		{"full", "-ERR max number of clients reached\r\n", "max number of clients"},
		{"protected", "-DENIED Redis is running in protected mode\r\n", "DENIED"},
		{"looks like pong", "+PONGO\r\n", "PONGO"},
		{"other protocol", "HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1"},
		{"line without CR", "+PONG\n", "not Redis"},
		{"line without end", "+PONG", "EOF"},
		{"line too long", "-" + strings.Repeat("x", redisLineLimit+1), "not Redis"},
		{"empty line", "\r\n", `""`},
		{"nothing", "", "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "redis", Params{}), weirtest.Serve(t, weirtest.Answer(tt.answer)).Addr), tt.want)
		})
	}
}

func TestRedisServer(t *testing.T) {
	ca := weirtest.CA(t)
	open := weirtest.Redis(t, weirtest.RedisOptions{})
	locked := weirtest.Redis(t, weirtest.RedisOptions{Password: "secret"})
	encrypted := weirtest.Redis(t, weirtest.RedisOptions{TLS: ca.Server("cache.test")})
	orphan := weirtest.Redis(t, weirtest.RedisOptions{Args: []string{
		"--replicaof", "127.0.0.1", portOf(t, weirtest.Refused(t)), "--replica-serve-stale-data", "no"}})
	full := weirtest.Redis(t, weirtest.RedisOptions{Args: []string{"--maxclients", "1"}})
	occupy(t, full.Addr)
	verified := Params{TLS: &TLS{ServerName: "cache.test", RootCAs: ca.Pool()}}
	tests := []struct {
		name, addr string
		p          Params
		want       string
	}{
		{"open", open.Addr, Params{}, ""},
		{"password", locked.Addr, Params{}, ""},
		{"TLS", encrypted.Addr, verified, ""},
		{"plain to TLS", encrypted.Addr, Params{}, "PING"},
		{"replica without master", orphan.Addr, Params{}, "MASTERDOWN"},
		{"full", full.Addr, Params{}, "max number of clients"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "redis", tt.p), tt.addr), tt.want)
		})
	}
}

// occupy holds a connection that the server has accepted as a client until the test ends.
func occupy(t *testing.T, addr string) {
	t.Helper()
	weirtest.Eventually(t, 5*time.Second, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
			return false
		}
		line, err := readRedisLine(conn)
		return err == nil && line == "+PONG"
	}, "the server takes one client")
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func FuzzRedisLine(f *testing.F) {
	for _, seed := range []string{"+PONG\r\n", "-LOADING x\r\n", "-", "\r\n", "+PONG\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := readRedisLine(strings.NewReader(s))
		if err != nil {
			return
		}
		if !strings.HasPrefix(s, line+"\r\n") {
			t.Fatalf("line %q of %q", line, s)
		}
		verdict := judgeRedis(line)
		if verdict == nil && line != "+PONG" && !strings.HasPrefix(line, "-NO") {
			t.Fatalf("%q counts as alive", line)
		}
	})
}
