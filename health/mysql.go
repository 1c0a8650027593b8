package health

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// mysqlProber reads the greeting of a MySQL or MariaDB and logs in, without a password.
//
// The greeting alone would prove the server alive. But a client that leaves before it has answered the greeting counts as a connection error
// with the server, whether it closes, resets or sends COM_QUIT at that point (measured with MariaDB 10.11; MySQL documents the same),
// and after max_connect_errors of them, 100 by default, the server refuses every connection from the same address: a load balancer
// that looked too often would lock its clients out. A login, even a refused one, does not count.
//
// A refused login leaves a warning in the server's log; an account without password and rights leaves nothing:
//
//	CREATE USER 'weir'@'10.0.0.%';
type mysqlProber struct {
	target target
	user   string
}

// defaultUser is whom database probes introduce themselves as.
const defaultUser = "weir"

const (
	mysqlPacketLimit = 16 << 10 // a greeting is about 100 bytes, an error at most 600
	mysqlRoundLimit  = 4        // messages of the server during a login

	mysqlOK          = 0x00
	mysqlMoreData    = 0x01
	mysqlSwitch      = 0xfe
	mysqlError       = 0xff
	mysqlGreetingV10 = 0x0a
)

// Capabilities, "Capabilities Flags" of the MySQL protocol documentation.
const (
	mysqlProtocol41       = 1 << 9
	mysqlSecureConnection = 1 << 15
	mysqlPluginAuth       = 1 << 19
)

func newMySQL(t target, p Params) (Prober, error) {
	user := p.Login.User
	if user == "" {
		user = defaultUser
	}
	if strings.ContainsRune(user, 0) || len(user) > 128 {
		return nil, errors.New("user is longer than 128 bytes or contains a zero byte")
	}
	t.tls = nil
	return mysqlProber{target: t, user: user}, nil
}

func (p mysqlProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.visit(ctx, addr, p.talk)
}

func (p mysqlProber) talk(conn net.Conn) error {
	r := bufio.NewReader(conn)
	sequence, payload, err := readMySQLPacket(r)
	if err != nil {
		return fmt.Errorf("read the greeting: %w", reason(err))
	}
	greeting, err := parseMySQLGreeting(payload)
	if err != nil {
		return err
	}
	if greeting.capabilities&mysqlProtocol41 == 0 {
		return fmt.Errorf("server %s does not speak the protocol of MySQL 4.1", quoted(greeting.version))
	}
	if err := write(conn, "the login", mysqlPacket(sequence+1, mysqlLogin(p.user, greeting))); err != nil {
		return err
	}
	for range mysqlRoundLimit {
		sequence, payload, err := readMySQLPacket(r)
		if err != nil {
			return fmt.Errorf("read the answer to the login: %w", reason(err))
		}
		switch {
		case len(payload) == 0:
			return errors.New("empty answer to the login")
		case payload[0] == mysqlOK:
			return p.quit(conn)
		case payload[0] == mysqlError:
			return p.refused(conn, payload)
		case payload[0] == mysqlSwitch, payload[0] == mysqlMoreData:
			if err := write(conn, "the login", mysqlPacket(sequence+1, mysqlNoPassword(payload))); err != nil {
				return err
			}
		default:
			return fmt.Errorf("answer to the login begins with %#x", payload[0])
		}
	}
	return fmt.Errorf("no decision on the login after %d rounds", mysqlRoundLimit)
}

func (p mysqlProber) quit(conn net.Conn) error {
	const comQuit = 0x01
	if err := write(conn, "the end of the session", mysqlPacket(0, []byte{comQuit})); err != nil {
		return err
	}
	drain(conn)
	return nil
}

// refused judges an ERR packet that answers the login.
func (p mysqlProber) refused(conn net.Conn, payload []byte) error {
	e, err := parseMySQLError(payload)
	if err != nil {
		return err
	}
	if !e.aboutAccount() {
		return e
	}
	drain(conn) // the server closes after the error
	return nil
}

// readMySQLPacket reads one packet: three bytes of length, a sequence number, the payload.
func readMySQLPacket(r io.Reader) (sequence byte, payload []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > mysqlPacketLimit {
		return 0, nil, fmt.Errorf("not MySQL: packet begins with %s", quoted(head[:]))
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	return head[3], payload, nil
}

// mysqlPacket frames a payload, which must be under 16 MiB.
func mysqlPacket(sequence byte, payload []byte) []byte {
	n := len(payload)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}, payload...)
}

// mysqlGreeting is what of a server's first packet a probe needs.
type mysqlGreeting struct {
	version      string
	capabilities uint32
	plugin       string // authentication method the server prefers; empty if it names none
}

