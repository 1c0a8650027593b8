package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/limit"
)

// InFlightConn bounds how many connections a client has open at one time.
type InFlightConn struct{ limit *limit.InFlight }

// NewInFlightConn returns a limit of amount connections, 1 to 2^24-1, for each client.
func NewInFlightConn(amount int) *InFlightConn { return &InFlightConn{limit.NewInFlight(amount)} }

// Admit implements Middleware; it counts the connection.
func (f *InFlightConn) Admit(client netip.Addr, _ time.Time) accesslog.Reason {
	if !f.limit.Enter(client) {
		return accesslog.Limit
	}
	return accesslog.Unknown
}

// Leave implements Leaver.
func (f *InFlightConn) Leave(client netip.Addr) { f.limit.Leave(client) }
