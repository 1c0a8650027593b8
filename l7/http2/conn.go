package http2

import (
	"encoding/binary"
	"iter"
	"maps"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	// DefaultStreams is how many requests a client may have under way at one time where nothing else is said.
	DefaultStreams = 250
	// StreamWindow is how much content of one request is taken before the one it is for has taken some.
	StreamWindow = initialWindow
	// ConnWindow is the same for all requests of a connection together.
	ConnWindow = 1 << 20

	tableSize  = 4096 // of HPACK, either way: what RFC 9113 begins with
	buriedKept = 256  // streams that we have ended and whose late frames are let pass
)

// leavePing is in the PING behind the first GOAWAY: who answers it has seen that.
var leavePing = [8]byte{'w', 'e', 'i', 'r', 'b', 'y', 'e', 0}

// Options are what a Conn is held to.
type Options struct {
	Limits      http1.Limits
	Underscores http1.Underscores
	MaxStreams  int    // 0 = DefaultStreams
	Texts       *Texts // nil = its own
}

// Kind says what an Event is.
type Kind uint8

const (
	Nothing   Kind = iota // that anyone needs to know of
	Request               // a head has come: Accept takes it
	Content               // Data has come for Stream, and its end if Over
	Trailers              // a trailer section, and with it the end: Data is as HTTP/1 has it, without the empty line
	Cancelled             // Stream is closed by the peer, with Code
	Broken                // Stream is closed because of what the peer sent: Code, and perhaps Err, say why
	Refused               // a stream was not opened: RefusedStream is Code where there are too many, NoError where the peer was told of the last
	Room                  // Stream may send again; nil = all streams may
	Response              // a head for Stream has come: Answer takes it. On the client's side only, as is
	Away                  // the peer takes no more streams: Unserved tells which it has not looked at
)

// Event is what a frame has come to. Data lies in the bytes given to Next, or is good until the next call.
type Event struct {
	Kind   Kind
	Stream *Stream
	Data   []byte
	Code   Code
	Err    error
}

// leave is how far a connection has come with its end.
type leave uint8

const (
	staying leave = iota
	leaving       // the peer was told that there will be an end
	left          // it was told after which stream
)

// Conn is one side of a connection: Start makes it the server's, StartClient the client's. It belongs to one goroutine.
type Conn struct {
	// Out is what is to be sent. Whoever sends it empties it.
	Out []byte

	options Options
	client  *client // nil on the server's side
	streams map[uint32]*Stream
	buried  []uint32 // the last ones that we have reset
	grave   int      // where the next one goes
	last    uint32   // highest stream that the client has opened
	block   block
	decoder *hpack.Decoder
	encoder encoder
	budget  budget
	err     error // why it is over
	due     error // found outside of Next, which will say it

	greeted bool // the preface has come
	known   bool // and the settings
	leave   leave
	gone    bool // the peer has said that it goes

	continuing uint32 // stream whose head goes on; 0 = none
	more       int    // frames of it so far
	partial    []byte // of that head
	ending     bool   // it ends the stream

	send    int64 // bytes the peer lets us send, on all streams
	initial int64 // and on a new one
	recv    int32
	credit  int32
}

// Start makes c the server's side of a fresh connection, and writes its settings.
func (c *Conn) Start(o Options, now time.Time) {
	c.begin(o, now)
	o = c.options
	c.Out = appendHeader(c.Out, 3*6, frameSettings, 0, 0)
	c.Out = appendSetting(c.Out, settingStreams, uint32(o.MaxStreams))
	c.Out = appendSetting(c.Out, settingListSize, uint32(o.Limits.Head))
	c.Out = appendSetting(c.Out, settingConnect, 1)
	c.Out = appendWindow(c.Out, 0, ConnWindow-initialWindow)
}

func (c *Conn) begin(o Options, now time.Time) {
	if o.MaxStreams <= 0 {
		o.MaxStreams = DefaultStreams
	}
	if o.Texts == nil {
		o.Texts = new(Texts)
	}
	o.Limits = o.Limits.WithDefaults()
	*c = Conn{Out: c.Out[:0], options: o, streams: make(map[uint32]*Stream), send: initialWindow, initial: initialWindow, recv: ConnWindow}
	c.block.limits, c.block.under = o.Limits, o.Underscores
	c.decoder = hpack.NewDecoder(tableSize, c.block.field)
	c.block.decoder = c.decoder
	c.encoder.hpack = hpack.NewEncoder(&c.encoder)
	c.encoder.texts = o.Texts
	c.budget.began = now
}

