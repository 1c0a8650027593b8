package cluster

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// start is when tests begin.
var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// after is a time of a test.
func after(d time.Duration) time.Time { return start.Add(d) }

// cell returns a cell with a value that belongs to its version, as those of honest observers do.
func cell(observer, key string, boot, seq uint64) Cell {
	return Cell{Key: Key(key), Observer: observer, Version: Version{boot, seq},
		Value: fmt.Appendf(nil, "%s %d.%d", key, boot, seq)}
}

// drawCell draws a cell of one of three observers, who may be dishonest: one version may have several values.
func drawCell(t *rapid.T) Cell {
	c := Cell{
		Observer: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "observer"),
		Key:      Key(rapid.SampledFrom([]string{"k", "l", "m", "n"}).Draw(t, "key")),
		Version:  Version{rapid.Uint64Range(1, 3).Draw(t, "boot"), rapid.Uint64Range(1, 6).Draw(t, "seq")},
		Gone:     rapid.IntRange(0, 3).Draw(t, "gone") == 0,
	}
	if !c.Gone {
		c.Value = rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 2).Draw(t, "value")
	}
	return c
}

func drawCells(t *rapid.T, name string) []Cell {
	return rapid.SliceOfN(rapid.Custom(drawCell), 0, 30).Draw(t, name)
}

// tableOf returns a table of a node that is none of the observers.
func tableOf(cells ...Cell) *Table {
	t := NewTable("self", 1)
	t.Merge(cells, start)
	return t
}

// contents is all that a table holds of others, in order.
func contents(t *Table) []Cell {
	var all []Cell
	for name := range t.observers {
		if name != t.self {
			all = append(all, t.since(name, 0)...)
		}
	}
	slices.SortFunc(all, func(a, b Cell) int {
		if a.Observer != b.Observer {
			return slices.Compare([]byte(a.Observer), []byte(b.Observer))
		}
		return slices.Compare([]byte(a.Key), []byte(b.Key))
	})
	return all
}
