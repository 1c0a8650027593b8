package l4

import (
	"crypto/tls"
	"net"

	"github.com/weirlb/weir/internal/rule"
)

// TLSMode is what a route does with TLS.
type TLSMode uint8

const (
	NoTLS       TLSMode = iota // plain connections only
	Passthrough                // the backend terminates; weir reads the server name
	Terminate                  // weir terminates, the backend gets plaintext
)

// Route leads the connections its rule matches to a service. It is a value of the configuration and never changes.
type Route struct {
	Name        string
	Rule        rule.Expr // checked for TCP
	Priority    int
	TLS         TLSMode
	Config      *tls.Config // for Terminate
	Middlewares []Middleware
	Service     *Service
}

// secure makes the server side of a terminated connection.
func (r *Route) secure(conn net.Conn) *tls.Conn { return tls.Server(conn, r.Config) }
