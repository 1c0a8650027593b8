package cluster

import (
	"bytes"
	"slices"
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
