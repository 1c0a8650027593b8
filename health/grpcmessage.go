package health

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The two messages of grpc.health.v1 are one field each, so they are encoded here by hand:
//
//	HealthCheckRequest  { string service = 1; }
//	HealthCheckResponse { ServingStatus status = 1; }  // UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3

const (
	grpcPrefix  = 5 // a byte that says whether the message is compressed, and its length in four
	grpcServing = 1

	// Tags of the protobuf encoding: the number of the field and how its value is written.
	serviceTag = 1<<3 | wireBytes
	statusTag  = 1<<3 | wireVarint
)

// How values are written, "Message Structure" of the protobuf encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errGRPCMessage = errors.New("the response is not a health check's")

// grpcRequest returns the request for a service, with its prefix. The empty name stands for the server as a whole and is left out.
func grpcRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint(message, serviceTag)
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(b, message...)
}

// parseGRPCResponse returns the serving status of a response that consists of exactly one message, not compressed: no encoding was offered.
func parseGRPCResponse(b []byte) (status uint64, err error) {
	if len(b) < grpcPrefix || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-grpcPrefix) {
		return 0, fmt.Errorf("%w: %s", errGRPCMessage, quoted(b))
	}
	// The last of several values counts, none is zero, and other fields are passed over: what every reader of protobuf does.
	for rest := b[grpcPrefix:]; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0, fmt.Errorf("%w: %s", errGRPCMessage, quoted(b))
		}
		rest = rest[n:]
		if tag == statusTag {
			status, _ = binary.Uvarint(rest)
		}
		size := fieldSize(tag, rest)
		if size < 0 {
			return 0, fmt.Errorf("%w: %s", errGRPCMessage, quoted(b))
		}
		rest = rest[size:]
	}
	return status, nil
}

// fieldSize returns how many bytes of b the value after a tag takes, or -1 if it is not well formed or does not fit.
func fieldSize(tag uint64, b []byte) int {
	size := uint64(0)
	switch tag & 7 {
	case wireVarint:
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return -1
		}
		return n
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	case wireBytes:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return -1
		}
		size = uint64(n) + length
	default: // groups, which nobody writes any more, and what does not exist
		return -1
	}
	if size > uint64(len(b)) {
		return -1
	}
	return int(size)
}

// servingName returns the name of a serving status.
func servingName(status uint64) string {
	switch status {
	case 0:
		return "UNKNOWN"
	case grpcServing:
		return "SERVING"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	default:
		return fmt.Sprintf("in the unknown state %d", status)
	}
}

// grpcCode names the status codes that a health check meets.
func grpcCode(code string) string {
	switch code {
	case "5":
		return "5 (NOT_FOUND: no such service)"
	case "7":
		return "7 (PERMISSION_DENIED)"
	case "12":
		return "12 (UNIMPLEMENTED: the server has no health service)"
	case "13":
		return "13 (INTERNAL)"
	case "14":
		return "14 (UNAVAILABLE)"
	case "16":
		return "16 (UNAUTHENTICATED)"
	default:
		return quoted(code)
	}
}
