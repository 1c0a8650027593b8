package l7

import (
	"bytes"
	"slices"
	"strings"

	"github.com/weirlb/weir/internal/trace"
)

// TracingOptions say which requests are recorded as spans, and what spans say of them.
type TracingOptions struct {
	Rate            float64  // of the traces that begin here; whether others are recorded, those say who began them
	SafeQuery       []string // parameters of a query whose values are told
	RequestHeaders  []string // fields that are told
	ResponseHeaders []string
}

// Tracing is how requests are traced. It never changes.
type Tracing struct {
	sampler   trace.Sampler
	safe      []string
	requests  []captured
	responses []captured
}

// captured is a field that spans tell.
type captured struct{ field, key string }

// NewTracing returns a way to trace requests.
func NewTracing(o TracingOptions) *Tracing {
	return &Tracing{
		sampler:   trace.NewSampler(o.Rate),
		safe:      slices.Clone(o.SafeQuery),
		requests:  capturedOf("http.request.header.", o.RequestHeaders),
		responses: capturedOf("http.response.header.", o.ResponseHeaders),
	}
}

func capturedOf(prefix string, fields []string) (list []captured) {
	for _, f := range fields {
		list = append(list, captured{f, prefix + strings.ToLower(f)})
	}
	return list
}

// SetTracing replaces how requests are traced from now on; nil = they are not. Safe from any goroutine.
func (s *Server) SetTracing(t *Tracing) { s.tracing.Store(t) }

// appendQuery appends a query as spans tell it: what it says is nobody's business but that of the server, unless its
// parameter is known to be safe.
func (t *Tracing) appendQuery(dst, query []byte) []byte {
	first := true
	for parameter := range bytes.SplitSeq(query, []byte{'&'}) {
		if !first {
			dst = append(dst, '&')
		}
		first = false
		name, value, has := bytes.Cut(parameter, []byte{'='})
		dst = append(dst, name...)
		switch {
		case !has:
		case slices.ContainsFunc(t.safe, func(s string) bool { return s == string(name) }):
			dst = append(append(dst, '='), value...)
		default:
			dst = append(dst, "=REDACTED"...)
		}
	}
	return dst
}
