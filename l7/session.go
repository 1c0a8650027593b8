package l7

import (
	"net/netip"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http2"
)

const (
	readAhead = 64 << 10  // bytes of frames read at once
	maxUnsent = 128 << 10 // that the client has not taken, above which nothing is read from it: all it can ask for is bounded so
	farewell  = time.Second
)

// session is a client's connection that speaks HTTP/2. It lives on one loop. Its requests have a lane and a conn each; what
// they write is gathered, and leaves at the end of the loop's turn in one write.
type session struct {
	outlet
	prev, next *session // neighbours among the worker's open ones
	front      *Front
	set        *settings
	share      *sessionShare // of the front's numbers, this loop's
	timer      eventloop.Timer

	state    state // reading, lingering or closed
	leaves   leaving
	ends     bool // all its requests are being ended
	quiet    int  // ticks without a request
	stalled  int  // ticks in the middle of a head
	count    int  // requests begun
	lingered int  // bytes dropped
	unsent   int  // bytes that waited for the client to take them at the last tick
	stuck    int  // ticks for which they have
	began    time.Time
	local    netip.AddrPort
	security *Security // nil = plain
	name     string    // server name of the hello
	version  uint16    // of TLS
	cipher   uint16
}

// converse makes a session of a connection whose client speaks HTTP/2. The conn is over.
func (c *conn) converse() {
	w := c.worker
	s := &session{
		outlet: outlet{worker: w, stream: c.stream, sends: true}, next: w.sessions, front: c.front, share: &c.front.sessions[w.loop.ID()],
		set: c.front.settings.Load(), state: reading, began: c.began,
		local: c.localAddr(), security: c.security, name: c.name, version: c.version, cipher: c.cipher,
	}
	s.ender = s
	if w.sessions != nil {
		w.sessions.prev = s
	}
	w.sessions = s
	s.share.begun.Add(1)
	w.loop.Disarm(&c.timer)
	if c.x != nil {
		c.x.phase = over // what was read of the preface was no request
	}
	c.stream, c.state = nil, closed
	s.begin(c.security != nil && c.renewal != c.front.renewals.Load())
}

// begin starts the session's life. renewed says that its handshake may have begun with what is not in force any more.
func (s *session) begin(renewed bool) {
	defer s.rescue()
	s.stream.SetHandler(s)
	s.touch()
	o := s.set.FrontOptions
	s.core.Start(http2.Options{Limits: o.Limits, Underscores: o.Underscores, MaxStreams: o.MaxStreams, Texts: &s.worker.texts}, time.Now())
	s.worker.loop.Arm(&s.timer, s.set.tick, s)
	switch {
	case s.worker.server.draining.Load():
		s.retire(leavesStop)
	case renewed:
		s.retire(leavesRenewed)
	}
	s.read()
}

// outdated reports whether the TLS of the connection is not what its client would get now.
func (s *session) outdated(changed func(serverName string) bool) bool {
	if s.security == nil {
		return false
	}
	set := s.front.settings.Load()
	if set.Security == nil {
		return false // nothing else is in force
	}
	now, ok := set.Security.First([]byte(s.name))
	return ok && now.Config != s.security.Config || changed(s.name)
}

// Ready goes on after the client has sent something or has taken something.
func (s *session) Ready(*eventloop.Stream) {
	defer s.rescue()
	switch {
	case s.state == closed:
	case !s.stream.IsOpen():
		s.end(accesslog.Weir, accesslog.Shutdown, nil)
		s.close()
	case s.state == lingering:
		s.drop()
	default:
		s.touch()
		s.read()
	}
}

// rescue ends what an event has led to; it is deferred, so that a panic costs this connection only.
func (s *session) rescue() {
	cause := recover()
	if cause == nil {
		return
	}
	s.worker.panicked(cause)
	defer func() { _ = recover() }() // the first panic is logged; this one may come from the same broken state
	defer s.close()
	if s.stream != nil {
		s.stream.Reset()
	}
	s.end(accesslog.Weir, accesslog.Internal, nil)
}

