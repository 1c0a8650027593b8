package health

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/weirtest"
)

// greetingOf builds the payload of a version 10 greeting.
func greetingOf(version string, capabilities uint32, plugin string) string {
	b := append([]byte{mysqlGreetingV10}, version...)
	b = append(b, 0, 1, 0, 0, 0)
	b = append(b, "12345678\x00"...)
	b = binary.LittleEndian.AppendUint16(b, uint16(capabilities))
	b = append(b, 8, 2, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(capabilities>>16))
	b = append(b, 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, "123456789012\x00"...)
	return string(b) + plugin + "\x00"
}

const usualCapabilities = mysqlProtocol41 | mysqlSecureConnection | mysqlPluginAuth

func usualGreeting() string { return greetingOf("8.4.0", usualCapabilities, "caching_sha2_password") }

func mysqlErr(code uint16, state, message string) string {
	b := binary.LittleEndian.AppendUint16([]byte{mysqlError}, code)
	return string(b) + state + message
}

// mysqlServer greets and then answers the client's packets one by one with the payloads, numbered as they should be.
// It hands on what the client sent.
func mysqlServer(greeting string, answers []string, got chan<- []string) weirtest.Behaviour {
	return func(conn net.Conn) {
		var packets []string
		defer func() { got <- packets }()
		if _, err := conn.Write(mysqlPacket(0, []byte(greeting))); err != nil {
			return
		}
		r := bufio.NewReader(conn)
		for {
			sequence, payload, err := readMySQLPacket(r)
			if err != nil {
				return
			}
			packets = append(packets, string(append([]byte{sequence}, payload...)))
			if len(answers) == 0 {
				return
			}
			if _, err := conn.Write(mysqlPacket(sequence+1, []byte(answers[0]))); err != nil {
				return
			}
			answers = answers[1:]
		}
	}
}

func TestMySQLAnswers(t *testing.T) {
	const ok = "\x00\x00\x00\x02\x00\x00\x00"
	denied := mysqlErr(1045, "#28000", "Access denied for user 'weir'@'10.0.0.1' (using password: NO)")
	tests := []struct {
		name     string
		greeting string
		answers  []string
		want     string
		packets  int    // how many the client sends
		last     string // and the last of them, number first
	}{
		{"session, ended with COM_QUIT", usualGreeting(), []string{ok}, "", 2, "\x00\x01"},
		{"login refused", usualGreeting(), []string{denied}, "", 1, ""},
		{"another method asked", usualGreeting(), []string{"\xfemysql_native_password\x0012345678901234567890\x00", denied}, "", 2, "\x03"},
		{"full authentication asked", usualGreeting(), []string{"\xfecaching_sha2_password\x00x\x00", "\x01\x04", denied}, "", 3, "\x05"},
		{"ed25519 asked", usualGreeting(), []string{"\xfeclient_ed25519\x00" + strings.Repeat("n", 32), denied}, "", 2, "\x03" + strings.Repeat("\x00", 64)},
		{"server without methods", greetingOf("5.1.0", mysqlProtocol41|mysqlSecureConnection, ""), []string{denied}, "", 1, ""},
		{"account locked", usualGreeting(), []string{mysqlErr(4151, "#HY000", "Access denied, this account is locked")}, "", 1, ""},
		{"encryption demanded", usualGreeting(), []string{mysqlErr(3159, "#08004", "insecure transport")}, "", 1, ""},
		{"host blocked", mysqlErr(1129, "", "Host '10.0.0.1' is blocked because of many connection errors"), nil, "MySQL error 1129: \"Host '10.0.0.1' is blocked", 0, ""},
		{"host not allowed", mysqlErr(1130, "", "Host '10.0.0.1' is not allowed to connect"), nil, "1130", 0, ""},
		{"too many connections", mysqlErr(1040, "#08004", "Too many connections"), nil, `1040: "Too many connections"`, 0, ""},
		{"too many connections after the login", usualGreeting(), []string{mysqlErr(1040, "#08004", "Too many connections")}, "1040", 1, ""},
		{"shutdown", usualGreeting(), []string{mysqlErr(1053, "#08S01", "Server shutdown in progress")}, "1053", 1, ""},
		{"methods for ever", usualGreeting(), []string{"\xfe", "\xfe", "\xfe", "\xfe", "\xfe", "\xfe"}, "no decision", 5, "\x09"},
		{"nonsense for an answer", usualGreeting(), []string{"\x55"}, "0x55", 1, ""},
		{"empty answer", usualGreeting(), []string{""}, "empty answer", 1, ""},
		{"error cut off", usualGreeting(), []string{"\xff\x15"}, "not MySQL", 1, ""},
		{"end instead of an answer", usualGreeting(), nil, "read the answer", 1, ""},
		{"version 9", "\x093.20\x00", nil, "not MySQL", 0, ""},
		{"before 4.1", greetingOf("4.0.0", 0, ""), nil, "4.1", 0, ""},
		{"greeting cut off", "\x0a8.4.0\x00\x01\x00", nil, "cut off", 0, ""},
		{"greeting without end of the version", "\x0a8.4.0", nil, "cut off", 0, ""},
		{"empty greeting", "", nil, "empty greeting", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan []string, 1)
			s := weirtest.Serve(t, mysqlServer(tt.greeting, tt.answers, got))
			check(t, probe(t, newProber(t, "mysql", Params{}), s.Addr), tt.want)
			packets := <-got
			if len(packets) != tt.packets {
				t.Fatalf("the client sent %d packets: %q, want %d", len(packets), packets, tt.packets)
			}
			if tt.last != "" && packets[len(packets)-1] != tt.last {
				t.Errorf("the client's last packet is %q, want %q", packets[len(packets)-1], tt.last)
			}
		})
	}
}