// Clock tells the time by which the peer's budgets are kept. It is called before Next, as often as is convenient.
func (c *Conn) Clock(now time.Time) { c.budget.clock(now) }

// Streams yields those that are not closed, in no order. They may be closed meanwhile.
func (c *Conn) Streams() iter.Seq[*Stream] { return maps.Values(c.streams) }

// Open is the number of streams that are not closed.
func (c *Conn) Open() int { return len(c.streams) }

// Greeted reports whether the peer has sent its preface and settings.
func (c *Conn) Greeted() bool { return c.known }

// MidHead reports whether a part of a head has come.
func (c *Conn) MidHead() bool { return c.continuing != 0 }

// Next takes the first frame of b, and returns its length and what it has come to. ErrShort asks for more bytes; call
// again with the same ones and more. Any other error is an *Error and the end of the connection: Out says so to the peer.
func (c *Conn) Next(b []byte) (n int, e Event, err error) {
	if c.err == nil && c.due != nil {
		c.fail(c.due)
	}
	if c.err != nil {
		return 0, e, c.err
	}
	if n, e, err = c.next(b); err != nil && err != ErrShort {
		c.fail(err)
	}
	return n, e, err
}

// fail ends the connection.
func (c *Conn) fail(err error) {
	c.err = err
	code := InternalError
	why := ""
	if e, ok := err.(*Error); ok {
		code, why = e.Code, e.Reason
	}
	c.Out = appendGoAway(c.Out, c.lastTaken(), code, why)
}

func (c *Conn) next(b []byte) (n int, e Event, err error) {
	if !c.greeted {
		have := min(len(b), len(Preface))
		switch {
		case string(b[:have]) != Preface[:have]:
			return 0, e, errPreface
		case have < len(Preface):
			return 0, e, ErrShort
		}
		c.greeted = true
		return have, e, nil
	}
	if len(b) < headerSize {
		return 0, e, ErrShort
	}
	size := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	f := frame{kind: frameType(b[3]), flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) & maxStreamID}
	switch {
	case size > MaxFrame:
		return 0, e, errFrameSize
	case !c.known && (f.kind != frameSettings || f.has(flagAck)):
		return 0, e, errPreface
	case c.continuing != 0 && (f.kind != frameContinuation || f.stream != c.continuing):
		return 0, e, errContinuation
	case len(b) < headerSize+size:
		return 0, e, ErrShort
	}
	n = headerSize + size
	f.payload = b[headerSize:n:n]
	e, err = c.take(&f)
	return n, e, err
}

// take deals with a frame.
func (c *Conn) take(f *frame) (Event, error) {
	switch f.kind {
	case frameData:
		return c.data(f)
	case frameHeaders:
		return c.headers(f)
	case frameContinuation:
		return c.continuation(f)
	case frameReset:
		return c.reset(f)
	case frameWindow:
		return c.window(f)
	}
	if err := c.budget.frame(1); err != nil {
		return Event{}, err
	}
	switch f.kind {
	case frameSettings:
		return c.settings(f)
	case framePing:
		return Event{}, c.ping(f)
	case frameGoAway:
		if f.stream != 0 {
			return Event{}, errStreamID
		}
		if len(f.payload) < 8 {
			return Event{}, errFrameLength
		}
		c.gone = true
		return c.away(f), nil
	case framePriority:
		// Who depends on whom is not looked at (RFC 9113 section 5.3.2), not even a stream on itself.
		switch {
		case f.stream == 0:
			return Event{}, errStreamID
		case len(f.payload) != 5:
			return Event{}, errFrameLength
		}
	case framePush:
		return Event{}, errPush
	}
	return Event{}, nil // what is not known is passed over (section 5.5)
}

// idle reports whether a stream was never opened.
func (c *Conn) idle(id uint32) bool { return id&1 == 0 || id > c.last }

