package l7

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/http2"
)

// counted waits until the numbers of HTTP/2 are these; endings and goAways are those that are not 0.
func (b *bed) counted(want SessionStats, endings, goAways map[string]int64) {
	b.t.Helper()
	weirtest.Await(b.t, patience, func() string {
		got := b.front.SessionStats()
		for _, m := range []map[string]int64{got.Endings, got.GoAways} {
			maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
		}
		if got.Begun == want.Begun && got.Active == want.Active && got.Streams == want.Streams && got.ActiveStreams == want.ActiveStreams &&
			maps.Equal(got.Endings, endings) && maps.Equal(got.GoAways, goAways) {
			return ""
		}
		return fmt.Sprintf("%+v, want %+v %v %v", got, want, endings, goAways)
	})
}

// What becomes of streams and connections is counted, each in one place.
func TestSessionStats(t *testing.T) {
	b := newBed(t, setup{front: FrontOptions{MaxStreams: 2}, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			<-r.Context().Done()
		case "/cut":
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})}})
	w := b.plain()
	w.get(1, "/")
	w.wants(1, "200", "")
	w.get(3, "/wait")
	w.get(5, "/wait")
	b.counted(SessionStats{Begun: 1, Active: 1, Streams: 3, ActiveStreams: 2}, nil, nil)
	w.get(7, "/")
	if r := w.answer(7); r.code == nil || *r.code != xhttp2.ErrCodeRefusedStream {
		t.Errorf("one stream too many: %+v", r)
	}
	_ = w.WriteRSTStream(3, xhttp2.ErrCodeCancel)
	_ = w.WriteWindowUpdate(5, 0)
	b.counted(SessionStats{Begun: 1, Active: 1, Streams: 3}, map[string]int64{"limit": 1, "cancelled": 1, "broken": 1}, nil)
	w.ask(9, true, requestOf("GET", "/", "Bad", "1")...)
	w.answer(9)
	w.get(11, "/cut")
	w.answer(11)
	endings := map[string]int64{"limit": 1, "cancelled": 1, "broken": 1, "malformed": 1, "cut": 1}
	b.counted(SessionStats{Begun: 1, Active: 1, Streams: 5}, endings, nil)
	w.get(13, "/wait")
	b.counted(SessionStats{Begun: 1, Active: 1, Streams: 6, ActiveStreams: 1}, endings, nil)
	_ = w.conn.Close() // what ends with its connection is not counted as reset
	b.counted(SessionStats{Begun: 1, Streams: 6}, endings, nil)
}

// A connection that is silent, and one that has served its time, are told to end, each for its reason.
func TestSessionStatsOfGoAways(t *testing.T) {
	for word, front := range map[string]FrontOptions{"idle": {KeepAliveTimeout: short}, "age": {KeepAliveRequests: 1}} {
		b := newBed(t, setup{front: front, backends: []netip.AddrPort{silent(t)}})
		w := b.plain()
		w.get(1, "/fine")
		w.wants(1, "200", "fine")
		if err := w.end(); err != io.EOF {
			t.Error(err)
		}
		b.counted(SessionStats{Begun: 1, Streams: 1}, nil, map[string]int64{word: 1})
	}
}

// TestManualListsTheWords holds the manual against the words that there are.
func TestManualListsTheWords(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := append(append(leavings[leavesStop:], endings[:]...), http2.Reasons[:]...)
	for _, word := range words {
		if label := "`" + strings.ReplaceAll(word, "-", "_") + "`"; !strings.Contains(string(text), label) {
			t.Errorf("docs/operations.md does not explain %s", label)
		}
	}
}
