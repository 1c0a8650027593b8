package cluster

import (
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

// Whatever the settings hold, what a node announces keeps to the 512 bytes at which the membership layer panics.
func TestMeta(t *testing.T) {
	m := meta{boot: MaxBoot, version: strings.Repeat("v", 2*maxVersion)}
	if b := m.encode(); len(b) > memberlist.MetaMaxSize {
		t.Errorf("%d bytes", len(b))
	}
	want := meta{boot: 7, version: "v1.2.3"}
	if got := parseMeta(want.encode()); got != want {
		t.Errorf("got %+v", got)
	}
	for _, bad := range [][]byte{nil, {2, 1, 0}, {1}, append(want.encode()[:3], 3, '\n', '\n', '\n'), {1, 5, 200}} {
		if got := parseMeta(bad); got != (meta{}) {
			t.Errorf("%v reads as %+v", bad, got)
		}
	}
	d := &delegate{meta: make([]byte, 513)}
	if b := d.NodeMeta(512); len(b) > 512 {
		t.Errorf("%d bytes are announced", len(b))
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(meta{boot: 7, version: "v1"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m := parseMeta(b); m != (meta{}) && parseMeta(m.encode()) != m {
			t.Errorf("%+v is not what it reads as again", m)
		}
	})
}
