package cluster

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if s, err := readState(path); err != nil || s.Boot != 0 {
		t.Fatalf("of a file that is not there: %+v, %v", s, err)
	}
	want := Saved{
		Boot: 7, Peers: []Peer{{"lb-2", netip.MustParseAddrPort("10.0.0.2:7946"), 1700000000}}, Ring: ringOf(5, 1, 2), RingFrom: "abc",
	}
	if err := writeState(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readState(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, %v: the file holds keys", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readState(path); !errors.Is(err, ErrSaved) || !strings.Contains(err.Error(), path) {
		t.Errorf("of a broken file: %v", err)
	}
	if err := writeState(filepath.Join(path, "below", "a file"), want); err == nil {
		t.Error("a file is written below a file")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left behind, %v", len(entries), err)
	}
}