// read takes in frames. What they lead to is done at once; what they ask for is bounded by what the client takes.
func (s *session) read() {
	s.core.Clock(time.Now())
	for budget := turnBudget; s.state == reading; {
		switch {
		case s.stream.Buffered() > maxUnsent:
			return
		case budget <= 0:
			s.stream.Again()
			return
		}
		err := s.stream.Fill(readAhead)
		budget -= s.feed()
		switch err {
		case nil, eventloop.ErrPeekFull: // what is full holds at least one frame
		case eventloop.ErrAgain:
			return
		default:
			if s.state == reading {
				s.end(accesslog.Client, accesslog.ClientAbort, nil)
				s.close()
			}
		}
	}
}

// feed gives complete frames to the core, and returns how many bytes they are.
func (s *session) feed() (n int) {
	for s.state == reading {
		size, e, err := s.core.Next(s.stream.Peeked()[n:])
		n += size
		if err == http2.ErrShort {
			break
		}
		s.event(e)
		if err != nil {
			s.fail(err)
		}
	}
	if s.state == reading { // else all was dropped
		s.stream.Consume(n)
	}
	return n
}

// event deals with what a frame has come to.
func (s *session) event(e http2.Event) {
	switch e.Kind {
	case http2.Request:
		s.count++
		s.quiet = 0
		s.share.streams.Add(1)
		pop(&s.worker.lanes).begin(s)
		if s.worn() {
			s.retire(leavesWorn)
		}
	case http2.Content:
		e.Stream.Owner.(*lane).content(e.Data)
	case http2.Trailers:
		e.Stream.Owner.(*lane).trailer(e.Data)
	case http2.Cancelled:
		s.share.endings[endsCancelled].Add(1)
		e.Stream.Owner.(*lane).conn.lost(accesslog.Client, accesslog.ClientAbort, nil)
	case http2.Broken:
		s.share.endings[endsBroken].Add(1)
		reason := accesslog.ClientAbort
		if e.Err != nil {
			reason = accesslog.BadRequest
		}
		e.Stream.Owner.(*lane).conn.lost(accesslog.Client, reason, e.Err)
	case http2.Refused:
		how := endsLimit
		if e.Code == http2.NoError {
			how = endsLate
		}
		s.share.endings[how].Add(1)
	case http2.Room:
		if e.Stream != nil {
			s.wait(&e.Stream.Owner.(*lane).writer)
			return
		}
		for stream := range s.core.Streams() {
			s.wait(&stream.Owner.(*lane).writer)
		}
	}
}

// worn reports whether the connection has served its time.
func (s *session) worn() bool {
	set := s.set
	return set.KeepAliveRequests > 0 && s.count >= set.KeepAliveRequests ||
		set.KeepAliveTime > 0 && time.Since(s.began) >= set.KeepAliveTime
}

// EndTurn sends what the requests have written.
func (s *session) EndTurn() {
	defer s.rescue()
	s.pour()
	switch {
	case s.state == closed:
	case s.stream.Failed() != nil:
		s.end(accesslog.Client, accesslog.ClientAbort, nil)
		s.close()
	case s.state == reading && s.core.Done():
		s.finish()
	}
}

// fail ends the connection because of what the client has sent. It is told why, and the log is.
func (s *session) fail(err error) {
	reason := "h2"
	if e, ok := err.(*http2.Error); ok {
		reason = e.Reason
	}
	s.share.fail(reason)
	s.end(accesslog.Client, accesslog.BadRequest, head.NewError(400, reason, ""))
	s.record(reason)
	s.finish()
}

// end ends all requests.
func (s *session) end(by accesslog.Side, reason accesslog.Reason, err error) {
	s.ends = true
	for stream := range s.core.Streams() {
		stream.Owner.(*lane).conn.lost(by, reason, err)
	}
}

// record writes a line for a connection that broke HTTP/2, and counts it as a request that was not answered.
func (s *session) record(detail string) {
	w := s.worker
	took := time.Since(s.began)
	s.front.counters.shares[w.loop.ID()].add(0, took, 0, 0)
	if !w.log.Enabled() {
		return
	}
	r := &w.line
	*r = accesslog.Record{
		Protocol: accesslog.HTTP, Start: s.began, By: accesslog.Client, Reason: accesslog.BadRequest, Detail: detail,
		Client: s.stream.Remote(), Local: s.local, Entrypoint: s.front.name, Proto: head.HTTP2.String(), Total: took,
		RequestCount: s.count,
		Route:        accesslog.NotReached, Queue: accesslog.NotReached, Connect: accesslog.NotReached,
		FirstByte: accesslog.NotReached, Origin: accesslog.NotReached,
	}
	r.Scheme = "http"
	if s.security != nil {
		r.Scheme = "https"
		r.TLS, r.TLSVersion, r.TLSCipher, r.ServerName = accesslog.Terminated, s.version, s.cipher, s.name
	}
	w.record(r)
}

