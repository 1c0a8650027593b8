package cluster

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// MaxObservers is how many observers a table holds cells of.
const MaxObservers = 256

var (
	// ErrFull says that the table holds MaxCells cells of its own.
	ErrFull = errors.New("the cluster table is full")
	// ErrTooLarge says that a key or value exceeds MaxKey or MaxValue.
	ErrTooLarge = errors.New("too large for a cell of the cluster")
)

// Table holds the cells of all observers. Merge is the join of a semilattice: for each observer the highest boot wins with
// all its cells, and within a boot the highest version of each cell. So it is commutative, associative, idempotent and
// monotone, and tables that have seen the same cells, in whatever order and however often, are equal. If an observer has
// more than MaxCells, those with the smallest keys stay, which keeps all of this true.
//
// A tombstone lives as long as the boot of its observer. When an observer has more of them than of live cells, it begins a
// new boot without them (Compact). So no time has to be agreed on after which a delayed copy of the deleted cell can no
// longer arrive: if it does, its boot has passed.
//
// The table of one node has one writer for its own cells, Set and Delete. It is not safe for concurrent use.
type Table struct {
	self      string
	observers map[string]*record
}

// record is what a table holds of one observer.
type record struct {
	boot, seq, hash uint64
	gone            int // of the cells, tombstones
	cells           map[Key]held
}

// held is an entry and when it came here, which is no part of what is replicated.
type held struct {
	entry
	at time.Time
}

// NewTable returns a table for the node self, whose life is boot. The name has from 1 to MaxName bytes, boot is from 1 to
// MaxBoot.
func NewTable(self string, boot uint64) *Table {
	own := &record{boot: boot, cells: map[Key]held{}}
	return &Table{self: self, observers: map[string]*record{self: own}}
}

// Self returns the name of the node whose table this is.
func (t *Table) Self() string { return t.self }

// own returns the record that this node writes.
func (t *Table) own() *record { return t.observers[t.self] }

// Boot returns the life of this node, for the state file.
func (t *Table) Boot() uint64 { return t.own().boot }

// Set makes a statement of this node's own and reports whether it is news. The table keeps a copy of value.
func (t *Table) Set(key Key, value []byte, now time.Time) (bool, error) {
	if key == "" || len(key) > MaxKey || len(value) > MaxValue {
		return false, fmt.Errorf("cell %q of %d bytes: %w (a key has up to %d bytes, a value up to %d)",
			key[:min(len(key), 64)], len(value), ErrTooLarge, MaxKey, MaxValue)
	}
	own := t.own()
	old, ok := own.cells[key]
	if ok && !old.gone && bytes.Equal(old.value, value) {
		return false, nil
	}
	if !ok && len(own.cells) >= MaxCells {
		return false, fmt.Errorf("cell %q: %w: %d cells", key[:min(len(key), 64)], ErrFull, MaxCells)
	}
	own.put(key, entry{seq: own.seq + 1, value: bytes.Clone(value)}, now)
	return true, nil
}

// Delete takes a statement of this node's back and reports whether there was one.
func (t *Table) Delete(key Key, now time.Time) bool {
	own := t.own()
	if old, ok := own.cells[key]; !ok || old.gone {
		return false
	}
	own.put(key, entry{seq: own.seq + 1, gone: true}, now)
	return true
}

// put stores e, which supersedes what is there.
func (r *record) put(key Key, e entry, now time.Time) {
	r.remove(key)
	r.cells[key] = held{entry: e, at: now}
	r.hash += e.hash(key)
	r.seq = max(r.seq, e.seq)
	if e.gone {
		r.gone++
	}
}

// remove forgets the cell of a key. The highest seq is the caller's to mend.
func (r *record) remove(key Key) {
	old, ok := r.cells[key]
	if !ok {
		return
	}
	r.hash -= old.hash(key)
	if old.gone {
		r.gone--
	}
	delete(r.cells, key)
}

