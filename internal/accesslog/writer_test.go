package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/weirtest"
)

// memory is a sink that can refuse and stall.
type memory struct {
	mu     sync.Mutex
	lines  bytes.Buffer
	closed bool
	accept int           // bytes it still takes before it fails; negative: no limit
	entry  chan struct{} // if not nil, each Write says here that it began ...
	gate   chan struct{} // ... and waits here
}

var errFull = errors.New("disk full")

func (m *memory) Write(p []byte) (int, error) {
	if m.gate != nil {
		m.entry <- struct{}{}
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.accept >= 0 && len(p) > m.accept {
		n, _ := m.lines.Write(p[:m.accept])
		m.accept = 0
		return n, errFull
	}
	if m.accept >= 0 {
		m.accept -= len(p)
	}
	return m.lines.Write(p)
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) setAccept(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accept = n
}

func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines.String()
}

// sinks opens the given sinks one after the other.
func sinks(t *testing.T, all ...io.WriteCloser) func(string) (io.WriteCloser, error) {
	t.Helper()
	return func(string) (io.WriteCloser, error) {
		if len(all) == 0 {
			return nil, errors.New("no sink left")
		}
		s := all[0]
		all = all[1:]
		return s, nil
	}
}

func closeNow(t *testing.T, w *Writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func configure(t *testing.T, w *Writer, o Options) {
	t.Helper()
	if err := w.Configure(o); err != nil {
		t.Fatal(err)
	}
}

// numbered appends one short record that can be told from the others.
func numbered(b *Buffer, loop, n int) {
	b.Append(&Record{Entrypoint: fmt.Sprintf("%d-%d", loop, n)})
}

// entrypoints returns the third field of each common line, and fails on a line that is not whole.
func entrypoints(t *testing.T, log string) []string {
	t.Helper()
	if log == "" {
		return nil
	}
	if !strings.HasSuffix(log, "\n") {
		t.Fatalf("log ends in a torn line: %q", log[max(0, len(log)-80):])
	}
	var names []string
	for line := range strings.SplitSeq(strings.TrimSuffix(log, "\n"), "\n") {
		fields := strings.Split(line, " ")
		if len(fields) != 16 {
			t.Fatalf("torn line %q", line)
		}
		names = append(names, fields[2])
	}
	return names
}

func TestWriterFormats(t *testing.T) {
	r := served(t)
	tests := []struct {
		name   string
		format Format
		want   string
	}{
		{"off", Off, ""},
		{"json", JSON, string(AppendJSON(nil, &r))},
		{"common", Common, string(AppendCommon(nil, &r))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &memory{accept: -1}
			w := newWriter(nil, sinks(t, m))
			configure(t, w, Options{Format: tt.format, Path: "x"})
			b := w.NewBuffer()
			if b.Enabled() != (tt.format != Off) {
				t.Errorf("Enabled() = %v", b.Enabled())
			}
			b.Append(&r)
			b.Flush()
			b.Flush() // nothing left: must hand over nothing
			closeNow(t, w)
			if diff := cmp.Diff(tt.want, m.String()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			want := Stats{Written: uint64(strings.Count(tt.want, "\n"))}
			if got := w.Stats(); got != want {
				t.Errorf("stats %+v, want %+v", got, want)
			}
		})
	}
}

func TestNilBufferDiscards(t *testing.T) {
	var w *Writer
	b := w.NewBuffer()
	if b.Enabled() {
		t.Error("enabled")
	}
	b.Append(&Record{})
	b.Flush()
}

// TestRotation renames the file and reopens it again and again while loops write, and finds every line whole, once.
func TestRotation(t *testing.T) {
	const loops, each, rotations = 4, 3000, 20
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	w := New(func(err error) { t.Error(err) })
	configure(t, w, Options{Format: Common, Path: path})

	var wg sync.WaitGroup
	for loop := range loops {
		b := w.NewBuffer()
		wg.Go(func() {
			defer func() {
				for b.open.records > 0 {
					b.Flush()
				}
			}()
			for n := range each {
				numbered(b, loop, n)
				if n%10 == 0 {
					b.Flush()
				}
			}
		})
	}
	for i := range rotations {
		if err := os.Rename(path, filepath.Join(dir, fmt.Sprintf("access.log.%d", i))); err != nil {
			t.Fatal(err)
		}
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	closeNow(t, w)

	files, err := filepath.Glob(filepath.Join(dir, "access.log*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != rotations+1 {
		t.Errorf("%d files, want %d", len(files), rotations+1)
	}
	seen := map[string]int{}
	for _, f := range files {
		log, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range entrypoints(t, string(log)) {
			seen[name]++
		}
	}
	stats := w.Stats()
	if uint64(len(seen)) != stats.Written || stats.Written+stats.Dropped != loops*each || stats.Errors != 0 {
		t.Errorf("%d different lines, stats %+v, want %d in all", len(seen), stats, loops*each)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("line %s was written %d times", name, n)
		}
	}
}

// TestLaggingSink holds the sink still: the loop must go on, drop what is too much, count it, and bound the memory.
func TestLaggingSink(t *testing.T) {
	m := &memory{accept: -1, entry: make(chan struct{}, 1000), gate: make(chan struct{})}
	w := newWriter(nil, sinks(t, m))
	configure(t, w, Options{Format: Common, Path: "x"})
	b := w.NewBuffer()
	numbered(b, 0, 0)
	b.Flush()
	<-m.entry // the writer is inside the sink now

	appended := uint64(1)
	for w.Stats().Dropped < 100 {
		numbered(b, 0, int(appended))
		appended++
		if len(b.open.lines) > fullAt+4<<10 {
			t.Fatalf("the buffer grew to %d bytes", len(b.open.lines))
		}
	}
	if len(w.queue) != maxQueued {
		t.Errorf("%d chunks queued when the first record was dropped, want %d", len(w.queue), maxQueued)
	}
	close(m.gate)
	for b.open.records > 0 {
		b.Flush()
	}
	closeNow(t, w)
	stats := w.Stats()
	if stats.Dropped != 100 || stats.Written != appended-100 {
		t.Errorf("stats %+v after %d records", stats, appended)
	}
	if n := len(entrypoints(t, m.String())); uint64(n) != stats.Written {
		t.Errorf("%d lines in the log, %d counted", n, stats.Written)
	}
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		m := &memory{accept: 100} // one line and a part of the second
		var told []error
		w := newWriter(func(err error) { told = append(told, err) }, sinks(t, m))
		configure(t, w, Options{Format: Common, Path: "x"})
		b := w.NewBuffer()
		for n := range 3 {
			numbered(b, 0, n)
		}
		b.Flush()
		synctest.Wait()
		if got := w.Stats(); got != (Stats{Written: 1, Errors: 1}) {
			t.Errorf("after the failure: %+v", got)
		}
		time.Sleep(3*retryAfter + retryAfter/2)
		if got := w.Stats(); got != (Stats{Written: 1, Errors: 4}) {
			t.Errorf("after three more tries: %+v", got)
		}
		m.setAccept(-1)
		time.Sleep(retryAfter)
		synctest.Wait()
		if diff := cmp.Diff([]string{"0-0", "0-1", "0-2"}, entrypoints(t, m.String())); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		closeNow(t, w)
		if got := w.Stats(); got != (Stats{Written: 3, Errors: 4}) {
			t.Errorf("at the end: %+v", got)
		}
		if len(told) != 1 || !errors.Is(told[0], errFull) {
			t.Errorf("told of %v, want one time %v", told, errFull)
		}
	})
}

