package flow

import (
	"time"

	"github.com/weirlb/weir/upstream"
)

// Peer is a backend that datagrams of many clients go to through one socket.
type Peer struct {
	Backend *upstream.Backend // not to be changed
	Socket  any               // the shell's; the Shared never looks at it

	pool    *upstream.Pool // that last led to it
	used    time.Duration  // when the last datagram went either way
	queries queries        // of DNS
	tally   tally
}

// Pool returns the pool that led here last.
func (p *Peer) Pool() *upstream.Pool { return p.pool }

// due returns when something is to be done about the peer, since the epoch.
func (p *Peer) due(o *SharedOptions) time.Duration {
	if e := p.queries.oldest(); e != nil {
		return e.sent + o.QueryTimeout
	}
	return p.used + o.IdleTimeout
}
