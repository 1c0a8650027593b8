package cluster

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// The keys in use are those of the ring, whatever they were, and readers of the former ones are not disturbed.
func TestApplyRing(t *testing.T) {
	tests := []struct{ from, to string }{
		{"1", "12"}, {"12", "21"}, {"21", "2"}, {"1234", "4"}, {"123", "31"}, {"123", "13"}, {"12", "34"}, {"1234", "4321"},
	}
	of := func(s string) Ring { return ringOf(1, []byte(s)...) }
	for _, tt := range tests {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			keyring, err := newKeyring(of(tt.from))
			if err != nil {
				t.Fatal(err)
			}
			before := keyring.GetKeys()
			seen := slices.Clone(before)
			if err := applyRing(keyring, of(tt.to).Keys); err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(before, seen, bytes.Equal) {
				t.Error("the keys of a reader have moved")
			}
			var got []byte
			for _, key := range keyring.GetKeys() {
				got = append(got, key[0])
			}
			if got[0] != tt.to[0] {
				t.Errorf("%c encrypts", got[0])
			}
			want := []byte(tt.to)
			slices.Sort(want)
			slices.Sort(got)
			if !bytes.Equal(got, want) {
				t.Errorf("keys %s, want %s", got, want)
			}
		})
	}
}

// The membership layer walks through the keys while they change. It must never see one twice, nor a torn one.
func TestApplyRingBesideReaders(t *testing.T) {
	rings := []Ring{ringOf(1, 1, 2, 3, 4), ringOf(2, 1, 4), ringOf(3, 4, 2), ringOf(4, 2, 1, 3)}
	keyring, err := newKeyring(rings[0])
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var twice atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				seen := map[byte]bool{}
				for _, key := range keyring.GetKeys() {
					if seen[key[0]] {
						twice.Add(1)
					}
					seen[key[0]] = true
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 20000 {
		if err := applyRing(keyring, rings[i%len(rings)].Keys); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	readers.Wait()
	if n := twice.Load(); n > 0 {
		t.Errorf("a reader saw a key twice, %d times", n)
	}
}
