package cluster

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What may be said only after it was written is said then, and after a failure it waits for the next attempt.
func TestKeeper(t *testing.T) {
	k := newKeeper("file")
	if k.due(start) {
		t.Error("nothing has changed, and it would write")
	}
	k.promise("k", []byte("1"))
	k.promise("k", []byte("2"))
	told := k.tell()
	if !k.due(start) {
		t.Fatal("it would not write")
	}
	k.begin(Saved{}, start)
	k.promise("later", nil)
	if k.due(start) {
		t.Error("it would write twice at a time")
	}
	if cells := k.end(io.ErrShortWrite); len(cells) > 0 {
		t.Errorf("%v is said although it was not written", cells)
	}
	if err := <-told; !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("told %v", err)
	}
	if k.due(after(keepInterval - 1)) {
		t.Error("it tries again at once")
	}
	if !k.due(after(keepInterval)) {
		t.Fatal("it never tries again")
	}
	<-k.request
	k.begin(Saved{}, after(keepInterval))
	<-k.request
	var said []string
	for _, c := range k.end(nil) {
		said = append(said, string(c.Key)+string(c.Value))
	}
	if diff := cmp.Diff([]string{"k2", "later"}, said); diff != "" {
		t.Errorf("said (-want +got)\n%s", diff)
	}
	if k.due(after(time.Hour)) {
		t.Error("it writes again although nothing has changed")
	}
}
