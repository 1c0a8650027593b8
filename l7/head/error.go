package head

import "errors"

// Error is a reason to refuse a message. All of them are made once, so that
// refusing costs nothing. The texts never hold bytes of the message.
type Error struct {
	Status int    // what to answer a request with; a response so broken is a 502
	Reason string // a word for logs and metrics, of a closed set
	text   string
}

// NewError makes an Error, for the codecs.
func NewError(status int, reason, text string) *Error { return &Error{status, reason, text} }

func (e *Error) Error() string { return "http: " + e.text }

// Refusal is the status to answer a request with that failed with err, and the
// word for the log. What is not an Error is the caller's own failure: 500.
func Refusal(err error) (status int, reason string) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status, e.Reason
	}
	return 500, "internal"
}

// Reasons to refuse a message that hold in every version of HTTP.
var (
	ErrMethod       error = NewError(400, "bad-method", "method is not made of capitals, digits and the signs of a token")
	ErrMethodLength error = NewError(501, "unknown-method", "method is longer than 32 bytes")
	ErrConnect      error = NewError(405, "connect", "CONNECT is not served")
	ErrTarget       error = NewError(400, "bad-target", "target of the request is malformed")
	ErrHost         error = NewError(400, "bad-host", "host is malformed")
	ErrHostMissing  error = NewError(400, "no-host", "host is missing")
	ErrHostRepeated error = NewError(400, "many-hosts", "host stands more than once")
	ErrHostMismatch error = NewError(400, "host-mismatch", "target names another host than Host")
	ErrStatus       error = NewError(502, "bad-status", "status is not between 100 and 999")
)

// Reasons to refuse an edit. The head is unchanged after each of them.
var (
	ErrName      = errors.New("head: field name is not a token")
	ErrValue     = errors.New("head: field value has control bytes or space around it")
	ErrProtected = errors.New("head: field belongs to the connection or frames the message")
	ErrFull      = errors.New("head: too many edits")
)
