package http2

import (
	"errors"
	"strconv"

	"github.com/weirlb/weir/l7/head"
)

// ErrShort asks for more bytes: nothing is wrong with what has arrived.
var ErrShort = errors.New("http2: more bytes are needed")

// Code says why a stream or a connection ends (RFC 9113 section 7).
type Code uint32

// The codes of RFC 9113.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{
	"no-error", "protocol-error", "internal-error", "flow-control-error", "settings-timeout", "stream-closed",
	"frame-size-error", "refused-stream", "cancel", "compression-error", "connect-error", "enhance-your-calm",
	"inadequate-security", "http-1.1-required",
}

// String names the code for logs.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "code-" + strconv.FormatUint(uint64(c), 10)
}

// Known is String of a closed set, whatever the peer has said.
func (c Code) Known() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown"
}

// Error ends a connection. All of them are made once; the texts never hold bytes of the peer.
type Error struct {
	Code   Code
	Reason string // a word for logs and metrics, of a closed set
}

func (e *Error) Error() string { return "http2: " + e.Reason + " (" + e.Code.String() + ")" }

// Reasons to end a connection.
var (
	errPreface       = &Error{ProtocolError, "h2-preface"}
	errFrameSize     = &Error{FrameSizeError, "h2-frame-size"}
	errFrameLength   = &Error{FrameSizeError, "h2-frame-length"}
	errStreamID      = &Error{ProtocolError, "h2-stream-id"}
	errIdle          = &Error{ProtocolError, "h2-idle-stream"}
	errPadding       = &Error{ProtocolError, "h2-padding"}
	errContinuation  = &Error{ProtocolError, "h2-continuation"}
	errBlockSize     = &Error{EnhanceYourCalm, "h2-long-block"}
	errHPACK         = &Error{CompressionError, "h2-hpack"}
	errPush          = &Error{ProtocolError, "h2-push"}
	errClosed        = &Error{StreamClosed, "h2-closed-stream"}
	errSettings      = &Error{ProtocolError, "h2-settings"}
	errSettingWindow = &Error{FlowControlError, "h2-settings-window"}
	errWindow        = &Error{FlowControlError, "h2-window"}
	errWindowZero    = &Error{ProtocolError, "h2-window-zero"}
	errCalmFrames    = &Error{EnhanceYourCalm, "h2-flood"}
	errCalmFields    = &Error{EnhanceYourCalm, "h2-fields"}
	errCalmResets    = &Error{EnhanceYourCalm, "h2-resets"}
)

// Reasons are the words of all Errors.
var Reasons = [...]string{
	"h2-preface", "h2-frame-size", "h2-frame-length", "h2-stream-id", "h2-idle-stream", "h2-padding",
	"h2-continuation", "h2-long-block", "h2-hpack", "h2-push", "h2-closed-stream", "h2-settings",
	"h2-settings-window", "h2-window", "h2-window-zero", "h2-flood", "h2-fields", "h2-resets",
} // never written

// Reasons to refuse a request or a response, beside those of packages head and http1.
var (
	ErrPseudo          error = head.NewError(400, "bad-pseudo", "pseudo-header is unknown, repeated, missing or behind other fields")
	ErrScheme          error = head.NewError(400, "bad-scheme", "scheme is neither http nor https")
	ErrUppercase       error = head.NewError(400, "uppercase-field", "field name has a capital")
	ErrConnectionField error = head.NewError(400, "connection-field", "field is about a connection of HTTP/1")
	ErrTE              error = head.NewError(400, "bad-te", "TE is not trailers")
	ErrLengthMismatch  error = head.NewError(400, "length-mismatch", "content is not as long as Content-Length says")
	ErrStatus          error = head.NewError(502, "bad-status", "status is not three digits, or one that HTTP/2 does not have")
	ErrEarlyContent    error = head.NewError(502, "early-content", "content comes before the head of the response")
	ErrProtocol        error = head.NewError(400, "bad-protocol", ":protocol is not that of a CONNECT without Content-Length")
	ErrProtocolUnknown error = head.NewError(501, "unknown-protocol", ":protocol is not websocket")
	ErrTrailerSection  error = head.NewError(400, "bad-trailer-section", "trailer section is malformed or does not end the stream")
)
