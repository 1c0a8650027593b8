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
	"strings"
)

// postgresProber starts a session as any client does and is content with the first answer that proves a working server:
// a request for a password, a session, or a refusal of this user. It is not content with a server that says it is
// starting up, shutting down or recovering.
//
// It asks for no encryption: a server that demands it says so in an ErrorResponse, which is as good an answer as any.
//
// A server that asks for a password logs nothing, whether the user exists or not. One that refuses or trusts without asking
// logs a refusal unless user and database exist and pg_hba.conf lets them in.
type postgresProber struct {
	target  target
	startup []byte
}

// Message types, "Message Formats" of the PostgreSQL manual.
const (
	postgresAuthentication = 'R'
	postgresError          = 'E'
	postgresNotice         = 'N'
	postgresNegotiate      = 'v'
)

// postgresMessageLimit bounds one message, and postgresMessageCount how many are read before the one that decides.
const (
	postgresMessageLimit = 16 << 10
	postgresMessageCount = 8
)

func newPostgres(t target, p Params) (Prober, error) {
	user := p.Login.User
	if user == "" {
		user = defaultUser
	}
	database := p.Login.Database
	if database == "" {
		database = user
	}
	if strings.ContainsRune(user+database, 0) {
		return nil, errors.New("user and database cannot contain a zero byte")
	}
	t.tls = nil
	return postgresProber{target: t, startup: postgresStartup(user, database)}, nil
}

// postgresStartup returns a StartupMessage of protocol 3.0.
func postgresStartup(user, database string) []byte {
	b := make([]byte, 4, 128)
	b = binary.BigEndian.AppendUint32(b, 3<<16)
	for _, s := range []string{"user", user, "database", database, "application_name", "weir"} {
		b = append(b, s...)
		b = append(b, 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

func (p postgresProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.visit(ctx, addr, p.talk)
}

func (p postgresProber) talk(conn net.Conn) error {
	if err := write(conn, "the start-up message", p.startup); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	for range postgresMessageCount {
		kind, body, err := readPostgresMessage(r)
		if err != nil {
			return fmt.Errorf("read the answer: %w", reason(err))
		}
		switch kind {
		case postgresNotice, postgresNegotiate:
			continue
		case postgresAuthentication:
			return p.leave(conn, body)
		case postgresError:
			if err := parsePostgresError(body).failure(); err != nil {
				return err
			}
			drain(conn) // the server closes after an error
			return nil
		default:
			return fmt.Errorf("message of type %q instead of an answer to the start-up", kind)
		}
	}
	return fmt.Errorf("%d messages and no answer to the start-up", postgresMessageCount)
}

// leave ends the session. One that stands is ended with Terminate; one that would need a password first is simply closed, as psql does
// when it has none, and the server logs neither.
func (p postgresProber) leave(conn net.Conn, authentication []byte) error {
	if len(authentication) < 4 {
		return fmt.Errorf("authentication message of %d bytes", len(authentication))
	}
	if binary.BigEndian.Uint32(authentication) != 0 {
		return nil
	}
	if err := write(conn, "the end of the session", []byte{'X', 0, 0, 0, 4}); err != nil {
		return err
	}
	drain(conn)
	return nil
}

// readPostgresMessage reads one message: a type, a length that counts itself, and the body.
func readPostgresMessage(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > postgresMessageLimit {
		return 0, nil, fmt.Errorf("not PostgreSQL: message begins with %s", quoted(head[:]))
	}
	body = make([]byte, n-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return head[0], body, nil
}

// postgresRefusal is what an ErrorResponse says. Fields the server left out are empty.
type postgresRefusal struct {
	code    string // SQLSTATE
	message string
}

// parsePostgresError reads the fields of an ErrorResponse: a type byte and a zero-terminated text each, and a zero byte at the end.
func parsePostgresError(body []byte) postgresRefusal {
	var e postgresRefusal
	for len(body) > 0 && body[0] != 0 {
		text, rest, ok := bytes.Cut(body[1:], []byte{0})
		if !ok {
			break
		}
		switch body[0] {
		case 'C':
			e.code = string(text)
		case 'M':
			e.message = string(text)
		}
		body = rest
	}
	return e
}

// failure returns an error if the refusal is about the server, and nil if it is about whom the probe claims to be:
// an unknown user, database or address, missing encryption, and also too many connections, which is load and not an outage.
func (e postgresRefusal) failure() error {
	switch e.code {
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return fmt.Errorf("PostgreSQL error %s: %s", e.code, quoted(e.message))
	case "":
		return fmt.Errorf("PostgreSQL error without a code: %s", quoted(e.message))
	}
	return nil
}
