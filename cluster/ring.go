package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxRing is how many keys a cluster uses at a time.
const MaxRing = 4

// ErrRing is what all errors about impossible changes of the keys are, by errors.Is.
var ErrRing = errors.New("impossible change of the cluster's keys")

// RingKey is a key of AES-256.
type RingKey [32]byte

// Fingerprint names the key without telling it.
func (k RingKey) Fingerprint() string {
	sum := sha256.Sum256(k[:])
	return hex.EncodeToString(sum[:6])
}

// Ring is the keys of the cluster at one time: the first encrypts, all decrypt. Like a command of an operator it is a
// register that each node copies into a cell of its own, so the copies are the acknowledgements, and a node that was away
// for a while catches up as long as it knows the key that encrypts.
type Ring struct {
	Keys  []RingKey
	Stamp Stamp // zero: from the settings, never changed by a command
}

// ringKey is where all nodes keep their copy of the ring.
const ringKey = Key(KindRing)

// Cell returns the value of a node's copy.
func (r Ring) cell() []byte {
	b := binary.AppendUvarint(nil, uint64(r.Stamp.Wall))
	b = binary.AppendUvarint(b, uint64(r.Stamp.Count))
	b = appendString(b, r.Stamp.Node)
	b = binary.AppendUvarint(b, uint64(len(r.Keys)))
	for _, k := range r.Keys {
		b = append(b, k[:]...)
	}
	return b
}

// parseRing reads a copy. Bytes behind it are of later releases and are not looked at.
func parseRing(b []byte) (Ring, error) {
	r := &reader{rest: b}
	var ring Ring
	ring.Stamp.Wall = int64(r.uvarint("a time", maxWall))
	ring.Stamp.Count = uint32(r.uvarint("a count", 1<<32-1))
	ring.Stamp.Node = r.name()
	for range r.uvarint("the number of keys", MaxRing) {
		key := r.take("a key", len(RingKey{}))
		if r.err != nil {
			break
		}
		if slices.Contains(ring.Keys, RingKey(key)) {
			r.fail("a key twice in one ring")
		}
		ring.Keys = append(ring.Keys, RingKey(key))
	}
	if r.err == nil && (len(ring.Keys) == 0 || !ring.Stamp.valid()) {
		r.fail("a ring without keys or stamp")
	}
	return ring, r.err
}

// supersedes reports whether r wins over s.
func (r Ring) supersedes(s Ring) bool {
	if n := r.Stamp.Compare(s.Stamp); n != 0 {
		return n > 0
	}
	return r.Stamp.valid() && bytes.Compare(r.cell(), s.cell()) > 0
}

// with returns the ring with one more key, which does not encrypt yet.
func (r Ring) with(k RingKey) (Ring, error) {
	switch {
	case slices.Contains(r.Keys, k):
		return r, nil
	case len(r.Keys) >= MaxRing:
		return r, fmt.Errorf("%w: there are %d keys; remove one first", ErrRing, MaxRing)
	}
	r.Keys = append(slices.Clone(r.Keys), k)
	return r, nil
}

// using returns the ring with the key first, which then encrypts.
func (r Ring) using(k RingKey) (Ring, error) {
	i := slices.Index(r.Keys, k)
	if i < 0 {
		return r, fmt.Errorf("%w: key %s is not installed", ErrRing, k.Fingerprint())
	}
	r.Keys = slices.Insert(slices.Delete(slices.Clone(r.Keys), i, i+1), 0, k)
	return r, nil
}

// without returns the ring without the key.
func (r Ring) without(k RingKey) (Ring, error) {
	i := slices.Index(r.Keys, k)
	switch {
	case i == 0:
		return r, fmt.Errorf("%w: key %s encrypts; use another first", ErrRing, k.Fingerprint())
	case i > 0:
		r.Keys = slices.Delete(slices.Clone(r.Keys), i, i+1)
	}
	return r, nil
}

// ringCopy returns the ring of which a member has published a copy.
func (t *Table) ringCopy(name string, m Members) (Ring, bool) {
	cell, ok := t.Get(name, ringKey)
	if !ok || cell.Boot != m[name].Boot {
		return Ring{}, false
	}
	ring, err := parseRing(cell.Value)
	return ring, err == nil
}

// ringAcks returns which of the members hold this ring, or a later one.
func (t *Table) ringAcks(r Ring, m Members) Acks {
	var a Acks
	for _, name := range m.Names() {
		if held, ok := t.ringCopy(name, m); ok && held.Stamp.Compare(r.Stamp) >= 0 {
			a.Holders = append(a.Holders, name)
		} else {
			a.Missing = append(a.Missing, name)
		}
	}
	return a
}

// latestRing returns the latest ring among cells, if one of them wins over what there is. An error tells of those that were
// refused.
func latestRing(have Ring, cells []Cell, clock *Clock, now time.Time) (Ring, bool, error) {
	var refused []error
	changed := false
	for _, c := range cells {
		if c.Key != ringKey || c.Gone {
			continue
		}
		ring, err := parseRing(c.Value)
		if err == nil {
			err = clock.See(ring.Stamp, now)
		}
		switch {
		case err != nil:
			refused = append(refused, fmt.Errorf("keys from %s: %w", c.Observer, err))
		case ring.supersedes(have):
			have, changed = ring, true
		}
	}
	return have, changed, errors.Join(refused...)
}
