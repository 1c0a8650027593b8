package config

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"go.yaml.in/yaml/v3"
)

// Sum is a checksum of the effective configuration, the same for all whose Dump is the same. Writing the text of ten
// thousand services takes a gigabyte and seconds; this looks at what would be written.
func (c *Config) Sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	addNode(h, c.tree())
	h.Sum(sum[:0])
	return sum
}

// addNode adds a node in a form that no other one has: its kind, what it holds and how much of each.
func addNode(h hash.Hash, n *yaml.Node) {
	var b [1 + 3*binary.MaxVarintLen64]byte
	head := append(b[:0], byte(n.Kind))
	head = binary.AppendUvarint(head, uint64(len(n.Tag)))
	head = binary.AppendUvarint(head, uint64(len(n.Value)))
	head = binary.AppendUvarint(head, uint64(len(n.Content)))
	_, _ = h.Write(head) // it never fails
	_, _ = io.WriteString(h, n.Tag)
	_, _ = io.WriteString(h, n.Value)
	for _, inner := range n.Content {
		addNode(h, inner)
	}
}
