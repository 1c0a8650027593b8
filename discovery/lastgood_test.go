package discovery

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

func TestLastGood(t *testing.T) {
	one, two := endpoints("10.0.0.1:80"), endpoints("10.0.0.1:80", "10.0.0.2:80")
	broken, late := errors.New("broken"), errors.New("late")
	type step struct {
		endpoints []upstream.Endpoint
		err       error
		outcome   Outcome // of the update; Unasked where there is none
		want      []upstream.Endpoint
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"told once", []step{{one, nil, OK, one}, {one, nil, Unasked, nil}, {two, nil, OK, two}}},
		{"an empty set is a set", []step{{endpoints(), nil, Empty, endpoints()}, {endpoints(), nil, Unasked, nil}}},
		{"unknown at first", []step{{nil, broken, Failed, nil}, {endpoints(), nil, Empty, endpoints()}}},
		{"held", []step{{one, nil, OK, one}, {nil, broken, Failed, one}, {one, nil, OK, one}, {one, nil, Unasked, nil}}},
		{"a failure is told once", []step{{nil, broken, Failed, nil}, {nil, broken, Unasked, nil}, {nil, late, Failed, nil}}},
		{"emptied on purpose, then held", []step{{one, nil, OK, one}, {endpoints(), nil, Empty, endpoints()},
			{nil, broken, Failed, endpoints()}}},
		{"another set after a failure", []step{{one, nil, OK, one}, {nil, late, Failed, one}, {two, nil, OK, two}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g lastGood
			for i, s := range tt.steps {
				now := time.Unix(int64(i+1), 0)
				u, news := g.take(s.endpoints, s.err, now)
				if !news {
					if s.outcome != Unasked {
						t.Errorf("step %d: no update, want %s", i, s.outcome)
					}
					continue
				}
				wrong := ""
				if s.err != nil {
					wrong = s.err.Error()
				}
				held := s.outcome == Failed && len(s.want) > 0
				if got := u.Status; got.Outcome != s.outcome || got.Error != wrong || !got.Asked.Equal(now) || got.Held != held {
					t.Errorf("step %d: status %+v, want %v, error %q, held %v", i, got, s.outcome, wrong, held)
				}
				if diff := sameEndpoints(s.want, u.Endpoints); diff != "" {
					t.Errorf("step %d: endpoints (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestUpdateIsTheReceivers(t *testing.T) {
	var g lastGood
	u, _ := g.take(endpoints("10.0.0.1:80"), nil, time.Unix(1, 0))
	u.Endpoints[0].Weight = 7
	u, _ = g.take(nil, errors.New("broken"), time.Unix(2, 0))
	if diff := sameEndpoints(endpoints("10.0.0.1:80"), u.Endpoints); diff != "" {
		t.Errorf("the receiver changed what is held (-want +got):\n%s", diff)
	}
}

// contents are what a source may say, and whether that empties a set.
var contents = map[string]bool{
	`["10.0.0.1:80"]`: false, `["10.0.0.1:80", "10.0.0.2:80"]`: false, `{"endpoints": ["10.0.0.3:80"]}`: false,
	`[]`: true, `{"endpoints": []}`: true, `[{"targets": []}]`: true,
	``: false, `[`: false, `["10.0.0.1:80"`: false, `{}`: false, `null`: false, `endpoints:`: false, `- db.example.com:80`: false, "\x00": false, "<html>": false,
}

func anyContent() *rapid.Generator[string] {
	var all []string
	for c := range contents {
		all = append(all, c)
	}
	slices.Sort(all)
	return rapid.SampledFrom(all)
}

// held checks one thing over the life of a provider: that it is empty only where its source last said so.
type held struct{ had bool }

func (h *held) check(t *rapid.T, content string, set []upstream.Endpoint) {
	t.Helper()
	if contents[content] {
		h.had = false
	}
	h.had = h.had || len(set) > 0
	if h.had && len(set) == 0 {
		t.Fatalf("%q emptied the set", content)
	}
}

func TestNoFailureEmptiesASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g lastGood
		var h held
		for _, content := range rapid.SliceOfN(anyContent(), 1, 20).Draw(t, "contents") {
			set, err := ParseEndpoints("x", []byte(content))
			if u, news := g.take(set, err, time.Unix(1, 0)); news && !slices.Equal(u.Endpoints, g.endpoints) {
				t.Fatalf("told %v, holds %v", u.Endpoints, g.endpoints)
			}
			h.check(t, content, g.endpoints)
		}
	})
}