func TestMySQLNotMySQL(t *testing.T) {
	for _, greeting := range []string{"SSH-2.0-OpenSSH_9.2\r\n", "220 mail ready\r\n", "\x00", "\xff\xff\xff\x00"} {
		t.Run(greeting, func(t *testing.T) {
			s := weirtest.Serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, greeting) })
			if err := probe(t, newProber(t, "mysql", Params{}), s.Addr); err == nil {
				t.Error("probe succeeded")
			}
		})
	}
}

func TestParseMySQLGreeting(t *testing.T) {
	got, err := parseMySQLGreeting([]byte(usualGreeting()))
	if err != nil {
		t.Fatal(err)
	}
	want := mysqlGreeting{version: "8.4.0", capabilities: usualCapabilities, plugin: "caching_sha2_password"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mysqlGreeting{})); diff != "" {
		t.Errorf("greeting (-want +got):\n%s", diff)
	}
}

// fromOtherAddress makes a prober connect from 127.0.0.2. MariaDB keeps no count of connection errors for 127.0.0.1.
func fromOtherAddress(t *testing.T, p Prober) Prober {
	t.Helper()
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	switch p := p.(type) {
	case mysqlProber:
		p.target.local = local
		return p
	case tcpProber:
		p.target.local = local
		return p
	}
	t.Fatalf("no local address for a %T", p)
	return nil
}

