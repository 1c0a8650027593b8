package discovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

// place is a directory of a test, with the things that people and programs do to files.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return place{t, dir}
}

func (p place) in(name string) string { return filepath.Join(p.dir, name) }

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) mkdir(name string) { p.t.Helper(); p.must(os.MkdirAll(p.in(name), 0o755)) }
func (p place) remove(name string) {
	p.t.Helper()
	p.must(os.RemoveAll(p.in(name)))
}
func (p place) rename(from, to string) { p.t.Helper(); p.must(os.Rename(p.in(from), p.in(to))) }

// write writes in place.
func (p place) write(name, content string) {
	p.t.Helper()
	p.must(os.WriteFile(p.in(name), []byte(content), 0o600))
}

// replace renames a new file over the old one.
func (p place) replace(name, content string) {
	p.t.Helper()
	p.write(name+".new", content)
	p.rename(name+".new", name)
}

// link makes a symbolic link, or swaps the one that is there.
func (p place) link(name, target string) {
	p.t.Helper()
	p.must(os.Symlink(target, p.in(name+".new")))
	p.rename(name+".new", name)
}

const (
	oneServer  = `["10.0.0.1:80"]`
	twoServers = `["10.0.0.1:80", "10.0.0.2:80"]`
)

// TestFile does what happens to files, once with the kernel telling about it and once without.
func TestFile(t *testing.T) {
	one, two := endpoints("10.0.0.1:80"), endpoints("10.0.0.1:80", "10.0.0.2:80")
	type step struct {
		do      func(place)
		outcome Outcome
		want    []upstream.Endpoint
	}
	written := step{func(p place) { p.write("e.json", oneServer) }, OK, one}
	tests := []struct {
		name  string
		steps []step // the first is done before the start; the file is e.json
	}{
		{"replaced", []step{written, {func(p place) { p.replace("e.json", twoServers) }, OK, two}, {func(p place) { p.replace("e.json", oneServer) }, OK, one}}},
		{"written in place", []step{written, {func(p place) { p.write("e.json", twoServers) }, OK, two}, {func(p place) { p.write("e.json", oneServer) }, OK, one}}},
		{"emptied on purpose", []step{written, {func(p place) { p.write("e.json", "[]") }, Empty, endpoints()}}},
		{"deleted and back", []step{written, {func(p place) { p.remove("e.json") }, Failed, one}, {written.do, OK, one}}},
		{"missing at first", []step{{func(place) {}, Failed, nil}, written}},
		{"truncated", []step{written, {func(p place) { p.write("e.json", "") }, Failed, one}, {func(p place) { p.write("e.json", twoServers) }, OK, two}}},
		{"half written", []step{written, {func(p place) { p.write("e.json", twoServers[:20]) }, Failed, one}, {func(p place) { p.write("e.json", twoServers) }, OK, two}}},
		{"another error in its place", []step{written, {func(p place) { p.write("e.json", "[") }, Failed, one}, {func(p place) { p.remove("e.json") }, Failed, one}, {written.do, OK, one}}},
		{"a directory in its place", []step{{func(p place) { p.mkdir("e.json") }, Failed, nil}, {func(p place) { p.remove("e.json"); p.write("e.json", oneServer) }, OK, one}}},
		{"a pipe in its place", []step{{func(p place) { p.must(syscall.Mkfifo(p.in("e.json"), 0o600)) }, Failed, nil}, {func(p place) { p.replace("e.json", oneServer) }, OK, one}}},
		{"a link is swapped", []step{
			{func(p place) { p.write("a", oneServer); p.write("b", twoServers); p.link("e.json", "a") }, OK, one},
			{func(p place) { p.link("e.json", "b") }, OK, two},
			{func(p place) { p.write("b", oneServer) }, OK, one},
		}},
		{"as Kubernetes does", []step{
			{func(p place) {
				p.mkdir("..1")
				p.write("..1/e.json", oneServer)
				p.link("..data", "..1")
				p.link("e.json", "..data/e.json")
			}, OK, one},
			{func(p place) {
				p.mkdir("..2")
				p.write("..2/e.json", twoServers)
				p.link("..data", "..2")
				p.remove("..1")
			}, OK, two},
			{func(p place) {
				p.mkdir("..3")
				p.write("..3/e.json", oneServer)
				p.link("..data", "..3")
				p.remove("..2")
			}, OK, one},
		}},
		{"a link on the way, elsewhere", []step{
			{func(p place) {
				p.mkdir("x/1")
				p.mkdir("x/2")
				p.write("x/1/e.json", oneServer)
				p.write("x/2/e.json", twoServers)
				p.link("x/now", "1")
				p.link("e.json", "x/now/e.json")
			}, OK, one},
			{func(p place) { p.link("x/now", "2") }, OK, two},
		}},
		{"its directory goes and comes back", []step{
			{func(p place) { p.mkdir("d"); p.write("d/e.json", oneServer); p.link("e.json", "d/e.json") }, OK, one},
			{func(p place) { p.remove("d") }, Failed, one},
			{func(p place) { p.mkdir("d"); p.write("d/e.json", twoServers) }, OK, two},
		}},
		{"its directory is replaced", []step{
			{func(p place) { p.mkdir("d"); p.write("d/e.json", oneServer); p.link("e.json", "d/e.json") }, OK, one},
			{func(p place) { p.mkdir("n"); p.write("n/e.json", twoServers); p.rename("d", "old"); p.rename("n", "d") }, OK, two},
			{func(p place) { p.write("d/e.json", oneServer) }, OK, one},
		}},
	}
	means := map[string]func(path string) *file{
		"told": func(path string) *file {
			return NewFile(FileOptions{Path: path, Debounce: 5 * time.Millisecond, Poll: time.Hour}).(*file)
		},
		"polled": func(path string) *file {
			f := NewFile(FileOptions{Path: path, Debounce: 5 * time.Millisecond, Poll: 5 * time.Millisecond}).(*file)
			f.subscribe = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
			return f
		},
	}
	for _, tt := range tests {
		for mean, provider := range means {
			t.Run(tt.name+", "+mean, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				tt.steps[0].do(p)
				r := start(t, provider(p.in("e.json")))
				r.expect(t, tt.steps[0].outcome, tt.steps[0].want)
				for _, s := range tt.steps[1:] {
					s.do(p)
					r.expect(t, s.outcome, s.want)
				}
			})
		}
	}
}

