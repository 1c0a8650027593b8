package l7

import (
	"bytes"
	"time"

	"github.com/weirlb/weir/internal/trace"
	"github.com/weirlb/weir/l7/head"
)

// traced is the place of an exchange in a trace. It is decided when the head of the request is here, and lasts as long as the
// exchange, whatever a reload makes of tracing meanwhile.
type traced struct {
	by            *Tracing     // nil = the request is not traced
	trace.Context              // Span is the exchange's own
	parent        trace.SpanID // the client's; zero = the trace begins here
	attempt       call         // at a backend
	seen          []saw        // of the response's head
}

// call is a request to somebody else because of that of the client, and a span of its own where spans are recorded.
type call struct {
	trace.Context
	began time.Time
	way   string // the version of HTTP that it was sent by; empty = it was not sent
}

// saw is a field as it was. The head of a response is gone before its span is told.
type saw struct{ key, value string }

// recorded reports whether spans are told.
func (t *traced) recorded() bool { return t.by != nil && t.Flags&trace.Sampled != 0 }

// join makes the request part of the trace that the client names, or begins one. What a client says about a trace is passed
// on only where all of it is good (sections 3.2 to 3.4 of the Recommendation).
func (x *Exchange) join(by *Tracing) {
	t, h := &x.traced, &x.req
	t.by = by
	from, ok := trace.Context{}, false
	if !h.Repeated(head.TraceParent) {
		from, ok = trace.ParseParent(h.Value(head.TraceParent))
	}
	if ok {
		t.Context, t.parent = from, from.Span
		x.cleanState()
	} else {
		t.Trace = x.worker.names.Trace()
		if t.Flags = trace.Random; by.sampler.Takes(t.Trace) {
			t.Flags |= trace.Sampled
		}
		h.Discard(head.TraceState) // it belongs to a trace that nobody knows
	}
	t.Span = x.worker.names.Span()
}

// cleanState leaves the client's tracestate as it is where it is a good one in one field, makes one field of it, or takes it
// away.
func (x *Exchange) cleanState() {
	h, w := &x.req, x.worker
	if !h.Has(head.TraceState) {
		return
	}
	joined := w.scratch()
	for field := range h.Values("tracestate") {
		if len(joined) > 0 {
			joined = append(joined, ',')
		}
		joined = append(joined, field...)
	}
	switch state, ok := trace.CleanState(joined); {
	case !ok, len(state) == 0:
		h.Discard(head.TraceState)
	case h.Repeated(head.TraceState) || !bytes.Equal(h.Value(head.TraceState), state):
		if h.SetBytes("tracestate", state) != nil { // the head is as large as it may be
			h.Discard(head.TraceState)
		}
	}
	w.sent(joined)
}

// pass tells the server that gets a request whose it is: that of the attempt at hand, or where nobody records that, the
// exchange's.
func (t *traced) pass(w *worker, h *head.Head) {
	if t.by == nil {
		return
	}
	w.word = t.sender(&t.attempt).AppendParent(w.word[:0])
	if h.SetBytes("traceparent", w.word) != nil { // the head is as large as it may be
		h.Discard(head.TraceParent)
	}
}

// sender is who is the parent of what comes of a call.
func (t *traced) sender(c *call) *trace.Context {
	if t.recorded() {
		return &c.Context
	}
	return &t.Context
}

// call begins a call that is part of t's trace.
func (x *Exchange) call(began time.Time) call {
	c := call{Context: x.traced.Context, began: began}
	c.Span = x.worker.names.Span()
	return c
}

// traceID is the trace that the log names: where requests are not traced, that of the client.
func (x *Exchange) traceID() trace.ID {
	if x.traced.by != nil || x.req.Repeated(head.TraceParent) {
		return x.traced.Trace
	}
	c, _ := trace.ParseParent(x.req.Value(head.TraceParent))
	return c.Trace
}

// capture keeps what the span will say of the response's head.
func (x *Exchange) capture() {
	t := &x.traced
	if !t.recorded() {
		return
	}
	for _, c := range t.by.responses {
		for value := range x.res.Values(c.field) {
			t.seen = append(t.seen, saw{c.key, string(value)})
		}
	}
}
