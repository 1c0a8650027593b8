package load

// Exchange is what client and server agree on.
type Exchange struct {
	Request int // bytes the client sends before it waits
	Answer  int // bytes the server sends once it has read a request
	// Close makes the server close after its answer, and the client open
	// another connection for the next exchange. The server closes first, as
	// in HTTP/1.0: then neither side of the balancer runs out of ports.
	Close bool
}

// small is the size up to which answers are read and compared. Longer ones
// are counted and discarded.
const small = 4 << 10

// chunk is the most that one write offers and one discarding read takes.
const chunk = 1 << 20

// pattern returns what the server answers: n bytes, at most a chunk, to be
// repeated.
func pattern(n int) []byte {
	b := make([]byte, min(n, chunk))
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

// piece returns the bytes to write next when sent of total have been written
// and src repeats.
func piece(src []byte, sent, total int) []byte {
	p := src[sent%len(src):]
	return p[:min(len(p), total-sent)]
}
