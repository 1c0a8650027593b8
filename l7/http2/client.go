package http2

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/weirlb/weir/l7/head"
)

const (
	// ReplyWindow is how much content of one response is taken at most before the one it is for has taken some. A response
	// begins with a StreamWindow, so that many clients that do not read cannot have much held, and has the larger one once so
	// much of it went where it is meant to go.
	ReplyWindow = 256 << 10
	widenAfter  = 512 << 10

	lateRoom = 128 // transfers that the budget gets for a stream which we end in the middle: its frames may be on their way
)

// client is what the client's side of a connection has besides.
type client struct {
	most   int64  // streams that the peer lets be open at one time; -1 = it has not said
	served uint32 // the last stream that the peer may have looked at
}

// StartClient makes c the client's side of a fresh connection, and writes the preface and its settings. MaxStreams is how many
// requests may be under way at one time where the peer allows more. Connections are shared by requests of clients that have
// nothing to do with each other: what one of them does not take must not stop the others, so that only the windows of
// streams bound what is held.
func (c *Conn) StartClient(o Options, now time.Time) {
	c.begin(o, now)
	c.client = &client{most: -1, served: maxStreamID}
	c.greeted = true // there is no preface of a server but its settings
	c.Out = append(c.Out, Preface...)
	c.Out = appendHeader(c.Out, 2*6, frameSettings, 0, 0)
	c.Out = appendSetting(c.Out, settingPush, 0)
	c.Out = appendSetting(c.Out, settingListSize, uint32(c.options.Limits.Head))
	c.Out = appendWindow(c.Out, 0, ConnWindow-initialWindow)
}

// Vacant is how many more streams Ask may open now. As long as the peer's settings are not here it may allow one only, so that
// no other is risked.
func (c *Conn) Vacant() int {
	most := c.Most()
	switch {
	case !c.Lasting():
		return 0
	case !c.known:
		most = 1
	}
	return max(most-len(c.streams), 0)
}

// Most is how many streams may be open at one time; 0 as long as the peer has not said.
func (c *Conn) Most() int {
	switch {
	case !c.known:
		return 0
	case c.client.most >= 0:
		return int(min(int64(c.options.MaxStreams), c.client.most))
	}
	return c.options.MaxStreams
}

// Lasting reports whether streams can be opened, now or after others have ended.
func (c *Conn) Lasting() bool {
	return c.err == nil && c.due == nil && !c.gone && c.leave == staying && c.last < maxStreamID-1
}

// Ask opens a stream with the head of a request, which is all of it if end is set. scheme is that of the connection. How much
// content follows is taken from the framing, as Head does.
func (c *Conn) Ask(s *Stream, h *head.Head, scheme string, end bool) {
	c.last += 1 + c.last&1 // 1, 3, 5, ...
	*s = Stream{ID: c.last, Owner: s.Owner, send: c.initial, recv: StreamWindow, left: -1, toCome: -1, bodiless: string(h.Method()) == "HEAD"}
	c.streams[s.ID] = s
	c.budget.transfers++
	if f := h.Framing(); f.Kind == head.Length {
		s.left = f.Length
		end = end || f.Length == 0
	}
	c.encoder.request(h, scheme)
	c.Out = c.encoder.appendBlock(c.Out, s.ID, end)
	s.ended = end
}

// Answer fills h with the head of the Response that Next has just returned. Its bytes are good until the next head is read.
func (c *Conn) Answer(s *Stream, h *head.Head) { c.block.response(h, s.bodiless, s.over) }

// Cancel ends a stream in the middle: nobody waits for the rest of the response.
func (c *Conn) Cancel(s *Stream, code Code) {
	if !s.closed && !s.over {
		c.budget.transfers += lateRoom
	}
	c.Reset(s, code)
}

// Ping asks the peer for a sign of life.
func (c *Conn) Ping() {
	if c.err == nil {
		c.Out = appendPing(c.Out, 0, []byte("weirping"))
	}
}

// Unserved yields the streams that the peer says it has not looked at (RFC 9113 section 6.8), each of which is closed before.
func (c *Conn) Unserved() iter.Seq[*Stream] {
	return func(yield func(*Stream) bool) {
		for id, s := range c.streams {
			if id <= c.client.served {
				continue
			}
			c.close(s)
			if !yield(s) {
				return
			}
		}
	}
}

// awaits reports whether s, which may be nil, waits for the head of its response.
func (c *Conn) awaits(s *Stream) bool { return c.client != nil && s != nil && !s.heard }

// away takes the peer's GOAWAY, which was looked at.
func (c *Conn) away(f *frame) Event {
	if c.client == nil {
		return Event{}
	}
	c.client.served = min(c.client.served, binary.BigEndian.Uint32(f.payload)&maxStreamID)
	return Event{Kind: Away, Code: Code(binary.BigEndian.Uint32(f.payload[4:]))}
}

// mayOpen takes the peer's bound on streams. On the server's side it would be about pushing, which is never done.
func (c *Conn) mayOpen(most uint32) {
	if c.client != nil {
		c.client.most = int64(most)
	}
}

// lastTaken is the last stream of the peer's own that was looked at: none where it may open none.
func (c *Conn) lastTaken() uint32 {
	if c.client != nil {
		return 0
	}
	return c.last
}

// hold counts content that is handed out. A client lets the peer send as much on other streams at once.
func (c *Conn) hold(s *Stream, n int32) {
	if c.client != nil {
		c.refund(n)
		return
	}
	s.held += n
}

// widen counts content that was consumed, and gives a stream whose content is taken as it comes the larger window.
func (s *Stream) widen(n int32) {
	if before := s.taken; before < widenAfter {
		if s.taken += n; s.taken >= widenAfter {
			s.credit += ReplyWindow - StreamWindow
		}
	}
}

// broke counts a stream that the peer has ended, or made us end. A server can do that to no more streams than were opened.
func (c *Conn) broke() error {
	if c.client != nil {
		return nil
	}
	return c.budget.reset()
}

// response deals with the head of a response.
func (c *Conn) response(s *Stream) (Event, error) {
	b := &c.block
	code, err := b.checkResponse(s.bodiless, c.ending)
	if err != nil {
		return c.breakStream(s, ProtocolError, err)
	}
	if code < 200 {
		return Event{Kind: Response, Stream: s}, c.budget.frame(1)
	}
	s.heard, s.over = true, c.ending
	switch {
	case bare(code, s.bodiless):
		s.toCome = 0
	default:
		s.toCome = b.length
	}
	c.budget.transfers++
	c.finish(s)
	return Event{Kind: Response, Stream: s}, nil
}

// Fits is how much of n bytes of content Data would take now.
func (c *Conn) Fits(s *Stream, n int) int {
	fits := min(int64(n), s.send, c.send)
	if n > 0 && fits <= 0 {
		s.blocked = s.send <= 0
		return 0
	}
	return int(fits)
}
