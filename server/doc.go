// Package server is weir's composition root: it turns a configuration into a running balancer, and a running balancer into
// another one when the configuration changes.
//
// Three pure functions and one goroutine:
//
//	config.Config ─ compile ─► plan ─ diff(old, new) ─► steps ─ apply ─► topology
//
// compile is the only place that knows both the file's vocabulary and the packages' own. diff orders what is different
// into steps: what is new is made first, and everything that can fail comes before anything that can be seen; then what
// changed is swapped, then what is gone is closed and drained. apply runs the steps; when one fails, those before it are
// undone and the old plan stands.
//
// Server.Run's goroutine is the only writer of the topology: routing tables, pools, health, entrypoints. Everyone else
// reads immutable values or asks it by a channel.
//
// Backends, pools, health checkers, middlewares, TLS settings (with their session ticket keys), listeners and all counters
// that a change does not concern are the same objects before and after. A backend is known by service and address, an
// entrypoint by name and address, everything else by name.
package server
