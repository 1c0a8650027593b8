package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weirlb/weir/internal/trail"
)

const (
	watchDebounce = 250 * time.Millisecond // of quiet before a change is read
	watchPatience = 2 * time.Second        // after which a change is looked at though it is not quiet
	watchPoll     = 30 * time.Second       // between looks where the kernel tells nothing, as on network file systems
)

// Watch follows the files of current until ctx ends, and then returns nil. It
// calls out, on its own goroutine and never twice at the same time, with
//
//   - (cfg, nil) when the content of any file in [Config.Files] or of the set of
//     files has changed and the whole is valid,
//   - (nil, err) once for each changed content that is not: it does not load, or
//     a certificate does not fit its key.
//
// Content that is not valid when it is first seen is read again after another
// quiet moment before it is reported: it may be half written. Changes that
// leave the content as it was are not reported. load is usually [Loader.Load]
// with the paths current was loaded from. out should not block for long: no
// further change is noticed meanwhile, though none is lost.
func Watch(ctx context.Context, current *Config, load func() (*Config, error), out func(*Config, error)) error {
	if len(current.roots) == 0 {
		return errors.New("watch: the configuration was not loaded from files")
	}
	w := &watcher{
		roots: current.roots, last: current, seen: current.digest, load: load, out: out,
		subscribe: fsnotify.NewWatcher,
		debounce:  watchDebounce, patience: watchPatience, poll: watchPoll,
	}
	w.run(ctx)
	return nil
}

// watcher is the state of one Watch. Only its goroutine touches it.
type watcher struct {
	roots []string
	load  func() (*Config, error)
	out   func(*Config, error)

	debounce, patience, poll time.Duration
	subscribe                func() (*fsnotify.Watcher, error)

	last *Config // the last valid one; it says which certificates count
	seen digest  // of the content reported last

	doubtful *digest // of content that was not valid at its first sight
	glimpsed *digest // of content seen while it may still have been changing

	events *fsnotify.Watcher   // nil where the kernel gives none: then the poll alone finds changes
	names  map[string]struct{} // files, links and directories whose events count
	dirs   map[string]struct{} // directories given as a whole
	since  time.Time           // of the first event that has not been looked at
	quiet  *time.Timer
}

func (w *watcher) run(ctx context.Context) {
	var happened chan fsnotify.Event
	var trouble chan error
	if events, err := w.subscribe(); err == nil {
		w.events, happened, trouble = events, events.Events, events.Errors
		defer events.Close()
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	w.follow()
	// The first look finds what changed between the load and now.
	w.quiet = time.NewTimer(w.debounce)
	defer w.quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-happened:
			w.event(e)
		case <-trouble: // most likely lost events
			w.stir(time.Now())
		case <-poll.C:
			w.polled()
		case <-w.quiet.C:
			w.settled()
		}
	}
}

// event starts the quiet time over when one of our files is concerned.
func (w *watcher) event(e fsnotify.Event) {
	if w.concerns(e.Name) {
		w.stir(time.Now())
	}
}

func (w *watcher) concerns(name string) bool {
	if _, ok := w.names[name]; ok {
		return true
	}
	_, ok := w.dirs[filepath.Dir(name)]
	base := filepath.Base(name)
	return ok && (isConfigName(base) || strings.HasPrefix(base, ".."))
}

// stir waits for quiet, but not for ever: a file that is written again and
// again must not keep a change from being seen. Past its patience it leaves the
// timer alone and remembers what the files hold; the look that follows goes on
// only if they still hold it.
func (w *watcher) stir(now time.Time) {
	if w.since.IsZero() {
		w.since = now
	}
	if now.Add(w.debounce).Before(w.since.Add(w.patience)) {
		w.quiet.Reset(w.debounce)
		return
	}
	if w.glimpsed == nil {
		seen := w.look(w.last)
		w.glimpsed = &seen
	}
}

// polled looks without having been told to.
func (w *watcher) polled() {
	w.follow()
	if seen := w.look(w.last); seen != w.seen {
		w.glimpsed = &seen
		w.stir(time.Now())
	}
}

// settled reads the files after a quiet moment, and plans another look where
// this one was not the last word.
func (w *watcher) settled() {
	w.since = time.Time{}
	again := w.check()
	if w.follow() {
		again = true // what was not followed yet may have changed unnoticed
	}
	if again {
		w.quiet.Reset(w.debounce)
	}
}

// check reports the content if it is new and has come to rest. It returns true
// where it must be looked at again.
func (w *watcher) check() (again bool) {
	before := w.look(w.last)
	if w.glimpsed != nil && *w.glimpsed != before {
		w.glimpsed = &before
		return true
	}
	w.glimpsed = nil
	if before == w.seen {
		w.doubtful = nil
		return false
	}
	cfg, err := w.load()
	if err == nil {
		err = cfg.CheckFiles()
	}
	if err != nil {
		return w.invalid(err)
	}
	if w.look(cfg) != cfg.digest {
		return true // it changed while it was read
	}
	w.doubtful = nil
	if cfg.digest == w.seen {
		return false
	}
	w.last, w.seen = cfg, cfg.digest
	w.out(cfg, nil)
	return false
}

// invalid reports content that cannot be used, at its second sight.
func (w *watcher) invalid(err error) (again bool) {
	now := w.look(w.last)
	if w.doubtful == nil || *w.doubtful != now {
		w.doubtful = &now
		return true
	}
	w.doubtful, w.seen = nil, now
	w.out(nil, err)
	return false
}

// look returns the digest of what the files hold now. cfg says which
// certificates count.
func (w *watcher) look(cfg *Config) digest {
	var d digester
	files, _ := expand(w.roots) // what cannot be read is missing from the digest
	d.files(files)
	d.files(cfg.secrets())
	return d.sum()
}

// follow makes the kernel tell about every directory that a change could show
// in. It returns true where it follows one that it did not.
func (w *watcher) follow() (more bool) {
	files, _ := expand(w.roots)
	w.names, w.dirs = make(map[string]struct{}), make(map[string]struct{})
	for _, path := range slices.Concat(w.roots, files, w.last.secrets()) {
		for _, name := range trail.Of(path) {
			w.names[name] = struct{}{}
		}
	}
	wanted := make(map[string]struct{})
	for name := range w.names {
		wanted[filepath.Dir(name)] = struct{}{}
	}
	for _, root := range w.roots {
		if real, err := filepath.EvalSymlinks(root); err == nil && isDir(real) {
			if real, err = filepath.Abs(real); err == nil {
				wanted[real], w.dirs[real] = struct{}{}, struct{}{}
			}
		}
	}
	for dir := range wanted {
		w.names[dir] = struct{}{} // its own removal counts
	}
	if w.events == nil {
		return false
	}
	followed := w.events.WatchList()
	for _, dir := range followed {
		if _, ok := wanted[dir]; !ok {
			_ = w.events.Remove(dir) // gone already
		}
	}
	for dir := range wanted {
		// A directory that is followed already may be another one of the same
		// name by now, so it is added again; that is harmless. One that cannot
		// be followed is left to the poll.
		if w.events.Add(dir) == nil && !slices.Contains(followed, dir) {
			more = true
		}
	}
	return more
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
