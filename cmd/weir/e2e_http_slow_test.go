package main_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestSlowHTTP lets slowhttptest hold hundreds of connections in each of its ways, while others are served. weir ends the slow ones
// by its deadlines, and the memory comes back.
func TestSlowHTTP(t *testing.T) {
	t.Parallel()
	const (
		size  = 300
		heap  = "go_memstats_heap_alloc_bytes"
		large = 4 << 20
	)
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", strconv.Itoa(large))
			_, _ = io.Copy(w, &zeros{large})
		case "/body":
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		default:
			_, _ = io.WriteString(w, "served")
		}
	})
	w := weirtest.Weir(t, site(", transport: { respondingTimeouts: { readTimeout: 2s } }", "", app))
	addr := addressOf(t, w, "web")
	live := func() float64 {
		least := math.Inf(1)
		for range 100 { // questions make garbage; sooner or later one is asked right after a collection
			least = min(least, metrics(t, w)[heap])
		}
		return least
	}
	before := live()
	c := browser(t)
	for _, tt := range []struct {
		name, path string
		args       []string
	}{
		{"headers", "/", []string{"-H"}},
		{"body", "/body", []string{"-B", "-s", "100000", "-x", "10"}},
		{"read", "/large", []string{"-X", "-w", "10", "-y", "20", "-n", "5", "-z", "1", "-k", "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append(tt.args, "-c", strconv.Itoa(size), "-r", "300", "-i", "1", "-l", "4", "-u", "http://"+addr+tt.path)
			attack := startProgram(t, weirtest.Tool(t, "slowhttptest"), args...)
			const open = `weir_entrypoint_active_connections{entrypoint="web"}`
			weirtest.Eventually(t, soon, func() bool { return metrics(t, w)[open] >= size/2 }, "the slow ones hold connections")
			for range 200 {
				if status, body := fetch(t, c, "http://"+addr+"/"); status != 200 || body != "served" {
					t.Fatalf("status %d, %q", status, body)
				}
			}
			c.CloseIdleConnections()
			if out := attack.wait(); !strings.Contains(out, "Exit status") {
				t.Errorf("slowhttptest did not do its work:\n%s", out)
			}
			awaitMetric(t, w, open, 0)
		})
	}
	weirtest.Eventually(t, soon, func() bool { return live() < before+16<<20 }, "the memory is given back")
	if peak := peakKiB(t, w.PID()); peak > 192<<10*shadow {
		t.Errorf("weir held %d KiB", peak)
	}
}