// finish ends a connection on which everything is said. What the client still sends is taken in for a while, so that it can
// read what was said.
func (s *session) finish() {
	s.flush()
	_ = s.stream.CloseWrite() // an error stays with the stream
	s.state, s.sends = lingering, false
	s.worker.loop.Arm(&s.timer, s.worker.linger, s)
	s.drop()
}

// drop takes in what a client still sends.
func (s *session) drop() {
	for s.state == lingering {
		s.stream.Hold(nil)
		b, err := s.stream.Receive(1 << 16)
		s.lingered += len(b)
		switch {
		case s.stream.Failed() != nil, s.lingered > lingerBytes:
			s.close()
		case err == eventloop.ErrAgain:
			return
		case err != nil:
			if s.stream.Buffered() == 0 {
				s.close()
			}
			return
		}
	}
}

// retire lets the connection end: requests that are under way, or on their way here, are served.
func (s *session) retire(why leaving) {
	if s.state != reading {
		return
	}
	s.leave(why)
	s.touch()
	s.core.Leave()
	s.worker.loop.Arm(&s.timer, min(farewell, s.set.tick), s)
}

// leave counts that the session is let end, the first time.
func (s *session) leave(why leaving) {
	if s.leaves == leavesNot {
		s.leaves = why
		s.share.leave(why)
	}
}

// Expired looks at the timeouts.
func (s *session) Expired(*eventloop.Timer) {
	defer s.rescue()
	switch s.state {
	case lingering:
		s.close()
	case reading:
		s.tick()
	}
	if s.state == reading {
		s.worker.loop.Arm(&s.timer, s.set.tick, s)
	}
}

func (s *session) tick() {
	s.set = s.front.settings.Load()
	if s.core.Leaving() { // the client has not answered the first word of it
		s.touch()
		s.core.LeaveNow()
	}
	if n := s.stream.Buffered(); n == 0 || n != s.unsent {
		s.unsent, s.stuck = n, 0
	} else if s.overdue(&s.stuck, s.set.ReadTimeout) {
		s.stream.Reset()
		s.end(accesslog.Client, accesslog.RequestTimeout, nil)
		s.close()
		return
	}
	if !s.core.MidHead() {
		s.stalled = 0
	} else if s.overdue(&s.stalled, s.set.ReadTimeout) {
		s.giveUp()
		return
	}
	begun := !s.core.Greeted() || len(s.stream.Peeked()) > 0
	switch {
	case s.core.Open() > 0:
		s.quiet = 0 // each has timeouts of its own
	case begun && s.overdue(&s.quiet, s.set.ReadTimeout), !begun && s.overdue(&s.quiet, s.set.KeepAliveTimeout):
		s.giveUp()
	}
}

// giveUp ends a connection on which nothing comes.
func (s *session) giveUp() {
	s.leave(leavesIdle)
	s.touch()
	s.core.LeaveNow()
	s.end(accesslog.Client, accesslog.RequestTimeout, nil)
	s.finish()
}

// overdue counts a tick and reports whether as many have passed as d has.
func (s *session) overdue(ticks *int, d time.Duration) bool {
	*ticks++
	return d > 0 && time.Duration(*ticks-1)*s.set.tick >= d
}

// close closes the connection. The requests must have been ended before.
func (s *session) close() {
	if s.state == closed {
		return
	}
	s.state, s.sends = closed, false
	s.share.over.Add(1)
	w := s.worker
	w.loop.Disarm(&s.timer)
	s.discard()
	if s.prev == nil {
		w.sessions = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.stream.Close()
	s.stream = nil // somebody else's from now on
}

// forEachSession does something to every open session.
func (w *worker) forEachSession(do func(*session)) {
	for s := w.sessions; s != nil; {
		next := s.next // do may end s, which unlinks it
		do(s)
		s = next
	}
}

var _ eventloop.TurnEnder = (*session)(nil)
