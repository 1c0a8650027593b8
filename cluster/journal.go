package cluster

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// journalWindow and journalLines bound what the membership layer may log: it writes a line for each packet of a stranger.
	journalWindow = 10 * time.Second
	journalLines  = 10
	// journalQueue is how many lines wait to be written: the membership layer logs with its lock held, so it may not wait.
	journalQueue = 64
)

// journal takes the lines that the membership layer logs. They are also the only place where it says that it has refused
// something, so they are counted here; the tests hold the words on which that rests.
type journal struct {
	log   *slog.Logger
	queue chan entryLine

	wrongKey   atomic.Uint64
	wrongLabel atomic.Uint64
	overflow   atomic.Uint64 // messages that waited in too long a line

	mu         sync.Mutex
	window     time.Time // when the present one began
	lines      int       // in it
	suppressed int
}

// entryLine is a line to be written.
type entryLine struct {
	level      slog.Level
	text       string
	suppressed int // lines before it
}

func newJournal(log *slog.Logger) *journal {
	return &journal{log: log, queue: make(chan entryLine, journalQueue)}
}

// run writes lines until ctx ends.
func (j *journal) run(ctx context.Context) {
	for {
		select {
		case l := <-j.queue:
			var more []slog.Attr
			if l.suppressed > 0 {
				more = append(more, slog.Int("suppressed", l.suppressed))
			}
			j.log.LogAttrs(ctx, l.level, "cluster membership: "+l.text, more...)
		case <-ctx.Done():
			return
		}
	}
}

// logger returns what the membership layer writes to.
func (j *journal) logger() *log.Logger { return log.New(j, "", 0) }

// Write takes one line, such as "[WARN] memberlist: what is the matter".
func (j *journal) Write(line []byte) (int, error) {
	j.count(line)
	level, text := slog.LevelInfo, bytes.TrimSpace(line)
	if word, rest, ok := bytes.Cut(text, []byte("] ")); ok {
		switch string(word) {
		case "[DEBUG":
			level, text = slog.LevelDebug, rest
		case "[INFO":
			text = rest
		case "[WARN", "[ERR", "[ERROR":
			level, text = slog.LevelWarn, rest
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	if suppressed, ok := j.admit(level, time.Now()); ok {
		select {
		case j.queue <- entryLine{level, string(text), suppressed}:
		default:
		}
	}
	return len(line), nil
}

// count looks whether the line tells of something refused.
func (j *journal) count(line []byte) {
	has := func(words string) bool { return bytes.Contains(line, []byte(words)) }
	switch {
	case has("unacceptable label"):
		j.wrongLabel.Add(1)
	case has("no installed keys could decrypt"), has("Decrypt packet failed"), has("remote state is not encrypted"),
		has("encryption is not configured"):
		j.wrongKey.Add(1)
	case has("handler queue full"):
		j.overflow.Add(1)
	}
}

// admit reports whether a line may be logged, and how many before it were not.
func (j *journal) admit(level slog.Level, now time.Time) (suppressed int, ok bool) {
	if !j.log.Enabled(context.Background(), level) {
		return 0, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if now.Sub(j.window) >= journalWindow {
		j.window, j.lines = now, 0
		suppressed, j.suppressed = j.suppressed, 0
	}
	if j.lines++; j.lines > journalLines {
		j.suppressed++
		return 0, false
	}
	return suppressed, true
}
