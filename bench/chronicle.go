package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// What nodes of a cluster log, and what about.
const (
	backendDown = "backend is down" // entry.Backend
	backendUp   = "backend is up"
	memberThere = "cluster node is there" // entry.Member
	memberGone  = "cluster node does not answer"

	killed = "killed" // by this bench, entry.Backend or entry.Member
)

// entry is a line of a node's log.
type entry struct {
	Node    string    `json:"-"` // whose log it is
	At      time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"msg"`
	Backend string    `json:"backend"`
	Member  string    `json:"node"`
	Cause   string    `json:"cause"`
	text    string
}

// about is the backend or the member that the line is about; "" if there is
// none.
func (e entry) about() string {
	if e.Backend != "" {
		return e.Backend
	}
	return e.Member
}

// chronicle is what several nodes have logged, in the order in which it came
// here. Nodes log at the moment when they act, to the microsecond, so it
// costs them next to nothing to be watched.
type chronicle struct {
	mu      sync.Mutex
	entries []entry
	more    chan struct{} // closed when there are more
}

func newChronicle() *chronicle { return &chronicle{more: make(chan struct{})} }

// listen takes a node's log in until it ends.
func (c *chronicle) listen(node string, log io.Reader) {
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			c.add(parseEntry(node, line))
		}
		if err != nil {
			return
		}
	}
}

// parseEntry reads a line. What is not JSON, such as the trace of a panic,
// only has a text.
func parseEntry(node, line string) entry {
	var e entry
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		e = entry{}
	}
	e.Node, e.text = node, strings.TrimSpace(line)
	return e
}

func (c *chronicle) add(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, e)
	close(c.more)
	c.more = make(chan struct{})
}

// mark returns a place after all that is there.
func (c *chronicle) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// since returns what there is after a place, and a channel that is closed
// when there is more.
func (c *chronicle) since(mark int) ([]entry, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries[mark:]), c.more
}

// last returns the end of a node's log.
func (c *chronicle) last(node string, lines int) string {
	all, _ := c.since(0)
	var texts []string
	for _, e := range all {
		if e.Node == node {
			texts = append(texts, e.text)
		}
	}
	if len(texts) == 0 {
		return "(empty)"
	}
	return strings.Join(texts[max(0, len(texts)-lines):], "\n")
}

// tale is lines that are waited for: one with a message from each of the
// nodes about each of the subjects.
type tale struct {
	message  string
	nodes    []string
	subjects []string
}

// missing is a line that has not come.
type missing struct{ node, subject string }

// lateness is the error for lines that have not come.
type lateness struct {
	message string
	lines   []missing // some are missing, in order of the tale
	of      int
	cause   error
}

func (l *lateness) Error() string {
	first := l.lines[0]
	return fmt.Sprintf("%d of %d times nobody says %q, such as %s about %s: %v", len(l.lines), l.of, l.message, first.node, first.subject, l.cause)
}

func (l *lateness) Unwrap() error { return l.cause }

// hear waits until a tale has been told after a mark, and returns the first
// line of each node about each subject. A node about itself need not say
// anything.
func (c *chronicle) hear(ctx context.Context, mark int, t tale) ([]entry, error) {
	waiting := make(map[missing]bool)
	var order []missing
	for _, node := range t.nodes {
		for _, subject := range t.subjects {
			if node != subject {
				waiting[missing{node, subject}] = true
				order = append(order, missing{node, subject})
			}
		}
	}
	var heard []entry
	for {
		news, more := c.since(mark)
		mark += len(news)
		for _, e := range news {
			if m := (missing{e.Node, e.about()}); e.Message == t.message && waiting[m] {
				delete(waiting, m)
				heard = append(heard, e)
			}
		}
		if len(waiting) == 0 {
			return heard, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			late := &lateness{message: t.message, of: len(order), cause: context.Cause(ctx)}
			late.lines = slices.DeleteFunc(order, func(m missing) bool { return !waiting[m] })
			return heard, late
		}
	}
}
