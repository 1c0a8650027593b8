package peek

import (
	"encoding/binary"
	"fmt"
)

// PostgresRequestSize is the length of an SSLRequest and of a GSSENCRequest, in
// bytes.
const PostgresRequestSize = 8

// PostgresSSLRequest is the message with which a PostgreSQL client asks for
// TLS. It is never written to.
var PostgresSSLRequest = []byte{0, 0, 0, PostgresRequestSize, 0x04, 0xd2, 0x16, 0x2f}

// The codes that stand where a start-up message has its protocol version, and
// the bounds of the server's ProcessStartupPacket on the length of a message.
const (
	postgresCancel = 80877102
	postgresSSL    = 80877103
	postgresGSS    = 80877104
	postgresMajor  = 3

	minPostgres       = 8
	maxPostgres       = 10000
	minPostgresCancel = 16  // process and a key of 4 bytes
	maxPostgresCancel = 268 // process and a key of 256 bytes, since protocol 3.2
)

var errPostgresEnd = fmt.Errorf("%w: parameters lack their end", ErrNotPostgres)

// Postgres reads the first message of a PostgreSQL client at the start of b and
// returns which one it is, PostgresSSL, PostgresGSS, PostgresCancel or
// PostgresStart, and its length n in bytes, 10,000 at most. The errors are
// ErrShort and those that are ErrNotPostgres. See "Message Formats" in the
// PostgreSQL documentation.
//
// A client of PostgreSQL 17 with sslnegotiation=direct starts with a TLS hello,
// whose ALPN is "postgresql", and is not recognised here.
func Postgres(b []byte) (kind Kind, n int, err error) {
	kind, err = postgresKind(b)
	if err != nil {
		return Unknown, 0, err
	}
	if n = int(binary.BigEndian.Uint32(b)); len(b) < n {
		return Unknown, 0, ErrShort
	}
	if kind == PostgresStart && b[n-1] != 0 {
		return Unknown, 0, errPostgresEnd
	}
	return kind, n, nil
}

// postgresKind decides on the first 8 bytes, and mostly on the first ones that
// are not PostgreSQL's.
func postgresKind(b []byte) (Kind, error) {
	for i := range min(len(b), 2) { // no length reaches 64 KiB
		if b[i] != 0 {
			return Unknown, ErrNotPostgres
		}
	}
	if len(b) < 4 {
		if len(b) == 3 && int(b[2])<<8 > maxPostgres {
			return Unknown, ErrNotPostgres
		}
		return Unknown, ErrShort
	}
	size := int(binary.BigEndian.Uint32(b))
	if size < minPostgres || size > maxPostgres || len(b) > 4 && !postgresCodeBegins(b[4:]) {
		return Unknown, ErrNotPostgres
	}
	if len(b) < 8 {
		return Unknown, ErrShort
	}
	switch code := binary.BigEndian.Uint32(b[4:]); {
	case code == postgresSSL && size == PostgresRequestSize:
		return PostgresSSL, nil
	case code == postgresGSS && size == PostgresRequestSize:
		return PostgresGSS, nil
	case code == postgresCancel && size >= minPostgresCancel && size <= maxPostgresCancel:
		return PostgresCancel, nil
	case code>>16 == postgresMajor && size > minPostgres:
		return PostgresStart, nil
	}
	return Unknown, ErrNotPostgres
}

// postgresCodeBegins reports whether b, which is not empty, can be the start of
// a code: 1234 or 3 in its first two bytes.
func postgresCodeBegins(b []byte) bool {
	const request = postgresSSL >> 16
	if len(b) == 1 {
		return b[0] == 0 || b[0] == request>>8
	}
	major := binary.BigEndian.Uint16(b)
	return major == postgresMajor || major == request
}