// late reports whether the peer may not have known yet that a stream is over, or was never served.
func (c *Conn) late(id uint32) bool {
	if c.client != nil {
		return true // there may have been more of them than are remembered; the budget bounds what comes
	}
	for _, b := range c.buried {
		if b == id {
			return true
		}
	}
	return false
}

// bury remembers a stream that we have ended before its peer has.
func (c *Conn) bury(id uint32) {
	if len(c.buried) < buriedKept {
		c.buried = append(c.buried, id)
		return
	}
	c.buried[c.grave] = id
	c.grave = (c.grave + 1) % buriedKept
}

// unpad takes the padding off a payload (RFC 9113 section 6.1).
func unpad(f *frame) ([]byte, error) {
	p := f.payload
	if !f.has(flagPadded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, errFrameLength
	}
	pad := int(p[0])
	if pad >= len(p) {
		return nil, errPadding
	}
	return p[1 : len(p)-pad], nil
}

// data is RFC 9113 section 6.1.
func (c *Conn) data(f *frame) (Event, error) {
	if f.stream == 0 {
		return Event{}, errStreamID
	}
	content, err := unpad(f)
	if err != nil {
		return Event{}, err
	}
	size, end := int32(len(f.payload)), f.has(flagEndStream)
	if c.recv -= size; c.recv < 0 {
		return Event{}, errWindow
	}
	s := c.streams[f.stream]
	switch {
	case s == nil:
		c.refund(size)
		return Event{}, c.lateFrame(f.stream)
	case s.over:
		c.refund(size)
		return c.breakStream(s, StreamClosed, nil)
	case c.awaits(s):
		c.refund(size)
		return c.breakStream(s, ProtocolError, ErrEarlyContent)
	case size > s.recv:
		c.refund(size)
		return c.breakStream(s, FlowControlError, nil)
	case !s.fits(len(content), end):
		c.refund(size)
		return c.breakStream(s, ProtocolError, ErrLengthMismatch)
	}
	s.recv -= size
	s.over = end
	c.hold(s, int32(len(content)))
	if padding := size - int32(len(content)); padding > 0 {
		c.refund(padding)
		c.grant(s, padding)
	}
	if len(content) > 0 {
		c.budget.transfers++
	} else if !end {
		if err := c.budget.frame(emptyCost); err != nil {
			return Event{}, err
		}
	}
	c.finish(s)
	return Event{Kind: Content, Stream: s, Data: content}, nil
}

// lateFrame judges a frame with a part of a request, for a stream that is not open.
func (c *Conn) lateFrame(id uint32) error {
	switch {
	case c.idle(id):
		return errIdle
	case !c.late(id):
		return errClosed
	}
	return c.budget.frame(lateCost)
}

// headers is RFC 9113 section 6.2.
func (c *Conn) headers(f *frame) (Event, error) {
	if f.stream&1 == 0 {
		return Event{}, errStreamID
	}
	p, err := unpad(f)
	if err != nil {
		return Event{}, err
	}
	if f.has(flagPriority) {
		if len(p) < 5 {
			return Event{}, errFrameLength
		}
		p = p[5:]
	}
	if (f.stream <= c.last || c.client != nil) && c.streams[f.stream] == nil {
		if err := c.lateFrame(f.stream); err != nil {
			return Event{}, err
		}
	}
	c.ending = f.has(flagEndStream)
	if f.has(flagEndHeaders) {
		return c.decode(f.stream, p)
	}
	c.continuing, c.more = f.stream, 0
	c.partial = append(c.partial[:0], p...)
	return Event{}, c.checkBlock()
}

// continuation is RFC 9113 section 6.10.
func (c *Conn) continuation(f *frame) (Event, error) {
	if c.continuing == 0 {
		return Event{}, errContinuation
	}
	c.more++
	c.partial = append(c.partial, f.payload...)
	if err := c.checkBlock(); err != nil {
		return Event{}, err
	}
	if !f.has(flagEndHeaders) {
		return Event{}, nil
	}
	id, p := c.continuing, c.partial
	c.continuing, c.partial = 0, nil // it is hardly ever needed
	return c.decode(id, p)
}