func TestReopenAfterFailure(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		full, fresh := &memory{accept: 100}, &memory{accept: -1}
		w := newWriter(nil, sinks(t, full, fresh))
		configure(t, w, Options{Format: Common, Path: "x"})
		b := w.NewBuffer()
		for n := range 3 {
			numbered(b, 0, n)
		}
		b.Flush()
		synctest.Wait()
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"0-1", "0-2"}, entrypoints(t, fresh.String())); diff != "" {
			t.Errorf("new file (-want +got):\n%s", diff)
		}
		if !full.closed {
			t.Error("the old file is still open")
		}
		closeNow(t, w)
		if got := w.Stats(); got != (Stats{Written: 3, Errors: 1}) {
			t.Errorf("stats %+v", got)
		}
	})
}

func TestCloseWithFailingSinkDropsAndCounts(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		w := newWriter(nil, sinks(t, &memory{accept: 0}))
		configure(t, w, Options{Format: Common, Path: "x"})
		b := w.NewBuffer()
		for n := range 3 {
			numbered(b, 0, n)
			b.Flush()
		}
		synctest.Wait()
		closeNow(t, w)
		closeNow(t, w) // closing twice is closing once
		if got := w.Stats(); got != (Stats{Dropped: 3, Errors: 2}) {
			t.Errorf("stats %+v", got)
		}
		if err := w.Configure(Options{Format: JSON, Path: "x"}); !errors.Is(err, ErrClosed) {
			t.Errorf("Configure after Close: %v", err)
		}
		if err := w.Reopen(); !errors.Is(err, ErrClosed) {
			t.Errorf("Reopen after Close: %v", err)
		}
	})
}

