package l7

import "errors"

// errNoLink: there are as many connections to servers as there may be, and none of them rests.
var errNoLink = errors.New("too many connections to servers")

// admit counts a connection to a server that is about to be dialled. Each client of HTTP/2 may want hundreds of them, and a
// process has a limited number of descriptors: where that would be passed, an idle one of this loop makes room. The other
// loops give theirs back with their next sweep, and trunks without requests with their next tick.
func (w *worker) admit(l *link) error {
	s := w.server
	for s.links.Add(1) > s.options.maxLinks() {
		s.links.Add(-1)
		if !w.makeRoom() {
			return errNoLink
		}
	}
	l.counted = true
	return nil
}

// makeRoom closes an idle connection, and reports whether there was one. The loop calls it, too, when whatever it is to open
// meets that there are no descriptors.
func (w *worker) makeRoom() bool {
	if w.resting == 0 {
		return false
	}
	for _, p := range w.places {
		if l := p.oldest; l != nil {
			p.remove(l)
			l.close()
			return true
		}
	}
	return false
}

// crowded reports whether there are so many connections to servers that idle ones had better go: seven eighths of those
// there may be.
func (s *Server) crowded() bool {
	most := s.options.maxLinks()
	return s.links.Load() >= most-most/8
}

// Links is the number of connections to servers, idle ones included. Safe from any goroutine.
func (s *Server) Links() int64 { return s.links.Load() }
