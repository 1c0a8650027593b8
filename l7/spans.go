package l7

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/upstream"
)

// The attributes are those of OpenTelemetry's semantic conventions for spans of HTTP and of gRPC, and weir's own.

// tell tells the span of the exchange, which is over.
func (x *Exchange) tell(now time.Time) {
	w, h, t := x.worker, &x.req, &x.traced
	b := w.spans
	method := tellMethod(b, view(h.AskedMethod()))
	path, query := askedPath(h.Asked())
	b.Text("url.scheme", x.conn.scheme())
	b.Text("url.path", view(path))
	if len(query) > 0 {
		out := t.by.appendQuery(w.scratch(), query)
		b.Text("url.query", view(out))
		w.sent(out)
	}
	if name := h.Hostname(); len(name) > 0 {
		b.Text("server.address", view(name))
		w.word = x.appendPort(w.word[:0])
		if port, err := strconv.Atoi(view(w.word)); err == nil {
			b.Int("server.port", port)
		}
	}
	x.tellClient(b)
	b.Text("network.protocol.version", version(h.Version()))
	x.tellPlaces(b)
	if x.status != 0 && x.status != 499 {
		b.Int("http.response.status_code", x.status)
	}
	for _, c := range t.by.requests {
		for value := range h.Values(c.field) {
			b.Item(view(value))
		}
		b.List(c.key)
	}
	for i, s := range t.seen {
		b.Item(s.value)
		if i+1 == len(t.seen) || t.seen[i+1].key != s.key {
			b.List(s.key)
		}
	}
	failed := x.tellOutcome(b, x.status, 500, x.reason, x.rpc.status)
	w.word = append(w.word[:0], method...)
	if x.router != nil {
		w.word = append(append(w.word, ' '), x.router.Name...)
	}
	b.Add(&span.Span{
		Context: t.Context, Parent: t.parent, Remote: true, State: view(h.Value(head.TraceState)), Kind: span.Server,
		Name: view(w.word), Start: x.began, End: now, Failed: failed,
	})
	w.flushSoon()
}

// tellClient tells who has sent the request.
func (x *Exchange) tellClient(b *span.Buffer) {
	w := x.worker
	if x.conn.stream != nil {
		client := x.conn.stream.Remote()
		w.word = client.Addr().Unmap().WithZone("").AppendTo(w.word[:0])
		b.Text("client.address", view(w.word))
		b.Int("client.port", int(client.Port()))
	}
	if agent, ok := x.req.Get("User-Agent"); ok {
		b.Text("user_agent.original", view(agent))
	}
}

// tellPlaces tells how the request was led, by names of the configuration.
func (x *Exchange) tellPlaces(b *span.Buffer) {
	if x.router != nil {
		b.Text("http.route", x.router.Rule)
		b.Text("weir.router", x.router.Name)
	}
	if x.service != nil {
		b.Text("weir.service", x.service.name)
	}
	b.Text("weir.entrypoint", x.conn.front.name)
	b.Text("weir.reason", x.reason.String())
}

// tellAttempt tells the span of the attempt at a backend that ends just now.
func (x *Exchange) tellAttempt(backend *upstream.Backend) {
	b, t := x.worker.spans, &x.traced
	method := tellMethod(b, view(x.req.Method()))
	x.worker.tellServer(b, t.by, x.lb.Transport, backend.Addr(), x.req.Target())
	b.Text("weir.service", x.service.name)
	if t.attempt.way != "" {
		b.Text("network.protocol.version", t.attempt.way)
	}
	if n := x.earlier + len(x.tried) - 1; n > 0 {
		b.Int("http.request.resend_count", n)
	}
	if x.origin != 0 {
		b.Int("http.response.status_code", x.origin)
	}
	reason := x.lapse
	if reason == accesslog.Unknown {
		reason = x.reason
	}
	call := 0
	if x.origin != 0 {
		call = x.rpc.status
	}
	failed := x.tellOutcome(b, x.origin, 400, reason, call)
	x.worker.tellCall(t, &t.attempt, method, x.service.name, failed)
}

