package l7

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
	"github.com/weirlb/weir/upstream"
)

// phase is how far an exchange has come. It only goes forward, but for another try, which goes back to choosing.
type phase uint8

const (
	routing    phase = iota // its head is read, or being read; middlewares look at it
	choosing                // of a backend
	pausing                 // before it is sent to the service anew
	queueing                // waiting for a slot on a backend
	connecting              // to a backend
	waiting                 // the request is on its way, the head of the response is not here
	collecting              // the response is on its way, and held back until more of it is here
	answering               // the response is on its way
	switched                // to another protocol: bytes go both ways
	over                    // nothing may come back to it
)

// Exchange is one request and its response on their way through. It belongs to the loop of its connection, and is used
// again for another request when it is over.
type Exchange struct {
	worker *worker
	conn   *conn
	gen    uint32 // counts the lives of this object, so that late news of an earlier life is told apart
	phase  phase
	next   int // middleware whose turn it is

	req, res         head.Head
	reqBody, resBody http1.Body
	up, down         eventloop.Flow

	router   *Router
	service  *Service // whose load balancer it is
	lb       *LoadBalancer
	session  *upstream.Backend // where the client's session is; nil = nowhere
	pool     *upstream.Pool
	backend  *upstream.Backend // on which it counts; nil while on none
	link     *link
	ticket   *ticket // while queueing
	timer    eventloop.Timer
	rpc      rpc
	deadline eventloop.Timer // of a call
	tried    []*upstream.Backend
	few      [3]*upstream.Backend // room for tried
	tunnel   *tunnel

	outer     int            // of the middlewares that have seen the request, how many are asked about outcomes
	attempts  int            // sent to the service anew by middlewares
	tryBegan  time.Time      // when the last of them began
	rest      []byte         // what has come of the body of a response whose outcome is looked at
	wanted    int64          // bytes of the body that middlewares want kept
	page      page           // that takes the place of the service's answer
	unread    bool           // the client sends a body that nobody wants
	mostBody  int64          // bytes of content that the request may have, besides what the entrypoint says; 0 = any
	hold      held           // of the response
	collected collection     // of it so far
	filters   few[Filter]    // of the response's body
	trailer   []byte         // behind it
	given     int64          // bytes that have come out of the filters
	failovers few[*Failover] // that would look at the response, innermost first
	marks     few[mark]      // cookies to set
	seats     []seat         // places that are given back at the end
	notes     []note         // what middlewares keep for themselves
	ahead     []byte         // the first content of the response, for as long as middlewares look at its head
	mirror    *Mirror
	copies    uint64 // of its mirrors, those that are still to get a copy, as bits
	template  []byte // the head they get
	replay    replay
	host      string // as it was before it was rewritten, where that is needed again
	depth     int    // services that are just now choosing
	tangled   bool   // too many were
	detours   int    // failovers because of responses
	earlier   int    // backends that were tried before the last detour

	reused    bool // the link had served other requests
	replayed  bool // the request was sent on an idle link that turned out to be dead
	heard     bool // bytes have come back
	unchunked bool // the response is given to a client that does not know chunks: of HTTP/1.0, or of HTTP/2
	replied   bool // weir itself answers
	suspended bool // a middleware waits
	sniff     bool // the type of the response is told from its body, where nobody says it
	sniffing  bool // the head of the response waits for that
	late      bool // enough of it has not come in time: what is here must do
	wantsMore bool // the client waits for 100 (Continue), which has not come
	gathering bool // the request's body is taken in before it goes on
	filtered  bool // the response's body is led through filters
	steady    bool // that has a known length
	behind    bool // filters may hold something back
	interims  int
	based     int // bytes at the start of the target that a server's base path put there
	status    int // sent to the client; 0 = none
	origin    int // status of the backend; 0 = none
	by        accesslog.Side
	reason    accesslog.Reason
	failure   accesslog.Reason // of the last attempt
	detail    string
	user      string // who the client has proved to be
	id        string // name of the request; empty = it has none

	traced traced
	lapse  accesslog.Reason // why the attempt at hand has failed

	began   time.Time     // when the first byte of the head came
	mark    time.Time     // when the current phase began
	routed  time.Duration // until the router was found; negative before
	queued  time.Duration // waiting for slots
	dialled time.Duration // connecting, all tries together
	sentAt  time.Time     // when the request was sent
	firstAt time.Time     // when the head of the response was here
	bodyIn  int64         // bytes of the request body, framing included
	bodyOut int64         // bytes of the response body, framing included
}

// exchange gives a blank exchange for the request that is arriving on c.
func (w *worker) exchange(c *conn) *Exchange {
	x := pop(&w.exchanges)
	x.worker, x.conn = w, c
	x.began, x.routed = time.Now(), accesslog.NotReached
	x.tried = x.few[:0]
	return x
}

