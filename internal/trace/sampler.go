package trace

import (
	"encoding/binary"
	"math"
)

// Sampler says which of the traces that begin here are recorded. The zero Sampler records none.
type Sampler struct{ bound uint64 } // of 63 bits of the trace's id

// NewSampler returns a sampler of a part of the traces, from 0 to 1.
func NewSampler(rate float64) Sampler {
	return Sampler{uint64(min(max(rate, 0), 1) * (1 << 63))}
}

// Takes reports whether a trace is recorded. It depends on nothing but its name, so that all who take the same part take the
// same traces; the samplers of OpenTelemetry look at the same bits.
func (s Sampler) Takes(id ID) bool {
	return binary.BigEndian.Uint64(id[len(id)-8:])&math.MaxInt64 < s.bound
}
