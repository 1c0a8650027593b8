package l7

import "github.com/weirlb/weir/l7/head"

// DefaultMaxReplay is how many bytes of a request's body are kept at most where nothing else is said.
const DefaultMaxReplay = 1 << 20

// maxKept bounds what is kept on each loop, of all requests together. Beyond it no more is kept, and who would have
// another try has none.
const maxKept = 64 << 20

// unservedKept is how much of a body is kept for a server of HTTP/2: one that goes away may not have looked at the request.
const unservedKept = 64 << 10

// replay is a bounded copy of a request's body, framing included, as far as it has been sent. It is kept for the services
// that may need it; the bodies of all others pass without a look at them.
type replay struct {
	limit int64 // 0 = nothing is kept
	sent  []byte
}

// begin keeps what will be sent of a body, up to limit bytes, unless it is known to be longer.
func (r *replay) begin(f head.Framing, limit int64) {
	if f.HasBody() && f.Length <= limit {
		r.limit = limit
	}
}

func (r *replay) on() bool { return r.limit > 0 }

// keep adds what has been sent. A body that turns out to be too long is not kept at all.
func (x *Exchange) keep(b []byte) {
	r, w := &x.replay, x.worker
	switch {
	case !r.on():
	case int64(len(r.sent)+len(b)) > r.limit, w.kept+len(b) > maxKept:
		x.dropReplay()
	default:
		r.sent = append(r.sent, b...)
		w.kept += len(b)
	}
}

// dropReplay keeps nothing any more.
func (x *Exchange) dropReplay() {
	x.worker.kept -= len(x.replay.sent)
	x.replay = replay{}
}

// prepare keeps the body for those who may need it: a failover, or a mirror.
func (x *Exchange) prepare() {
	limit := x.wanted
	for _, f := range x.failovers.of[:x.failovers.n] {
		limit = max(limit, allowance(f.Errors.MaxBody))
	}
	if x.copies != 0 && x.mirror.Body {
		limit = max(limit, allowance(x.mirror.MaxBody))
	}
	if x.lb.Transport.HTTP2 != NoHTTP2 {
		limit = max(limit, unservedKept)
	}
	if limit > 0 {
		x.replay.begin(x.req.Framing(), limit)
	}
}

// spend keeps nothing any more, now that the response is on its way, unless copies are still to get it.
func (x *Exchange) spend() {
	if x.replay.on() && x.copies == 0 {
		x.dropReplay()
	}
}

// allowance is how much of a body an option allows to be kept.
func allowance(maxBody int64) int64 {
	if maxBody < 0 {
		return DefaultMaxReplay
	}
	return maxBody
}

// replayable reports whether the request can be sent again from its beginning, with no more of its body sent so far than
// an option allows to be kept.
func (x *Exchange) replayable(maxBody int64) bool {
	if !x.req.Framing().HasBody() || x.bodyIn == 0 {
		return true
	}
	return x.replay.on() && int64(len(x.replay.sent)) <= allowance(maxBody)
}

// uploadPiece moves one piece of the request's body, and keeps it where it may be needed.
func (x *Exchange) uploadPiece() (int, error) {
	src, dst := x.conn.stream, &x.link.stream
	if !x.replay.on() {
		return x.worker.move(&x.up, &x.reqBody, x.req.Framing().Kind, src, dst)
	}
	b, err := src.Receive(bodyRead)
	if len(b) == 0 {
		return 0, ended(&x.reqBody, err)
	}
	n, bad := x.reqBody.Scan(b)
	x.keep(b[:n])
	_ = dst.Write(b[:n])
	src.Hold(b[n:])
	return n, bad
}
