package eventloop

import "golang.org/x/sys/unix"

const (
	pipeSize  = 256 << 10 // asked for; the kernel gives less to a user who has many
	pipesKept = 16        // idle pipes a loop keeps: each is two descriptors
)

// pipe carries bytes from one socket to another inside the kernel (splice(2)).
type pipe struct {
	r, w int
	held int // bytes inside
}

// pipePool lends pipes on one loop. A relay holds one only while bytes are inside.
type pipePool struct {
	idle []*pipe
}

// get gives an empty pipe, or nil when the system has no descriptors to spare: the caller copies instead.
func (p *pipePool) get() *pipe {
	if n := len(p.idle); n > 0 {
		pp := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return pp
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize) // a smaller pipe works too
	return &pipe{r: fds[0], w: fds[1]}
}

// put takes a pipe back; one with bytes inside, or one too many, is closed.
func (p *pipePool) put(pp *pipe) {
	if pp.held == 0 && len(p.idle) < pipesKept {
		p.idle = append(p.idle, pp)
		return
	}
	pp.close()
}

func (p *pipePool) close() {
	for _, pp := range p.idle {
		pp.close()
	}
	p.idle = nil
}

func (pp *pipe) close() {
	_ = unix.Close(pp.r)
	_ = unix.Close(pp.w)
}

// fill moves up to n bytes from a socket into the pipe.
func (pp *pipe) fill(fd, n int) (int, error) {
	moved, err := splice(fd, pp.w, n)
	pp.held += moved
	return moved, err
}

// drain moves what the pipe holds into a socket.
func (pp *pipe) drain(fd int) (int, error) {
	moved, err := splice(pp.r, fd, pp.held)
	pp.held -= moved
	return moved, err
}

func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == unix.EINTR {
			continue
		}
		return max(int(moved), 0), err
	}
}
