package cluster

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// MaxCommands is how many commands stand at one time, those that are off included.
	MaxCommands = 4096
	// OffLife is how long a command that is off is kept. A node that was away for longer may bring back what was taken back
	// meanwhile.
	OffLife = 30 * 24 * time.Hour
)

// ErrTooMany says that MaxCommands stand.
var ErrTooMany = errors.New("too many commands of operators")

// Commands is what operators have ordered, as one node knows it: for each target and aspect the latest command. Every node
// keeps all of them, on its disk too, and publishes its copy as a cell of its own once it is there. So a command survives
// as long as one disk does, and the copies of the others are their acknowledgements.
//
// What is to be done with each: Issue or Absorb, save (Saved), then Replica.Set with Command.Cell. It is not safe for
// concurrent use.
type Commands struct {
	clock  Clock
	latest map[Key]Command
}

// NewCommands returns what a node starts with: the commands of its state file.
func NewCommands(self string, saved []Command) *Commands {
	c := &Commands{clock: Clock{node: self}, latest: map[Key]Command{}}
	for _, s := range saved {
		// Whatever the clock says now, this node has seen these stamps.
		if s.Stamp.Compare(c.clock.last) > 0 {
			c.clock.last = s.Stamp
		}
		c.adopt(s)
	}
	return c
}

// adopt keeps a command if it is the latest, and reports whether it is.
func (c *Commands) adopt(n Command) bool {
	old, ok := c.latest[n.key()]
	if ok && !n.supersedes(old) || !ok && len(c.latest) >= MaxCommands {
		return false
	}
	c.latest[n.key()] = n
	return true
}

// Issue makes a command of an operator at this node the latest, and sets its stamp. One that says what stands already is that one:
// whoever asks again for its acknowledgements does not have them begin anew.
func (c *Commands) Issue(n Command, now time.Time) (Command, error) {
	n = n.canonical()
	if err := n.check(); err != nil {
		return Command{}, err
	}
	old, ok := c.latest[n.key()]
	if ok && old.On == n.On && old.Value == n.Value {
		return old, nil
	}
	if !ok && len(c.latest) >= MaxCommands {
		return Command{}, fmt.Errorf("%w: %d stand; take some back", ErrTooMany, MaxCommands)
	}
	n.Stamp = c.clock.Next(now)
	c.adopt(n)
	return n, nil
}

// Absorb takes over what other nodes' cells have that is later, and returns it. An error tells of the cells that were
// refused; the others have been taken over all the same.
func (c *Commands) Absorb(cells []Cell, now time.Time) ([]Command, error) {
	var news []Command
	var refused []error
	for _, cell := range cells {
		if cell.Key.Kind() != KindCommand || cell.Gone {
			continue
		}
		n, err := ParseCommand(cell.Key, cell.Value)
		if err == nil {
			err = c.clock.See(n.Stamp, now)
		}
		switch {
		case err != nil:
			refused = append(refused, fmt.Errorf("command from %s: %w", cell.Observer, err))
		case !c.expired(n, now) && c.adopt(n):
			news = append(news, n)
		}
	}
	return news, errors.Join(refused...)
}

// expired reports whether a command has been off for so long that it is not kept.
func (c *Commands) expired(n Command, now time.Time) bool {
	return !n.On && now.Sub(n.Stamp.Time()) > OffLife
}

// Sweep drops the commands that have been off for OffLife and returns their keys, for Replica.Delete.
func (c *Commands) Sweep(now time.Time) []Key {
	var keys []Key
	for key, n := range c.latest {
		if c.expired(n, now) {
			delete(c.latest, key)
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// All returns the commands in order of their keys.
func (c *Commands) All() []Command {
	all := make([]Command, 0, len(c.latest))
	for _, key := range slices.Sorted(maps.Keys(c.latest)) {
		all = append(all, c.latest[key])
	}
	return all
}

// Order is what stands for one backend.
type Order struct {
	Drained bool // itself, or its whole service
	Weight  int  // instead of the configured one, if Weighed
	Weighed bool
	By      []Command // the commands behind it, the service's first
}

// Order returns what operators have ordered for a backend. It is drained if it or its service is; a weight of its own wins
// over one for the service.
func (c *Commands) Order(service string, backend netip.AddrPort) Order {
	var o Order
	for _, target := range []Target{{Service: service}, {Service: service, Backend: backend}} {
		target = Command{Target: target}.canonical().Target
		if n := c.latest[target.key(Drain)]; n.On {
			o.Drained, o.By = true, append(o.By, n)
		}
		if n := c.latest[target.key(Weight)]; n.On {
			o.Weight, o.Weighed, o.By = n.Value, true, append(o.By, n)
		}
	}
	return o
}

// Acks says who holds a command, or a later one in its place.
type Acks struct {
	Holders []string
	Missing []string
}

// String returns how an operator reads it, such as "acked 3/3".
func (a Acks) String() string {
	return fmt.Sprintf("acked %d/%d", len(a.Holders), len(a.Holders)+len(a.Missing))
}

// Acks returns which of the members have published a copy of the command, so have it on their disks.
func (t *Table) Acks(c Command, m Members) Acks {
	var a Acks
	for _, name := range m.Names() {
		cell, ok := t.Get(name, c.key())
		copied, err := ParseCommand(cell.Key, cell.Value)
		if ok && err == nil && cell.Boot == m[name].Boot && copied.Stamp.Compare(c.Stamp) >= 0 {
			a.Holders = append(a.Holders, name)
		} else {
			a.Missing = append(a.Missing, name)
		}
	}
	return a
}
