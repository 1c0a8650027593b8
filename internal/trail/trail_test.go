package trail

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "..2026_01"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "..2026_01/weir.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"..data": "..2026_01", "weir.yaml": "..data/weir.yaml", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name, path string
		want       []string
	}{
		{"plain", in("..2026_01/weir.yaml"), []string{in("..2026_01/weir.yaml")}},
		{"two links", in("weir.yaml"), []string{in("weir.yaml"), in("..data"), in("..2026_01/weir.yaml")}},
		{"through a link and back", in("..data/../weir.yaml"), []string{in("weir.yaml"), in("..data"), in("..2026_01/weir.yaml")}},
		{"missing", in("no/such/file"), []string{in("no")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Of(tt.path); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if got := Of(in("loop")); len(got) > 50 {
		t.Errorf("a loop of links gives %d names", len(got))
	}
}
