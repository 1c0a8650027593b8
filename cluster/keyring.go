package cluster

import (
	"bytes"
	"slices"

	"github.com/hashicorp/memberlist"
)

// newKeyring returns the membership layer's set of keys, nil for none.
func newKeyring(r Ring) (*memberlist.Keyring, error) {
	if len(r.Keys) == 0 {
		return nil, nil
	}
	var others [][]byte
	for _, k := range r.Keys[1:] {
		others = append(others, k[:])
	}
	return memberlist.NewKeyring(others, r.Keys[0][:])
}

// applyRing makes these keys, and no others, those in use, while packets come and go. New keys are there before the first of
// them encrypts, and the one that encrypts changes before any goes.
func applyRing(keyring *memberlist.Keyring, ring []RingKey) error {
	for _, k := range ring {
		if err := keyring.AddKey(k[:]); err != nil {
			return err
		}
	}
	if err := keyring.UseKey(ring[0][:]); err != nil {
		return err
	}
	belongs := func(key []byte) bool {
		return slices.ContainsFunc(ring, func(k RingKey) bool { return bytes.Equal(k[:], key) })
	}
	keys := slices.Clone(keyring.GetKeys())
	first := slices.IndexFunc(keys, func(key []byte) bool { return !belongs(key) })
	if first < 0 {
		return nil
	}
	// RemoveKey closes the gap within the slice that readers of it are going through, without a lock. Only taking away the
	// last moves nothing, so all from the first that goes are taken away from the end, and those that stay are put back.
	for _, key := range slices.Backward(keys[first:]) {
		if err := keyring.RemoveKey(key); err != nil {
			return err
		}
	}
	for _, key := range keys[first:] {
		if !belongs(key) {
			continue
		}
		if err := keyring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}
