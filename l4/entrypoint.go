package l4

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/eventloop"
)

// EntrypointOptions are what may change while an entrypoint is open.
type EntrypointOptions struct {
	Proxy          ProxyOptions
	SniffTimeout   time.Duration // from accept to the routing decision, absolute
	IdleTimeout    time.Duration // relayed connections without a byte either way; 0 = never
	MaxConnections int           // open at one time; 0 = no limit of its own
}

// ProxyOptions say whose PROXY protocol header is believed.
type ProxyOptions struct {
	Trusted []netip.Prefix // peers that may send one
	Require bool           // refuse connections without one, and peers that are not trusted
}

// settings is everything a session decides with, swapped as one value.
type settings struct {
	EntrypointOptions
	trusted *bart.Lite // nil = nobody
	table   *Table
}

// Entrypoint accepts connections on one address, or on the ports of a range.
type Entrypoint struct {
	server    *Server
	name      string
	settings  atomic.Pointer[settings] // writer: the owner of the topology
	active    atomic.Int64             // open connections; loops write
	shares    []counters               // by loop
	sockets   *Sockets                 // what it was opened with
	listeners []*eventloop.Listener    // several per loop for a port range; each is its loop's; complete when Open returns
}

// Open starts accepting from sockets, which the entrypoint owns from now on.
func (s *Server) Open(name string, sockets *Sockets, o EntrypointOptions, t *Table) (*Entrypoint, error) {
	e := &Entrypoint{server: s, name: name, shares: make([]counters, len(s.workers)), sockets: sockets}
	e.Set(o, t)
	for i, w := range s.workers {
		var err error
		if callErr := w.loop.Call(func() { err = e.listen(w, sockets.perLoop[i]) }); callErr != nil {
			err = callErr
		}
		if err != nil {
			e.Close()
			sockets.Close()
			return nil, fmt.Errorf("entrypoint %s: %w", name, err)
		}
	}
	return e, nil
}

// listen runs on w's loop while Open waits.
func (e *Entrypoint) listen(w *worker, sockets []*eventloop.Socket) error {
	for i, socket := range sockets {
		ln, err := w.loop.Listen(socket, &door{entry: e, worker: w})
		if err != nil {
			return err
		}
		e.listeners = append(e.listeners, ln)
		sockets[i] = nil // the listener's now
	}
	return nil
}

// Name is the entrypoint's name in the configuration.
func (e *Entrypoint) Name() string { return e.name }

// Set replaces options and table for connections accepted from now on.
func (e *Entrypoint) Set(o EntrypointOptions, t *Table) {
	set := &settings{EntrypointOptions: o, table: t}
	if len(o.Proxy.Trusted) > 0 {
		set.trusted = new(bart.Lite)
		for _, p := range o.Proxy.Trusted {
			set.trusted.Insert(p)
		}
	}
	e.settings.Store(set)
}

// Active is the number of open connections. Safe from any goroutine.
func (e *Entrypoint) Active() int64 { return e.active.Load() }

// ActiveByLoop are the open connections on each loop. Safe from any goroutine.
func (e *Entrypoint) ActiveByLoop() []int64 {
	active := make([]int64, len(e.shares))
	for i := range e.shares {
		active[i] = sum(e.shares[i : i+1]).Active
	}
	return active
}

// Stats are the entrypoint's numbers. Safe from any goroutine.
func (e *Entrypoint) Stats() Stats { return sum(e.shares) }

// Pauses is how often accepting rested because the system was out of descriptors or memory. Safe from any goroutine.
func (e *Entrypoint) Pauses() int64 {
	var n int64
	for _, ln := range e.listeners {
		n += ln.Pauses()
	}
	return n
}

// Close stops accepting and closes the sockets. Open connections go on. Closing twice is fine.
func (e *Entrypoint) Close() {
	for _, ln := range e.listeners {
		_ = ln.Loop().Call(ln.Close) // fails only when the loop has ended, and its listeners with it
	}
	e.sockets.free()
}

// door is an entrypoint on one loop.
type door struct {
	entry  *Entrypoint
	worker *worker
}

// Accept starts a session, or turns the connection away when a limit is reached.
func (d *door) Accept(ln *eventloop.Listener, fd int, from netip.AddrPort) {
	share := &d.entry.shares[d.worker.loop.ID()]
	share.opened.Add(1)
	set := d.entry.settings.Load()
	if !d.worker.server.admit() {
		d.refuse(fd, share)
		return
	}
	if n := d.entry.active.Add(1); set.MaxConnections > 0 && n > int64(set.MaxConnections) {
		d.entry.active.Add(-1)
		d.worker.server.active.Add(-1)
		d.refuse(fd, share)
		return
	}
	d.worker.take().begin(d.entry, set, ln, fd, from)
}

// refuse closes at once. There is no record for it: under a flood the count must do.
func (d *door) refuse(fd int, share *counters) {
	share.ended[accesslog.Limit].Add(1)
	d.worker.loop.Discard(fd)
}
