package accesslog

// Sizes of the hand-over between the loops and the writer goroutine.
const (
	fullAt    = 32 << 10 // a buffer of this many bytes is handed over without waiting for a Flush
	maxQueued = 64       // chunks that may wait for the writer: about 2 MiB of log behind a slow disk
)

// chunk is a run of whole lines on its way to the sink.
type chunk struct {
	lines   []byte
	records int
}

// Buffer collects the lines of one event loop. It belongs to that loop: its methods are called from one goroutine only
// and never block. A nil Buffer discards everything.
type Buffer struct {
	w    *Writer
	open chunk // owned by the loop
}

// NewBuffer returns a buffer for one loop.
func (w *Writer) NewBuffer() *Buffer {
	if w == nil {
		return nil
	}
	return &Buffer{w: w}
}

// Enabled reports whether a record would be written: a loop may skip filling in a Record when not.
func (b *Buffer) Enabled() bool { return b != nil && b.w.Format() != Off }

// Append encodes r. When the buffer is full and the writer lags behind, r is dropped and counted.
func (b *Buffer) Append(r *Record) {
	if b == nil {
		return
	}
	var encode func([]byte, *Record) []byte
	switch b.w.Format() {
	case JSON:
		encode = AppendJSON
	case Common:
		encode = AppendCommon
	default:
		return
	}
	if len(b.open.lines) >= fullAt && !b.handOver() {
		b.w.dropped.Add(1)
		return
	}
	if b.open.lines == nil {
		b.open.lines = b.w.spare()
	}
	b.open.lines = encode(b.open.lines, r)
	b.open.records++
	if len(b.open.lines) >= fullAt {
		b.handOver()
	}
}

// Flush hands over what has been collected, and reports whether nothing is left. A loop calls it about every 100 ms while
// there are records, and when it stops. When the writer lags behind, the lines stay in the buffer for the next call.
func (b *Buffer) Flush() (done bool) {
	return b == nil || b.open.records == 0 || b.handOver()
}

func (b *Buffer) handOver() bool {
	select {
	case b.w.queue <- b.open:
		b.open = chunk{}
		return true
	default:
		return false
	}
}

// spare returns an empty buffer to write lines into, a used one where there is one.
func (w *Writer) spare() []byte {
	select {
	case b := <-w.free:
		return b[:0]
	default:
		return make([]byte, 0, fullAt+4<<10)
	}
}

// recycle takes a written buffer back.
func (w *Writer) recycle(b []byte) {
	select {
	case w.free <- b:
	default:
	}
}
