// Package l4 is weir's TCP and UDP side: entrypoints that accept, the look at a connection's first bytes, the routing table,
// and services that lead connections and datagrams to backends.
//
// It is policy on top of package eventloop. A connection is one session object on one loop, from accept to the line in
// the access log:
//
//	accept ─► PROXY header ─► first bytes ─► route ─► middlewares ─► TLS ─► pick ─► connect ─► relay ─► record
//	          (trusted peers)  (only if the table needs them)      (if terminated)   ▲  │
//	                                                                                 └──┘ refused, timed out: another backend
//
// Datagrams come in batches. What is to be done with them is package flow's to say; here are the sockets it has none of, a
// door for each UDP entrypoint and loop, and a wire for each flow or backend:
//
//	inlet ─► rate limit ─► flow.Table or flow.Shared ─► wire ─► backend
//	  ▲      (by datagram)  (gate, pick, loops)          │
//	  └──────────────────────────────────────────────────┘
//
// What a session decides with (table, options) is one immutable value per entrypoint behind one atomic pointer, loaded
// once per connection. Sessions of one loop are linked in that loop's worker; other goroutines reach them by posting.
package l4
