//go:build !notracing

package otlp

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlb/weir/internal/span"
)

// Numbers of fields, by message.
const (
	requestSpans                    = 1 // ExportTraceServiceRequest.resource_spans
	ofResource, ofScope             = 1, 2
	resourceAttributes              = 1
	scopeItself                     = 1
	scopeName, scopeVersion         = 1, 2
	pairKey, pairValue, valueString = 1, 2, 1
	responsePartial                 = 1 // ExportTraceServiceResponse.partial_success
	partialRejected                 = 1
)

// frame is what stands around the spans in each request.
type frame struct {
	resource []byte // a field of ResourceSpans
	scope    []byte // a field of ScopeSpans
}

func newFrame(o Options) (f frame) {
	var attributes []byte
	for _, key := range slices.Sorted(maps.Keys(o.Resource)) {
		value := appendField(nil, valueString, []byte(o.Resource[key]))
		pair := appendField(appendField(nil, pairKey, []byte(key)), pairValue, value)
		attributes = appendField(attributes, resourceAttributes, pair)
	}
	f.resource = appendField(nil, ofResource, attributes)
	scope := appendField(nil, scopeName, []byte("github.com/weirlb/weir"))
	f.scope = appendField(nil, scopeItself, appendField(scope, scopeVersion, []byte(o.Version)))
	return f
}

func appendField(dst []byte, field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), b)
}

// enclose makes a request of spans.
func (f *frame) enclose(chunks []span.Chunk) []byte {
	size := len(f.scope)
	for _, c := range chunks {
		size += len(c.Spans)
	}
	all := len(f.resource) + protowire.SizeTag(ofScope) + protowire.SizeBytes(size)
	body := make([]byte, 0, all+16)
	body = protowire.AppendVarint(protowire.AppendTag(body, requestSpans, protowire.BytesType), uint64(all))
	body = append(body, f.resource...)
	body = protowire.AppendVarint(protowire.AppendTag(body, ofScope, protowire.BytesType), uint64(size))
	body = append(body, f.scope...)
	for _, c := range chunks {
		body = append(body, c.Spans...)
	}
	return body
}

// rejectedIn is how many spans a response says that the collector has not taken. What cannot be read says nothing.
func rejectedIn(response []byte) int {
	partial := field(response, responsePartial, protowire.BytesType)
	message, _ := protowire.ConsumeBytes(partial)
	n, size := protowire.ConsumeVarint(field(message, partialRejected, protowire.VarintType))
	if size < 0 || n > 1<<31 {
		return 0
	}
	return int(n)
}

// field finds the last field of a message with a number and a type, and returns what begins with its value.
func field(message []byte, number protowire.Number, kind protowire.Type) (value []byte) {
	for len(message) > 0 {
		n, t, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil
		}
		message = message[size:]
		if size = protowire.ConsumeFieldValue(n, t, message); size < 0 {
			return nil
		}
		if n == number && t == kind {
			value = message
		}
		message = message[size:]
	}
	return value
}