// checkBlock bounds a head that comes in several frames. It is not decoded before it is complete, and one that is too
// long must not be dropped, because later ones refer to it: that is the end of the connection.
func (c *Conn) checkBlock() error {
	if c.more > maxContinuations || len(c.partial) > c.options.Limits.Head+blockRoom {
		return errBlockSize
	}
	return nil
}

// decode reads a head, or the trailer section of a stream that has had its head.
func (c *Conn) decode(id uint32, p []byte) (Event, error) {
	fresh := id > c.last
	reply := !fresh && c.awaits(c.streams[id])
	c.block.begin(!fresh && !reply)
	c.block.reply = reply
	for len(p) > 0 {
		n := min(len(p), decodeStep)
		if _, err := c.decoder.Write(p[:n]); err != nil {
			return Event{}, errHPACK
		}
		if c.block.flood {
			return Event{}, errCalmFields
		}
		p = p[n:]
	}
	if c.decoder.Close() != nil {
		return Event{}, errHPACK
	}
	c.block.done()
	switch {
	case reply:
		return c.response(c.streams[id])
	case !fresh:
		return c.trailers(c.streams[id])
	}
	c.last = id
	if c.leave == left {
		c.bury(id) // the peer was told that nobody looks at it, and may try elsewhere
		return Event{Kind: Refused}, c.budget.frame(lateCost)
	}
	c.budget.transfers++
	if len(c.streams) >= c.options.MaxStreams {
		c.bury(id)
		c.Out = appendReset(c.Out, id, RefusedStream)
		return Event{Kind: Refused, Code: RefusedStream}, c.budget.reset()
	}
	return Event{Kind: Request}, nil
}

// Accept opens the stream of the Request that Next has just returned, and fills h with its head. An error is the reason to
// refuse it, as those of http1.Parser are; the stream is open nevertheless.
func (c *Conn) Accept(s *Stream, h *head.Head) error {
	*s = Stream{ID: c.last, Owner: s.Owner, send: c.initial, recv: StreamWindow, over: c.ending, left: -1, toCome: c.block.length}
	c.streams[s.ID] = s
	err := c.block.request(h, c.ending)
	if err != nil {
		s.toCome, s.refused = -1, true
		if c.due == nil {
			c.due = c.budget.reset()
		}
	}
	s.connect = err == nil && c.block.connects()
	return err
}

// trailers deals with a trailer section; s is nil when its stream is over.
func (c *Conn) trailers(s *Stream) (Event, error) {
	switch {
	case s == nil:
		return Event{}, nil
	case s.over:
		return c.breakStream(s, StreamClosed, nil)
	case !c.ending, s.connect: // RFC 9113 section 8.5
		return c.breakStream(s, ProtocolError, ErrTrailerSection)
	case c.block.err != nil:
		return c.breakStream(s, ProtocolError, c.block.err)
	case !s.fits(0, true):
		return c.breakStream(s, ProtocolError, ErrLengthMismatch)
	}
	s.over = true
	c.finish(s)
	return Event{Kind: Trailers, Stream: s, Data: c.block.raw}, nil
}

// reset is RFC 9113 section 6.4.
func (c *Conn) reset(f *frame) (Event, error) {
	switch {
	case len(f.payload) != 4:
		return Event{}, errFrameLength
	case f.stream == 0:
		return Event{}, errStreamID
	case c.idle(f.stream):
		return Event{}, errIdle
	}
	s := c.streams[f.stream]
	if s == nil {
		return Event{}, c.budget.frame(1)
	}
	if err := c.broke(); err != nil {
		return Event{}, err
	}
	c.close(s)
	return Event{Kind: Cancelled, Stream: s, Code: Code(binary.BigEndian.Uint32(f.payload))}, nil
}

// breakStream ends a stream because of what the peer has sent. That counts like a reset of the peer's own, or it could
// have us do what it may not do itself.
func (c *Conn) breakStream(s *Stream, code Code, why error) (Event, error) {
	c.Out = appendReset(c.Out, s.ID, code)
	c.bury(s.ID)
	c.close(s)
	return Event{Kind: Broken, Stream: s, Code: code, Err: why}, c.broke()
}