func TestMySQLServerNeverBlocksTheProber(t *testing.T) {
	server := weirtest.MariaDB(t, weirtest.MariaDBOptions{Settings: map[string]string{"max_connect_errors": "5", "performance_schema": "ON"}})
	server.Query("CREATE USER fussy@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('secret')")
	server.Query("INSTALL SONAME 'auth_ed25519'; CREATE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('secret')")
	tests := []struct {
		name string
		user string
	}{
		{"account of the probe's own", "weir"},
		{"no such account", "nobody"},
		{"account with a password", "fussy"},
		{"account with another method", "modern"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server.Query("FLUSH HOSTS; FLUSH STATUS")
			before := server.Log()
			p := fromOtherAddress(t, newProber(t, "mysql", Params{Login: Login{User: tt.user}}))
			for range 200 {
				if err := probe(t, p, server.Addr); err != nil {
					t.Fatal(err)
				}
			}
			errors := strings.TrimSpace(server.Query("SELECT COALESCE(SUM(SUM_CONNECT_ERRORS), 0) FROM performance_schema.host_cache WHERE IP = '127.0.0.2'"))
			if errors != "0" {
				t.Errorf("the server counts %s connection errors", errors)
			}
			if tt.user != "weir" {
				return
			}
			aborted := server.Query("SHOW GLOBAL STATUS LIKE 'Aborted%'")
			for line := range strings.Lines(aborted) {
				if f := strings.Fields(line); len(f) == 2 && f[1] != "0" {
					t.Errorf("the server counts %s", strings.TrimSpace(line))
				}
			}
			said, _ := strings.CutPrefix(server.Log(), before)
			for line := range strings.Lines(said) {
				if !strings.Contains(line, "could not be resolved") { // its search for the name of 127.0.0.2
					t.Errorf("the server logs %s", line)
				}
			}
		})
	}
}

// The measure of the test above: plain connects do get an address blocked, and then the mysql prober says why.
func TestMySQLServerBlocksPlainConnects(t *testing.T) {
	server := weirtest.MariaDB(t, weirtest.MariaDBOptions{Settings: map[string]string{"max_connect_errors": "5"}})
	greeting := fromOtherAddress(t, newProber(t, "tcp", Params{Exchange: Exchange{Expect: []byte("mysql_native_password")}}))
	patient := fromOtherAddress(t, newProber(t, "mysql", Params{}))
	for range 10 {
		if probe(t, greeting, server.Addr) != nil {
			break
		}
	}
	check(t, probe(t, patient, server.Addr), "MySQL error 1129")
	server.Query("FLUSH HOSTS")
	check(t, probe(t, patient, server.Addr), "")
}

func TestMySQLServerBehindProxyProtocol(t *testing.T) {
	server := weirtest.MariaDB(t, weirtest.MariaDBOptions{Settings: map[string]string{"proxy-protocol-networks": "*"}})
	for version := range 3 {
		check(t, probe(t, newProber(t, "mysql", Params{ProxyProtocol: version}), server.Addr), "")
	}
}

func TestMySQLServerStops(t *testing.T) {
	server := weirtest.MariaDB(t, weirtest.MariaDBOptions{Settings: map[string]string{"max_connections": "1"}})
	p := newProber(t, "mysql", Params{})
	check(t, probe(t, p, server.Addr), "")
	server.Kill()
	check(t, probe(t, p, server.Addr), "connection refused")
	server.Start()
	check(t, probe(t, p, server.Addr), "")
}

func FuzzMySQLGreeting(f *testing.F) {
	f.Add([]byte(usualGreeting()))
	f.Add([]byte(mysqlErr(1129, "", "blocked")))
	f.Add([]byte(mysqlErr(1040, "#08004", "Too many connections")))
	f.Add([]byte("\x0a\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := parseMySQLGreeting(b)
		if err != nil {
			_ = err.Error()
			return
		}
		if !bytes.Contains(b, []byte(g.version)) || !bytes.Contains(b, []byte(g.plugin)) {
			t.Fatalf("%+v is not in %q", g, b)
		}
		if login := mysqlLogin("weir", g); len(login) > 64+len(b) {
			t.Fatalf("a login of %d bytes for a greeting of %d", len(login), len(b))
		}
	})
}

func FuzzMySQLPacket(f *testing.F) {
	f.Add(mysqlPacket(3, []byte("abc")))
	f.Add([]byte{0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		sequence, payload, err := readMySQLPacket(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, mysqlPacket(sequence, payload)) {
			t.Fatalf("packet %d %q of %q", sequence, payload, b)
		}
	})
}