// give takes an exchange back.
func (x *Exchange) give() {
	w := x.worker
	x.dropReplay()
	x.req.Reset()
	x.res.Reset()
	clear(x.notes)
	*x = Exchange{gen: x.gen + 1, req: x.req, res: x.res, seats: x.seats[:0], notes: x.notes[:0]}
	push(&w.exchanges, x)
}

// start goes on with a request whose head is complete. at is when that was.
func (x *Exchange) start(at time.Time) {
	c := x.conn
	x.mark = at
	c.set = c.front.settings.Load()
	if t := c.worker.server.tracing.Load(); t != nil {
		x.join(t)
	}
	x.reqBody.Begin(x.req.Framing())
	x.wantsMore = x.req.ExpectContinue
	x.beginCall()
	c.last = c.last || !x.req.KeepAlive || c.worker.server.draining.Load() || c.worn(at)
	if err := x.normalize(); err != nil {
		c.last = true // as after all that is refused for its form
		x.detail = "bad-path"
		x.fail(400, accesslog.Client, accesslog.BadRequest)
		return
	}
	if f := x.req.Framing(); c.set.MaxBody > 0 && f.Length > c.set.MaxBody {
		x.fail(413, accesslog.Client, accesslog.BodyTooLarge)
		return
	}
	x.route()
}

// worn reports whether the connection has served its time.
func (c *conn) worn(now time.Time) bool {
	return c.set.KeepAliveRequests > 0 && c.count >= c.set.KeepAliveRequests ||
		c.set.KeepAliveTime > 0 && now.Sub(c.began) >= c.set.KeepAliveTime
}

// normalize brings the path into the form in which it is routed and forwarded.
func (x *Exchange) normalize() error {
	raw := x.req.Path()
	if len(raw) == 1 && raw[0] == '*' {
		return nil
	}
	path, changed, err := x.conn.set.Paths.Path(raw)
	if err != nil || !changed {
		return err
	}
	if query, ok := x.req.Query(); ok {
		path = append(append(bytes.Clone(path), '?'), query...)
	}
	return x.req.SetTargetBytes(path)
}

// route finds the router.
func (x *Exchange) route() {
	c, w := x.conn, x.worker
	r := &w.request
	w.fields.head = &x.req
	r.Host, r.Path, r.Method = x.req.Host(), x.req.Path(), x.req.Method()
	r.RawQuery, _ = x.req.Query()
	r.Client, r.TLS = c.stream.Remote().Addr(), c.security != nil
	found, ok := c.set.Table.Match(r)
	if !ok {
		x.fail(404, accesslog.Weir, accesslog.NoRoute)
		return
	}
	x.router = found.Value
	x.routed = x.mark.Sub(x.began) // finding it takes no time worth a look at the clock
	if c.security != nil && !c.set.secures(x.req.Hostname(), x.router, c.security) {
		c.last = true // another connection is what the client needs (RFC 9110 section 15.5.20)
		x.fail(421, accesslog.Client, accesslog.Misdirected)
		return
	}
	x.believe()
	x.run()
}

// run gives the request to the middlewares whose turn has not come yet, and then to the service.
func (x *Exchange) run() {
	for x.next < len(x.router.Middlewares) {
		m := x.router.Middlewares[x.next]
		x.next++ // those that have seen the request see the response
		x.outer = x.next - 1
		if m.Request == nil {
			continue
		}
		action := Answered
		if !x.worker.guard(func() { action = m.Request(x) }) {
			x.fail(500, accesslog.Weir, accesslog.Internal)
			return
		}
		switch action {
		case Answered:
			if x.phase == routing {
				x.fail(500, accesslog.Weir, accesslog.Internal) // it has said what is not so
			}
			return
		case Wait:
			x.suspended = true
			return
		}
	}
	x.serve()
}

// serve has the service choose where the request goes.
func (x *Exchange) serve() {
	x.outer, x.attempts = x.next, 1
	c := x.ask(x.router.Service)
	if c.service == nil {
		c.service = x.router.Service
	}
	x.follow(c)
	if c.offer == nothing {
		x.fail(503, accesslog.Weir, accesslog.NoBackend)
		return
	}
	x.plan(c.mirror)
	x.prepare()
	x.pick(x.mark)
}

// safe reports whether the request may be sent a second time although the first one may have been acted on: its method
// says so (RFC 9110 section 9.2.2), and it has no body of which a part is gone.
func (x *Exchange) safe() bool {
	if x.req.Framing().HasBody() && !x.replay.on() {
		return false
	}
	return idempotent(x.req.Method())
}

