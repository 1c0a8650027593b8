package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// ringOf returns a ring of keys of these first bytes.
func ringOf(wall int64, firsts ...byte) Ring {
	r := Ring{Stamp: Stamp{Wall: wall, Node: "a"}}
	for _, b := range firsts {
		r.Keys = append(r.Keys, RingKey{b})
	}
	return r
}

func TestRing(t *testing.T) {
	r := ringOf(1, 1)
	r, err := r.with(RingKey{2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.without(RingKey{1}); !errors.Is(err, ErrRing) {
		t.Errorf("removing the key that encrypts: %v", err)
	}
	if _, err := r.using(RingKey{9}); !errors.Is(err, ErrRing) {
		t.Errorf("using a key that is not there: %v", err)
	}
	r, err = r.using(RingKey{2})
	if err != nil || !slices.Equal(r.Keys, []RingKey{{2}, {1}}) {
		t.Fatalf("using: %v, %v", r.Keys, err)
	}
	if r, err = r.without(RingKey{1}); err != nil || !slices.Equal(r.Keys, []RingKey{{2}}) {
		t.Fatalf("removing: %v, %v", r.Keys, err)
	}
	if again, err := r.with(RingKey{2}); err != nil || len(again.Keys) != 1 {
		t.Errorf("a key twice: %v, %v", again.Keys, err)
	}
	full := ringOf(1, 1, 2, 3, 4)
	if _, err := full.with(RingKey{5}); !errors.Is(err, ErrRing) {
		t.Errorf("a fifth key: %v", err)
	}
}

func TestLatestRing(t *testing.T) {
	copyOf := func(observer string, r Ring) Cell {
		return Cell{Key: ringKey, Observer: observer, Version: Version{1, 1}, Value: r.cell()}
	}
	now := time.UnixMilli(1000)
	clock := Clock{node: "z"}
	ahead := ringOf(now.Add(MaxAhead+time.Minute).UnixMilli(), 9)
	got, changed, err := latestRing(ringOf(5, 1), []Cell{
		copyOf("b", ringOf(4, 2)), copyOf("c", ringOf(7, 3)), copyOf("d", ringOf(6, 4)), copyOf("e", ahead),
		{Key: ringKey, Observer: "f", Version: Version{1, 1}, Value: []byte("nonsense")},
	}, &clock, now)
	if !changed || !slices.Equal(got.Keys, []RingKey{{3}}) {
		t.Errorf("got %v, %t", got, changed)
	}
	if !errors.Is(err, ErrAhead) || !errors.Is(err, ErrMalformed) {
		t.Errorf("refused: %v", err)
	}
	if next := clock.Next(now); next.Compare(got.Stamp) <= 0 {
		t.Error("the next change would come before one that has been seen")
	}
	if _, changed, _ := latestRing(got, []Cell{copyOf("c", got)}, &clock, now); changed {
		t.Error("the same ring is news")
	}
}

func FuzzRing(f *testing.F) {
	f.Add(ringOf(5, 1, 2).cell())
	f.Add([]byte{1, 0, 1, 'a', 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRing(b)
		if err != nil {
			return
		}
		if len(r.Keys) == 0 || len(r.Keys) > MaxRing || !r.Stamp.valid() {
			t.Fatalf("read %+v", r)
		}
		if again, err := parseRing(r.cell()); err != nil || again.supersedes(r) || r.supersedes(again) {
			t.Errorf("%+v is not what it reads as again: %v", r, err)
		}
	})
}
