package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type example struct {
	name string
	data []byte
}

// examples returns the files of testdata/examples, every one of which is a
// valid configuration.
func examples(t testing.TB) []example {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var out []example
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, example{filepath.Base(file), data})
	}
	return out
}

func TestExamplesAreValid(t *testing.T) {
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) { mustParse(t, e.name, string(e.data)) })
	}
}

// A dump says the same, and so has the same checksum, which no other configuration has.
func TestDumpRoundTrips(t *testing.T) {
	sums := map[[32]byte]string{}
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			cfg := mustParse(t, e.name, string(e.data))
			dump, err := cfg.Dump()
			if err != nil {
				t.Fatal(err)
			}
			again := mustParse(t, "dump.yaml", string(dump))
			if diff := cmp.Diff(cfg, again, sameConfig); diff != "" {
				t.Errorf("the dump says something else (-was +dump):\n%s", diff)
			}
			second, err := again.Dump()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(dump), string(second)); diff != "" {
				t.Errorf("dumping again differs:\n%s", diff)
			}
			if cfg.Sum() != again.Sum() {
				t.Error("the dump has another checksum")
			}
			if other, taken := sums[cfg.Sum()]; taken {
				t.Errorf("%s has the same checksum", other)
			}
			sums[cfg.Sum()] = e.name
		})
	}
}
