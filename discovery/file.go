package discovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weirlb/weir/internal/trail"
)

// Defaults of FileOptions.
const (
	fileDebounce = 100 * time.Millisecond
	filePoll     = 10 * time.Second
)

// maxGlimpses is how many looks in a row may each find the file changed before that is told as a failure.
const maxGlimpses = 50

// FileOptions says which file a provider follows. A time that is not positive takes its default.
type FileOptions struct {
	Path     string        // required
	Debounce time.Duration // between a change and the look at it, and between two looks that must agree; default 100 ms
	Poll     time.Duration // between looks where the kernel tells nothing, as on network file systems; default 10 s
}

// NewFile returns a provider that follows a file of endpoints, JSON or YAML in the format of [ParseEndpoints]. The file may be
// replaced by rename, reached through symbolic links of which any is swapped, or written in place. Its content counts once
// it has come to rest: two looks, Debounce apart, have found the same. That tells half a file from a whole one as long as
// its writer does not pause for longer, so renaming is the better way.
//
// A file that is missing, cannot be read or holds what is not a list of endpoints is a failure: the last good set is held.
func NewFile(o FileOptions) Provider {
	if o.Debounce <= 0 {
		o.Debounce = fileDebounce
	}
	if o.Poll <= 0 {
		o.Poll = filePoll
	}
	return &file{options: o, subscribe: fsnotify.NewWatcher, known: lastGood{source: "file " + o.Path}}
}

// file is the state of one provider. Only Run's goroutine touches it.
type file struct {
	options   FileOptions
	subscribe func() (*fsnotify.Watcher, error)
	out       func(Update)

	known    lastGood
	taken    sight // of the content taken in last; zero before the first look
	glimpsed sight // of content seen since, once; zero when there is none
	glimpses int   // looks in a row that found content not seen before

	events *fsnotify.Watcher   // nil where the kernel gives none: then the poll alone finds changes
	names  map[string]struct{} // files, links and directories whose events count
	soon   *time.Timer
	due    bool // soon is set
}

func (f *file) Run(ctx context.Context, out func(Update)) {
	f.out = out
	var happened chan fsnotify.Event
	var trouble chan error
	if events, err := f.subscribe(); err == nil {
		f.events, happened, trouble = events, events.Events, events.Errors
		defer events.Close()
	}
	poll := time.NewTicker(f.options.Poll)
	defer poll.Stop()
	f.soon, f.due = time.NewTimer(0), true
	defer f.soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-happened:
			f.event(e)
		case <-trouble: // most likely lost events
			f.stir()
		case <-poll.C:
			f.polled(time.Now())
		case <-f.soon.C:
			f.due = false
			f.step(time.Now())
		}
	}
}

func (f *file) event(e fsnotify.Event) {
	if _, ours := f.names[e.Name]; ours {
		f.stir()
	}
}

// stir plans a look. One that is planned already is not put off: a file that is written again and again is looked at too.
func (f *file) stir() {
	if !f.due {
		f.due = true
		f.soon.Reset(f.options.Debounce)
	}
}

// polled looks without having been told to, but not between two looks that must be Debounce apart.
func (f *file) polled(now time.Time) {
	if !f.due {
		f.step(now)
	}
}

func (f *file) step(now time.Time) {
	f.follow() // before the look: what changes after it is told
	if f.look(now) {
		f.stir()
	}
}

// look reads the file and takes in what it holds, if that is new and has come to rest. Another look must follow where again
// is true. The first look takes in what it finds, since there is nothing to lose.
func (f *file) look(now time.Time) (again bool) {
	data, err := readDocument(f.options.Path)
	seen := sightOf(data, err)
	switch {
	case seen == f.taken:
		f.glimpsed, f.glimpses = sight{}, 0
		return false
	case seen == f.glimpsed || f.taken == sight{}:
		f.take(seen, data, err, now)
		return false
	}
	f.glimpsed, f.glimpses = seen, f.glimpses+1
	if f.glimpses == maxGlimpses {
		err := fmt.Errorf("%s: changes all the time: write a file beside it and rename that", f.options.Path)
		f.take(sightOf(nil, err), nil, err, now)
	}
	return true
}

// take takes in the content of which seen is the sight.
func (f *file) take(seen sight, data []byte, err error, now time.Time) {
	f.taken, f.glimpsed, f.glimpses = seen, sight{}, 0
	if err != nil {
		f.report(f.known.take(nil, err, now))
		return
	}
	endpoints, err := ParseEndpoints(f.options.Path, data)
	f.report(f.known.take(endpoints, err, now))
}

func (f *file) report(u Update, news bool) {
	if news {
		f.out(u)
	}
}

// follow makes the kernel tell about every directory that a change could show in. One that cannot be followed is left to
// the poll.
func (f *file) follow() {
	if f.events == nil {
		return
	}
	f.names = make(map[string]struct{})
	wanted := make(map[string]struct{})
	for _, name := range trail.Of(f.options.Path) {
		dir := filepath.Dir(name)
		f.names[name], f.names[dir], wanted[dir] = struct{}{}, struct{}{}, struct{}{} // a directory's own removal counts
	}
	for _, dir := range f.events.WatchList() {
		if _, ok := wanted[dir]; !ok {
			_ = f.events.Remove(dir) // gone already
		}
	}
	for dir := range wanted {
		// One that is followed already may be another of the same name by now; adding it again is harmless.
		_ = f.events.Add(dir)
	}
}

// sight stands for what a look at the file found.
type sight [sha256.Size]byte

// sightOf never returns the zero sight.
func sightOf(data []byte, err error) sight {
	if err != nil {
		return sha256.Sum256(fmt.Appendf(nil, "error\x00%v", err))
	}
	return sha256.Sum256(data)
}

// readDocument reads a file, at most one byte more than a document may have. A pipe or a device is refused, not waited for.
func readDocument(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: write it, with [] in it where there are no endpoints", path, reason(err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: make it readable for weir", path, reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file: name one", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	return data, nil
}

// reason is what the system says, without the name, which is said already.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