// idempotent reports whether requests with the method may be sent twice (RFC 9110 section 9.2.2).
func idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// clientReady goes on after the client has sent something or has taken something.
func (x *Exchange) clientReady() {
	if x.gathering {
		x.gathered()
	}
	x.upload()
	if x.phase == answering {
		x.download()
	}
	if x.phase < switched && x.conn.stream.PeerLeft() {
		x.cut(accesslog.Client, accesslog.ClientAbort)
	}
}

// backendReady goes on after the backend has sent something or has taken something.
func (x *Exchange) backendReady() {
	x.upload()
	switch x.phase {
	case waiting:
		x.listen()
	case collecting:
		x.collect()
	case answering:
		x.download()
	}
}

// ends implements holder.
func (x *Exchange) ends() (client, local netip.AddrPort) { return x.Client(), x.conn.localAddr() }

// result implements holder.
func (x *Exchange) result() *head.Head { return &x.res }

// owner implements holder.
func (x *Exchange) owner() rescuer { return x.conn }

// tick looks at the timeouts of the exchange.
func (x *Exchange) tick() {
	c := x.conn
	blocked := !c.stream.HasRoom() // by the client
	switch {
	case c.set.WriteTimeout > 0 && time.Since(x.began) > c.set.WriteTimeout:
		x.outer = 0 // there is no time for anything else
		x.fail(504, accesslog.Weir, accesslog.ResponseTimeout)
		return
	case blocked, x.owed():
		if c.overdue(c.set.ReadTimeout) {
			x.fail(408, accesslog.Client, accesslog.RequestTimeout)
		}
		return
	case x.timer.Armed():
		return // that is the timeout which counts
	}
	if !c.overdue(c.set.IdleTimeout) {
		return
	}
	switch {
	case x.phase != waiting:
		x.fail(504, accesslog.Backend, accesslog.IdleTimeout)
	case x.rpc.talks() && !x.reqBody.Done():
		x.fail(504, accesslog.Weir, accesslog.IdleTimeout) // the server may be waiting for the client: it is not to blame
	default:
		x.silent()
	}
}

// owed reports whether it is the client that has to send something. A client that waits for the backend's leave to do so
// owes nothing: the backend's timeout is the one that counts. In a call both sides speak when they like.
func (x *Exchange) owed() bool {
	return x.gathering || !x.rpc.talks() && x.phase >= waiting && !x.reqBody.Done() && !x.wantsMore && (x.link == nil || x.link.stream.HasRoom())
}

// blame counts a failure against the backend.
func (x *Exchange) blame() {
	if x.backend != nil && (x.link == nil || x.link.accountable()) {
		x.pool.Failed(x.backend, time.Now())
	}
}

// detach gives the backend and the connection to it back, which is not used again.
func (x *Exchange) detach() {
	x.dropCollected()
	x.up.Close()
	x.down.Close()
	x.worker.loop.Disarm(&x.timer)
	x.leaveQueue()
	if l := x.link; l != nil {
		x.link = nil
		l.reset()
	}
	x.release()
}

// release gives the slot on the backend back.
func (x *Exchange) release() {
	if b := x.backend; b != nil {
		if x.traced.recorded() {
			x.tellAttempt(b)
		}
		x.backend = nil
		x.pool.Release(b)
	}
}

// lose takes the exchange off its backend, which is going: to another one if it may be sent again.
func (x *Exchange) lose(reason accesslog.Reason) {
	if x.phase == connecting || x.phase == waiting && !x.heard && x.safe() {
		x.tryAnother(reason, time.Now())
		return
	}
	if x.phase == switched {
		x.reason = reason
		x.tunnel.Stop(eventloop.ErrStopped, true)
		return
	}
	x.miss(502, accesslog.Weir, reason)
}

// cut ends the exchange and its connection in the middle: the client must not take what it has for the whole.
func (x *Exchange) cut(by accesslog.Side, reason accesslog.Reason) {
	if x.phase == over {
		return
	}
	if by != accesslog.Client && x.breakOff(by, reason) {
		return
	}
	if x.status == 0 && by == accesslog.Client {
		x.status = 499 // nobody is told; it is for the log
	}
	x.by, x.reason = by, reason
	x.detach()
	x.close()
	c := x.conn
	if c.stream != nil {
		c.stream.Reset()
	}
	c.close()
}

// finish ends an exchange whose response is complete. Where the request is not, nobody knows where the next one begins.
func (x *Exchange) finish() {
	x.conn.last = x.conn.last || !x.reqBody.Done()
	x.close()
	x.conn.done()
}

// close counts and records the exchange.
func (x *Exchange) close() {
	x.phase = over
	x.worker.loop.Disarm(&x.deadline)
	x.vacate()
	x.dropFilters()
	now := time.Now()
	x.count(now.Sub(x.began))
	if x.worker.log.Enabled() {
		x.record(now)
	}
	if x.traced.recorded() {
		x.tell(now)
	}
}
