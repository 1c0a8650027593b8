package cluster

// MinPacket is the smallest packet that Pack fills: the largest beacon fits into it.
const MinPacket = 1 + 2 + MaxName + sectionHead + 2 + MaxName + 3*10 + 8 + 1

// sectionHead is what a section in a packet costs beside its body: its kind, and a length of up to 2 MiB.
const sectionHead = 1 + 3

// Pack writes the message into packets of at most limit bytes (from MinPacket to 1 MiB), each complete in itself, for
// datagrams. Cells that fit into none of them are returned, to go by a stream.
func Pack(m Message, limit int) (packets [][]byte, large []Cell) {
	parts, large := split(m, limit)
	for _, part := range parts {
		packets = append(packets, Encode(part))
	}
	return packets, large
}

// split cuts a message into ones that take at most limit bytes. What it counts is never too little, and too much by a few
// bytes.
func split(m Message, limit int) (parts []Message, large []Cell) {
	empty := Message{From: m.From}
	head := 1 + stringLen(m.From)
	part, size := empty, head
	room := func(n int) bool {
		if size+n > limit && !part.Empty() {
			parts, part, size = append(parts, part), empty, head
		}
		if size+n > limit {
			return false
		}
		size += n
		return true
	}
	for _, c := range m.Cells {
		life := sectionHead + stringLen(c.Observer) + uvarintLen(c.Boot)
		n := c.size()
		if last := len(part.Cells) - 1; last < 0 || sameLife([]Cell{part.Cells[last], c}) == 1 || size+n > limit {
			n += life
		}
		if !room(n) {
			large = append(large, c)
			continue
		}
		part.Cells = append(part.Cells, c)
	}
	for _, b := range m.Beacons {
		if room(sectionHead + b.Summary.size() + uvarintLen(b.Beat) + 1) {
			part.Beacons = append(part.Beacons, b)
		}
	}
	for _, s := range m.Pull {
		if room(sectionHead + s.size()) {
			part.Pull = append(part.Pull, s)
		}
	}
	if !part.Empty() {
		parts = append(parts, part)
	}
	return parts, large
}

// size is how many bytes the summary takes.
func (s Summary) size() int {
	if s.Boot == 0 {
		return stringLen(s.Observer) + 1
	}
	return stringLen(s.Observer) + uvarintLen(s.Boot) + uvarintLen(s.Seq) + 8
}
