package sni

import "errors"

var (
	// ErrShort asks for more bytes: what has arrived may become a ClientHello.
	ErrShort = errors.New("sni: hello is not complete yet")
	// ErrNotTLS says that the bytes are no TLS handshake, and never will be.
	ErrNotTLS = errors.New("sni: not a TLS handshake")
	// ErrMalformed is what all errors about a broken hello are, by errors.Is.
	// AlertFor has the alert to answer with.
	ErrMalformed = errors.New("sni: malformed hello")
	// ErrTooLarge says that the client announced more than MaxHello bytes or
	// used more than MaxRecords records. It is an ErrMalformed as well.
	ErrTooLarge error = &malformed{"hello is too large", AlertHandshakeFailure}
	// ErrSSLv2 says that the client offers TLS in the hello of SSL 2.0, which
	// has no server name. RFC 6176 ends support for it. It is an ErrMalformed
	// as well.
	ErrSSLv2 error = &malformed{"SSL 2.0 hello", AlertProtocolVersion}
)

// malformed is a reason to refuse a hello. All of them are made once, below,
// so that refusing costs nothing.
type malformed struct {
	reason string
	alert  Alert
}

func (e *malformed) Error() string      { return "sni: malformed hello: " + e.reason }
func (*malformed) Is(target error) bool { return target == ErrMalformed }

var (
	errRecordType    error = &malformed{"record is not of a handshake", AlertUnexpectedMessage}
	errRecordVersion error = &malformed{"record has a version that is not TLS", AlertProtocolVersion}
	errRecordEmpty   error = &malformed{"empty handshake record", AlertUnexpectedMessage}
	errRecordLength  error = &malformed{"record is longer than 16384 bytes", AlertRecordOverflow}
	errMessageType   error = &malformed{"first message is no ClientHello", AlertUnexpectedMessage}
	errMessageEnd    error = &malformed{"record goes on after the ClientHello", AlertUnexpectedMessage}
	errLength        error = &malformed{"lengths do not fit", AlertDecodeError}
	errDuplicate     error = &malformed{"extension stands twice", AlertIllegalParameter}
	errNameList      error = &malformed{"server name list is not one host name", AlertDecodeError}
	errName          error = &malformed{"server name is not a host name", AlertIllegalParameter}
	errProtocolList  error = &malformed{"protocol list is empty or has an empty name", AlertDecodeError}
	errVersionList   error = &malformed{"version list is empty or odd", AlertDecodeError}
)
