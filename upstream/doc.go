// Package upstream decides which server gets the next connection.
//
// It holds the backends of each service, the pool that picks among them, the
// balancing strategies, and the arithmetic of everything that changes a pick:
// weights, failover tiers, slow start, passive health, connection limits with
// their queue, and the retry budget.
//
// The package is a pure leaf. It opens no socket, starts no goroutine and reads
// no clock: the time is an argument. One goroutine, the owner of the topology,
// writes (Pool.Update and the Set methods of Backend); everything else may be
// called from any goroutine and takes no lock, except the queue of a saturated
// pool.
package upstream
