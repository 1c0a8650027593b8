package trace

import (
	"encoding/hex"
	"math/rand/v2"
)

// ID names a trace. The zero ID is none.
type ID [16]byte

// SpanID names a span of a trace. The zero SpanID is none.
type SpanID [8]byte

// Flags are what the sender of a request says about its trace.
type Flags byte

// The flags. Others are reserved, and not passed on.
const (
	Sampled Flags = 1 << iota // the sender may have recorded its span
	Random                    // the last seven bytes of the trace's id are random
)

// Context says where in which trace a request is.
type Context struct {
	Trace ID
	Span  SpanID // of whoever sends the request
	Flags Flags
}

const (
	parentSize = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	traceAt    = len("00-")
	spanAt     = traceAt + 2*len(ID{}) + 1
	flagsAt    = spanAt + 2*len(SpanID{}) + 1
)

// ParseParent reads a traceparent. One of a later version may be longer, and is read as far as this version knows it, as the
// Recommendation asks (section 3.2.4); version ff is none. Names in capitals and names of nothing are errors there, and here.
func ParseParent(b []byte) (c Context, ok bool) {
	if len(b) < parentSize || b[traceAt-1] != '-' || b[spanAt-1] != '-' || b[flagsAt-1] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	ok = unhex(version[:], b) && unhex(c.Trace[:], b[traceAt:]) && unhex(c.Span[:], b[spanAt:]) && unhex(flags[:], b[flagsAt:])
	switch {
	case !ok, version[0] == 0xff, c.Trace == ID{}, c.Span == SpanID{}:
		return Context{}, false
	case len(b) > parentSize && (version[0] == 0 || b[parentSize] != '-'):
		return Context{}, false
	}
	c.Flags = Flags(flags[0]) & (Sampled | Random)
	if version[0] != 0 {
		c.Flags &= Sampled // what the others will mean nobody knows
	}
	return c, true
}

// unhex fills dst from as many hexadecimal digits as it needs, which are there.
func unhex(dst, digits []byte) bool {
	for i := range dst {
		high, low := nibble(digits[2*i]), nibble(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// nibble is the value of a hexadecimal digit in lower case; 255 = it is none.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// AppendParent appends the traceparent, of version 00, of a request that c.Span sends.
func (c *Context) AppendParent(dst []byte) []byte {
	dst = hex.AppendEncode(append(dst, "00-"...), c.Trace[:])
	dst = hex.AppendEncode(append(dst, '-'), c.Span[:])
	return append(dst, '-', '0', '0'+byte(c.Flags&(Sampled|Random)))
}

// Names makes names for traces and spans. It belongs to one goroutine.
type Names struct{ random *rand.ChaCha8 }

// NewNames returns a maker of names; seed must come from crypto/rand, so that no two of them make the same.
func NewNames(seed [32]byte) Names { return Names{rand.NewChaCha8(seed)} }

// Trace makes the name of a new trace.
func (n Names) Trace() (id ID) {
	for id == (ID{}) {
		_, _ = n.random.Read(id[:]) // it never fails
	}
	return id
}

// Span makes the name of a new span.
func (n Names) Span() (id SpanID) {
	for id == (SpanID{}) {
		_, _ = n.random.Read(id[:]) // it never fails
	}
	return id
}
