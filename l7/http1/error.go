package http1

import (
	"errors"

	"github.com/weirlb/weir/l7/head"
)

// ErrShort asks for more bytes: nothing is wrong with what has arrived.
var ErrShort = errors.New("http1: more bytes are needed")

// Reasons to refuse a message, beside those of package head. head.Refusal has
// the status to answer with and the word for the log. A response that breaks one
// of these rules is a 502, whatever status its error has.
var (
	ErrRequestLine   error = head.NewError(400, "bad-request-line", "request line is not method, target and version")
	ErrStatusLine    error = head.NewError(502, "bad-status-line", "status line is not version, status and reason")
	ErrVersion       error = head.NewError(505, "version", "version is not HTTP/1.0 or HTTP/1.1")
	ErrBareLF        error = head.NewError(400, "bare-lf", "line does not end with CRLF")
	ErrFold          error = head.NewError(400, "folded-field", "line starts with space")
	ErrFieldName     error = head.NewError(400, "bad-field-name", "field name is not a token followed by a colon")
	ErrUnderscore    error = head.NewError(400, "underscore", "field name has an underscore")
	ErrFieldValue    error = head.NewError(400, "bad-field-value", "field value has control bytes")
	ErrLineTooLong   error = head.NewError(414, "long-request-line", "start line is too long")
	ErrFieldTooLong  error = head.NewError(431, "long-field", "field line is too long")
	ErrHeadTooLong   error = head.NewError(431, "long-head", "head is too long")
	ErrTooManyFields error = head.NewError(431, "many-fields", "head has too many fields")

	ErrLength         error = head.NewError(400, "bad-length", "Content-Length is not a number")
	ErrLengthRepeated error = head.NewError(400, "many-lengths", "Content-Length stands more than once")
	ErrLengthCoding   error = head.NewError(400, "length-and-coding", "Content-Length and Transfer-Encoding stand together")
	ErrCoding         error = head.NewError(400, "bad-coding", "Transfer-Encoding does not end with chunked, once")
	ErrCodingUnknown  error = head.NewError(501, "unknown-coding", "Transfer-Encoding names more than chunked")
	ErrCodingVersion  error = head.NewError(400, "coding-in-1.0", "Transfer-Encoding in HTTP/1.0")
	ErrOption         error = head.NewError(400, "bad-connection", "Connection is not a short list of tokens")
	ErrExpect         error = head.NewError(417, "expectation", "Expect is not 100-continue")
	ErrTrailerName    error = head.NewError(400, "bad-trailer", "trailer may not have a field of that name")

	ErrChunkSize    error = head.NewError(400, "bad-chunk-size", "chunk size is not a hexadecimal number below 2^63")
	ErrChunkLine    error = head.NewError(400, "bad-chunk-line", "line of a chunk size is malformed")
	ErrChunkLength  error = head.NewError(400, "long-chunk-line", "line of a chunk size is too long")
	ErrChunkExcess  error = head.NewError(400, "chunk-excess", "chunks are mostly not data")
	ErrChunkEnd     error = head.NewError(400, "bad-chunk-end", "chunk does not end with CRLF")
	ErrTrailer      error = head.NewError(400, "bad-trailer-line", "trailer field is malformed")
	ErrTrailerBytes error = head.NewError(431, "long-trailer", "trailer is too long")

	ErrTruncated error = head.NewError(400, "truncated-body", "connection ended before the body did")
)
