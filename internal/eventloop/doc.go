// Package eventloop is weir's engine: one loop per CPU on gnet's poller, and the streams, timers and relays that live on it.
//
// A TCP connection is accepted, read, joined to its backend's connection and closed on one loop, by one goroutine, so
// nothing here takes a lock or crosses a channel while bytes move. The package knows no entrypoint, backend or protocol;
// it is the only one that imports gnet and makes raw system calls on sockets.
//
// # Why gnet's poller and not gnet.Run
//
// gnet exports its poller (gnet/v2/pkg/netpoll) for programs that bring their own connections. gnet's ready-made engine
// cannot carry a proxy, for four reasons, each reproduced against v2.10.0:
//
//   - it has no way to stop reading: bytes for a slow peer pile up in user memory without a bound (32 MiB sent to a peer
//     that does not read are 32 MiB held);
//   - it has no half-close: the first FIN closes both directions, and an answer that was still on its way is lost;
//   - closing truncates: what one write does not take is dropped (4 of 16 MiB arrived);
//   - one accept(2) that fails with EMFILE shuts the engine down with every connection on it.
//
// Nor is its Polling used: a loop waits by itself, without the yield to the scheduler that Polling makes whenever it finds
// nothing (docs/design/2026-11-26-waiting.md).
//
// # How a loop works
//
// Every descriptor is registered once for its whole life, edge-triggered, for reading, writing and hang-up. An event is
// only a hint: it sets "may be readable" or "may be writable" on the stream and tells the stream's Handler. A stale event
// (for a descriptor closed, and its number reused, earlier in the same batch) therefore costs at most one system call
// that answers EAGAIN. Pausing a peer is simply not reading from it: the kernel's window does the rest.
//
// All methods of Loop, Stream, Timer, Relay and Listener must be called on the loop's own goroutine, unless they say
// otherwise. Loop.Post brings work there from anywhere.
package eventloop
