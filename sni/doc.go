// Package sni reads the name a TLS client asks for and finds what belongs to
// that name.
//
// [Parse] reads a ClientHello from the first bytes of a connection without
// taking part in the handshake, so that a connection can be routed and then
// passed on untouched. It works on whatever has arrived and asks for more with
// [ErrShort]; it puts the hello together across TLS records and never looks at
// a part of one. That is on purpose: proxies that decide on the first record
// can be led past their own rules by a client that splits its hello.
//
// [Table] maps names to values: exact names first, then wildcards for one
// label, then regular expressions, then a default.
//
// The package is pure and imports nothing of weir.
package sni
