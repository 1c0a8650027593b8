package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// diff compares two tables: their cells, and the summaries that stand for them.
func diff(a, b *Table) string {
	names := []string{"a", "b", "c"}
	return cmp.Diff(contents(a), contents(b), cmpopts.EquateEmpty()) + cmp.Diff(a.Digest(names), b.Digest(names))
}

func TestMergeIsJoin(t *testing.T) {
	laws := []struct {
		name string
		law  func(t *rapid.T, x, y, z []Cell) (*Table, *Table)
	}{
		{"commutative", func(_ *rapid.T, x, y, _ []Cell) (*Table, *Table) {
			return tableOf(append(slices.Clone(x), y...)...), tableOf(append(slices.Clone(y), x...)...)
		}},
		{"associative", func(_ *rapid.T, x, y, z []Cell) (*Table, *Table) {
			left, right := tableOf(x...), tableOf(y...)
			left.Merge(y, start)
			left.Merge(z, start)
			right.Merge(z, start)
			whole := tableOf(x...)
			whole.Merge(contents(right), start)
			return left, whole
		}},
		{"idempotent", func(_ *rapid.T, x, _, _ []Cell) (*Table, *Table) {
			once, twice := tableOf(x...), tableOf(x...)
			twice.Merge(contents(once), start)
			twice.Merge(x, start)
			return once, twice
		}},
		{"any order of any log", func(t *rapid.T, x, y, z []Cell) (*Table, *Table) {
			log := slices.Concat(x, y, z)
			mixed := rapid.Permutation(append(slices.Clone(log), x...)).Draw(t, "mixed")
			one := tableOf()
			for _, c := range mixed {
				one.Merge([]Cell{c}, start)
			}
			return tableOf(log...), one
		}},
		{"news are enough", func(_ *rapid.T, x, y, _ []Cell) (*Table, *Table) {
			a, b := tableOf(x...), tableOf(x...)
			b.Merge(a.Merge(y, start), start)
			return a, b
		}},
	}
	for _, tt := range laws {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				a, b := tt.law(t, drawCells(t, "x"), drawCells(t, "y"), drawCells(t, "z"))
				if d := diff(a, b); d != "" {
					t.Fatalf("tables differ:\n%s", d)
				}
			})
		})
	}
}

// No merge lowers anything: boots rise, and within a boot no cell gets an older version or is lost.
func TestMergeIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := tableOf(drawCells(t, "x")...)
		before := contents(table)
		table.Merge(drawCells(t, "y"), start)
		for _, old := range before {
			boot := table.Summary(old.Observer).Boot
			now, _ := table.Get(old.Observer, old.Key)
			if boot < old.Boot || boot == old.Boot && now.Seq < old.Seq {
				t.Fatalf("%+v became %+v in boot %d", old, now, boot)
			}
		}
	})
}

// A table that has been told what it lacks lacks nothing: at the latest the second answer has everything.
func TestMissingRepairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}
		var all []Cell
		for _, c := range drawCells(t, "all") {
			all = append(all, cell(c.Observer, string(c.Key), c.Boot, c.Seq)) // of honest observers
		}
		source := tableOf(all...)
		some := tableOf(rapid.SliceOfN(rapid.SampledFrom(append(all, cell("a", "k", 1, 1))), 0, 20).Draw(t, "some")...)
		source.Merge(contents(some), start)
		for range 2 {
			some.Merge(source.Missing(some.Digest(names)), start)
		}
		if d := diff(source, some); d != "" {
			t.Fatalf("after two answers:\n%s", d)
		}
		if missing := source.Missing(some.Digest(names)); len(missing) > 0 {
			t.Fatalf("equal tables lack %v", missing)
		}
	})
}

func TestMissingSendsNewOnes(t *testing.T) {
	var old []Cell
	for i := range uint64(100) {
		old = append(old, cell("a", fmt.Sprint("k", i), 1, i+1))
	}
	behind, ahead := tableOf(old...), tableOf(old...)
	newest := cell("a", "k7", 1, 101)
	ahead.Merge([]Cell{newest}, start)
	if d := cmp.Diff([]Cell{newest}, ahead.Missing(behind.Digest([]string{"a"}))); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
	if missing := behind.Missing(ahead.Digest([]string{"a"})); missing != nil {
		t.Errorf("the one behind sends %v", missing)
	}
	if missing := ahead.Missing(behind.Digest([]string{"b"})); missing != nil {
		t.Errorf("asked about b it sends %v", missing)
	}
}

func TestRestartSupersedes(t *testing.T) {
	tests := []struct {
		name  string
		cells []Cell
	}{
		{"in order", []Cell{cell("a", "k", 1, 900), cell("a", "l", 1, 901), cell("a", "k", 2, 1)}},
		{"out of order", []Cell{cell("a", "k", 2, 1), cell("a", "l", 1, 901), cell("a", "k", 1, 900)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := []Cell{cell("a", "k", 2, 1)}
			if d := cmp.Diff(want, contents(tableOf(tt.cells...))); d != "" {
				t.Errorf("contents (-want +got):\n%s", d)
			}
		})
	}
}

