package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// gigabyte is more than weir may ever hold of anything.
const gigabyte = 1 << 30

// peakKiB returns the most memory a process ever had in RAM.
func peakKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]))
	if !found || err != nil {
		t.Fatalf("no peak in %s: %v", text, err)
	}
	return n
}

// zeros is a body of a given length that takes no memory.
type zeros struct{ left int64 }

func (z *zeros) Read(b []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	clear(b[:n])
	z.left -= n
	return int(n), nil
}

// TestGigabytes moves much more than there is memory for, both ways, with a length and in chunks.
func TestGigabytes(t *testing.T) {
	t.Parallel()
	app := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			if r.URL.Path == "/length" {
				w.Header().Set("Content-Length", strconv.Itoa(gigabyte))
			}
			_, _ = io.Copy(w, &zeros{gigabyte})
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	w := weirtest.Weir(t, site("", "", app))
	base := "http://" + addressOf(t, w, "web")
	c := browser(t)
	c.Timeout = 5 * time.Minute
	for _, framing := range []string{"/length", "/chunked"} {
		resp, err := c.Get(base + framing)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != gigabyte || err != nil {
			t.Errorf("down %s: %d bytes, %v", framing, n, err)
		}
		resp.Body.Close()
		req := request(t, "POST", strings.TrimPrefix(base, "http://"), "", framing, &zeros{gigabyte})
		if framing == "/length" {
			req.ContentLength = gigabyte
		}
		if _, got := do(t, c, req); got != fmt.Sprint(gigabyte, " <nil>") {
			t.Errorf("up %s: the server got %s", framing, got)
		}
	}
	if peak := peakKiB(t, w.PID()); peak > 128<<10*shadow {
		t.Errorf("weir held %d KiB", peak)
	}
}

// serveSlowly has a large response, one that goes on a piece at a time when the test says so, and a quick one.
func serveSlowly(t *testing.T, size int64, more <-chan struct{}) string {
	t.Helper()
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
			_, _ = io.Copy(w, &zeros{size})
		case "/dripping":
			for range 5 {
				_, _ = io.WriteString(w, "drop ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-more:
				case <-r.Context().Done():
					return
				}
			}
		default:
			_, _ = io.WriteString(w, "quick")
		}
	})
}

// TestSlowSides holds a response up, first at the client, then at the server, while others are served by the same loops.
func TestSlowSides(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	more := make(chan struct{})
	app := serveSlowly(t, size, more)
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+site("", "", app))
	base := "http://" + addressOf(t, w, "web")
	c := browser(t)
	quick := func() {
		t.Helper()
		for range 20 {
			if status, body := fetch(t, c, base+"/quick"); status != 200 || body != "quick" {
				t.Fatalf("status %d, %q", status, body)
			}
		}
	}
	var slow []*http.Response
	for range 8 {
		resp, err := c.Get(base + "/large")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		slow = append(slow, resp)
	}
	quick()
	dripping, err := c.Get(base + "/dripping")
	if err != nil {
		t.Fatal(err)
	}
	defer dripping.Body.Close()
	for range 5 {
		drop := make([]byte, len("drop "))
		if _, err := io.ReadFull(dripping.Body, drop); err != nil || string(drop) != "drop " {
			t.Fatalf("%q, %v", drop, err)
		}
		quick()
		more <- struct{}{}
	}
	if rest, err := io.ReadAll(dripping.Body); err != nil || len(rest) > 0 {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	for _, resp := range slow {
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			t.Errorf("a slow client gets %d bytes, %v", n, err)
		}
	}
	if peak := peakKiB(t, w.PID()); peak > 128<<10*shadow {
		t.Errorf("weir held %d KiB for slow clients", peak)
	}
	if r := awaitRequest(t, log, "/large"); r.DownstreamContentSize != size || r.Reason != "done" {
		t.Errorf("the log says %+v", r)
	}
}
