package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// poller is a level-triggered epoll set.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { unix.Close(p.fd) }

// add watches fd for input, and for room to write if out.
func (p *poller) add(fd int, out bool) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, out)
}

// change says anew whether fd is watched for room to write.
func (p *poller) change(fd int, out bool) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, out)
}

// remove watches fd no more.
func (p *poller) remove(fd int) error {
	return p.control(unix.EPOLL_CTL_DEL, fd, false)
}

func (p *poller) control(op, fd int, out bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if out {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// waitFor is wait to the nanosecond, as far as the kernel wakes the thread on time.
func (p *poller) waitFor(limit time.Duration) ([]unix.EpollEvent, error) {
	if limit > 0 {
		timeout := unix.NsecToTimespec(int64(limit))
		set := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		if _, err := unix.Ppoll(set, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for sockets: %w", err)
		}
	}
	return p.take(0)
}

// wait returns what is ready within limit, rounded up to milliseconds.
func (p *poller) wait(limit time.Duration) ([]unix.EpollEvent, error) {
	return p.take(int(limit.Milliseconds()) + 1)
}

// take waits for at most so many milliseconds.
func (p *poller) take(milliseconds int) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(p.fd, p.events[:], milliseconds)
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wait for sockets: %w", err)
	}
	return p.events[:n], nil
}