// hash is the share of a cell in the hash of its observer, which is their sum.
func (e entry) hash(key Key) uint64 {
	var head [1 + 2 + 8]byte
	if e.gone {
		head[0] = 1
	}
	binary.BigEndian.PutUint16(head[1:], uint16(len(key)))
	binary.BigEndian.PutUint64(head[3:], e.seq)
	var h xxhash.Digest
	h.Reset()
	h.Write(head[:])
	h.WriteString(string(key))
	h.Write(e.value)
	return h.Sum64()
}

// Merge takes cells over and returns those that were news, which are worth passing on. The table keeps their values.
//
// Cells of this node's own that it has not written come from a former life, or from another node under its name. The table
// then rises above them to a new boot, so that its own statements win; they are not news.
func (t *Table) Merge(cells []Cell, now time.Time) []Cell {
	var news []Cell
	crowded := map[string]bool{}
	for _, c := range cells {
		if !c.valid() {
			continue
		}
		if c.Observer == t.self {
			t.refute(c)
			continue
		}
		r := t.record(c.Observer, c.Boot)
		if r == nil {
			continue
		}
		e := entry{seq: c.Seq, gone: c.Gone, value: c.Value}
		if old, ok := r.cells[c.Key]; ok && !e.beats(old.entry) {
			continue
		}
		r.put(c.Key, e, now)
		news = append(news, c)
		if len(r.cells) > MaxCells {
			crowded[c.Observer] = true
		}
	}
	for name := range crowded {
		t.observers[name].trim()
	}
	return slices.DeleteFunc(news, func(c Cell) bool { return !t.holds(c) })
}

// record returns where a cell of that boot belongs, or nil if it belongs nowhere: its life is over, or there is no room for
// another observer. A new boot makes all of the older one void.
func (t *Table) record(observer string, boot uint64) *record {
	r := t.observers[observer]
	switch {
	case r == nil && len(t.observers) >= MaxObservers, r != nil && r.boot > boot:
		return nil
	case r == nil || r.boot < boot:
		r = &record{boot: boot, cells: map[Key]held{}}
		t.observers[observer] = r
	}
	return r
}

// Begin makes all that an observer said in lives before this one void. Merge does so too, but a new life may have nothing
// to say.
func (t *Table) Begin(observer string, boot uint64) {
	if observer != "" && observer != t.self && boot > 0 && boot <= MaxBoot {
		t.record(observer, boot)
	}
}

// trim drops the largest keys beyond MaxCells.
func (r *record) trim() {
	for _, key := range slices.Sorted(maps.Keys(r.cells))[MaxCells:] {
		r.remove(key)
	}
	r.seq = 0
	for _, e := range r.cells {
		r.seq = max(r.seq, e.seq)
	}
}

// holds reports whether that version of the cell is still in the table, not superseded by another of the same message.
func (t *Table) holds(c Cell) bool {
	r := t.observers[c.Observer]
	return r.boot == c.Boot && r.cells[c.Key].seq == c.Seq
}

// refute rises above a cell in this node's name that it has not written.
func (t *Table) refute(c Cell) {
	own := t.own()
	if c.Boot < own.boot {
		return
	}
	if c.Boot == own.boot && c.Seq <= own.seq {
		// Older versions of what was said since are echoes. What was never said is not.
		mine, ok := own.cells[c.Key]
		if ok && (c.Seq < mine.seq || !(entry{seq: c.Seq, gone: c.Gone, value: c.Value}).beats(mine.entry)) {
			return
		}
	}
	t.renew(c.Boot)
}

// Refute does for a summary in this node's name what Merge does for a cell, and reports whether the table has risen above
// it.
func (t *Table) Refute(s Summary) bool {
	own := t.own()
	if s.Observer != t.self || !own.summary(t.self).lacks(s) {
		return false
	}
	t.renew(s.Boot)
	return true
}

// renew says everything again in a life after the given one, without the tombstones. At the end of all boots, which only a
// forger reaches, the table stays as it is.
func (t *Table) renew(after uint64) {
	if after >= MaxBoot {
		return
	}
	old := t.own()
	next := &record{boot: after + 1, cells: make(map[Key]held, len(old.cells)-old.gone)}
	for _, key := range slices.Sorted(maps.Keys(old.cells)) {
		if e := old.cells[key]; !e.gone {
			next.put(key, entry{seq: next.seq + 1, value: e.value}, e.at)
		}
	}
	t.observers[t.self] = next
}

