package main

import (
	"context"
	"errors"
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

// Nobody is to log what did not happen.
func TestOdd(t *testing.T) {
	c := &crew{kills: map[string]int{"a": 1, "lb-3": 2}}
	c.log = told(
		[3]string{"lb-1", backendDown, "a"}, [3]string{"lb-2", backendDown, "a"},
		[3]string{"lb-1", memberGone, "lb-3"}, [3]string{"lb-3", backendUp, "b"}, [3]string{"lb-1", memberGone, "lb-3"},
	)
	if odd := c.odd(); len(odd) != 0 {
		t.Errorf("%q", odd)
	}
	for _, l := range [][3]string{
		{"lb-1", backendUp, "a"}, {"lb-1", backendDown, "a"}, {"lb-1", backendDown, "b"}, {"lb-1", memberGone, "lb-2"}, {"lb-1", memberGone, "lb-3"},
	} {
		c.log.add(parseEntry(l[0], line(l[0], l[1], l[2])))
	}
	c.log.add(parseEntry("lb-1", "panic: oh"))
	if odd := c.odd(); len(odd) != 6 {
		t.Errorf("%d lines: %q", len(odd), odd)
	}
}
