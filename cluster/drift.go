package cluster

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Group is members who say the same.
type Group struct {
	Sum     uint64
	Known   bool // false: they say nothing
	Members []string
}

// AppendSum appends the value of a cell that holds a checksum: 8 bytes, big endian.
func AppendSum(b []byte, sum uint64) []byte { return binary.BigEndian.AppendUint64(b, sum) }

// Groups sorts the members by the checksum that they publish under a key, the largest group first. More than one group
// under ConfigKey means that configurations differ; under TableKey, that one client may reach different backends by
// different nodes.
func (t *Table) Groups(key Key, m Members) []Group {
	var groups []Group
	for _, name := range m.Names() {
		g := Group{}
		if c, ok := t.Get(name, key); ok && c.Boot == m[name].Boot && len(c.Value) >= 8 {
			g.Sum, g.Known = binary.BigEndian.Uint64(c.Value), true
		}
		i := slices.IndexFunc(groups, func(o Group) bool { return o.Sum == g.Sum && o.Known == g.Known })
		if i < 0 {
			i, groups = len(groups), append(groups, g)
		}
		groups[i].Members = append(groups[i].Members, name)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return cmp.Compare(len(b.Members), len(a.Members)) })
	return groups
}

// OtherProbes returns the members that report the health of the key's backend by a probe of another definition, in order.
// Their votes do not count here, and those of this node not there.
func (t *Table) OtherProbes(key Key, m Members) []string {
	id, spec, ok := key.backend()
	if !ok {
		return nil
	}
	var others []string
	for _, name := range m.Names() {
		r := t.observers[name]
		if r == nil || r.boot != m[name].Boot {
			continue
		}
		for key, e := range r.cells {
			if other, probe, ok := key.backend(); ok && !e.gone && other == id && probe != spec {
				others = append(others, name)
				break
			}
		}
	}
	return others
}
