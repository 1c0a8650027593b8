package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// documentWithLimit is a valid configuration that tells its versions apart.
func documentWithLimit(n int) string {
	return fmt.Sprintf("entryPoints:\n  web:\n    address: \":80\"\n    maxConnections: %d\n", n)
}

// delivery is one call of out, as a word: a limit, or "invalid".
func delivery(cfg *Config, err error) string {
	if err != nil {
		return "invalid"
	}
	return fmt.Sprint(cfg.EntryPoints["web"].MaxConnections)
}

// newWatcher returns a watcher of paths that collects what it delivers.
func newWatcher(t *testing.T, paths ...string) (w *watcher, delivered *[]string) {
	t.Helper()
	load := func() (*Config, error) { return Load(paths...) }
	current, err := load()
	if err != nil {
		t.Fatal(err)
	}
	delivered = new([]string)
	return &watcher{
		roots: current.roots, last: current, seen: current.digest, load: load,
		out:       func(cfg *Config, err error) { *delivered = append(*delivered, delivery(cfg, err)) },
		subscribe: fsnotify.NewWatcher,
		debounce:  watchDebounce, patience: watchPatience, poll: watchPoll,
		quiet: time.NewTimer(time.Hour),
	}, delivered
}

// TestCheckDecides drives the decision without the kernel and without a clock:
// each step changes the file, then the watcher looks once.
func TestCheckDecides(t *testing.T) {
	one, two, half := documentWithLimit(1), documentWithLimit(2), documentWithLimit(2)[:30]+"[\n"
	type step struct {
		content string // what the file holds; "-" removes it
		again   bool
		want    string // delivered at this step
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"nothing changed", []step{{one, false, ""}, {one, false, ""}}},
		{"changed", []step{{two, false, "2"}, {two, false, ""}}},
		{"there and back", []step{{two, false, "2"}, {one, false, "1"}}},
		{"half written, then whole", []step{{half, true, ""}, {two, false, "2"}}},
		{"half written, then as it was", []step{{half, true, ""}, {one, false, ""}, {one, false, ""}}},
		{"empty, then whole", []step{{"", true, ""}, {two, false, "2"}}},
		{"removed, then back", []step{{"-", true, ""}, {two, false, "2"}}},
		{"invalid is said once", []step{{half, true, ""}, {half, false, "invalid"}, {half, false, ""}, {half, false, ""}}},
		{"another invalid is said again", []step{{half, true, ""}, {half, false, "invalid"}, {"", true, ""}, {"", false, "invalid"}}},
		{"still being written", []step{{half, true, ""}, {half + "#", true, ""}, {half + "##", true, ""}, {two, false, "2"}}},
		{"mended to what it was", []step{{half, true, ""}, {half, false, "invalid"}, {one, false, "1"}}},
		{"removed for good", []step{{"-", true, ""}, {"-", false, "invalid"}, {"-", false, ""}}},
		{"invalid again after good", []step{{half, true, ""}, {half, false, "invalid"}, {two, false, "2"}, {half, true, ""}, {half, false, "invalid"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, dir, "weir.yaml", one)
			w, delivered := newWatcher(t, path)
			for i, s := range tt.steps {
				*delivered = nil
				if s.content == "-" {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				} else {
					write(t, dir, "weir.yaml", s.content)
				}
				again := w.check()
				got := ""
				for _, d := range *delivered {
					got += d
				}
				if again != s.again || got != s.want {
					t.Errorf("step %d: again %v, delivered %q; want %v, %q", i, again, got, s.again, s.want)
				}
			}
		})
	}
}

func TestCheckSeesAChangeDuringLoad(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "weir.yaml", documentWithLimit(1))
	w, delivered := newWatcher(t, path)
	load := w.load
	w.load = func() (*Config, error) {
		cfg, err := load()
		write(t, dir, "weir.yaml", documentWithLimit(3))
		return cfg, err
	}
	write(t, dir, "weir.yaml", documentWithLimit(2))
	if again := w.check(); !again || len(*delivered) != 0 {
		t.Fatalf("again %v, delivered %v; want another look", again, *delivered)
	}
	if again := w.check(); again || len(*delivered) != 1 || (*delivered)[0] != "3" {
		t.Fatalf("again %v, delivered %v; want 3", again, *delivered)
	}
}

func TestCheckWaitsForCertificateAndKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := makeCertificate(t, "a.example.com")
	newCert, newKey := makeCertificate(t, "a.example.com")
	write(t, dir, "a.crt", cert)
	write(t, dir, "a.key", key)
	path := write(t, dir, "weir.yaml", documentWithLimit(1)+"tls: {certificates: [{certFile: "+dir+"/a.crt, keyFile: "+dir+"/a.key}]}\n")
	w, delivered := newWatcher(t, path)

	write(t, dir, "a.crt", newCert)
	if again := w.check(); !again || len(*delivered) != 0 {
		t.Fatalf("a certificate without its key: again %v, delivered %v", again, *delivered)
	}
	write(t, dir, "a.key", newKey)
	if again := w.check(); again || len(*delivered) != 1 || (*delivered)[0] != "1" {
		t.Fatalf("the new pair: again %v, delivered %v", again, *delivered)
	}
}