// close forgets a stream. What the caller has of its content counts as consumed.
func (c *Conn) close(s *Stream) {
	s.closed = true
	delete(c.streams, s.ID)
	c.refund(s.held)
	s.held = 0
}

// finish closes a stream that has ended both ways.
func (c *Conn) finish(s *Stream) {
	if s.over && s.ended && !s.closed {
		if !s.refused {
			c.budget.completed++
		}
		c.close(s)
	}
}

// settings is RFC 9113 section 6.5.
func (c *Conn) settings(f *frame) (Event, error) {
	p := f.payload
	switch {
	case f.stream != 0:
		return Event{}, errStreamID
	case len(p)%6 != 0, f.has(flagAck) && len(p) > 0:
		return Event{}, errFrameLength
	case f.has(flagAck):
		return Event{}, nil
	}
	initial := c.initial
	for ; len(p) > 0; p = p[6:] {
		v := binary.BigEndian.Uint32(p[2:])
		switch binary.BigEndian.Uint16(p) {
		case settingTableSize:
			c.encoder.hpack.SetMaxDynamicTableSize(min(v, tableSize))
		case settingPush:
			if v > 1 || v == 1 && c.client != nil {
				return Event{}, errSettings // only a client may be pushed to (RFC 9113 section 8.4)
			}
		case settingStreams:
			c.mayOpen(v)
		case settingInitialWindow:
			if v > maxWindow {
				return Event{}, errSettingWindow
			}
			initial = int64(v)
		case settingFrameSize:
			if v < MaxFrame || v > 1<<24-1 {
				return Event{}, errSettings
			}
		}
	}
	c.known = true
	c.Out = appendHeader(c.Out, 0, frameSettings, flagAck, 0)
	more := initial - c.initial
	c.initial = initial
	if more == 0 && c.client == nil {
		return Event{}, nil
	}
	for _, s := range c.streams { // what stands in one frame counts together, so that this is done once
		if s.send += more; s.send > maxWindow {
			return Event{}, errSettingWindow
		}
		s.blocked = s.blocked && s.send <= 0
	}
	return Event{Kind: Room}, nil
}

// ping is RFC 9113 section 6.7.
func (c *Conn) ping(f *frame) error {
	switch {
	case f.stream != 0:
		return errStreamID
	case len(f.payload) != 8:
		return errFrameLength
	case !f.has(flagAck):
		c.Out = appendPing(c.Out, flagAck, f.payload)
	case c.leave == leaving && string(f.payload) == string(leavePing[:]):
		c.LeaveNow()
	}
	return nil
}

// window is RFC 9113 section 6.9.
func (c *Conn) window(f *frame) (Event, error) {
	if len(f.payload) != 4 {
		return Event{}, errFrameLength
	}
	if err := c.budget.frame(1); err != nil {
		return Event{}, err
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & maxWindow)
	if f.stream == 0 {
		switch c.send += n; {
		case n == 0:
			return Event{}, errWindowZero
		case c.send > maxWindow:
			return Event{}, errWindow
		}
		return Event{Kind: Room}, nil
	}
	s := c.streams[f.stream]
	switch {
	case s == nil && c.idle(f.stream):
		return Event{}, errIdle
	case s == nil:
		return Event{}, nil
	case n == 0:
		return c.breakStream(s, ProtocolError, nil)
	case s.send+n > maxWindow:
		return c.breakStream(s, FlowControlError, nil)
	}
	s.send += n
	s.blocked = s.blocked && s.send <= 0
	return Event{Kind: Room, Stream: s}, nil
}

// Consumed says that n more bytes of a stream's Content went where they are meant to go: the peer may send as many again.
func (c *Conn) Consumed(s *Stream, n int) {
	if s.closed {
		return // they were counted when it was closed
	}
	if c.client == nil {
		s.held -= int32(n)
		c.refund(int32(n))
	} else {
		s.widen(int32(n))
	}
	c.grant(s, int32(n))
}

// refund lets the peer send n bytes more, on any stream. Half a window is announced at once.
func (c *Conn) refund(n int32) {
	if c.credit += n; c.credit >= ConnWindow/2 {
		c.Out = appendWindow(c.Out, 0, c.credit)
		c.recv += c.credit
		c.credit = 0
	}
}

