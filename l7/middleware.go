package l7

// Action is what a middleware wants to happen next.
type Action uint8

const (
	Next     Action = iota // go on
	Answered               // Exchange.Answer was called: nothing behind this middleware sees the request
	Wait                   // Exchange.Go was called: its second function goes on with Exchange.Continue or Exchange.Answer
)

// Middleware looks at requests and responses on their way. Both hooks are called on the request's loop and must not block;
// either may be nil. A Middleware is shared by all loops.
type Middleware struct {
	// Name is its name in the configuration.
	Name string
	// Request sees the request before it is sent on, and may edit it.
	Request func(*Exchange) Action
	// Response sees the response's head before it is sent on, and may edit it: a backend's, or weir's own where a
	// middleware behind this one or the service gave it.
	Response func(*Exchange)
	// Outcome sees the status of each response before anything else is done with it: a backend's, or weir's own where a
	// middleware behind this one or the service gave it, but for what the client itself brought about by breaking HTTP or
	// leaving. The response's head is as it came, or as weir has written it. Where it returns true it has led the request on,
	// and the response is dropped: see Exchange.again and Exchange.askInstead, which are this package's own; others return
	// false. Those behind the one that does that by askInstead do not see what comes of it.
	Outcome func(x *Exchange, status int) bool
	// Compression counts what a middleware of Compress does; nil for others.
	Compression *Compression
}
