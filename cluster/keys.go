package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KeyStatus is which keys the cluster uses, and who has them.
type KeyStatus struct {
	Fingerprints []string // the first encrypts
	Retiring     []string // removed, and still read by this node until all members have confirmed that, or for a minute
	Acks         Acks     // who has these, or those of a later change
}

// A change of the keys takes three commands, each of which waits until the one before has reached all members: install the
// new key, use it, remove the old one. Nothing is lost meanwhile. A node that is down the whole time does not know the new
// key when it comes back: it needs it in its settings.

// InstallKey gives all nodes one more key, made from a secret of at least MinSecret bytes, and returns its fingerprint.
func (n *Node) InstallKey(secret []byte) (string, error) {
	if len(secret) < MinSecret {
		return "", fmt.Errorf("%w: a secret of %d bytes, at least %d", ErrRing, len(secret), MinSecret)
	}
	key, err := derive(secret, n.options.Name)
	if err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	return key.Fingerprint(), n.changeRing(func(l *loop) (Ring, error) { return l.rings.ring.with(key) })
}

// UseKey has all nodes encrypt with a key that all members have.
func (n *Node) UseKey(fingerprint string) error {
	return n.changeRing(func(l *loop) (Ring, error) {
		key, err := l.installed(fingerprint)
		if err != nil {
			return Ring{}, err
		}
		return l.rings.ring.using(key)
	})
}

// RemoveKey has all nodes take a key no more, once all members encrypt with another.
func (n *Node) RemoveKey(fingerprint string) error {
	return n.changeRing(func(l *loop) (Ring, error) {
		key, err := l.installed(fingerprint)
		if err != nil {
			return Ring{}, err
		}
		return l.rings.ring.without(key)
	})
}

// Keys returns which keys are in use.
func (n *Node) Keys() (KeyStatus, error) {
	var s KeyStatus
	err := n.do(func(l *loop, _ time.Time) {
		for _, k := range l.rings.ring.Keys {
			s.Fingerprints = append(s.Fingerprints, k.Fingerprint())
		}
		for _, k := range l.rings.retiring {
			s.Retiring = append(s.Retiring, k.Fingerprint())
		}
		s.Acks = l.replica.Table().ringAcks(l.rings.ring, l.replica.Members())
	})
	return s, err
}

// changeRing makes a change of the keys known to all nodes, and waits until it is on this node's disk.
func (n *Node) changeRing(change func(*loop) (Ring, error)) error {
	var failed error
	var told chan error
	err := n.do(func(l *loop, now time.Time) {
		if l.rings.keyring == nil {
			failed = ErrPlain
			return
		}
		next, err := change(l)
		if failed = err; failed != nil || l.rings.ring.Stamp.valid() && slices.Equal(next.Keys, l.rings.ring.Keys) {
			return
		}
		next.Stamp = l.rings.clock.Next(now)
		l.adopt(next, now)
		told = l.keeper.tell()
	})
	if err = errors.Join(err, failed); err != nil || told == nil {
		return err
	}
	return <-told
}

// installed returns the key of a fingerprint, if all members have the present ring.
func (l *loop) installed(fingerprint string) (RingKey, error) {
	ring := l.rings.ring
	i := slices.IndexFunc(ring.Keys, func(k RingKey) bool { return k.Fingerprint() == fingerprint })
	if i < 0 {
		return RingKey{}, fmt.Errorf("%w: there is no key %s", ErrRing, fingerprint)
	}
	if !ring.Stamp.valid() {
		return RingKey{}, fmt.Errorf("%w: key %s is in this node's settings; install it, so that all have it", ErrRing, fingerprint)
	}
	if acks := l.replica.Table().ringAcks(ring, l.replica.Members()); len(acks.Missing) > 0 {
		return RingKey{}, fmt.Errorf("%w: %s: the former change has not reached %s", ErrRing, acks, strings.Join(acks.Missing, ", "))
	}
	return ring.Keys[i], nil
}
