package l4

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// Middleware decides whether a routed connection may go on.
type Middleware interface {
	// Admit is called on loops, from several at once: it must not block. accesslog.Unknown admits the client; any other
	// reason turns it away.
	Admit(client netip.Addr, now time.Time) accesslog.Reason
}

// Leaver is a Middleware that wants to know when a connection it admitted has ended.
type Leaver interface {
	Leave(client netip.Addr)
}