// parseMySQLGreeting reads the payload of an initial handshake packet, version 10. An ERR packet in its place becomes a *mysqlRefusal.
func parseMySQLGreeting(payload []byte) (mysqlGreeting, error) {
	var g mysqlGreeting
	if len(payload) == 0 {
		return g, errors.New("not MySQL: empty greeting")
	}
	if payload[0] == mysqlError {
		e, err := parseMySQLError(payload)
		if err != nil {
			return g, err
		}
		return g, e
	}
	if payload[0] != mysqlGreetingV10 {
		return g, fmt.Errorf("not MySQL: greeting begins with %s", quoted(payload))
	}
	version, rest, ok := bytes.Cut(payload[1:], []byte{0})
	// Thread id 4, first part of the challenge 8, filler 1, lower capabilities 2.
	if !ok || len(rest) < 15 {
		return g, fmt.Errorf("not MySQL: greeting of %d bytes is cut off", len(payload))
	}
	g.version = string(version)
	g.capabilities = uint32(binary.LittleEndian.Uint16(rest[13:]))
	// Character set 1, status 2, upper capabilities 2, length of the challenge 1, reserved 10. Servers before 4.1 end here.
	rest = rest[15:]
	if len(rest) < 16 {
		return g, nil
	}
	g.capabilities |= uint32(binary.LittleEndian.Uint16(rest[3:])) << 16
	challenge := max(13, int(rest[5])-8)
	rest = rest[16:]
	if g.capabilities&mysqlPluginAuth != 0 && len(rest) > challenge {
		plugin, _, _ := bytes.Cut(rest[challenge:], []byte{0})
		g.plugin = string(plugin)
	}
	return g, nil
}

// mysqlLogin returns the payload of a handshake response without password and database, naming the method that the server prefers,
// which saves a round.
func mysqlLogin(user string, g mysqlGreeting) []byte {
	const utf8 = 33
	capabilities := uint32(mysqlProtocol41 | mysqlSecureConnection)
	if g.plugin != "" {
		capabilities |= mysqlPluginAuth
	}
	b := binary.LittleEndian.AppendUint32(nil, capabilities&g.capabilities|mysqlProtocol41)
	b = binary.LittleEndian.AppendUint32(b, mysqlPacketLimit)
	b = append(b, utf8)
	b = append(b, make([]byte, 23)...) // reserved
	b = append(b, user...)
	b = append(b, 0, 0) // end of the user, and a password of no bytes
	if g.plugin != "" {
		b = append(b, g.plugin...)
		b = append(b, 0)
	}
	return b
}

// mysqlNoPassword returns the answer to a request of an authentication method that says there is no password. It is empty
// except for ed25519, which takes anything shorter than a signature for a broken connection, and those count (see mysqlProber).
func mysqlNoPassword(request []byte) []byte {
	const signature = 64
	if bytes.HasPrefix(request, []byte("\xfeclient_ed25519\x00")) {
		return make([]byte, signature)
	}
	return nil
}

// mysqlRefusal is what an ERR packet says.
type mysqlRefusal struct {
	code    uint16
	state   string // SQLSTATE; empty before the login
	message string
}

func (e *mysqlRefusal) Error() string {
	return fmt.Sprintf("MySQL error %d: %s", e.code, quoted(e.message))
}

// parseMySQLError reads the payload of an ERR packet: 0xff, a code, a SQLSTATE behind '#' that may be missing, and a message.
func parseMySQLError(payload []byte) (*mysqlRefusal, error) {
	if len(payload) < 3 || payload[0] != mysqlError {
		return nil, fmt.Errorf("not MySQL: error packet begins with %s", quoted(payload))
	}
	e := &mysqlRefusal{code: binary.LittleEndian.Uint16(payload[1:])}
	rest := payload[3:]
	if len(rest) >= 6 && rest[0] == '#' {
		e.state = string(rest[1:6])
		rest = rest[6:]
	}
	e.message = string(rest)
	return e, nil
}

// aboutAccount reports whether the refusal is about whom the probe claims to be, which only a working server can judge.
// Everything else, such as too many connections, a blocked host or a shutdown, would meet weir's clients as well.
func (e *mysqlRefusal) aboutAccount() bool {
	const invalidAuthorization = "28000"
	accounts := []uint16{
		1045, 1698, // access denied
		1203, 1226, // the account's limits
		1251, 1275, 1524, 2059, // the account's method of authentication
		1820, 1862, // password expired
		3118, 4151, // account locked
		3159, // encryption demanded
	}
	return e.state == invalidAuthorization || slices.Contains(accounts, e.code)
}
