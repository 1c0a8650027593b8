package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// MaxAhead is how far a command's stamp may lie ahead of this node's clock. It is wide, because the clocks of nodes may
// differ by hours and a command of a node whose clock is fast must still reach all. It exists so that a clock that is off
// by years cannot make stamps that no right clock ever reaches again.
const MaxAhead = 24 * time.Hour

// ErrAhead says that a stamp lies more than MaxAhead in the future.
var ErrAhead = errors.New("stamp too far ahead of this node's clock")

// maxWall keeps stamps within what JSON and varints hold with ease: the year 10889.
const maxWall = 1 << 48

// Stamp is a moment of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): close to the time of day,
// and later than everything that its node had seen before. Between commands that did not know of each other, the time of
// day decides.
type Stamp struct {
	Wall  int64  `json:"wall"`  // milliseconds since the Unix epoch, from 1
	Count uint32 `json:"count"` // orders stamps of one millisecond
	Node  string `json:"node"`  // who made it; orders what is otherwise equal
}

// Compare returns -1, 0 or +1.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Wall, t.Wall), cmp.Compare(s.Count, t.Count), cmp.Compare(s.Node, t.Node))
}

// Time returns the time of day in the stamp.
func (s Stamp) Time() time.Time { return time.UnixMilli(s.Wall) }

func (s Stamp) valid() bool {
	return s.Wall > 0 && s.Wall <= maxWall && s.Node != "" && len(s.Node) <= MaxName && utf8.ValidString(s.Node)
}

// Clock makes the stamps of one node.
type Clock struct {
	node string
	last Stamp
}

// Next returns a stamp later than all that the clock has made or seen.
func (c *Clock) Next(now time.Time) Stamp {
	switch wall := max(1, now.UnixMilli()); {
	case wall > c.last.Wall:
		c.last.Wall, c.last.Count = wall, 0
	case c.last.Count == math.MaxUint32:
		c.last.Wall, c.last.Count = c.last.Wall+1, 0
	default:
		c.last.Count++
	}
	c.last.Node = c.node
	return c.last
}

// See takes in a stamp of another node, or refuses it with ErrAhead.
func (c *Clock) See(s Stamp, now time.Time) error {
	if ahead := s.Time().Sub(now); ahead > MaxAhead {
		return fmt.Errorf("%w: %s, made on %s; set the clocks of the nodes", ErrAhead, ahead.Round(time.Second), s.Node)
	}
	if s.Compare(c.last) > 0 {
		c.last = s
	}
	return nil
}