func TestCloseDoesNotWaitForAStuckSink(t *testing.T) {
	m := &memory{accept: -1, entry: make(chan struct{}, 10), gate: make(chan struct{})}
	w := newWriter(nil, sinks(t, m))
	configure(t, w, Options{Format: Common, Path: "x"})
	b := w.NewBuffer()
	numbered(b, 0, 0)
	b.Flush()
	<-m.entry
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	close(m.gate)
	closeNow(t, w)
}

func TestReconfigure(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		first, second := &memory{accept: -1}, &memory{accept: -1}
		w := newWriter(nil, sinks(t, first, second))
		b := w.NewBuffer()
		numbered(b, 0, 0) // off: nothing
		configure(t, w, Options{Format: Common, Path: "a"})
		numbered(b, 0, 1)
		b.Flush()
		configure(t, w, Options{Format: JSON, Path: "a"}) // same sink, no reopening
		b.Append(&Record{Entrypoint: "json"})
		b.Flush()
		synctest.Wait()
		configure(t, w, Options{})
		synctest.Wait()
		if !first.closed {
			t.Error("the file stays open although the log is off")
		}
		numbered(b, 0, 2)
		b.Flush()
		configure(t, w, Options{Format: Common, Path: "b"})
		numbered(b, 0, 3)
		b.Flush()
		if err := w.Configure(Options{Format: JSON, Path: "c"}); err == nil {
			t.Error("a sink that cannot be opened was accepted")
		}
		if err := w.Reopen(); err == nil {
			t.Error("a sink that cannot be reopened was accepted")
		}
		numbered(b, 0, 4) // still common, still the second sink
		b.Flush()
		closeNow(t, w)
		line, rest, _ := strings.Cut(first.String(), "\n")
		if diff := cmp.Diff([]string{"0-1"}, entrypoints(t, line+"\n")); diff != "" {
			t.Errorf("first sink (-want +got):\n%s", diff)
		}
		if want := string(AppendJSON(nil, &Record{Entrypoint: "json"})); rest != want {
			t.Errorf("first sink goes on with %q, want %q", rest, want)
		}
		if diff := cmp.Diff([]string{"0-3", "0-4"}, entrypoints(t, second.String())); diff != "" {
			t.Errorf("second sink (-want +got):\n%s", diff)
		}
	})
}

func TestReplacedBeforeUse(t *testing.T) {
	first := &memory{accept: -1, entry: make(chan struct{}, 10), gate: make(chan struct{})}
	unused, last := &memory{accept: -1}, &memory{accept: -1}
	w := newWriter(nil, sinks(t, first, unused, last))
	configure(t, w, Options{Format: Common, Path: "x"})
	b := w.NewBuffer()
	numbered(b, 0, 0)
	b.Flush()
	<-first.entry // the writer cannot take a new sink now
	for range 2 {
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	if !unused.closed {
		t.Error("a sink that was replaced before its first use stays open")
	}
	close(first.gate)
	closeNow(t, w)
	if !first.closed || !last.closed {
		t.Error("sinks stay open after Close")
	}
}

func TestOpenSink(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		wantErr    error
	}{
		{"file", filepath.Join(dir, "a.log"), nil},
		{"stdout", "stdout", nil},
		{"stderr", "stderr", nil},
		{"no such directory", filepath.Join(dir, "none", "a.log"), os.ErrNotExist},
		{"directory", dir, syscall.EISDIR},
		{"a pipe nobody reads", fifo, syscall.ENXIO},
		{"empty", "", errNoPath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := openSink(tt.path)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := os.Stdout.Stat(); err != nil {
		t.Errorf("closing the sink closed standard output: %v", err)
	}
}

// TestBrokenPipe writes to a pipe whose reader is gone: an error, not a signal that ends the program.
func TestBrokenPipe(t *testing.T) {
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pw.Close() })
	s, err := duplicate(pw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x\n")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v, want %v", err, syscall.EPIPE)
	}
}

func BenchmarkBufferAppend(b *testing.B) {
	w := newWriter(nil, func(string) (io.WriteCloser, error) { return discard{}, nil })
	if err := w.Configure(Options{Format: JSON, Path: "x"}); err != nil {
		b.Fatal(err)
	}
	buf, r := w.NewBuffer(), served(b)
	b.ReportAllocs()
	for b.Loop() {
		buf.Append(&r)
	}
	b.ReportMetric(float64(w.Stats().Dropped)/float64(b.N), "dropped/op")
	if err := w.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
