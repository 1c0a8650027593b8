package span

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Sizes of the hand-over between the loops and whoever sends.
const (
	fullAt        = 64 << 10 // a chunk of this many bytes is handed over without waiting for a Flush
	maxQueued     = 64       // chunks that may wait: about 4 MiB of spans behind a slow collector
	maxAttributes = 32 << 10 // bytes of one span's, beyond which further ones are left out
	maxItems      = 8 << 10  // bytes of one list's, likewise
)

// Chunk is a run of whole spans.
type Chunk struct {
	Spans []byte // encoded, each as the field of a ScopeSpans in which it stands
	Count int
}

// Buffer collects the spans of one event loop. It belongs to that loop: its methods are called from one goroutine only and
// never block.
type Buffer struct {
	queue      *Queue
	open       Chunk
	attributes []byte // of the span that is being described
	items      []byte // of the list that is being written
	word, one  []byte // scratch
}

// Text gives the span that Add adds next an attribute. key is a constant, or comes from the configuration; value may come from anybody:
// 2048 bytes of it are written.
func (b *Buffer) Text(key, value string) {
	b.word = appendText(b.word[:0], anyString, value, maxText)
	b.pair(key)
}

// Int is Text for a number.
func (b *Buffer) Int(key string, value int) {
	b.word = protowire.AppendVarint(protowire.AppendTag(b.word[:0], anyInt, protowire.VarintType), uint64(value))
	b.pair(key)
}

// Number is Text for a number that is to be read as text.
func (b *Buffer) Number(key string, value int) {
	var digits [20]byte
	b.word = appendBytes(b.word[:0], anyString, strconv.AppendInt(digits[:0], int64(value), 10))
	b.pair(key)
}

// Item adds an item to the list that List ends.
func (b *Buffer) Item(value string) {
	b.one = appendText(b.one[:0], anyString, value, maxText)
	if len(b.items)+len(b.one) < maxItems {
		b.items = appendBytes(b.items, arrayValues, b.one)
	}
}

// List is Text for the items that were added since the last one; without any, there is no attribute.
func (b *Buffer) List(key string) {
	if len(b.items) == 0 {
		return
	}
	b.word = appendBytes(b.word[:0], anyArray, b.items)
	b.items = b.items[:0]
	b.pair(key)
}

func (b *Buffer) pair(key string) {
	if len(b.attributes)+len(key)+len(b.word) < maxAttributes {
		b.attributes = appendPair(b.attributes, key, b.word)
	}
}

// Add adds a span, with the attributes that were given since the last one. When its chunk is full and nobody takes it, the
// span is dropped and counted.
func (b *Buffer) Add(s *Span) {
	defer func() { b.attributes = b.attributes[:0] }()
	if len(b.open.Spans) >= fullAt && !b.handOver() {
		b.queue.Drop(1)
		return
	}
	if b.open.Spans == nil {
		b.open.Spans = b.queue.spare()
	}
	b.word = appendSpan(b.word[:0], s, b.attributes)
	b.open.Spans = appendBytes(b.open.Spans, scopeSpans, b.word)
	b.open.Count++
	if len(b.open.Spans) >= fullAt {
		b.handOver()
	}
}

// Flush hands over what has been collected, and reports whether nothing is left. A loop calls it about every 100 ms while
// there are spans, and when it stops. When nobody takes them, they stay for the next call.
func (b *Buffer) Flush() (done bool) { return b.open.Count == 0 || b.handOver() }

func (b *Buffer) handOver() bool {
	select {
	case b.queue.full <- b.open:
		b.open = Chunk{}
		return true
	default:
		return false
	}
}
