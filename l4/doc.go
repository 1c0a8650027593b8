// Package l4 is weir's TCP side: entrypoints that accept, the look at a connection's first bytes, the routing table, and
// services that lead connections to backends.
//
// It is policy on top of package eventloop. A connection is one session object on one loop, from accept to the line in
// the access log:
//
//	accept ─► PROXY header ─► first bytes ─► route ─► middlewares ─► TLS ─► pick ─► connect ─► relay ─► record
//	          (trusted peers)  (only if the table needs them)      (if terminated)   ▲  │
//	                                                                                 └──┘ refused, timed out: another backend
//
// What a session decides with (table, options) is one immutable value per entrypoint behind one atomic pointer, loaded
// once per connection. Sessions of one loop are linked in that loop's worker; other goroutines reach them by posting.
package l4
