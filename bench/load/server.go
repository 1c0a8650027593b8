package load

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ServerSpec says what a server does.
type ServerSpec struct {
	Kinds []Exchange
	// Everywhere makes it listen on all addresses, of which loopback has
	// millions: so it is as many backends as a balancer is told of.
	Everywhere bool
	// Flap makes the first kind go away for so long, and come back for as
	// long, in turns: its connections end, and new ones are refused. 0 is never.
	Flap time.Duration
}

// Server answers exchanges, one listening socket for each kind, all on the
// goroutine that calls Serve.
type Server struct {
	spec      ServerSpec
	flapping  int           // descriptor of the first kind
	away      bool          // it has gone
	turn      time.Duration // when it comes or goes
	start     time.Time
	poll      *poller
	listeners map[int]*served // by descriptor; what its connections begin as
	addrs     []string
	conns     []*served // by descriptor
	body      []byte    // what answers are made of
	buf       [small]byte
}

// served is one accepted connection.
type served struct {
	listener int
	kind     Exchange
	answer   *message
	heading  heading // of the HTTP request under way
	inBody   bool    // its head has come
	got      int     // bytes of the request or body under way
	owed     int     // bytes of answers still to be written
	last     bool    // the connection ends with what is owed
	out      bool    // watched for room to write
	eof      bool    // the client sends no more
	opening  []byte  // what has come of its PROXY header
	named    bool    // that is complete, or there is none
}

// NewServer listens on a free port for each kind of exchange.
func NewServer(spec ServerSpec) (*Server, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	s := &Server{spec: spec, poll: poll, listeners: make(map[int]*served), body: pattern(chunk), start: time.Now(), turn: spec.Flap}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open makes the listening sockets.
func (s *Server) open() error {
	host := [4]byte{127, 0, 0, 1}
	if s.spec.Everywhere {
		host = [4]byte{}
	}
	for i, kind := range s.spec.Kinds {
		if err := kind.check(); err != nil {
			return err
		}
		fd, addr, err := listen(host)
		if err != nil {
			return err
		}
		if i == 0 {
			s.flapping = fd
		}
		s.listeners[fd] = s.begin(kind, fd)
		s.addrs = append(s.addrs, addr)
		if err := s.poll.add(fd, false); err != nil {
			return err
		}
	}
	return nil
}

// begin returns what the connections of a kind begin as.
func (s *Server) begin(kind Exchange, listener int) *served {
	var head []byte
	if kind.HTTP {
		head = answerHead(kind.Answer)
	}
	return &served{listener: listener, kind: kind, answer: newMessage(head, s.body, kind.Answer), last: kind.Close && !kind.HTTP, named: !kind.Proxy}
}

// Addrs returns the addresses of the listeners in the order of the kinds.
func (s *Server) Addrs() []string { return s.addrs }

// Serve answers until stop is set, which it notices within 100 ms.
func (s *Server) Serve(stop *atomic.Bool) error {
	for !stop.Load() {
		if err := s.flap(); err != nil {
			return err
		}
		events, err := s.poll.wait(s.patience())
		if err != nil {
			return err
		}
		for _, ev := range events {
			fd := int(ev.Fd)
			if fresh, ok := s.listeners[fd]; ok {
				s.accept(fd, fresh)
			} else if c := s.conns[fd]; c != nil {
				s.ready(fd, c)
			}
		}
	}
	return nil
}

// patience is how long to wait for events.
func (s *Server) patience() time.Duration {
	if s.spec.Flap == 0 {
		return longestWait
	}
	return min(max(0, s.turn-time.Since(s.start)), longestWait)
}

// flap takes the first kind away or brings it back if it is time. Its socket keeps its port all the while, so that nobody
// else can take it: one that was told to read no more does not listen any longer, and may again.
func (s *Server) flap() error {
	if s.spec.Flap == 0 || time.Since(s.start) < s.turn {
		return nil
	}
	s.turn += s.spec.Flap
	s.away = !s.away
	if !s.away {
		if err := unix.Listen(s.flapping, backlog); err != nil {
			return fmt.Errorf("listen again: %w", err)
		}
		return s.poll.add(s.flapping, false)
	}
	// What does not listen is ready all the time, to tell that.
	if err := s.poll.remove(s.flapping); err != nil {
		return err
	}
	if err := unix.Shutdown(s.flapping, unix.SHUT_RD); err != nil {
		return fmt.Errorf("listen no more: %w", err)
	}
	for fd, c := range s.conns {
		if c != nil && c.listener == s.flapping {
			s.drop(fd)
		}
	}
	return nil
}

// Close closes everything that is open.
func (s *Server) Close() {
	for fd := range s.listeners {
		unix.Close(fd)
	}
	for fd, c := range s.conns {
		if c != nil {
			unix.Close(fd)
		}
	}
	s.poll.close()
}

// accept takes a batch of connections. One that cannot be taken, for want of
// descriptors for instance, stays in the kernel's queue until another event.
func (s *Server) accept(listener int, fresh *served) {
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
		c := *fresh
		s.conns[fd] = &c
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
	bulk := c.kind.Request > small && (c.inBody || !c.kind.HTTP)
	if bulk {
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
	switch {
	case !c.named:
		return s.name(fd, c, s.buf[:n])
	case c.kind.HTTP && !c.inBody:
		return s.head(fd, c, s.buf[:n])
	}
	c.take(n)
	return true
}

// name takes bytes of a PROXY header until it is complete. The client gets no
// answer, but the reason, where it is not the one that it has sent.
func (s *Server) name(fd int, c *served, b []byte) bool {
	if len(c.opening) > 0 {
		c.opening = append(c.opening, b...)
		b = c.opening
	}
	n, err := announced(b)
	switch {
	case err != nil:
		unix.Write(fd, []byte(err.Error()))
		return false
	case n > 0:
		c.named, c.opening = true, nil
		c.take(len(b) - n)
	case len(c.opening) == 0:
		c.opening = append(c.opening, b...)
	}
	return true
}

// head takes bytes of an HTTP request until its head is complete. A request
// that is not what the clients send is answered as such, so that it shows.
func (s *Server) head(fd int, c *served, b []byte) bool {
	head, rest, err := c.heading.take(b)
	if err == nil && head == nil {
		return true
	}
	if err == nil {
		err = checkLength(head, c.kind.Request)
	}
	if err != nil {
		unix.Write(fd, []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		return false
	}
	c.inBody = true
	c.last = bytes.EqualFold(field(head, "connection"), []byte("close"))
	c.take(len(rest))
	return true
}

// take counts n bytes that follow the head, if there is one.
func (c *served) take(n int) {
	c.got += n
	if c.kind.HTTP {
		// Nobody here sends a request before the last one is answered.
		if c.got >= c.kind.Request {
			c.got, c.inBody = 0, false
			c.owed += c.answer.size
		}
		return
	}
	for c.got >= c.kind.Request {
		c.got -= c.kind.Request
		c.owed += c.answer.size
	}
}

// write pays up to a chunk of the debt, so that one long answer does not hold
// up the others. It reports whether the connection lives.
func (s *Server) write(fd int, c *served) bool {
	for budget := chunk; c.owed > 0 && budget > 0; {
		// The offset within the answer under way.
		sent := c.answer.size - (c.owed-1)%c.answer.size - 1
		n, err := unix.Write(fd, c.answer.from(sent))
		if again(err) {
			break
		}
		if err != nil {
			return false
		}
		c.owed -= n
		budget -= n
	}
	if c.owed == 0 && c.last {
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
