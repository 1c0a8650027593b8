package head

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// pair is a field in the simplest model of a head there is: a list of them.
type pair struct{ Name, Value string }

func setModel(m []pair, name, value string) []pair {
	same := func(p pair) bool { return strings.EqualFold(p.Name, name) }
	i := slices.IndexFunc(m, same)
	if i < 0 {
		return append(m, pair{name, value})
	}
	m[i] = pair{name, value}
	return append(m[:i+1], slices.DeleteFunc(m[i+1:], same)...)
}

// TestEditsFollowTheModel edits at random and compares with the list.
func TestEditsFollowTheModel(t *testing.T) {
	names := rapid.SampledFrom([]string{"Via", "via", "X-A", "x-a", "X-B", "Cookie", "X-Forwarded-For", "Forwarded"})
	values := rapid.SampledFrom([]string{"", "1", "two words", "a\r\nX-Evil: b", strings.Repeat("long", 30)})
	rapid.Check(t, func(rt *rapid.T) {
		h := mustRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nvia: x\r\nx-A: y\r\nCookie: 1\r\nX-B: 1\r\ncookie: 2\r\n\r\n")
		model := []pair{{"Host", "a"}, {"via", "x"}, {"x-A", "y"}, {"Cookie", "1"}, {"X-B", "1"}, {"cookie", "2"}}
		for range rapid.IntRange(1, 20).Draw(rt, "edits") {
			name, value := names.Draw(rt, "name"), values.Draw(rt, "value")
			var want error
			if strings.Contains(value, "\n") {
				want = ErrValue
			}
			var err error
			switch rapid.IntRange(0, 4).Draw(rt, "verb") {
			case 0:
				if err = h.Set(name, value); err == nil {
					model = setModel(model, name, value)
				}
			case 1:
				if err = h.AddBytes(name, []byte(value)); err == nil {
					model = append(model, pair{name, value})
				}
			case 2:
				k := Lookup(name)
				if k == Other {
					want = ErrProtected
				}
				if err = h.SetKnown(k, []byte(value)); err == nil {
					model = setModel(model, k.String(), value)
				}
			case 3:
				err, want = h.Delete(name), nil
				model = slices.DeleteFunc(model, func(p pair) bool { return strings.EqualFold(p.Name, name) })
			default:
				h.Keep()
				want = nil
			}
			if !errors.Is(err, want) {
				rt.Fatalf("%q: %q: %v, want %v", name, value, err, want)
			}
			compareModel(t, rt, h, model)
		}
	})
}

func compareModel(t *testing.T, rt *rapid.T, h *Head, model []pair) {
	var got []pair
	written := "GET / HTTP/1.1\r\n"
	for name, value := range h.All() {
		got = append(got, pair{string(name), string(value)})
	}
	for _, p := range model {
		written += p.Name + ": " + p.Value + "\r\n"
		first := model[slices.IndexFunc(model, func(q pair) bool { return strings.EqualFold(p.Name, q.Name) })]
		if v, ok := h.Get(p.Name); !ok || string(v) != first.Value {
			rt.Fatalf("Get(%q) is %q, %v, want %q", p.Name, v, ok, first.Value)
		}
	}
	if diff := cmp.Diff(model, got); diff != "" {
		rt.Fatalf("fields (-want +got):\n%s", diff)
	}
	if out := string(h.AppendRequest(nil)); out != written+"\r\n" {
		rt.Fatalf("written as %q, want %q", out, written)
	}
	if h.Count() != len(model) {
		rt.Fatalf("%d fields, want %d", h.Count(), len(model))
	}
	checkIndex(t, h)
}