// TestLook drives the decision without the kernel and without a clock: each step changes the file, then the provider looks once.
func TestLook(t *testing.T) {
	const half = `["10.0.0.1:80", "10.0`
	type step struct {
		content string // what the file holds; "-" removes it
		again   bool
		want    Outcome // the outcome told at this step; Unasked where nothing is
	}
	tests := []struct {
		name  string
		steps []step // after a first look at oneServer
	}{
		{"nothing changed", []step{{oneServer, false, Unasked}}},
		{"changed", []step{{twoServers, true, Unasked}, {twoServers, false, OK}, {twoServers, false, Unasked}}},
		{"the same in other words", []step{{"- 10.0.0.1:80", true, Unasked}, {"- 10.0.0.1:80", false, Unasked}, {"- 10.0.0.1:80", false, Unasked}}},
		{"half written, then whole", []step{{half, true, Unasked}, {twoServers, true, Unasked}, {twoServers, false, OK}}},
		{"half written, then as it was", []step{{half, true, Unasked}, {oneServer, false, Unasked}, {half, true, Unasked}, {half, false, Failed}}},
		{"half of YAML, which is a shorter list, then whole", []step{{"- 10.0.0.7:80\n", true, Unasked}, {"- 10.0.0.7:80\n- 10.0.0.8:80\n", true, Unasked},
			{"- 10.0.0.7:80\n- 10.0.0.8:80\n", false, OK}}},
		{"removed, then back", []step{{"-", true, Unasked}, {twoServers, true, Unasked}, {twoServers, false, OK}}},
		{"removed for good", []step{{"-", true, Unasked}, {"-", false, Failed}, {"-", false, Unasked}}},
		{"a failure is told once", []step{{half, true, Unasked}, {half, false, Failed}, {half, false, Unasked}}},
		{"failed, then as it was", []step{{half, true, Unasked}, {half, false, Failed}, {oneServer, true, Unasked}, {oneServer, false, OK}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("e.json", oneServer)
			var told []Outcome
			f := NewFile(FileOptions{Path: p.in("e.json")}).(*file)
			f.out = func(u Update) { told = append(told, u.Status.Outcome) }
			if again := f.look(time.Unix(1, 0)); again || !slices.Equal(told, []Outcome{OK}) {
				t.Fatalf("first look: again %v, told %v", again, told)
			}
			for i, s := range tt.steps {
				told = nil
				if p.remove("e.json"); s.content != "-" {
					p.write("e.json", s.content)
				}
				again := f.look(time.Unix(2, 0))
				if got := last(told); again != s.again || got != s.want {
					t.Errorf("step %d: again %v, told %v; want %v, %v", i, again, got, s.again, s.want)
				}
			}
		})
	}
}

// last returns the only outcome of a step, Unasked if there was none.
func last(told []Outcome) Outcome {
	switch len(told) {
	case 0:
		return Unasked
	case 1:
		return told[0]
	}
	return Failed + 1
}