// TestPatience drives the timing with a clock of its own.
func TestPatience(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "weir.yaml", documentWithLimit(1))
	w, delivered := newWatcher(t, path)
	w.quiet = time.NewTimer(time.Hour)
	now := time.Now()
	write(t, dir, "weir.yaml", documentWithLimit(2))
	for range 100 { // events come faster than it ever gets quiet
		w.stir(now)
		now = now.Add(watchDebounce / 5)
	}
	if w.glimpsed == nil {
		t.Fatal("it never lost patience")
	}
	write(t, dir, "weir.yaml", documentWithLimit(3))
	if again := w.check(); !again || len(*delivered) != 0 {
		t.Fatalf("content that moves is taken: again %v, delivered %v", again, *delivered)
	}
	if again := w.check(); again || len(*delivered) != 1 || (*delivered)[0] != "3" {
		t.Fatalf("content at rest is not taken: again %v, delivered %v", again, *delivered)
	}
}

// changes are ways in which files change under a running program. Each starts
// from version 1 and ends at version 2; dir is all they touch.
var changes = []struct {
	name   string
	before func(t *testing.T, dir string) (path string)
	change func(t *testing.T, dir string)
}{
	{"truncate and write", plainFile, func(t *testing.T, dir string) { write(t, dir, "weir.yaml", documentWithLimit(2)) }},
	{"editor rename", plainFile, func(t *testing.T, dir string) {
		write(t, dir, ".weir.yaml.tmp", documentWithLimit(2))
		rename(t, dir, ".weir.yaml.tmp", "weir.yaml")
	}},
	{"backup and new file", plainFile, func(t *testing.T, dir string) {
		rename(t, dir, "weir.yaml", "weir.yaml~")
		write(t, dir, "weir.yaml", documentWithLimit(2))
	}},
	{"delete and create", plainFile, func(t *testing.T, dir string) {
		remove(t, dir, "weir.yaml")
		write(t, dir, "weir.yaml", documentWithLimit(2))
	}},
	{"burst", plainFile, func(t *testing.T, dir string) {
		for i := range 200 {
			write(t, dir, "weir.yaml", documentWithLimit(3)[:i%40])
		}
		write(t, dir, "weir.yaml", documentWithLimit(2))
	}},
	{"Kubernetes", kubernetes, func(t *testing.T, dir string) {
		write(t, dir, "..2026_02/weir.yaml", documentWithLimit(2))
		link(t, dir, "..2026_02", "..data_tmp")
		rename(t, dir, "..data_tmp", "..data")
		remove(t, dir, "..2026_01")
	}},
	{"Kubernetes, the directory", func(t *testing.T, dir string) string { kubernetes(t, dir); return dir }, func(t *testing.T, dir string) {
		write(t, dir, "..2026_02/weir.yaml", documentWithLimit(2))
		link(t, dir, "..2026_02", "..data_tmp")
		rename(t, dir, "..data_tmp", "..data")
	}},
	{"write behind a link", linked, func(t *testing.T, dir string) { write(t, dir, "real/weir.yaml", documentWithLimit(2)) }},
	{"link to another file", linked, func(t *testing.T, dir string) {
		write(t, dir, "other/weir.yaml", documentWithLimit(2))
		link(t, dir, "../other/weir.yaml", "new")
		rename(t, dir, "new", "link/weir.yaml")
	}},
	{"directory: a file comes", directory, func(t *testing.T, dir string) {
		write(t, dir, "conf.d/20.yaml", "entryPoints: {more: {address: \":81\"}}\n")
		write(t, dir, "conf.d/10.yaml", documentWithLimit(2))
	}},
	{"directory is replaced", directory, func(t *testing.T, dir string) {
		write(t, dir, "conf.new/10.yaml", documentWithLimit(2))
		rename(t, dir, "conf.d", "conf.old")
		rename(t, dir, "conf.new", "conf.d")
	}},
	{"directory is removed and made again", directory, func(t *testing.T, dir string) {
		remove(t, dir, "conf.d")
		write(t, dir, "conf.d/10.yaml", documentWithLimit(2))
	}},
}

func plainFile(t *testing.T, dir string) string {
	return write(t, dir, "weir.yaml", documentWithLimit(1))
}

func directory(t *testing.T, dir string) string {
	write(t, dir, "conf.d/10.yaml", documentWithLimit(1))
	return filepath.Join(dir, "conf.d")
}

