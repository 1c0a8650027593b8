package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A Prober asks a server once whether it serves.
type Prober interface {
	// Probe returns nil if the server at addr serves, and otherwise the reason why not. It may block until ctx is done and returns then at the latest.
	// It is called from many goroutines at once and keeps nothing from one call to the next.
	Probe(ctx context.Context, addr netip.AddrPort) error
}

// Params says how to probe. Each group is read by the kinds it names and ignored by the others; the zero value is every kind's default.
type Params struct {
	// Port is asked instead of the backend's own unless it is 0: Patroni answers HTTP beside the database it speaks for.
	Port uint16

	// ProxyProtocol is the version, 1 or 2, of the PROXY header that the backend expects before anything else; 0 = none.
	// The header says that the connection is the proxy's own (LOCAL, or UNKNOWN in version 1), so the backend sees weir's address.
	// dns and udp, which make no connection, send version 2 before each datagram and refuse version 1.
	ProxyProtocol int

	// TLS wraps the conversation of tcp, http, grpc and redis. nil = plain. tls is always wrapped; postgres and mysql never are:
	// they prove themselves alive before encryption is agreed.
	TLS *TLS

	Exchange Exchange // tcp, tls, udp
	DNS      DNS      // dns
	HTTP     HTTP     // http
	GRPC     GRPC     // grpc
	Login    Login    // postgres, mysql
}

// TLS says how a probe sets up TLS. Certificates are not verified unless a field asks for it:
// a probe finds out whether the server is alive, and clients judge its certificate themselves.
type TLS struct {
	ServerName string         // sent as SNI and, if verified, expected in the certificate; empty = none sent, the address expected
	RootCAs    *x509.CertPool // non-nil: verify against these
	Verify     bool           // verify, against the system's authorities if RootCAs is nil
	NextProtos []string       // ALPN, in order of preference; http and grpc have their own

	// InsecureSkipVerify prevails over RootCAs and Verify: whoever turns verification off for a server's traffic has its probes
	// succeed where the traffic does.
	InsecureSkipVerify bool

	// Certificates are the client's, for servers that ask for one. A server that refuses it says so, in TLS 1.3, only after the
	// client has finished the handshake: a probe finds out when it reads an answer, not when it merely connects.
	Certificates []tls.Certificate
}

// Exchange is what tcp and tls say and hear once connected, and udp in a datagram each way. Empty: connecting is enough,
// and udp sends an empty datagram, which some protocols take for a question (RFC 867, RFC 868), and takes any answer.
type Exchange struct {
	Send []byte // sent first; udp: at most 65,507 bytes

	// Expect must occur among the first 64 KiB the server sends; empty = the answer is not read.
	// udp: must occur in one datagram, and those without it are passed over; empty = any datagram is the answer.
	Expect []byte
}

// DNS is the question of a dns probe, which asks over UDP. An answer without error and one that says that the name does not exist
// are successes.
type DNS struct {
	// Name is what is asked for, in ASCII, with or without the final dot; empty = the root. A resolver answers for any name,
	// but when it has to ask others its health is theirs too; a server of zones answers for names in them and refuses the rest.
	Name string

	RecordType string // A, AAAA, SRV, SOA and so on; empty = A
}

// HTTP is the request of an http probe.
type HTTP struct {
	Method  string      // default GET
	Path    string      // with the query if any; default /
	Host    string      // default: the address asked
	Headers http.Header // sent besides
	Status  int         // the one status that means success; 0 = any from 200 to 399

	// FollowRedirects asks again where a redirect (301, 302, 303, 307, 308) points to, at most 5 times, so that the page behind it
	// decides. Each time is a connection of its own. Only redirects to the same scheme, host and port are followed: what another
	// server says is no news of this one. Any other redirect, and one whose status is the one that means success, is the answer.
	FollowRedirects bool

	HTTP2 bool // over HTTP/2 with prior knowledge; not inside TLS
}

// GRPC is the call of a grpc probe: Check of grpc.health.v1.Health. SERVING is the only success.
type GRPC struct {
	Service string // at most 1 KiB; empty = the server as a whole
	Host    string // :authority, and the name for TLS where that has none; default: the address asked
}

// Login is whom a database probe introduces itself as. There is no password: a refused login proves a live server just as well.
type Login struct {
	User     string // default weir. With an account of that name, without password and rights, probes leave nothing in a database's log
	Database string // postgres; default: the user's name
}

// kinds holds every kind of prober that New makes.
var kinds = map[string]func(target, Params) (Prober, error){
	"tcp":      newTCP,
	"tls":      newTLS,
	"udp":      newUDP,
	"dns":      newDNS,
	"http":     newHTTP,
	"grpc":     newGRPC,
	"postgres": newPostgres,
	"mysql":    newMySQL,
	"redis":    newRedis,
}

// New returns a prober of the given kind: tcp, tls, udp, dns, http, grpc, postgres, mysql or redis.
func New(kind string, p Params) (Prober, error) {
	build, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("health check type %q is not one of %s", kind, strings.Join(Kinds(), ", "))
	}
	t, err := newTarget(p)
	if err != nil {
		return nil, err
	}
	prober, err := build(t, p)
	if err != nil {
		return nil, fmt.Errorf("%s health check: %w", kind, err)
	}
	return prober, nil
}

// Kinds returns the names New knows, in order.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }
