package cluster

import (
	"testing"
)

func BenchmarkDecide(b *testing.B) {
	c := Case{Last: wasUp, Own: ownSuccess(), Votes: down3, Members: live(five...), Probers: duty, Pool: roomy}
	b.ReportAllocs()
	for b.Loop() {
		Decide(c, Options{}, start)
	}
}

// healthCells returns what one observer says of n backends.
func healthCells(n int) []Cell {
	var cells []Cell
	for i := range n {
		cells = append(cells, Cell{Key: HealthKey(BackendID(i), 1), Observer: "lb-1", Version: Version{FirstBoot(start, 0,
			1), uint64(i + 1)},
			Value: Report{State: Up, Streak: 100}.Append(nil)})
	}
	return cells
}

// A packet of cells: read, merge.
func BenchmarkReceive(b *testing.B) {
	packets, _ := Pack(Message{From: "lb-1", Cells: healthCells(1000)}, 1300)
	cells := 0
	b.ReportAllocs()
	for b.Loop() {
		table := NewTable("lb-2", 1)
		for _, p := range packets {
			m, err := Decode(p)
			if err != nil {
				b.Fatal(err)
			}
			cells += len(table.Merge(m.Cells, start))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(cells), "ns/cell")
}

// What a node finds that has heard of one change among 10,000 cells.
func BenchmarkMissing(b *testing.B) {
	behind, ahead := tableOf(healthCells(10_000)...), tableOf(healthCells(10_001)...)
	d := behind.Digest([]string{"lb-1"})
	b.ReportAllocs()
	for b.Loop() {
		if n := len(ahead.Missing(d)); n != 1 {
			b.Fatal(n)
		}
	}
}

func BenchmarkProbers(b *testing.B) {
	members := names(10)
	b.ReportAllocs()
	for b.Loop() {
		Probers(7, members, 3)
	}
}
