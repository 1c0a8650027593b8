package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// savedFormat is the format of the state file that this release writes.
const savedFormat = 1

// maxSaved bounds a state file, in bytes.
const maxSaved = 8 << 20

// ErrSaved is what all errors about state files are, by errors.Is.
var ErrSaved = errors.New("unusable state file")

// Saved is what a node has to know again after a restart. Whoever keeps it writes it to a file of another name and renames
// that, so that a crash leaves the old or the new one.
type Saved struct {
	Boot     uint64 // of the life that wrote it
	Commands []Command
	Peers    []Peer // the other nodes that had not left
	Ring     Ring   // the keys, if a command has changed them
	RingFrom string // a hash of the keys in the settings that were in force then
}

// Peer is another node, as it is remembered.
type Peer struct {
	Name string         `json:"name"`
	Addr netip.AddrPort `json:"address"`
	Seen int64          `json:"seen"` // when it was last a member, in seconds since the Unix epoch
}

// savedFile is a state file. Fields of later releases are not looked at, and lost when it is written again.
type savedFile struct {
	Format   int            `json:"format"`
	Boot     uint64         `json:"boot"`
	Commands []savedCommand `json:"commands"`
	Peers    []Peer         `json:"peers,omitempty"`
	Ring     *savedRing     `json:"ring,omitempty"`
}

type savedRing struct {
	Keys  [][]byte `json:"keys"`
	Stamp Stamp    `json:"stamp"`
	From  string   `json:"from"`
}

type savedCommand struct {
	What    string `json:"what"` // drain or weight
	Service string `json:"service"`
	Backend string `json:"backend,omitempty"`
	On      bool   `json:"on"`
	Weight  int    `json:"weight,omitempty"`
	By      string `json:"by,omitempty"`
	Stamp   Stamp  `json:"stamp"`
}

// String returns the name used in state files and the API.
func (a Aspect) String() string {
	switch a {
	case Drain:
		return "drain"
	case Weight:
		return "weight"
	default:
		return fmt.Sprintf("aspect %d", byte(a))
	}
}

// Encode writes the file.
func (s Saved) Encode() ([]byte, error) {
	file := savedFile{Format: savedFormat, Boot: s.Boot, Commands: make([]savedCommand, 0, len(s.Commands)), Peers: s.Peers}
	for _, c := range s.Commands {
		saved := savedCommand{What: c.Aspect.String(), Service: c.Service, On: c.On, Weight: c.Value, By: c.By, Stamp: c.Stamp}
		if c.Backend.IsValid() {
			saved.Backend = c.Backend.String()
		}
		file.Commands = append(file.Commands, saved)
	}
	if s.Ring.Stamp.valid() {
		file.Ring = &savedRing{Stamp: s.Ring.Stamp, From: s.RingFrom}
		for _, k := range s.Ring.Keys {
			file.Ring.Keys = append(file.Ring.Keys, k[:])
		}
	}
	b, err := json.MarshalIndent(file, "", "  ")
	return append(b, '\n'), err
}

// DecodeSaved reads the file. A command that cannot be used makes the whole file unusable: to leave out a drain silently
// would put a server back into service.
func DecodeSaved(b []byte) (Saved, error) {
	if len(b) > maxSaved {
		return Saved{}, fmt.Errorf("%w: %d bytes, at most %d", ErrSaved, len(b), maxSaved)
	}
	var file savedFile
	if err := json.Unmarshal(b, &file); err != nil {
		return Saved{}, fmt.Errorf("%w: %w", ErrSaved, err)
	}
	switch {
	case file.Format != savedFormat:
		return Saved{}, fmt.Errorf("%w: format %d, this release reads %d", ErrSaved, file.Format, savedFormat)
	case len(file.Commands) > MaxCommands:
		return Saved{}, fmt.Errorf("%w: %d commands, at most %d", ErrSaved, len(file.Commands), MaxCommands)
	case len(file.Peers) > maxPeers:
		return Saved{}, fmt.Errorf("%w: %d peers, at most %d", ErrSaved, len(file.Peers), maxPeers)
	case file.Boot > MaxBoot:
		return Saved{}, fmt.Errorf("%w: boot %d, at most %d", ErrSaved, file.Boot, uint64(MaxBoot))
	}
	s := Saved{Boot: file.Boot, Peers: file.Peers}
	for i, peer := range file.Peers {
		if !peer.Addr.IsValid() {
			return Saved{}, fmt.Errorf("%w: peers[%d]: no address", ErrSaved, i)
		}
	}
	if file.Ring != nil {
		ring, err := file.Ring.ring()
		if err != nil {
			return Saved{}, fmt.Errorf("%w: ring: %w", ErrSaved, err)
		}
		s.Ring, s.RingFrom = ring, file.Ring.From
	}
	for i, saved := range file.Commands {
		c, err := saved.command()
		if err != nil {
			return Saved{}, fmt.Errorf("%w: commands[%d]: %w", ErrSaved, i, err)
		}
		s.Commands = append(s.Commands, c)
	}
	return s, nil
}

func (s savedCommand) command() (Command, error) {
	c := Command{Target: Target{Service: s.Service}, On: s.On, Value: s.Weight, By: s.By, Stamp: s.Stamp}
	switch s.What {
	case Drain.String():
		c.Aspect = Drain
	case Weight.String():
		c.Aspect = Weight
	}
	if s.Backend != "" {
		addr, err := netip.ParseAddrPort(s.Backend)
		if err != nil {
			return Command{}, err
		}
		c.Backend = addr
	}
	c = c.canonical()
	if err := c.check(); err != nil {
		return Command{}, err
	}
	if !c.Stamp.valid() {
		return Command{}, fmt.Errorf("%w: no stamp", ErrCommand)
	}
	return c, nil
}

func (s savedRing) ring() (Ring, error) {
	r := Ring{Stamp: s.Stamp}
	for _, key := range s.Keys {
		if len(key) != len(RingKey{}) {
			return Ring{}, fmt.Errorf("%w: a key of %d bytes", ErrRing, len(key))
		}
		r.Keys = append(r.Keys, RingKey(key))
	}
	if !r.Stamp.valid() {
		return Ring{}, fmt.Errorf("%w: no stamp", ErrRing)
	}
	return parseRing(r.cell())
}
