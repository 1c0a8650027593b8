package load

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Server answers exchanges, one listening socket for each kind, all on the
// goroutine that calls Serve.
type Server struct {
	poll      *poller
	listeners map[int]Exchange // by descriptor
	addrs     []string
	conns     []*served // by descriptor
	answer    []byte
	buf       [small]byte
}

// served is one accepted connection.
type served struct {
	kind Exchange
	got  int  // bytes of the request under way
	owed int  // bytes of answers still to be written
	out  bool // watched for room to write
	eof  bool // the client sends no more
}

// NewServer listens on a free loopback port for each kind of exchange.
func NewServer(kinds []Exchange) (*Server, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	s := &Server{poll: poll, listeners: make(map[int]Exchange), answer: pattern(chunk)}
	for _, kind := range kinds {
		if kind.Request <= 0 || kind.Answer <= 0 {
			return nil, errors.Join(fmt.Errorf("an exchange of %d and %d bytes", kind.Request, kind.Answer), s.Close())
		}
		fd, addr, err := listen()
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.listeners[fd] = kind
		s.addrs = append(s.addrs, addr)
		if err := poll.add(fd, false); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Addrs returns the addresses of the listeners in the order of the kinds.
func (s *Server) Addrs() []string { return s.addrs }

// Serve answers until stop is set, which it notices within 100 ms.
func (s *Server) Serve(stop *atomic.Bool) error {
	for !stop.Load() {
		events, err := s.poll.wait(100 * time.Millisecond)
		if err != nil {
			return err
		}
		for _, ev := range events {
			fd := int(ev.Fd)
			if kind, ok := s.listeners[fd]; ok {
				s.accept(fd, kind)
			} else if c := s.conns[fd]; c != nil {
				s.ready(fd, c)
			}
		}
	}
	return nil
}

// Close closes everything that is open.
func (s *Server) Close() error {
	for fd := range s.listeners {
		unix.Close(fd)
	}
	for fd, c := range s.conns {
		if c != nil {
			unix.Close(fd)
		}
	}
	s.poll.close()
	return nil
}

// accept takes a batch of connections. One that cannot be taken, for want of
// descriptors for instance, stays in the kernel's queue until another event.
func (s *Server) accept(listener int, kind Exchange) {
	for range 64 {
		fd, err := accept(listener)
		if err != nil {
			return
		}
		for fd >= len(s.conns) {
			s.conns = append(s.conns, make([]*served, 1024)...)
		}
		if err := s.poll.add(fd, false); err != nil {
			unix.Close(fd)
			continue
		}
		s.conns[fd] = &served{kind: kind}
	}
}

// ready reads what has come and writes what is owed.
func (s *Server) ready(fd int, c *served) {
	if !c.eof && c.owed == 0 && !s.read(fd, c) {
		s.drop(fd)
		return
	}
	if c.owed > 0 && !s.write(fd, c) {
		s.drop(fd)
		return
	}
	done := c.owed == 0 && c.eof
	if done {
		s.drop(fd)
	}
}

// read takes request bytes, and turns whole requests into a debt. It reports
// whether the connection lives.
func (s *Server) read(fd int, c *served) bool {
	var n int
	var err error
	if c.kind.Request > small {
		n, err = discard(fd)
	} else {
		n, err = unix.Read(fd, s.buf[:])
	}
	if err != nil {
		return again(err)
	}
	if n == 0 {
		c.eof = true
		return true
	}
	c.got += n
	for c.got >= c.kind.Request {
		c.got -= c.kind.Request
		c.owed += c.kind.Answer
	}
	return true
}

// write pays up to a chunk of the debt, so that one long answer does not hold
// up the others. It reports whether the connection lives.
func (s *Server) write(fd int, c *served) bool {
	for budget := chunk; c.owed > 0 && budget > 0; {
		// The offset within the answer under way; its bytes repeat.
		sent := c.kind.Answer - (c.owed-1)%c.kind.Answer - 1
		n, err := unix.Write(fd, piece(s.answer, sent, c.kind.Answer))
		if again(err) {
			break
		}
		if err != nil {
			return false
		}
		c.owed -= n
		budget -= n
	}
	if c.owed == 0 && c.kind.Close {
		return false
	}
	if blocked := c.owed > 0; blocked != c.out {
		c.out = blocked
		return s.poll.change(fd, blocked) == nil
	}
	return true
}

func (s *Server) drop(fd int) {
	unix.Close(fd)
	s.conns[fd] = nil
}
