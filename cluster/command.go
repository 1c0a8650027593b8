package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Bounds of a command.
const (
	MaxWeight = 1 << 20
	maxWho    = 64
)

// Aspect is which of a target's settings a command is about. Each is a register of its own, so that a weight does not undo
// a drain.
type Aspect byte

const (
	Drain  Aspect = 'd' // on: no new connections; off: none drained
	Weight Aspect = 'w' // on: this weight instead of the configured one; off: the configured one
)

// Target is a backend of a service, or the whole service.
type Target struct {
	Service string
	Backend netip.AddrPort // zero: all backends of the service
}

// Command is what an operator ordered last about one aspect of one target. An order that is taken back is a command too: it
// is off, and stands in the way of copies of the former one.
type Command struct {
	Target
	Aspect Aspect
	On     bool
	Value  int    // the weight, from 0 to MaxWeight; 0 for drains
	By     string // who ordered it, up to 64 bytes
	Stamp  Stamp
}

// ErrCommand is what all errors about impossible commands are, by errors.Is.
var ErrCommand = errors.New("impossible command")

// canonical gives one backend one key, however its address is written.
func (c Command) canonical() Command {
	if c.Backend.IsValid() {
		c.Backend = netip.AddrPortFrom(c.Backend.Addr().Unmap(), c.Backend.Port())
	}
	return c
}

// check looks at everything but the stamp.
func (c Command) check() error {
	switch {
	case c.Service == "" || strings.Contains(c.Service, "\x00") || !utf8.ValidString(c.Service):
		return fmt.Errorf("%w: it needs the name of a service, in UTF-8", ErrCommand)
	case len(c.key()) > MaxKey:
		return fmt.Errorf("%w: the names of service and backend are longer than %d bytes", ErrCommand, MaxKey)
	case c.Aspect != Drain && c.Aspect != Weight:
		return fmt.Errorf("%w: neither a drain nor a weight", ErrCommand)
	case c.Value < 0 || c.Value > MaxWeight || (c.Aspect == Drain || !c.On) && c.Value != 0:
		return fmt.Errorf("%w: weight %d, from 0 to %d where a weight is set", ErrCommand, c.Value, MaxWeight)
	case len(c.By) > maxWho || !utf8.ValidString(c.By):
		return fmt.Errorf("%w: the operator's name is not UTF-8 of up to %d bytes", ErrCommand, maxWho)
	}
	return nil
}

// key returns where all nodes keep their copy of the command.
func (t Target) key(a Aspect) Key {
	backend := ""
	if t.Backend.IsValid() {
		backend = t.Backend.String()
	}
	return Key(KindCommand) + Key(a) + Key(t.Service) + "\x00" + Key(backend)
}

func (c Command) key() Key { return c.Target.key(c.Aspect) }

// Cell returns the key and the value of a node's copy of the command.
func (c Command) Cell() (Key, []byte) {
	b := binary.AppendUvarint(nil, uint64(c.Stamp.Wall))
	b = binary.AppendUvarint(b, uint64(c.Stamp.Count))
	b = appendString(b, c.Stamp.Node)
	on := byte(0)
	if c.On {
		on = 1
	}
	b = binary.AppendUvarint(append(b, on), uint64(c.Value))
	return c.key(), appendString(b, c.By)
}

// ParseCommand reads a copy. Bytes behind the value are of later releases and are not looked at.
func ParseCommand(key Key, value []byte) (Command, error) {
	if key.Kind() != KindCommand || len(key) < 2 {
		return Command{}, fmt.Errorf("%w: not the key of a command", ErrMalformed)
	}
	service, backend, ok := strings.Cut(string(key[2:]), "\x00")
	c := Command{Target: Target{Service: service}, Aspect: Aspect(key[1])}
	if ok && backend != "" {
		addr, err := netip.ParseAddrPort(backend)
		if err != nil {
			return Command{}, fmt.Errorf("%w: the backend of a command: %w", ErrMalformed, err)
		}
		c.Backend = addr
	}
	r := &reader{rest: value}
	c.Stamp.Wall = int64(r.uvarint("a time", maxWall))
	c.Stamp.Count = uint32(r.uvarint("a count", 1<<32-1))
	c.Stamp.Node = r.name()
	c.On = r.byte("on or off") != 0
	c.Value = int(r.uvarint("a weight", MaxWeight))
	c.By = string(r.bytes("an operator's name", maxWho))
	if r.err != nil {
		return Command{}, r.err
	}
	if err := c.check(); err != nil {
		return Command{}, err
	}
	if c.canonical().key() != key || !c.Stamp.valid() {
		return Command{}, fmt.Errorf("%w: a command that is not written in its one form", ErrMalformed)
	}
	return c, nil
}

// supersedes reports whether c wins over d, which is about the same. Two commands of one stamp do not come from a sound
// node; all nodes still choose the same.
func (c Command) supersedes(d Command) bool {
	if n := c.Stamp.Compare(d.Stamp); n != 0 {
		return n > 0
	}
	_, a := c.Cell()
	_, b := d.Cell()
	return bytes.Compare(a, b) > 0
}
