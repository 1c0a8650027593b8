package l7

import (
	"math/rand/v2"

	"github.com/weirlb/weir/upstream"
)

// Child is a service below Weighted or HighestRandomWeight.
type Child struct {
	Service *Service
	Weight  int // its share; one without weight gets nothing but the sessions it has
}

// id is what a session's cookie calls the child.
func (c Child) id() uint64 { return upstream.NameID(c.Service.name) }

// Weighted gives each child requests in proportion to its weight, evenly spread on every loop. Children without a usable
// backend lose their turns to the others.
type Weighted struct {
	children []Child
	turns    []int32 // indexes into children
	cursors  []cursor
	sticky   *Sticky // keeps clients at the child they were at; nil = it does not
}

// cursor is the next turn of one loop, which alone touches it.
type cursor struct {
	at int
	_  [56]byte // no two loops write to one cache line
}

// NewWeighted returns a choice among the children for the server's loops. sticky may be nil.
func (s *Server) NewWeighted(children []Child, sticky *Sticky) *Weighted {
	w := &Weighted{children: children, cursors: make([]cursor, len(s.workers)), sticky: sticky}
	var weights []int
	var holders []int32
	for i, c := range children {
		if c.Weight > 0 {
			weights, holders = append(weights, c.Weight), append(holders, int32(i))
		}
	}
	for _, t := range upstream.Turns(weights) {
		w.turns = append(w.turns, holders[t])
	}
	for i := range w.cursors {
		w.cursors[i].at = rand.IntN(max(len(w.turns), 1)) // a reload must not favour the first
	}
	return w
}

func (w *Weighted) choose(x *Exchange) choice {
	if w.sticky == nil {
		c, _ := w.turn(x)
		return c
	}
	if id, ok := w.sticky.read(x); ok {
		for i := range w.children {
			if w.children[i].id() != id {
				continue
			}
			if c := w.children[i].Service.choose(x); c.offer == sound {
				return c
			}
		}
	}
	c, i := w.turn(x)
	if c.offer != nothing {
		c.marks.add(mark{w.sticky, w.children[i].id()})
	}
	return c
}

// turn takes the next turn, and those behind it as long as they lead to no usable backend. i is the child.
func (w *Weighted) turn(x *Exchange) (best choice, i int) {
	n := len(w.turns)
	if n == 0 {
		return best, 0
	}
	cursor := &w.cursors[x.worker.loop.ID()]
	at := cursor.at % n
	cursor.at = at + 1
	var asked uint64 // children of low index; the others are asked again, if their turn comes again
	for range n {
		child := int(w.turns[at])
		if at++; at == n {
			at = 0
		}
		bit := uint64(1) << child // 0 beyond 63
		if asked&bit != 0 {
			continue
		}
		asked |= bit
		c := w.children[child].Service.choose(x)
		if c.offer > best.offer {
			best, i = c, child
		}
		if best.offer == sound {
			break
		}
	}
	return best, i
}
