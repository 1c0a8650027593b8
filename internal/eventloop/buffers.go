package eventloop

// A stream holds a buffer only while bytes wait in it. Two sizes are kept ready: one for heads and hellos, one for what a
// slow peer leaves over of one full read.
const (
	smallBuffer = 4 << 10
	largeBuffer = readBufferSize + 4<<10 // one full read sealed into TLS records fits
	smallKept   = 256
	largeKept   = 64 // what is beyond goes to the garbage collector: memory comes back after a rush
)

// bufferPool lends byte buffers on one loop.
type bufferPool struct {
	small, large [][]byte
}

// get gives an empty buffer with room for at least n bytes.
func (p *bufferPool) get(n int) []byte {
	switch {
	case n <= smallBuffer:
		return pop(&p.small, smallBuffer)
	case n <= largeBuffer:
		return pop(&p.large, largeBuffer)
	}
	return make([]byte, 0, n)
}

// put takes a buffer back. The caller must not use it afterwards.
func (p *bufferPool) put(b []byte) {
	switch cap(b) {
	case smallBuffer:
		push(&p.small, b, smallKept)
	case largeBuffer:
		push(&p.large, b, largeKept)
	}
}

// grow gives a buffer with b's bytes and room for n more, and takes b back when it had to move.
func (p *bufferPool) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	want := len(b) + n
	if want > largeBuffer {
		want = max(want, 2*cap(b)) // doubling keeps the copying linear when many small writes pile up
	}
	moved := append(p.get(want), b...)
	p.put(b)
	return moved
}

func pop(list *[][]byte, size int) []byte {
	if n := len(*list); n > 0 {
		b := (*list)[n-1]
		(*list)[n-1] = nil
		*list = (*list)[:n-1]
		return b
	}
	return make([]byte, 0, size)
}

func push(list *[][]byte, b []byte, keep int) {
	if len(*list) < keep {
		*list = append(*list, b[:0])
	}
}
