// Package accesslog writes one line for each connection, flow or request that weir has ended.
//
// It has two halves. The encoders, AppendJSON and AppendCommon, are pure: a Record in, bytes appended, nothing
// allocated, and every byte that a client or a name in the configuration contributed is escaped, so that no line can
// be forged or broken by what somebody sent. The Writer moves encoded lines to a file or to a standard stream: each
// event loop appends to a Buffer of its own, and hands it over whole, without a lock and without ever waiting. When
// the sink cannot keep up, records are dropped and counted; a slow disk never slows a connection.
package accesslog
