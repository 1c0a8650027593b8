package http2

// Stream is a request and its response. It belongs to whoever accepts it, and may be used again for another one once it is
// Closed and the owner is done with it.
type Stream struct {
	ID    uint32
	Owner any // the caller's

	send    int64 // bytes the peer lets us send; below 0 after a change of its settings
	recv    int32 // bytes we let the peer send
	credit  int32 // bytes that were consumed and not announced
	taken   int32 // bytes of content that went where they are meant to go, until they are enough
	held    int32 // bytes that were handed out and not consumed
	toCome  int64 // of the request's content by Content-Length; -1 = not said
	left    int64 // of the response's content; -1 = not said
	ended   bool  // we have sent the end
	over    bool  // the peer has
	closed  bool
	refused bool // its head was
	connect bool // it is to carry another protocol
	blocked bool // something waits for the stream's window

	heard    bool // on the client's side: the head of the response has come, not only those of interim ones
	bodiless bool // and none of its content will, for the request was HEAD
}

// Gone reports whether nothing more can be sent or will come.
func (s *Stream) Gone() bool { return s.closed }

// Over reports whether the peer has sent the end.
func (s *Stream) Over() bool { return s.over }

// Ended reports whether the end was sent to the peer.
func (s *Stream) Ended() bool { return s.ended }

// Connects reports whether the request was an extended CONNECT (RFC 8441): a response with 2xx means that the stream
// carries the other protocol from then on.
func (s *Stream) Connects() bool { return s.connect }

// Blocked reports whether content waits for the window of this stream, not for that of the connection.
func (s *Stream) Blocked() bool { return s.blocked }

// fits counts content and reports whether it is no more than was announced, nor less where it ends.
func (s *Stream) fits(n int, end bool) bool {
	if s.toCome < 0 {
		return true
	}
	s.toCome -= int64(n)
	return s.toCome == 0 || s.toCome > 0 && !end
}
