package l7

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/l7/head"
)

// Statuses of gRPC that weir itself says or looks for (github.com/grpc/grpc/blob/master/doc/statuscodes.md).
const (
	grpcCancelled         = 1
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcDataLoss          = 15
	grpcUnauthenticated   = 16
	grpcStatuses          = 17 // there are so many
)

// grpcNames are what the statuses of gRPC are called, by their numbers.
var grpcNames = [grpcStatuses]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// maxTimeoutDigits is how many digits grpc-timeout has at most (PROTOCOL-HTTP2.md).
const maxTimeoutDigits = 8

// rpc is what an exchange knows about itself when it is a call of gRPC.
type rpc struct {
	is      bool
	web     bool      // of gRPC-Web: its trailers go into a body
	until   time.Time // its deadline; zero = it has none
	expired bool      // that has passed
	status  int       // of gRPC, and one; 0 = nobody has said it
	would   int       // the status of HTTP that weir's own answer stands for
}

// talks reports whether both sides speak when they like. Browsers send all they have to say at once.
func (r *rpc) talks() bool { return r.is && !r.web }

// beginCall finds out whether a request is a call, and when it is to be over.
func (x *Exchange) beginCall() {
	h := &x.req
	if x.conn.lane == nil || !head.IsGRPC(h.Value(head.ContentType)) {
		return
	}
	x.enterCall()
}

// enterCall treats the request as a call from here on.
func (x *Exchange) enterCall() {
	x.rpc.is = true
	if v, ok := x.req.Get("grpc-timeout"); ok {
		if d, ok := grpcTimeout(v); ok {
			x.rpc.until = x.began.Add(d)
			x.worker.loop.Arm(&x.deadline, max(time.Until(x.rpc.until), 0), x)
		}
	}
}

// grpcTimeout reads a value of grpc-timeout: digits and a unit.
func grpcTimeout(v []byte) (time.Duration, bool) {
	digits := len(v) - 1
	if digits < 1 || digits > maxTimeoutDigits {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v[:digits]), 10, 32)
	if err != nil {
		return 0, false
	}
	unit := time.Duration(0)
	switch v[digits] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	const most = 1 << 62
	if n > uint64(most/unit) {
		return most, true
	}
	return time.Duration(n) * unit, true
}

// late reports whether a call has come to nothing for want of time. The server, which knows the deadline, may have ended it a
// little before weir's timer did.
func (r *rpc) late() bool {
	const little = 50 * time.Millisecond
	return r.expired || !r.until.IsZero() && time.Until(r.until) < little
}

// expire ends a call whose deadline has passed.
func (x *Exchange) expire() {
	if x.phase == over {
		return
	}
	x.rpc.expired = true
	x.outer = 0 // there is no time for anything else
	x.fail(504, accesslog.Weir, accesslog.ResponseTimeout)
}

// grpcOf is the status of gRPC for one of HTTP (doc/http-grpc-status-mapping.md).
func grpcOf(status int) int {
	switch status {
	case 400:
		return grpcInternal
	case 401:
		return grpcUnauthenticated
	case 403:
		return grpcPermissionDenied
	case 404:
		return grpcUnimplemented
	case 429, 502, 503, 504:
		return grpcUnavailable
	}
	return grpcUnknown
}

// httpOf is the status of HTTP that one of gRPC stands for where servers are judged and tried again: those which say that the
// server has failed are 5xx, as in Envoy. What is the caller's fault, or an answer like any other, is 200.
func httpOf(status int) int {
	switch status {
	case grpcUnknown, grpcInternal, grpcDataLoss:
		return 500
	case grpcUnimplemented:
		return 501
	case grpcUnavailable:
		return 503
	case grpcDeadlineExceeded:
		return 504
	case grpcResourceExhausted:
		return 429
	}
	return 200
}

