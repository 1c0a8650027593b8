package sni

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type entry struct {
	kind Kind
	name string
}

func (e entry) String() string { return fmt.Sprintf("%d:%s", e.kind, e.name) }

func table(t testing.TB, entries ...entry) *Table[string] {
	t.Helper()
	b := NewBuilder[string]()
	for _, e := range entries {
		if err := b.Add(e.kind, e.name, e.String()); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

func TestLookup(t *testing.T) {
	full := table(t,
		entry{Default, "*"}, entry{Regexp, "^b"}, entry{Regexp, "x$"},
		entry{Wildcard, "*.X"}, entry{Wildcard, "*.a.x"}, entry{Exact, "A.x."}, entry{Exact, "x"},
	)
	for _, tt := range []struct {
		name  string
		table *Table[string]
		host  string
		want  []string
	}{
		{"all levels", full, "a.x", []string{"1:A.x.", "2:*.X", "3:x$", "4:*"}},
		{"capitals", full, "A.X", []string{"1:A.x.", "2:*.X", "3:x$", "4:*"}},
		{"trailing dot", full, "a.x.", []string{"1:A.x.", "2:*.X", "3:x$", "4:*"}},
		{"expressions in order", full, "b.x", []string{"2:*.X", "3:^b", "3:x$", "4:*"}},
		{"expressions see lower case", full, "B.X", []string{"2:*.X", "3:^b", "3:x$", "4:*"}},
		{"wildcard is one label", full, "b.a.x", []string{"2:*.a.x", "3:^b", "3:x$", "4:*"}},
		{"wildcard is not two labels", full, "c.b.a.x", []string{"3:x$", "4:*"}},
		{"wildcard is not the parent", full, "x", []string{"1:x", "3:x$", "4:*"}},
		{"wildcard is not the empty label", full, ".x", []string{"3:x$", "4:*"}},
		{"unknown", full, "y", []string{"4:*"}},
		{"no name", full, "", []string{"4:*"}},
		{"dot", full, ".", []string{"4:*"}},
		{"too long", full, strings.Repeat("b", 300) + ".x", []string{"4:*"}},
		{"expression that takes no name", table(t, entry{Regexp, "^$"}), "", []string{"3:^$"}},
		{"no default", table(t, entry{Exact, "a"}), "b", nil},
		{"empty", new(Table[string]), "a.x", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, slices.Collect(tt.table.Lookup([]byte(tt.host)))); diff != "" {
				t.Errorf("Lookup(%q) (-want +got):\n%s", tt.host, diff)
			}
			for n := range tt.want {
				var got []string
				for v := range tt.table.Lookup([]byte(tt.host)) {
					if got = append(got, v); len(got) == n+1 {
						break
					}
				}
				if diff := cmp.Diff(tt.want[:n+1], got); diff != "" {
					t.Errorf("first %d of Lookup(%q) (-want +got):\n%s", n+1, tt.host, diff)
				}
			}
			first, ok := tt.table.First([]byte(tt.host))
			if ok != (tt.want != nil) || ok && first != tt.want[0] {
				t.Errorf("First(%q) = %q, %v", tt.host, first, ok)
			}
		})
	}
}

func TestBuilderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind Kind
		host string
	}{
		{"empty", Exact, ""},
		{"dot", Exact, "."},
		{"empty label", Exact, "a..b"},
		{"wildcard as exact", Exact, "*.a"},
		{"star as exact", Exact, "*"},
		{"space", Exact, "a b"},
		{"long label", Exact, strings.Repeat("a", 64)},
		{"long name", Exact, strings.Repeat("a.", 127) + "a"},
		{"exact as wildcard", Wildcard, "a.b"},
		{"star as wildcard", Wildcard, "*"},
		{"star and dot", Wildcard, "*."},
		{"two stars", Wildcard, "*.*.a"},
		{"double star", Wildcard, "**.a"},
		{"long wildcard", Wildcard, "*." + strings.Repeat("a.", 126) + "a"},
		{"expression", Regexp, "("},
		{"no kind", 0, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := NewBuilder[int]().Add(tt.kind, tt.host, 1); err == nil {
				t.Errorf("Add(%d, %q) works", tt.kind, tt.host)
			}
		})
	}
}

func TestBuilderAddsOnce(t *testing.T) {
	for _, tt := range []struct {
		name          string
		kind          Kind
		first, second string
	}{
		{"exact", Exact, "a.x", "A.x."},
		{"wildcard", Wildcard, "*.x", "*.X"},
		{"expression", Regexp, "a", "a"},
		{"default", Default, "*", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBuilder[int]()
			if err := b.Add(tt.kind, tt.first, 1); err != nil {
				t.Fatal(err)
			}
			if err := b.Add(tt.kind, tt.second, 2); !errors.Is(err, errDuplicateEntry) {
				t.Errorf("second Add: %v", err)
			}
		})
	}
}

