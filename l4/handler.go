package l4

import "github.com/weirlb/weir/internal/eventloop"

// Handler takes over a connection that speaks something l4 does not: HTTP.
type Handler interface {
	// Serve is called on the stream's loop and owns the stream from then on: it sets the stream's Handler and closes it
	// in the end. The bytes l4 has looked at are still there (Stream.Peeked), and Stream.Remote is the client as the PROXY
	// header named it. When the connection is ended from outside (a drain, a stop), the stream is closed first and its
	// Handler told once more: reading says eventloop.ErrClosed.
	Serve(s *eventloop.Stream)
}

// Recorder is a Handler that writes records of what it does to the access log itself: l4 writes none for its connections.
type Recorder interface {
	Handler
	// Records has no effect.
	Records()
}