// grant lets the peer send n bytes more on a stream.
func (c *Conn) grant(s *Stream, n int32) {
	if s.credit += n; s.credit >= StreamWindow/2 && !s.over {
		c.Out = appendWindow(c.Out, s.ID, s.credit)
		s.recv += s.credit
		s.credit = 0
	}
}

// Spare is how many bytes the peer lets us send now, on all streams together.
func (c *Conn) Spare() int64 { return c.send }

// Head writes the head of a response, which ends the stream if end is set; one with 1xx never does. How much content
// follows is taken from its framing: with Length the last byte of that ends the stream, else End does.
func (c *Conn) Head(s *Stream, h *head.Head, end bool) {
	if s.closed || s.ended {
		return
	}
	c.encoder.response(h)
	if h.Status() >= 200 {
		if f := h.Framing(); f.Kind == head.Length {
			s.left = f.Length
			end = end || f.Length == 0
		}
	} else {
		end = false
	}
	c.Out = c.encoder.appendBlock(c.Out, s.ID, end)
	s.ended = end
	c.finish(s)
}

// Data writes content as far as the windows let it, and returns how much of it that is. It is taken and dropped where the
// stream is over.
func (c *Conn) Data(s *Stream, p []byte) (n int) {
	if s.closed || s.ended {
		return len(p)
	}
	for n < len(p) {
		size := min(int64(len(p)-n), MaxFrame, s.send, c.send)
		if size <= 0 {
			s.blocked = s.send <= 0
			return n
		}
		flags := uint8(0)
		if s.left >= 0 {
			size = min(size, s.left)
			if s.left -= size; s.left <= 0 {
				flags, s.ended = flagEndStream, true
			}
		}
		c.Out = append(appendHeader(c.Out, int(size), frameData, flags, s.ID), p[n:n+int(size)]...)
		s.send -= size
		c.send -= size
		c.budget.transfers++
		n += int(size)
		if s.ended {
			c.finish(s)
			return len(p)
		}
	}
	return n
}

// End ends a stream whose content is complete, with a trailer section if there is one: lines as HTTP/1 has them.
func (c *Conn) End(s *Stream, trailers []byte) {
	if s.closed || s.ended {
		return
	}
	s.ended = true
	if len(trailers) > 0 && c.encoder.trailers(trailers) {
		c.Out = c.encoder.appendBlock(c.Out, s.ID, true)
	} else {
		c.Out = appendHeader(c.Out, 0, frameData, flagEndStream, s.ID)
	}
	c.finish(s)
}

// Reset ends a stream in the middle. One that is closed already is left alone.
func (c *Conn) Reset(s *Stream, code Code) {
	if s.closed {
		return
	}
	c.Out = appendReset(c.Out, s.ID, code)
	if !s.over {
		c.bury(s.ID)
	}
	if code == NoError && !s.refused {
		c.budget.completed++
	}
	c.close(s)
}

// Blame tells the peer of a malformed request, after the response to it, that it was one (RFC 9113 section 8.1.1).
func (c *Conn) Blame(s *Stream) {
	if s.closed {
		c.Out = appendReset(c.Out, s.ID, ProtocolError)
		return
	}
	c.Reset(s, ProtocolError)
}

// Leave announces the end of the connection: requests that are on their way are still served. The peer's answer, or
// LeaveNow, says which one is the last (RFC 9113 section 6.8).
func (c *Conn) Leave() {
	if c.leave == staying && c.err == nil {
		c.leave = leaving
		c.Out = appendGoAway(c.Out, maxStreamID, NoError, "")
		c.Out = appendPing(c.Out, 0, leavePing[:])
	}
}

// LeaveNow takes no more requests.
func (c *Conn) LeaveNow() {
	if c.leave != left && c.err == nil {
		c.leave = left
		c.Out = appendGoAway(c.Out, c.lastTaken(), NoError, "")
	}
}

// Leaving reports whether Leave was called and it is not said yet which request is the last.
func (c *Conn) Leaving() bool { return c.leave == leaving }

// Done reports whether nothing more will happen here.
func (c *Conn) Done() bool { return c.err != nil || len(c.streams) == 0 && (c.leave == left || c.gone) }