func TestSlotsCollect(t *testing.T) {
	b := NewBuilder[[]int]()
	add := func(kind Kind, name string, n int) {
		t.Helper()
		slot, err := b.Slot(kind, name)
		if err != nil {
			t.Fatal(err)
		}
		*slot = append(*slot, n)
	}
	add(Exact, "a.x", 1)
	add(Regexp, "a", 2)
	add(Exact, "A.X", 3)
	add(Regexp, "a", 4)
	add(Default, "*", 5)
	before := b.Build()
	add(Default, "*", 6)
	add(Exact, "b.x", 7)
	for _, tt := range []struct {
		name  string
		table *Table[[]int]
		host  string
		want  [][]int
	}{
		{"before", before, "a.x", [][]int{{1, 3}, {2, 4}, {5}}},
		{"table does not see the builder", before, "b.x", [][]int{{5}}},
		{"after", b.Build(), "b.x", [][]int{{7}, {5, 6}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, slices.Collect(tt.table.Lookup([]byte(tt.host)))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// naive finds the entries that cover a name one by one.
func naive(entries []entry, host string) (want []string) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for kind := Exact; kind <= Default; kind++ {
		for _, e := range entries {
			first, parent, cut := strings.Cut(host, ".")
			covered := e.kind == kind && (kind == Default ||
				kind == Exact && e.name == host ||
				kind == Wildcard && cut && first != "" && e.name == "*."+parent ||
				kind == Regexp && regexp.MustCompile(e.name).MatchString(host))
			if covered {
				want = append(want, e.String())
			}
		}
	}
	return want
}

func TestLookupIsTheNaiveSearch(t *testing.T) {
	labels := rapid.SampledFrom([]string{"a", "b", "c-1", "d_2", "xn--e"})
	host := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(labels, 1, 3).Draw(t, "labels"), ".")
	})
	anyEntry := rapid.Custom(func(t *rapid.T) entry {
		switch rapid.IntRange(0, 10).Draw(t, "kind") {
		case 0:
			return entry{Default, "*"}
		case 1, 2:
			return entry{Regexp, rapid.SampledFrom([]string{"a", "^a", "b$", "^$", "c-[0-9]"}).Draw(t, "expression")}
		case 3, 4, 5:
			return entry{Wildcard, "*." + host.Draw(t, "parent")}
		}
		return entry{Exact, host.Draw(t, "host")}
	})
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfDistinct(anyEntry, func(e entry) entry { return e }).Draw(t, "entries")
		b := NewBuilder[string]()
		for _, e := range entries {
			if err := b.Add(e.kind, e.name, e.String()); err != nil {
				t.Fatal(err)
			}
		}
		name := rapid.OneOf(host, rapid.SampledFrom([]string{"", ".", "A.b", "C-1.B.", ".a", "a..b"})).Draw(t, "name")
		got := slices.Collect(b.Build().Lookup([]byte(name)))
		if diff := cmp.Diff(naive(entries, name), got); diff != "" {
			t.Fatalf("%q in %v (-want +got):\n%s", name, entries, diff)
		}
	})
}

func manyNames(t testing.TB) *Table[int] {
	t.Helper()
	b := NewBuilder[int]()
	for i := range 10_000 {
		if err := b.Add(Exact, fmt.Sprintf("host-%d.example.com", i), i); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			if err := b.Add(Wildcard, fmt.Sprintf("*.zone-%d.example.com", i), i); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Add(Default, "*", -1); err != nil {
		t.Fatal(err)
	}
	return b.Build()
}

// lookups are the cases that must not allocate.
var lookups = []struct {
	name string
	host string
	want int
}{
	{"exact", "host-7777.example.com", 7777},
	{"capitals", "Host-7777.Example.com", 7777},
	{"wildcard", "a.zone-5000.example.com", 5000},
	{"default", "elsewhere.example.org", -1},
	{"no name", "", -1},
}

func TestLookupDoesNotAllocate(t *testing.T) {
	names := manyNames(t)
	for _, tt := range lookups {
		t.Run(tt.name, func(t *testing.T) {
			host := []byte(tt.host)
			var first, last int
			got := testing.AllocsPerRun(100, func() {
				first, _ = names.First(host)
				for last = range names.Lookup(host) {
				}
			})
			if got != 0 || first != tt.want || last != -1 {
				t.Errorf("%v allocations, first %d, last %d", got, first, last)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	names := manyNames(b)
	for _, bb := range lookups {
		b.Run(bb.name, func(b *testing.B) {
			host := []byte(bb.host)
			b.ReportAllocs()
			for b.Loop() {
				if v, _ := names.First(host); v != bb.want {
					b.Fatal(v)
				}
			}
		})
	}
}
