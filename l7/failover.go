package l7

import (
	"time"

	"github.com/weirlb/weir/internal/accesslog"
)

// maxDetours bounds how often one request fails over because of responses.
const maxDetours = 8

// Failover leads to the main service while that has a usable backend, else to the fallback if that has one.
type Failover struct {
	Main, Fallback *Service
	Errors         *Errors // nil = responses do not matter
}

// Errors says which responses of a main service are not given to the client: the fallback gets the request too, whatever
// its method, because whoever names a status says that the request has had no effect. Weir's own answers for a service
// that fails, such as 502 and 504, count as the service's.
type Errors struct {
	Statuses Statuses
	// MaxBody is how many bytes of a request's body are kept to be sent again, framing included. A request with a longer
	// one gets the response it has got. 0 = so does any with a body, negative = DefaultMaxReplay.
	MaxBody int64
}

func (f *Failover) choose(x *Exchange) choice {
	c := f.Main.choose(x)
	if c.offer != sound {
		if d := f.Fallback.choose(x); d.offer > c.offer {
			return d
		}
	}
	if f.Errors != nil && c.offer != nothing {
		c.failovers.add(f)
	}
	return c
}

// miss ends an attempt without a response that may be passed on: by another service, or as fail does.
func (x *Exchange) miss(status int, by accesslog.Side, reason accesslog.Reason) {
	x.lapse = reason
	if !x.fallBack(status, nil) {
		if x.page.of != nil {
			status = x.page.status // the page cannot be had; the client is told what it was about
		}
		x.fail(status, by, reason)
	}
}

// fallBack leads the request to the fallback of the service that has answered it with status, if it has one for that and
// the request can be sent again. rest is what has come of the response's body. It reports whether it does.
func (x *Exchange) fallBack(status int, rest []byte) bool {
	if x.failovers.n == 0 || x.status != 0 || x.detours == maxDetours {
		return false
	}
	i, c := x.wayOut(status)
	if c.offer == nothing {
		return false
	}
	for _, outer := range x.failovers.of[i+1 : x.failovers.n] {
		c.failovers.add(outer)
	}
	now := time.Now()
	x.countAttempt(status, now.Sub(x.began))
	x.leave(rest)
	x.forget()
	x.detours++
	x.conn.quiet = 0
	x.follow(c)
	x.pick(now)
	return true
}

// wayOut finds the innermost failover that does not take status and has something to offer instead.
func (x *Exchange) wayOut(status int) (i int, c choice) {
	for i, f := range x.failovers.of[:x.failovers.n] {
		if !f.Errors.Statuses.Has(status) || !x.replayable(f.Errors.MaxBody) {
			continue
		}
		if c := x.ask(f.Fallback); c.offer != nothing {
			return i, c
		}
	}
	return 0, choice{}
}

// leave parts with a backend whose response is dropped. Where that is here as a whole, the connection stays good.
func (x *Exchange) leave(rest []byte) {
	if l := x.link; l != nil && x.origin != 0 {
		n, err := x.resBody.Scan(rest)
		l.stream.Hold(rest[n:])
		if err == nil && x.resBody.Done() && x.reqBody.Done() && x.res.KeepAlive && l.reusable() {
			x.link = nil
			x.worker.rest(l, x.firstAt)
		}
	}
	x.detach()
}

// forget makes the exchange as it was before it was led anywhere, but for what the log is to show.
func (x *Exchange) forget() {
	if x.host != "" {
		_ = x.req.SetHost(x.host) // it was the host before
	}
	x.res.Reset()
	x.earlier += len(x.tried)
	x.tried = x.few[:0]
	x.rpc.status = 0
	x.origin, x.failure, x.detail = 0, accesslog.Unknown, ""
	x.reused, x.replayed, x.heard = false, false, false
	x.sniffing, x.late = false, false
	x.firstAt = time.Time{}
}
