package span

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlb/weir/internal/trace"
)

// Kind says which end of a request a span is about.
type Kind uint8

// The kinds, by their numbers in OTLP.
const (
	Server Kind = 2 // the request of a client
	Client Kind = 3 // one that is sent to somebody else because of it
)

// Span is what one span says besides its attributes.
type Span struct {
	trace.Context              // the span's own: its trace and its name
	Parent        trace.SpanID // zero = none
	Remote        bool         // the parent is somebody else's
	State         string       // the trace's tracestate; 512 bytes are written
	Kind          Kind
	Name          string // from a small set: it must not hold what clients send
	Start, End    time.Time
	Failed        bool
}

// How much of what a client sent is written.
const (
	maxText  = 2048 // bytes of an attribute's value, as of a target in the access log
	maxState = 512
	maxName  = 255
)

// Numbers of fields, by message.
const (
	spanTrace, spanID, spanState, spanParent, spanName, spanKind = 1, 2, 3, 4, 5, 6
	spanStart, spanEnd, spanAttributes, spanStatus, spanFlags    = 7, 8, 9, 15, 16
	statusCode                                                   = 3
	pairKey, pairValue                                           = 1, 2 // of KeyValue
	anyString, anyInt, anyArray                                  = 1, 3, 5
	arrayValues                                                  = 1
)

const (
	codeError   = 2      // of a Status
	knowsRemote = 1 << 8 // in the flags of a span: the next one counts
	isRemote    = 1 << 9 // its parent is in another program
	scopeSpans  = 2      // the field of ScopeSpans in which spans stand
)

// appendSpan appends a span with its attributes, which are encoded already.
func appendSpan(dst []byte, s *Span, attributes []byte) []byte {
	dst = appendBytes(dst, spanTrace, s.Trace[:])
	dst = appendBytes(dst, spanID, s.Span[:])
	if s.State != "" {
		dst = appendText(dst, spanState, s.State, maxState)
	}
	flags := uint32(s.Flags) | knowsRemote
	if s.Parent != (trace.SpanID{}) {
		dst = appendBytes(dst, spanParent, s.Parent[:])
		if s.Remote {
			flags |= isRemote
		}
	}
	dst = appendText(dst, spanName, s.Name, maxName)
	dst = protowire.AppendVarint(protowire.AppendTag(dst, spanKind, protowire.VarintType), uint64(s.Kind))
	dst = protowire.AppendFixed64(protowire.AppendTag(dst, spanStart, protowire.Fixed64Type), nanoseconds(s.Start))
	dst = protowire.AppendFixed64(protowire.AppendTag(dst, spanEnd, protowire.Fixed64Type), nanoseconds(s.End))
	dst = append(dst, attributes...)
	if s.Failed {
		dst = appendSize(dst, spanStatus, protowire.SizeTag(statusCode)+protowire.SizeVarint(codeError))
		dst = protowire.AppendVarint(protowire.AppendTag(dst, statusCode, protowire.VarintType), codeError)
	}
	return protowire.AppendFixed32(protowire.AppendTag(dst, spanFlags, protowire.Fixed32Type), flags)
}

func nanoseconds(t time.Time) uint64 { return uint64(max(t.UnixNano(), 0)) }

// appendSize begins a field of size bytes, which follow.
func appendSize(dst []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(size))
}

func appendBytes(dst []byte, field protowire.Number, b []byte) []byte {
	return append(appendSize(dst, field, len(b)), b...)
}

// appendText writes a string field: at most limit bytes of s, and what is not UTF-8 as U+FFFD.
func appendText(dst []byte, field protowire.Number, s string, limit int) []byte {
	s = s[:min(len(s), limit)]
	if utf8.ValidString(s) {
		return append(appendSize(dst, field, len(s)), s...)
	}
	size := 0
	for _, r := range s {
		size += utf8.RuneLen(r)
	}
	dst = appendSize(dst, field, size)
	for _, r := range s {
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendPair writes an attribute whose value is encoded already.
func appendPair(dst []byte, key string, value []byte) []byte {
	size := sizeOf(pairKey, len(key)) + sizeOf(pairValue, len(value))
	dst = appendSize(dst, spanAttributes, size)
	dst = append(appendSize(dst, pairKey, len(key)), key...)
	return appendBytes(dst, pairValue, value)
}

// sizeOf is how long a field with size bytes is.
func sizeOf(field protowire.Number, size int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(size)
}
