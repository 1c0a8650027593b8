package sni

import (
	"errors"
	"fmt"
)

// Alert is the description of a TLS alert (RFC 8446 section 6).
type Alert byte

// The alerts a balancer has reason to send before or instead of a handshake.
const (
	AlertUnexpectedMessage     Alert = 10
	AlertRecordOverflow        Alert = 22
	AlertHandshakeFailure      Alert = 40
	AlertIllegalParameter      Alert = 47
	AlertAccessDenied          Alert = 49
	AlertDecodeError           Alert = 50
	AlertProtocolVersion       Alert = 70
	AlertInternalError         Alert = 80
	AlertUnrecognizedName      Alert = 112 // RFC 6066 section 3
	AlertNoApplicationProtocol Alert = 120 // RFC 7301 section 3.2
)

func (a Alert) String() string {
	switch a {
	case AlertUnexpectedMessage:
		return "unexpected_message"
	case AlertRecordOverflow:
		return "record_overflow"
	case AlertHandshakeFailure:
		return "handshake_failure"
	case AlertIllegalParameter:
		return "illegal_parameter"
	case AlertAccessDenied:
		return "access_denied"
	case AlertDecodeError:
		return "decode_error"
	case AlertProtocolVersion:
		return "protocol_version"
	case AlertInternalError:
		return "internal_error"
	case AlertUnrecognizedName:
		return "unrecognized_name"
	case AlertNoApplicationProtocol:
		return "no_application_protocol"
	}
	return fmt.Sprintf("alert %d", byte(a))
}

// Append appends the record of a fatal alert, 7 bytes in the clear, which is
// what a client understands that has not seen a ServerHello yet. The record
// says TLS 1.2, as all versions from then on do.
func (a Alert) Append(dst []byte) []byte {
	const fatal = 2
	return append(dst, recordAlert, 3, 3, 0, 2, fatal, byte(a))
}

// AlertFor returns the alert that tells a client what is wrong with its hello;
// err is what Parse returned. An error that does not come from the client's
// bytes gives internal_error.
func AlertFor(err error) Alert {
	var m *malformed
	if errors.As(err, &m) {
		return m.alert
	}
	return AlertInternalError
}
