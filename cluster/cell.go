package cluster

import (
	"bytes"
	"cmp"
)

// Bounds of a cell. They are chosen so that the whole table of one observer fits into one message; see MaxMessage.
const (
	MaxName  = 255 // bytes of an observer's name: no host name is longer (RFC 1035, section 2.3.4)
	MaxKey   = 384 // bytes
	MaxValue = 512 // bytes
	MaxCells = 1 << 14
	MaxBoot  = 1<<63 - 1
)

// Version orders what one observer said: by the life in which it spoke, then by how much it had said before. It has nothing
// to do with the versions of others.
type Version struct {
	Boot uint64 // one life of the observer, from 1 to MaxBoot; see FirstBoot
	Seq  uint64 // from 1, rising with every change of any of its cells
}

// Compare returns -1, 0 or +1.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Boot, w.Boot), cmp.Compare(v.Seq, w.Seq))
}

// Cell is one statement of one observer, who alone may change it. The owner of the bytes of Value is the cell; nobody
// writes to them.
type Cell struct {
	Key      Key
	Observer string
	Version
	Value []byte
	Gone  bool // the observer has taken its statement back: a tombstone, without a value
}

// valid reports whether the cell keeps to the bounds.
func (c Cell) valid() bool {
	return c.Observer != "" && len(c.Observer) <= MaxName && c.Key != "" && len(c.Key) <= MaxKey && len(c.Value) <= MaxValue &&
		c.Boot > 0 && c.Boot <= MaxBoot && c.Seq > 0 && (!c.Gone || len(c.Value) == 0)
}

// entry is a cell as a table keeps it, where the observer, its boot and the key are known from the place.
type entry struct {
	seq   uint64
	gone  bool
	value []byte
}

// beats reports whether e supersedes f. An honest observer never gives one version to two values; for one that does, such
// as two nodes under one name, all nodes still choose the same.
func (e entry) beats(f entry) bool {
	if e.seq != f.seq {
		return e.seq > f.seq
	}
	if e.gone != f.gone {
		return e.gone
	}
	return bytes.Compare(e.value, f.value) > 0
}
