package l7

import (
	"errors"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http2"
)

const (
	maxOverhead = 4 * http2.StreamWindow // of chunks that are held for one lane
)

var errLaneReset = errors.New("stream was reset by the client")

// lane is a stream of a session: it carries one request and its response, between the session and a conn for which it is
// the client's connection. Content whose length nobody has said comes to the conn in chunks, as from a client of HTTP/1,
// so that everything behind reads one kind of body; content goes to the client as it is.
type lane struct {
	http2.Stream
	stream    eventloop.Stream
	session   *session
	conn      *conn
	writer    writer // of the response
	inlet     inlet  // of the request
	malformed bool
	trailers  []byte // of the response, as HTTP/1 has them
}

// release makes a lane that is over ready for another request. The stream's object keeps its count of lives.
func (w *worker) release(l *lane) {
	l.session, l.conn = nil, nil
	l.writer, l.malformed = writer{}, false
	l.inlet.reset()
	if l.trailers = l.trailers[:0]; cap(l.trailers) > 1<<10 {
		l.trailers = nil
	}
	push(&w.lanes, l)
}

// begin has a conn of its own serve the request that has just come.
func (l *lane) begin(s *session) {
	w := s.worker
	c := w.take()
	l.session, l.conn, l.Owner = s, c, l
	c.lane, c.stream, c.state, c.last, c.count = l, &l.stream, busy, true, s.count
	c.front, c.set, c.began, c.local = s.front, s.front.settings.Load(), s.began, s.local
	c.security, c.name, c.version, c.cipher = s.security, s.name, s.version, s.cipher
	l.writer.stream = &l.stream
	l.stream.OpenVirtual(w.loop, s.stream.Remote(), l, c)
	w.loop.Arm(&c.timer, c.set.tick, c)
	c.x = w.exchange(c)
	err := s.core.Accept(&l.Stream, &c.x.req)
	l.inlet.chunked = c.x.req.Framing().Kind == head.Chunked
	if l.Connects() {
		c.x.proposeKey()
	}
	c.serve(err)
}

// serve starts the one request of a lane, or refuses it.
func (c *conn) serve(err error) {
	defer c.rescue()
	c.x.req.Keep()
	if err != nil {
		status, _ := head.Refusal(err)
		c.lane.malformed = status == 400
		c.x.refuse(err)
		return
	}
	c.x.start(c.x.began)
}

// lost ends the request of a lane that is closed already, for a reason in err where it is the client's fault.
func (c *conn) lost(by accesslog.Side, reason accesslog.Reason, err error) {
	defer c.rescue()
	if c.state == closed {
		return
	}
	c.stream.Break(errLaneReset)
	if c.state == tunnelling {
		if err != nil {
			_, c.x.detail = head.Refusal(err)
		}
		c.x.tunnel.lost(by, reason)
		return
	}
	if c.state == busy && c.x.phase != over {
		if err != nil {
			_, c.x.detail = head.Refusal(err)
		}
		c.x.cut(by, reason)
		return
	}
	c.close()
}

// content delivers what has come of the request's body.
func (l *lane) content(p []byte) {
	l.inlet.content(&l.stream, p, l.Over())
	l.deliver()
}

// trailer delivers the request's trailer section, and with it the end.
func (l *lane) trailer(lines []byte) {
	l.inlet.trailer(&l.stream, lines)
	l.deliver()
}

func (l *lane) deliver() {
	if l.inlet.overhead > maxOverhead {
		// Hardly anything but chunks of a byte each comes to that.
		l.session.touch()
		l.session.core.Reset(&l.Stream, http2.EnhanceYourCalm)
		l.session.share.endings[endsBroken].Add(1)
		l.conn.lost(accesslog.Client, accesslog.BadRequest, nil)
		return
	}
	l.stream.Notify()
}

// respond sends the head of a response.
func (l *lane) respond(h *head.Head, bodiless bool) {
	l.session.touch()
	l.session.core.Head(&l.Stream, h, bodiless || h.Framing().Kind == head.None)
}

// Take implements eventloop.Peer.
func (l *lane) Take(p []byte) int {
	if l.Gone() || l.Ended() {
		return len(p)
	}
	s := l.session
	n := min(s.roomFor(&l.writer), len(p))
	if n > 0 {
		s.touch()
		n = s.core.Data(&l.Stream, p[:n])
		l.writer.share -= n
	}
	if n < len(p) && !l.Blocked() && !l.Ended() {
		s.comeAgain(&l.writer)
	}
	return n
}

// Consumed implements eventloop.Peer.
func (l *lane) Consumed(n int) {
	if n = l.inlet.consumed(n); n > 0 {
		l.session.touch()
		l.session.core.Consumed(&l.Stream, n)
	}
}

// Finished implements eventloop.Peer.
func (l *lane) Finished() {
	l.session.touch()
	l.session.core.End(&l.Stream, l.trailers)
}

// Closed implements eventloop.Peer.
func (l *lane) Closed(reset bool) {
	s := l.session
	s.touch()
	s.part(&l.writer)
	s.share.streamsOver.Add(1)
	l.counts(reset)
	switch {
	case l.malformed:
		s.core.Blame(&l.Stream)
	case l.Connects() && (reset || !l.Ended()):
		s.core.Reset(&l.Stream, http2.Cancel) // what a reset of TCP is here (RFC 8441 section 5)
	case reset || !l.Ended():
		s.core.Reset(&l.Stream, http2.InternalError)
	case !l.Over():
		s.core.Reset(&l.Stream, http2.NoError) // it may stop sending what nobody reads (RFC 9113 section 8.1)
	}
}

// counts counts a stream that is reset from this side. Those that end with their connection are not counted.
func (l *lane) counts(reset bool) {
	switch s := l.session; {
	case l.Gone() && !l.malformed, s.ends:
	case l.malformed:
		s.share.endings[endsMalformed].Add(1)
	case reset || !l.Ended():
		s.share.endings[endsCut].Add(1)
	}
}

var _ eventloop.Peer = (*lane)(nil)