func TestFileThatNeverRests(t *testing.T) {
	p := newPlace(t)
	p.write("e.json", oneServer)
	var told []Update
	f := NewFile(FileOptions{Path: p.in("e.json")}).(*file)
	f.out = func(u Update) { told = append(told, u) }
	f.look(time.Unix(1, 0))
	for i := range 3 * maxGlimpses {
		p.write("e.json", fmt.Sprintf(`["10.0.1.%d:80"]`, i+1))
		if !f.look(time.Unix(2, 0)) {
			t.Fatalf("look %d is the last", i)
		}
	}
	if len(told) != 2 || told[1].Status.Outcome != Failed || !strings.Contains(told[1].Status.Error, "changes all the time") {
		t.Fatalf("told %+v", told)
	}
	p.write("e.json", oneServer) // as it was before
	f.look(time.Unix(3, 0))
	f.look(time.Unix(4, 0))
	if len(told) != 3 || told[2].Status.Outcome != OK {
		t.Fatalf("at rest: told %+v", told)
	}
}

func TestFileErrors(t *testing.T) {
	p := newPlace(t)
	p.mkdir("dir")
	p.write("empty", "")
	p.write("names", "- 10.0.0.1:80\n- db-1:80\n")
	p.write("large", strings.Repeat("#", maxDocument+1))
	p.link("loop", "loop")
	p.must(syscall.Mkfifo(p.in("pipe"), 0o600))
	tests := []struct{ name, file, want string }{
		{"missing", "no", "no: no such file or directory: write it, with [] in it where there are no endpoints"},
		{"under a file", "empty/x", "empty/x: not a directory: make it readable for weir"},
		{"a loop", "loop", "loop: too many levels of symbolic links: make it readable for weir"},
		{"a directory", "dir", "dir: not a regular file: name one"},
		{"a pipe", "pipe", "pipe: not a regular file: name one"},
		{"empty", "empty", "empty: nothing is in it: write [] where there are no endpoints"},
		{"a fault in a line", "names", `names:2: "db-1" is a host name: write its IP address, or use DNS discovery`},
		{"too large", "large", "large: larger than 4 MiB: split the service, or leave out the labels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, NewFile(FileOptions{Path: p.in(tt.file)}))
			r.expect(t, Failed, nil)
			if u, _ := r.last(); u.Status.Error != p.dir+"/"+tt.want || u.Status.Asked.IsZero() {
				t.Errorf("status %+v, want error %q", u.Status, tt.want)
			}
		})
	}
}

// TestFollow: the directories that are followed are those in which a change shows, and those no more that were.
func TestFollow(t *testing.T) {
	p := newPlace(t)
	p.mkdir("etc")
	p.mkdir("a")
	p.mkdir("b")
	p.write("a/e.json", oneServer)
	p.write("b/e.json", oneServer)
	p.link("etc/e.json", "../a/e.json")
	events, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { events.Close() })
	f := NewFile(FileOptions{Path: p.in("etc/e.json")}).(*file)
	f.events = events
	expect := func(dirs ...string) {
		t.Helper()
		for i, dir := range dirs {
			dirs[i] = p.in(dir)
		}
		f.follow()
		if got := slices.Sorted(slices.Values(events.WatchList())); !slices.Equal(got, dirs) {
			t.Errorf("followed %q, want %q", got, dirs)
		}
	}
	expect("a", "etc")
	p.link("etc/e.json", "../b/e.json")
	expect("b", "etc")
	for name, ours := range map[string]bool{"etc/e.json": true, "b/e.json": true, "b": true, "a/e.json": false, "b/other": false, "etc/e.json.new": false} {
		f.soon, f.due = time.NewTimer(time.Hour), false
		if f.event(fsnotify.Event{Name: p.in(name)}); f.due != ours {
			t.Errorf("a change of %s: look %v, want %v", name, f.due, ours)
		}
	}
}

func TestFileEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPlace(t)
	p.write("e.json", oneServer)
	NewFile(FileOptions{Path: p.in("e.json")}).Run(ctx, func(Update) {})
}

// TestNoFailureEmptiesAFilesSet does to a real file whatever may be done to one.
func TestNoFailureEmptiesAFilesSet(t *testing.T) {
	p := newPlace(t)
	rapid.Check(t, func(t *rapid.T) {
		p.remove("e.json")
		f := NewFile(FileOptions{Path: p.in("e.json")}).(*file)
		var told []upstream.Endpoint
		f.out = func(u Update) { told = u.Endpoints }
		var h held
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			content := ""
			if p.remove("e.json"); rapid.Bool().Draw(t, "there") {
				content = anyContent().Draw(t, "content")
				p.write("e.json", content)
			}
			for f.look(time.Unix(1, 0)) {
			}
			h.check(t, content, told)
		}
	})
}
