package load

import "fmt"

// Exchange is what client and server agree on.
type Exchange struct {
	Request int // bytes the client sends before it waits
	Answer  int // bytes the server sends once it has read a request
	// Close makes the server close after its answer, and the client open
	// another connection for the next exchange. The server closes first, as
	// in HTTP/1.0: then neither side of the balancer runs out of ports.
	Close bool
	// HTTP makes them speak HTTP/1.1: Request and Answer are the lengths of
	// the bodies then, and a Request of 0 is a GET. With Close the client
	// asks for the end of its connection, and whoever has answered it closes;
	// the server closes only the connections on which it is asked to.
	HTTP bool
	// Proxy makes the client begin each connection with a PROXY header of
	// version 2, and the server wait for one, of either version, that names who
	// the first one named. It goes with Close, and with small requests.
	Proxy bool
}

// check reports an exchange in which one side has nothing to say.
func (e Exchange) check() error {
	if e.Answer <= 0 || e.Request < 0 || e.Request == 0 && !e.HTTP {
		return fmt.Errorf("an exchange of %d and %d bytes", e.Request, e.Answer)
	}
	if e.Proxy && (!e.Close || e.Request > small/4) {
		return fmt.Errorf("PROXY headers in connections for more than one request of %d bytes", e.Request)
	}
	return nil
}

// small is the size up to which answers are read and compared, and the
// longest head of an HTTP message. Longer answers are counted and discarded.
const small = 4 << 10

// chunk is the most that one write offers and one discarding read takes.
const chunk = 1 << 20

// pattern returns what bodies are made of: n bytes, at most a chunk, to be
// repeated.
func pattern(n int) []byte {
	b := make([]byte, min(n, chunk))
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}