// compactAbove is how many tombstones are always borne.
const compactAbove = 64

// Compact begins a new boot if this node's tombstones are many and outnumber its cells, and reports whether it did. The
// others then have to fetch what is left, which costs them no more than the deletions did.
func (t *Table) Compact() bool {
	own := t.own()
	if own.gone <= compactAbove || own.gone <= len(own.cells)-own.gone || own.boot >= MaxBoot {
		return false
	}
	t.renew(own.boot)
	return true
}

// Forget drops all cells of an observer other than this node.
func (t *Table) Forget(observer string) {
	if observer != t.self {
		delete(t.observers, observer)
	}
}

// Get returns what an observer says under a key; false if that is nothing.
func (t *Table) Get(observer string, key Key) (Cell, bool) {
	c, _, ok := t.get(observer, key)
	return c, ok
}

// get returns a cell and when it came here.
func (t *Table) get(observer string, key Key) (Cell, time.Time, bool) {
	r := t.observers[observer]
	if r == nil {
		return Cell{}, time.Time{}, false
	}
	e, ok := r.cells[key]
	return r.cell(observer, key, e.entry), e.at, ok && !e.gone
}

func (r *record) cell(observer string, key Key, e entry) Cell {
	return Cell{Key: key, Observer: observer, Version: Version{Boot: r.boot, Seq: e.seq}, Value: e.value, Gone: e.gone}
}

// All yields all cells of an observer, tombstones included, in the order in which they were said.
func (t *Table) All(observer string) iter.Seq[Cell] {
	return func(yield func(Cell) bool) {
		for _, c := range t.since(observer, 0) {
			if !yield(c) {
				return
			}
		}
	}
}

// Len returns how many cells the table holds of an observer, tombstones included.
func (t *Table) Len(observer string) int {
	if r := t.observers[observer]; r != nil {
		return len(r.cells)
	}
	return 0
}

// since returns the cells of an observer above a seq, lowest first.
func (t *Table) since(observer string, seq uint64) []Cell {
	r := t.observers[observer]
	if r == nil {
		return nil
	}
	var cells []Cell
	for key, e := range r.cells {
		if e.seq > seq {
			cells = append(cells, r.cell(observer, key, e.entry))
		}
	}
	slices.SortFunc(cells, func(a, b Cell) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Key, b.Key)) })
	return cells
}

// Summary returns what the table holds of an observer.
func (t *Table) Summary(observer string) Summary {
	if r := t.observers[observer]; r != nil {
		return r.summary(observer)
	}
	return Summary{Observer: observer}
}

func (r *record) summary(observer string) Summary {
	return Summary{Observer: observer, Boot: r.boot, Seq: r.seq, Hash: r.hash}
}

// Digest returns what the table holds of each of the observers.
func (t *Table) Digest(observers []string) Digest {
	d := make(Digest, 0, len(observers))
	for _, name := range observers {
		d = append(d, t.Summary(name))
	}
	return d
}

// Missing returns what a table of that digest lacks of the observers that it names: at first what is newer than all it has,
// and if it has all of that and still differs, everything, because it misses something in between. The answer ends after an
// observer with which it has become larger than one message may be; the next question gets the rest.
func (t *Table) Missing(d Digest) []Cell {
	var missing []Cell
	size := 0
	for _, theirs := range d {
		ours := t.Summary(theirs.Observer)
		if !theirs.lacks(ours) {
			continue
		}
		var after uint64
		if theirs.Boot == ours.Boot && theirs.Seq < ours.Seq {
			after = theirs.Seq
		}
		cells := t.since(theirs.Observer, after)
		for _, c := range cells {
			size += c.size()
		}
		if len(missing) > 0 && (size > MaxMessage/2 || len(missing)+len(cells) > maxMessageCells) {
			break
		}
		missing = append(missing, cells...)
	}
	return missing
}