func TestSetAndDelete(t *testing.T) {
	table := NewTable("lb-1", 7)
	set := func(key Key, value string) bool {
		t.Helper()
		changed, err := table.Set(key, []byte(value), start)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if !set("k", "one") || set("k", "one") || !set("k", "two") || !set("l", "one") {
		t.Error("Set does not tell news from repetitions")
	}
	if !table.Delete("k", start) || table.Delete("k", start) || table.Delete("z", start) {
		t.Error("Delete does not tell news from repetitions")
	}
	if c, ok := table.Get("lb-1", "k"); ok {
		t.Errorf("deleted, but there is %+v", c)
	}
	other := tableOf()
	other.Merge(slices.Collect(table.All("lb-1")), start)
	if got, want := other.Summary("lb-1"), table.Summary("lb-1"); got != want || want.Seq != 4 {
		t.Errorf("copied %+v, original %+v, want seq 4", got, want)
	}
	if !set("k", "one") {
		t.Error("what was deleted cannot be set again")
	}
}

func TestSetBounds(t *testing.T) {
	table := NewTable("lb-1", 1)
	for _, key := range []Key{"", Key(strings.Repeat("k", MaxKey+1))} {
		if _, err := table.Set(key, nil, start); !errors.Is(err, ErrTooLarge) {
			t.Errorf("key of %d bytes: %v", len(key), err)
		}
	}
	if _, err := table.Set("k", make([]byte, MaxValue+1), start); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large value: %v", err)
	}
	for i := range MaxCells {
		if _, err := table.Set(Key(fmt.Sprint("k", i)), nil, start); err != nil {
			t.Fatalf("cell %d: %v", i, err)
		}
	}
	if _, err := table.Set("one more", nil, start); !errors.Is(err, ErrFull) {
		t.Errorf("cell %d: %v", MaxCells+1, err)
	}
	if changed, err := table.Set("k0", []byte("new"), start); err != nil || !changed {
		t.Errorf("an old cell of a full table: %t, %v", changed, err)
	}
}

// An observer with too many cells keeps those with the smallest keys, in whatever order they come.
func TestMergeBounds(t *testing.T) {
	var cells []Cell
	for i := range uint64(MaxCells + 100) {
		cells = append(cells, cell("a", fmt.Sprintf("%08d", i), 1, i+1))
	}
	up := tableOf(cells...)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	mixed := tableOf()
	for batch := range slices.Chunk(cells, 1000) {
		mixed.Merge(batch, start)
	}
	if d := diff(up, mixed); d != "" {
		t.Errorf("tables differ:\n%.2000s", d)
	}
	if got := contents(mixed); len(got) != MaxCells || got[0].Key != "00000000" || got[MaxCells-1].Seq != MaxCells {
		t.Errorf("%d cells, from %s to %s", len(got), got[0].Key, got[len(got)-1].Key)
	}
	if s := mixed.Summary("a"); s.Seq != MaxCells {
		t.Errorf("its highest seq is %d, of a cell that is not there", s.Seq)
	}
	if news := mixed.Merge([]Cell{cell("a", "99999999", 1, MaxCells+500)}, start); len(news) > 0 {
		t.Errorf("a cell that finds no room is news: %v", news)
	}

	for i := range MaxObservers + 10 {
		mixed.Merge([]Cell{cell(fmt.Sprint("node ", i), "k", 1, 1)}, start)
	}
	if n := len(mixed.observers); n != MaxObservers {
		t.Errorf("%d observers", n)
	}
	for _, bad := range []Cell{{}, cell("b", "", 1, 1), cell("b", "k", 0, 1), cell("b", "k", 1, 0),
		cell("b", "k", MaxBoot+1, 1), cell(strings.Repeat("b", MaxName+1), "k", 1, 1),
		{Key: "k", Observer: "b", Version: Version{1, 1}, Value: make([]byte, MaxValue+1)},
		{Key: "k", Observer: "b", Version: Version{1, 1}, Gone: true, Value: []byte("x")}} {
		if news := tableOf().Merge([]Cell{bad}, start); len(news) > 0 {
			t.Errorf("merged %+v", bad)
		}
	}
}

