package cluster

// Summary is what a table holds of one observer, in short. Two tables with equal summaries hold the same cells of it. The
// zero value, but for the name, is that of an observer of whom nothing is known.
type Summary struct {
	Observer string
	Boot     uint64
	Seq      uint64 // the highest
	Hash     uint64 // of all cells, tombstones included, in whatever order they came
}

// Digest has a summary for each of some observers.
type Digest []Summary

// lacks reports whether a table of summary s is behind one of summary other.
func (s Summary) lacks(other Summary) bool {
	if s.Boot != other.Boot {
		return s.Boot < other.Boot
	}
	return s.Seq < other.Seq || s.Seq == other.Seq && s.Hash != other.Hash
}

// Beacon is what an observer says of itself once a second: that it lives, that everything in its table still stands, and
// how far it may be trusted. Unchanged cells are never sent again, because a beacon confirms them all. Others may pass it
// on: a beat counts once, so neither duplicates nor delays make a silent observer look alive.
type Beacon struct {
	Summary
	Beat  uint64 // from 1, rising with every beacon of this boot
	Doubt Doubt  // what the observer thinks of its own judgement
}
