package discovery

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"
)

// asking says how a name is to be looked up.
type asking struct {
	reliable bool           // over TCP or TLS, and nothing remembered
	avoid    netip.AddrPort // a server whose word is to be checked: ask others, if there are any
}

// A refresher looks a name up again and again and emits what its history makes of the findings. It is the Provider of all names.
type refresher struct {
	history *history
	look    func(ctx context.Context, how asking) finding
}

// Run implements Provider.
func (r *refresher) Run(ctx context.Context, out func(Update)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if now := time.Now(); now.Before(r.history.status.Next) {
			r.history.expire(now)
		} else if !r.ask(ctx) {
			return
		}
		out(r.history.update())
		timer.Reset(time.Until(r.history.wake()))
	}
}

// ask makes one attempt. It reports false when ctx cut it off, which counts for nothing.
func (r *refresher) ask(ctx context.Context) bool {
	f := r.look(ctx, asking{avoid: r.history.awaiting()})
	if r.history.doubts(f) {
		if confirmed := r.look(ctx, asking{reliable: true}); confirmed.outcome != Failed {
			f = confirmed
		} else {
			f.err = together(f.err, confirmed.err)
		}
	}
	if ctx.Err() != nil {
		return false
	}
	r.history.apply(f, time.Now(), rand.Float64())
	return true
}
