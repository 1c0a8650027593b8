package cluster

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// Kind says what a cell is about: the first byte of its key. Cells of a kind that a node does not know are kept and passed
// on like all others, so that nodes of different releases can share one cluster.
type Kind byte

const (
	KindHealth  Kind = 'h' // what the observer itself saw of a backend: a Report
	KindCommand Kind = 'o' // the observer's copy of what an operator ordered: a Command
	KindConfig  Kind = 'c' // which configuration the observer runs: a checksum
	KindTable   Kind = 't' // which Maglev table the observer computed for a service: a checksum
	KindRing    Kind = 'k' // the observer's copy of the cluster's keys: a Ring
	KindLeave   Kind = 'l' // the observer is about to leave of its own will; no value
)

// Key says what a cell is about, for every observer alike. It is bytes, not text: a Kind and what that kind needs.
type Key string

// Kind returns the key's first byte, 0 for the empty key.
func (k Key) Kind() Kind {
	if k == "" {
		return 0
	}
	return Kind(k[0])
}

// BackendID identifies a backend on all nodes: a hash of its service and address. Two of 10,000 backends share one with a
// probability of 3 in 10^12.
type BackendID uint64

// IDOf returns the identity of the backend of a service at an address. An IPv4 address and its form mapped into IPv6 are
// one.
func IDOf(service string, addr netip.AddrPort) BackendID {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	return BackendID(xxhash.Sum64String(service + "\x00" + addr.String()))
}

// SpecOf returns the hash of a probe's definition, written out by whoever compiles it, always in the same way. Votes about
// one backend that come from different probes lie under different keys, so they are never counted together.
func SpecOf(definition string) uint64 { return xxhash.Sum64String(definition) }

// healthKeySize is the size of the keys of KindHealth: the kind, the backend, its probe.
const healthKeySize = 1 + 8 + 8

// HealthKey returns the key of what is seen of a backend by a probe.
func HealthKey(id BackendID, spec uint64) Key {
	b := append(make([]byte, 0, healthKeySize), byte(KindHealth))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	return Key(binary.BigEndian.AppendUint64(b, spec))
}

// backend returns whom a key of KindHealth is about; ok is false for other keys.
func (k Key) backend() (id BackendID, spec uint64, ok bool) {
	if k.Kind() != KindHealth || len(k) != healthKeySize {
		return 0, 0, false
	}
	b := []byte(k[1:])
	return BackendID(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]), true
}

// ConfigKey returns the key of the configuration's checksum.
func ConfigKey() Key { return Key(KindConfig) }

// TableKey returns the key of the checksum of a service's Maglev table.
func TableKey(service string) Key { return Key(KindTable) + Key(service) }
