// Package peek says what the first bytes of a connection are: a PROXY header,
// a PostgreSQL start-up, TLS or HTTP.
//
// Every function takes the bytes that have arrived so far and returns a
// verdict or ErrShort; none reads, blocks or keeps its argument. A verdict
// other than ErrShort never changes when more bytes arrive, and comes on the
// first byte that allows it, so that a caller never waits for bytes a client
// does not intend to send.
//
// PROXY headers are read and written here, because a connection of theirs is
// on the data path and go-proxyproto allocates for it; tests hold both to what
// go-proxyproto makes of the same bytes.
package peek

import "errors"

var (
	// ErrShort asks for more bytes.
	ErrShort = errors.New("peek: more bytes are needed")
	// ErrNotProxy says that the bytes are no PROXY header, and never will be.
	ErrNotProxy = errors.New("peek: not a PROXY header")
	// ErrProxy is what all errors about a broken PROXY header are, by errors.Is.
	ErrProxy = errors.New("peek: malformed PROXY header")
	// ErrNotPostgres says that the bytes are no PostgreSQL start-up.
	ErrNotPostgres = errors.New("peek: not a PostgreSQL start-up message")
)