// tellOutcome tells how the request, or an attempt at it, has come out, and whether that is a fault. call is the status of
// gRPC, and one; 0 = it has none.
func (x *Exchange) tellOutcome(b *span.Buffer, status, bad int, reason accesslog.Reason, call int) (failed bool) {
	failed = tellFault(b, status, bad, x.by, reason)
	if !x.rpc.is {
		return failed
	}
	b.Text("rpc.system", "grpc")
	if call == 0 {
		return failed
	}
	b.Int("rpc.grpc.status_code", call-1)
	fault := httpOf(call-1) >= 500
	if x.rpc.would != 0 { // weir's own answer, in terms of HTTP
		fault = x.rpc.would >= 500
	}
	if fault && !failed {
		b.Text("error.type", grpcNames[call-1])
	}
	return failed || fault
}

// tellCall adds the span of a call, of which everything else has been told. name is that of whom it was sent to.
func (w *worker) tellCall(t *traced, c *call, method, name string, failed bool) {
	w.word = append(append(append(w.word[:0], method...), ' '), name...)
	w.spans.Add(&span.Span{
		Context: c.Context, Parent: t.Span, Kind: span.Client, Name: view(w.word), Start: c.began, End: time.Now(), Failed: failed,
	})
	w.flushSoon()
}

// tellServer tells where a request was sent.
func (w *worker) tellServer(b *span.Buffer, by *Tracing, t *Transport, addr netip.AddrPort, target []byte) {
	if path, ok := upstream.UnixPath(addr); ok {
		b.Text("server.address", path)
		return
	}
	w.word = addr.Addr().AppendTo(w.word[:0])
	b.Text("server.address", view(w.word))
	b.Int("server.port", int(addr.Port()))
	out := append(append(w.scratch(), t.scheme()...), "://"...)
	out = addr.AppendTo(out)
	path, query := askedPath(target)
	out = append(out, path...)
	if len(query) > 0 {
		out = by.appendQuery(append(out, '?'), query)
	}
	b.Text("url.full", view(out))
	w.sent(out)
}

// tellMethod tells the method and returns what it is called in names of spans: a client may send any word.
func tellMethod(b *span.Buffer, method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT":
		b.Text("http.request.method", method)
		return method
	}
	b.Text("http.request.method", "_OTHER")
	b.Text("http.request.method_original", method)
	return "HTTP"
}

// tellFault tells what went wrong, if something did: an answer whose status is at least bad, or none to its end. That a
// client leaves is no fault.
func tellFault(b *span.Buffer, status, bad int, by accesslog.Side, reason accesslog.Reason) (failed bool) {
	switch {
	case status >= bad && status != 499:
		b.Number("error.type", status)
		return true
	case by != accesslog.Client && faulty(reason, status):
		b.Text("error.type", reason.String())
		return true
	}
	return false
}

// faulty reports whether an exchange that ended for the reason failed, whatever its status says: the answer had begun, and
// did not come to its end.
func faulty(reason accesslog.Reason, status int) bool {
	switch reason {
	case accesslog.NoBackend, accesslog.QueueFull, accesslog.QueueTimeout, accesslog.Refused, accesslog.ConnectTimeout, accesslog.ConnectFailed,
		accesslog.BadResponse, accesslog.ResponseTimeout, accesslog.BackendAbort, accesslog.BackendDown, accesslog.Drain, accesslog.Shutdown,
		accesslog.Internal:
		return true
	case accesslog.IdleTimeout:
		return status != 101 // there it is an end like any other
	}
	return false
}

// askedPath takes a target apart that a client has asked for, which may be a whole URL.
func askedPath(target []byte) (path, query []byte) {
	path, query, _ = bytes.Cut(target, []byte{'?'})
	if _, rest, ok := bytes.Cut(path, []byte("://")); ok && path[0] != '/' {
		path = rest[max(bytes.IndexByte(rest, '/'), 0):]
		if len(path) == 0 || path[0] != '/' {
			path = []byte("/")
		}
	}
	return path, query
}

// version is a version of HTTP as spans write it.
func version(v head.Version) string {
	switch v {
	case head.HTTP10:
		return "1.0"
	case head.HTTP11:
		return "1.1"
	}
	return "2"
}
