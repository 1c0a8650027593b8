// Package l7 is weir's HTTP side: it reads requests from connections that package l4 hands up, routes them, and leads each
// to a backend and its answer back, on the connection's own event loop.
//
//	head ─► route ─► middlewares ─► service ─► backend ─► connection ─► request ─► answer ─► middlewares ─► client
//	                  │ may answer   │ weighted, failover     │ idle, or dialled          in reverse
//	                  └ may wait     └ sticky, balanced       └ replayed, retried where that is safe
//
// A conn is a client's connection, a link one to a backend, an Exchange one request with its response. An exchange holds
// a link while it needs one; between exchanges links rest in the loop's idle pool, and a client's connection holds neither.
// Bodies are streamed both ways at once: a side is read only while the other one has room, so no more than one read is ever
// held for a slow peer. Everything here runs on one loop and never blocks; Exchange.Go takes work that does to a goroutine
// and brings the result back.
//
// A client that speaks HTTP/2 has a session, whose streams are lanes with a conn each; a server that does has trunks, whose
// streams are branches with a link each. The heads pass beside them, and so conn, link and Exchange are the same for all.
//
// What a request is decided with (routing table, options) is one immutable value per entrypoint behind one atomic pointer,
// loaded once per request.
package l7
