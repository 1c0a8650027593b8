package load

// message is what is written for one request or one answer: a head, which may
// be empty, and a body whose bytes repeat. It is written many times, from
// many connections, and never changed.
type message struct {
	opening []byte // the head with the beginning of the body, so that a small message is one write
	head    int    // bytes of opening that are the head
	body    []byte // what the body repeats
	size    int    // of head and body
}

// newMessage makes a message whose body is size bytes of repeated body. Many
// messages may share a body.
func newMessage(head, body []byte, size int) *message {
	m := &message{head: len(head), body: body, size: len(head) + size}
	m.opening = append(append(m.opening, head...), body[:min(size, len(body), small)]...)
	return m
}

// from returns the bytes to write next when sent have been written; fewer than
// all that are left where the body is long.
func (m *message) from(sent int) []byte {
	if sent < len(m.opening) && (sent < m.head || m.size == len(m.opening)) {
		return m.opening[sent:]
	}
	p := m.body[(sent-m.head)%len(m.body):]
	return p[:min(len(p), m.size-sent)]
}