// What others hold of a former life cannot survive this one, however its boot came about.
func TestRefute(t *testing.T) {
	tests := []struct {
		name    string
		theirs  Cell
		rises   bool
		wantNew uint64 // boot
	}{
		{"an echo", cell("lb-1", "k", 5, 1), false, 5},
		{"an older life", cell("lb-1", "k", 4, 99), false, 5},
		{"a later life", cell("lb-1", "z", 9, 3), true, 10},
		{"this life, never said", cell("lb-1", "z", 5, 1), true, 6},
		{"this life, not yet said", cell("lb-1", "k", 5, 8), true, 6},
		{"this life, said otherwise", Cell{Key: "l", Observer: "lb-1", Version: Version{5, 2}, Value: []byte("zzz")}, true, 6},
		{"the end of all boots", cell("lb-1", "k", MaxBoot, 1), false, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mine := NewTable("lb-1", 5)
			for i, key := range []Key{"k", "l", "m"} {
				if _, err := mine.Set(key, []byte(fmt.Sprintf("%s 5.%d", key, i+1)), start); err != nil {
					t.Fatal(err)
				}
			}
			mine.Delete("m", start)
			other := tableOf(tt.theirs)
			if news := mine.Merge([]Cell{tt.theirs}, start); news != nil {
				t.Errorf("own cells are news: %v", news)
			}
			if mine.Boot() != tt.wantNew {
				t.Errorf("boot %d, want %d", mine.Boot(), tt.wantNew)
			}
			if !tt.rises {
				return
			}
			other.Merge(slices.Collect(mine.All("lb-1")), start)
			var got []string
			for _, c := range contents(other) {
				got = append(got, string(c.Value))
			}
			if d := cmp.Diff([]string{"k 5.1", "l 5.2"}, got); d != "" {
				t.Errorf("what others hold (-want +got):\n%s", d)
			}
		})
	}
}

func TestRefuteSummary(t *testing.T) {
	mine := NewTable("lb-1", 5)
	mine.Merge(nil, start)
	for _, s := range []Summary{{"lb-2", 9, 1, 1}, {"lb-1", 4, 1, 1}, mine.Summary("lb-1")} {
		if mine.Refute(s) {
			t.Errorf("rises above %+v", s)
		}
	}
	if !mine.Refute(Summary{Observer: "lb-1", Boot: 8}) || mine.Boot() != 9 {
		t.Errorf("boot %d, want 9", mine.Boot())
	}
}

func TestCompact(t *testing.T) {
	table := NewTable("lb-1", 1)
	churn := func(n int) {
		for i := range n {
			key := Key(fmt.Sprint("gone ", i))
			if _, err := table.Set(key, nil, start); err != nil {
				t.Fatal(err)
			}
			table.Delete(key, start)
		}
	}
	if _, err := table.Set("stays", []byte("here"), start); err != nil {
		t.Fatal(err)
	}
	churn(compactAbove)
	if table.Compact() {
		t.Error("compacts a few tombstones")
	}
	copied := tableOf(slices.Collect(table.All("lb-1"))...)
	busy := NewTable("lb-1", 1)
	for i := range 2 * compactAbove {
		for _, what := range []string{"gone ", "stays ", "stays too "} {
			if _, err := busy.Set(Key(fmt.Sprint(what, i)), nil, start); err != nil {
				t.Fatal(err)
			}
		}
		busy.Delete(Key(fmt.Sprint("gone ", i)), start)
	}
	if busy.Compact() {
		t.Error("compacts although most cells stay")
	}
	late := cell("lb-1", "gone 3", 1, 7) // a copy that is still under way
	churn(compactAbove + 1)
	if !table.Compact() || table.Boot() != 2 {
		t.Fatalf("boot %d after many tombstones, want 2", table.Boot())
	}
	copied.Merge(append(slices.Collect(table.All("lb-1")), late), start)
	if got := contents(copied); len(got) != 1 || string(got[0].Value) != "here" {
		t.Errorf("after compacting others hold %v", got)
	}
	if d := cmp.Diff(table.Summary("lb-1"), copied.Summary("lb-1")); d != "" {
		t.Errorf("summary (-want +got):\n%s", d)
	}
}

func TestFirstBoot(t *testing.T) {
	ms := uint64(start.UnixMilli()) << 16
	tests := []struct {
		name string
		got  uint64
		want uint64
	}{
		{"nothing saved", FirstBoot(start, 0, 9), ms + 9},
		{"saved by a life an hour ago", FirstBoot(start, ms-1000, 9), ms + 9},
		{"saved by a life whose clock was ahead", FirstBoot(start, ms<<1, 9), ms<<1 + 1},
		{"saved at the end of all boots", FirstBoot(start, 1<<64-1, 9), MaxBoot},
		{"before the epoch", FirstBoot(start.AddDate(-100, 0, 0), 0, 0), 1},
		{"far in the future", FirstBoot(start.AddDate(9000, 0, 0), 0, 0) &^ 0xffff,
			uint64(start.AddDate(9000, 0, 0).UnixMilli()) << 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("boot %d, want %d", tt.got, tt.want)
			}
		})
	}
}
