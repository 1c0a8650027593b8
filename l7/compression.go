package l7

import (
	"slices"
	"sync/atomic"
)

// Skip is why a response that has a body of a server's leaves a compress middleware as it came.
type Skip uint8

// The reasons, in the order in which they are looked for.
const (
	SkipEncoded     Skip = iota // it has a coding already
	SkipType                    // its media type is not to be compressed
	SkipNoTransform             // Cache-Control of request or response says so
	SkipPart                    // it is a part of something (206)
	SkipShort
	SkipClient // the client takes none of the codings
	SkipBusy   // too much is compressed on the loop
	skips
)

// String is a word for metrics.
func (s Skip) String() string {
	return [skips]string{"encoded", "type", "no-transform", "part", "short", "client", "busy"}[s]
}

// Compression counts what one compress middleware does. Each loop has a share of its own.
type Compression struct{ shares []compressionShare }

// compressionShare is one loop's. Only that loop writes; anybody reads.
type compressionShare struct {
	coded   [len(Codings)]atomic.Int64 // responses, in the order of Codings
	skipped [skips]atomic.Int64
	in, out atomic.Int64
	_       [64]byte // no two loops write to one cache line
}

func newCompression(loops int) *Compression { return &Compression{make([]compressionShare, loops)} }

// CompressionStats is a snapshot of Compression, of all loops together.
type CompressionStats struct {
	Responses map[string]int64 // compressed, by coding; all of Codings
	Skipped   map[string]int64 // not compressed, by reason; all of them
	In, Out   int64            // bytes of content of those compressed, before and after
}

// Stats adds the shares up. Safe from any goroutine; the numbers are read one after the other.
func (c *Compression) Stats() CompressionStats {
	t := CompressionStats{Responses: make(map[string]int64), Skipped: make(map[string]int64)}
	for i := range c.shares {
		s := &c.shares[i]
		for j, coding := range Codings {
			t.Responses[coding] += s.coded[j].Load()
		}
		for reason := range skips {
			t.Skipped[reason.String()] += s.skipped[reason].Load()
		}
		t.In += s.in.Load()
		t.Out += s.out.Load()
	}
	return t
}

// began counts a response that is compressed.
func (s *compressionShare) began(coding string) { s.coded[slices.Index(Codings[:], coding)].Add(1) }

// counted is a filter that also counts what goes in and comes out.
func (s *compressionShare) counted(f Filter) Filter {
	return func(dst, content []byte, step Step) []byte {
		before := len(dst)
		dst = f(dst, content, step)
		s.in.Add(int64(len(content)))
		s.out.Add(int64(len(dst) - before))
		return dst
	}
}
