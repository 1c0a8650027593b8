package cluster

import "encoding/binary"

// metaVersion is the first byte of what a node announces of itself.
const metaVersion = 1

// meta is what a node announces of itself through the membership layer, which takes up to 512 bytes and panics at more. It
// does not change during a life.
type meta struct {
	boot    uint64
	version string
}

func (m meta) encode() []byte {
	return appendString(binary.AppendUvarint([]byte{metaVersion}, m.boot), m.version[:min(len(m.version), maxVersion)])
}

// parseMeta reads it. What cannot be read is of another release, and says nothing.
func parseMeta(b []byte) meta {
	r := &reader{rest: b}
	if r.byte("the version") != metaVersion {
		return meta{}
	}
	m := meta{boot: r.uvarint("a boot", MaxBoot), version: string(r.bytes("a version", maxVersion))}
	if r.err != nil || m.version != "" && nameFault(m.version, maxVersion) != nil {
		return meta{}
	}
	return m
}
