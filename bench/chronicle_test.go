package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func line(node, message, about string) string {
	text := `{"time":"2026-11-26T12:00:00.5Z","level":"WARN","msg":"` + message + `","cause":"why"`
	if strings.HasPrefix(about, "lb") {
		return text + `,"node":"` + about + `"}`
	}
	return text + `,"service":"origin","backend":"` + about + `"}`
}

// told is a chronicle of lines, by "node message about".
func told(lines ...[3]string) *chronicle {
	c := newChronicle()
	for _, l := range lines {
		c.add(parseEntry(l[0], line(l[0], l[1], l[2])))
	}
	return c
}

func TestParseEntry(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 5e8, time.UTC)
	for _, tt := range []struct {
		name, line string
		want       entry
	}{
		{"backend", line("a", backendDown, "b"), entry{Node: "a", At: at, Level: "WARN", Message: backendDown, Backend: "b", Cause: "why"}},
		{"member", line("a", memberGone, "lb-2"), entry{Node: "a", At: at, Level: "WARN", Message: memberGone, Member: "lb-2", Cause: "why"}},
		{"no JSON", "panic: oh\n", entry{Node: "a"}},
		{"half of it", `{"msg":"x","time":1}`, entry{Node: "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parseEntry("a", tt.line)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(entry{}), cmpopts.IgnoreFields(entry{}, "text")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if got.text != strings.TrimSpace(tt.line) {
				t.Errorf("text %q", got.text)
			}
		})
	}
}

// Lines count that come after the mark, the first of each kind, whether they
// are there already or come while they are waited for.
func TestHear(t *testing.T) {
	c := told([3]string{"lb-1", backendDown, "b"})
	mark := c.mark()
	c.add(parseEntry("lb-1", line("lb-1", backendUp, "b")))
	c.add(parseEntry("lb-2", line("lb-2", backendDown, "b")))
	c.add(parseEntry("lb-2", line("lb-2", backendDown, "b")))
	go c.add(parseEntry("lb-1", line("lb-1", backendDown, "b")))
	got, err := c.hear(t.Context(), mark, tale{backendDown, []string{"lb-1", "lb-2"}, []string{"b"}})
	if err != nil || len(got) != 2 || got[0].Node != "lb-2" || got[1].Node != "lb-1" {
		t.Errorf("%+v, %v", got, err)
	}
	// Nobody says of itself that it is there.
	c = told([3]string{"lb-1", memberThere, "lb-2"}, [3]string{"lb-2", memberThere, "lb-1"})
	both := []string{"lb-1", "lb-2"}
	if got, err := c.hear(t.Context(), 0, tale{memberThere, both, both}); err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestHearInVain(t *testing.T) {
	c := told([3]string{"lb-1", backendDown, "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	heard, err := c.hear(ctx, 0, tale{backendDown, []string{"lb-1", "lb-2"}, []string{"a", "b"}})
	var late *lateness
	if !errors.As(err, &late) || !errors.Is(err, context.Canceled) || len(heard) != 1 {
		t.Fatalf("%+v, %v", heard, err)
	}
	if diff := cmp.Diff([]missing{{"lb-1", "b"}, {"lb-2", "a"}, {"lb-2", "b"}}, late.lines, cmp.AllowUnexported(missing{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestLast(t *testing.T) {
	c := newChronicle()
	c.listen("lb-1", strings.NewReader("one\ntwo\nthree"))
	if got := c.last("lb-1", 2); got != "two\nthree" {
		t.Errorf("%q", got)
	}
	if got := c.last("lb-2", 2); got != "(empty)" {
		t.Errorf("%q", got)
	}
}

// Nobody is to log what did not happen, nor before it happens.
func TestOdd(t *testing.T) {
	right := []entry{
		{Message: killed, Backend: "a"}, {Node: "lb-1", Message: backendDown, Backend: "a"}, {Node: "lb-2", Message: backendDown, Backend: "a"},
		{Message: killed, Member: "lb-3"}, {Node: "lb-1", Message: memberGone, Member: "lb-3"}, {Node: "lb-3", Message: backendUp, Backend: "b"},
		{Message: killed, Member: "lb-3"}, {Node: "lb-1", Message: memberGone, Member: "lb-3"},
	}
	c := &crew{log: newChronicle()}
	c.log.add(parseEntry("lb-1", "panic: oh"))
	if got := c.odd(); len(got) != 1 {
		t.Errorf("a panic: %q", got)
	}
	again := entry{Node: "lb-1", Message: memberGone, Member: "lb-3"}
	for _, tt := range []struct {
		name string
		at   int // in all that is right
		odd  entry
	}{
		{"a dead backend is up", 8, entry{Node: "lb-1", Message: backendUp, Backend: "a"}},
		{"it is down twice", 8, entry{Node: "lb-1", Message: backendDown, Backend: "a"}},
		{"another one is", 8, entry{Node: "lb-1", Message: backendDown, Backend: "b"}},
		{"another node is gone", 8, entry{Node: "lb-1", Message: memberGone, Member: "lb-2"}},
		{"it is gone before it is killed", 3, again},
		{"it is gone twice for one death", 5, again},
		{"an error", 8, entry{Node: "lb-1", Message: "x", Level: "ERROR"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &crew{log: newChronicle()}
			for i, e := range slices.Insert(slices.Clone(right), tt.at, tt.odd) {
				e.At, e.text = time.Unix(1, 0), "right"
				if i == tt.at {
					e.text = "odd"
				}
				c.log.add(e)
			}
			if got := c.odd(); len(got) != 1 || !strings.Contains(got[0], "odd") {
				t.Errorf("%q", got)
			}
		})
	}
}
