package upstream

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// HashKey names what strategies that hash look at.
type HashKey string

const (
	SourceIP     HashKey = "sourceIP"
	SourceIPPort HashKey = "sourceIPPort"
	SNI          HashKey = "sni"
)

// Valid reports whether the key exists; the empty one is SourceIP.
func (k HashKey) Valid() bool {
	return k == "" || k == SourceIP || k == SourceIPPort || k == SNI
}

// KeyOf returns the key of a connection for Pool.Acquire. It is equal on all nodes
// and architectures: an IPv4 client has one key whichever socket family it came
// through, names are compared without ASCII case, and a connection without a name
// is known by its address. The hash has no secret: a client that chooses its port or
// the name it asks for can choose its backend.
func KeyOf[S ~string | ~[]byte](k HashKey, client netip.AddrPort, sni S) uint64 {
	if k == SNI && len(sni) > 0 {
		return nameKey(sni)
	}
	var buf [18]byte
	ip := client.Addr().As16() // of IPv4 the mapped form, with or without Unmap
	copy(buf[:], ip[:])
	if k != SourceIPPort {
		return xxhash.Sum64(buf[:16])
	}
	binary.BigEndian.PutUint16(buf[16:], client.Port())
	return xxhash.Sum64(buf[:])
}

// nameKey hashes a host name in lower case. Names end at 255 bytes (RFC 1035,
// section 2.3.4); what a longer one has beyond does not count.
func nameKey[S ~string | ~[]byte](name S) uint64 {
	var buf [255]byte
	n := min(len(name), len(buf))
	for i := range n {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return xxhash.Sum64(buf[:n])
}

// goldenRatio is 2^64 over the golden ratio, made odd: the usual increment between keys to stir.
const goldenRatio = 0x9e3779b97f4a7c15

// stir spreads the bits of a key (the finalizer of MurmurHash3).
func stir(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