func kubernetes(t *testing.T, dir string) string {
	write(t, dir, "..2026_01/weir.yaml", documentWithLimit(1))
	link(t, dir, "..2026_01", "..data")
	link(t, dir, "..data/weir.yaml", "weir.yaml")
	return filepath.Join(dir, "weir.yaml")
}

func linked(t *testing.T, dir string) string {
	write(t, dir, "real/weir.yaml", documentWithLimit(1))
	if err := os.Mkdir(filepath.Join(dir, "link"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, dir, "../real/weir.yaml", "link/weir.yaml")
	return filepath.Join(dir, "link/weir.yaml")
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, dir, target, name string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// run starts w and returns what it delivers. It is stopped, and waited for,
// at the end of the test.
func run(t *testing.T, w *watcher) <-chan string {
	t.Helper()
	delivered := make(chan string, 100)
	w.out = func(cfg *Config, err error) { delivered <- delivery(cfg, err) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return delivered
}

func next(t *testing.T, delivered <-chan string) string {
	t.Helper()
	select {
	case d := <-delivered:
		return d
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
		return ""
	}
}

// expectFirst makes a change and wants it to be the first thing delivered. What
// is half done for as long as the watcher waits is rightly delivered too, so a
// machine that stalls in the middle of the change is forgiven what comes before.
func expectFirst(t *testing.T, delivered <-chan string, change func(), want string) {
	t.Helper()
	begin := time.Now()
	change()
	stalled := time.Since(begin) >= watchDebounce
	for got := ""; got != want; {
		if got = next(t, delivered); got != want && !stalled {
			t.Fatalf("delivered %s, want %s", got, want)
		}
	}
}

// replace puts new content in a file's place in one step, so that nobody sees half of it.
func replace(t *testing.T, dir, name, content string) {
	t.Helper()
	write(t, dir, name+".next", content)
	rename(t, dir, name+".next", name)
}

// TestWatchNotices makes each change under a running watcher with the poll out
// of reach, so that only what the kernel tells can bring it to light. The first
// thing delivered must be the whole new version.
func TestWatchNotices(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := c.before(t, dir)
			w, _ := newWatcher(t, path)
			w.poll = time.Hour
			delivered := run(t, w)
			// A first change tells that the watcher is up.
			live, err := filepath.EvalSymlinks(path)
			if err != nil {
				t.Fatal(err)
			}
			if isDir(live) {
				live = filepath.Join(live, entryOf(t, live))
			}
			if live, err = filepath.EvalSymlinks(live); err != nil {
				t.Fatal(err)
			}
			expectFirst(t, delivered, func() { write(t, filepath.Dir(live), filepath.Base(live), documentWithLimit(7)) }, "7")
			expectFirst(t, delivered, func() { c.change(t, dir) }, "2")
		})
	}
}

// entryOf returns the one configuration file in a directory.
func entryOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filesIn(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files in %s: %v, %v", dir, files, err)
	}
	return filepath.Base(files[0])
}

func TestWatchSeesWhatChangedBeforeItStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, _ := newWatcher(t, plainFile(t, dir))
	w.poll = time.Hour
	write(t, dir, "weir.yaml", documentWithLimit(2))
	if got := next(t, run(t, w)); got != "2" {
		t.Errorf("delivered %s, want 2", got)
	}
}

// TestWatchPolls keeps every event away, as a network file system does.
func TestWatchPolls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, _ := newWatcher(t, plainFile(t, dir))
	w.debounce, w.poll = 20*time.Millisecond, 20*time.Millisecond
	w.subscribe = func() (*fsnotify.Watcher, error) { return nil, errors.New("no instance left") }
	delivered := run(t, w)
	for _, n := range []int{2, 3} {
		replace(t, dir, "weir.yaml", documentWithLimit(n))
		if got := next(t, delivered); got != fmt.Sprint(n) {
			t.Errorf("delivered %s, want %d", got, n)
		}
	}
}

func TestWatchSaysInvalidOnceAndGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, _ := newWatcher(t, plainFile(t, dir))
	delivered := run(t, w)
	replace(t, dir, "weir.yaml", "entryPoints: [")
	if got := next(t, delivered); got != "invalid" {
		t.Errorf("delivered %s, want invalid", got)
	}
	replace(t, dir, "weir.yaml", documentWithLimit(2))
	if got := next(t, delivered); got != "2" {
		t.Errorf("delivered %s, want 2", got)
	}
}

func TestWatchEnds(t *testing.T) {
	path := plainFile(t, t.TempDir())
	current, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Watch(ctx, current, func() (*Config, error) { return Load(path) }, func(*Config, error) {}); err != nil {
		t.Error(err)
	}
	parsed := mustParse(t, "x.yaml", documentWithLimit(1))
	if err := Watch(ctx, parsed, nil, nil); err == nil {
		t.Error("a configuration that came from no file is watched")
	}
}