// excuse makes h, weir's own answer with the status, one to a call: a head that is all of it, with HTTP's 200.
func (x *Exchange) excuse(h *head.Head, status int) {
	x.rpc.would = status
	code, message := grpcOf(status), strconv.Itoa(status)+" "+http.StatusText(status)
	switch {
	case x.rpc.late():
		code, message = grpcDeadlineExceeded, "the deadline of the call has passed"
	case x.reason != accesslog.Unknown:
		message += " (" + x.reason.String() + ")"
	}
	x.rpc.status = code + 1
	_ = h.SetStatus(200, "OK") // all of this is good
	_ = h.Set("Content-Type", "application/grpc")
	_ = h.Set("grpc-status", strconv.Itoa(code))
	_ = h.Set("grpc-message", message)
	h.SetFraming(head.Framing{Kind: head.Length})
	if x.conn.lane != nil {
		h.Discard(head.ContentLength) // HTTP/2 knows that nothing follows
	}
}

// breakOff ends a call of which a part of the response was sent by trailers that say why, and reports whether it can.
func (x *Exchange) breakOff(by accesslog.Side, reason accesslog.Reason) bool {
	c := x.conn
	if !x.rpc.is || x.rpc.web || x.phase != answering || !x.unchunked || c.lane == nil || c.stream == nil || c.stream.Failed() != nil {
		return false
	}
	x.by, x.reason = by, reason
	code, message := x.whyBroken(reason)
	x.detach()
	x.rpc.status = code + 1
	out := append(strconv.AppendInt(append(c.lane.trailers[:0], "grpc-status: "...), int64(code), 10), "\r\ngrpc-message: "...)
	c.lane.trailers = append(append(out, message...), "\r\n"...)
	x.finish()
	return true
}

// whyBroken is what a client is told of a call that breaks off (PROTOCOL-HTTP2.md, Errors).
func (x *Exchange) whyBroken(reason accesslog.Reason) (code int, message string) {
	switch {
	case x.rpc.late():
		return grpcDeadlineExceeded, "the deadline of the call has passed"
	case x.detail == "h2-reset-cancel":
		code = grpcCancelled
	case x.detail == "h2-reset-enhance-your-calm":
		code = grpcResourceExhausted
	case reason == accesslog.BadResponse, len(x.detail) > 9 && x.detail[:9] == "h2-reset-":
		code = grpcInternal
	default:
		code = grpcUnavailable
	}
	message = "the server's answer broke off (" + reason.String()
	if x.detail != "" {
		message += ", " + x.detail
	}
	return code, message + ")"
}

// noteCall notes the status of gRPC in a value, if it is one.
func (x *Exchange) noteCall(v []byte) {
	if n, ok := head.ParseLength(v); ok && n < grpcStatuses {
		x.rpc.status = int(n) + 1
	}
}

// heardCall looks at the head of a response to a call: one without content has the status in it.
func (x *Exchange) heardCall() {
	if !x.rpc.is {
		return
	}
	x.rpc.status = 0
	if v, ok := x.res.Get("grpc-status"); ok {
		x.noteCall(v)
	}
}

// effective is the status of the backend's response, or for a call that has come to nothing what that stands for.
func (x *Exchange) effective() int {
	if x.rpc.is && x.rpc.status > 0 && x.origin == 200 {
		return httpOf(x.rpc.status - 1)
	}
	return x.origin
}

// declined reports whether the server has said, without any content, that it cannot serve the call now.
func (x *Exchange) declined() bool {
	return x.rpc.is && x.origin == 200 && x.rpc.status == grpcUnavailable+1 && x.status == 0
}

// sealCall notes the status that has come behind the content of the response, and counts it for or against the backend.
func (x *Exchange) sealCall() {
	if !x.rpc.is || x.rpc.status > 0 || x.origin != 200 {
		return
	}
	for lines := *x.trailers(); len(lines) > 0; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if head.EqualFold(name, "grpc-status") {
			x.noteCall(head.Trim(value))
		}
	}
	x.judgeBy(x.effective(), time.Now())
}
