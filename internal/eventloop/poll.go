package eventloop

import (
	"errors"
	"reflect"
	"syscall"
	"unsafe"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

const pollEvents = 256 // taken at once

// pollBrief is for how many milliseconds a loop waits before it tells the scheduler. It is longer than a tick of the kernel (4 at
// 250 Hz): a timer that would be the next one on its processor makes the kernel set the clock twice for each wait, which takes a
// virtual machine microseconds (docs/design/2026-11-26-waiting.md).
const pollBrief = 5

var errNoDescriptor = errors.New("gnet's poller does not have its descriptor where it was in v2.10.0")

// descriptorOf is the epoll descriptor of a poller. gnet keeps descriptors registered in it, but has no way to wait for
// them other than its Polling, which yields to the scheduler each time it finds nothing: another thread is woken up, looks
// for work, finds this loop, and carries on with it on another processor (docs/design/2026-11-26-waiting.md).
func descriptorOf(p *netpoll.Poller) (int, error) {
	fd := reflect.ValueOf(p).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() {
		return -1, errNoDescriptor
	}
	return int(fd.Int()), nil
}

// poll hands events to their watchers until the loop is closed. A turn is what comes at once, and what it has queued for
// its end; that of the first is before it, for what was queued before the loop ran.
func (l *Loop) poll() error {
	events := make([]unix.EpollEvent, pollEvents)
	for {
		if len(l.enders) > 0 {
			l.tellEnders()
		}
		if l.batcher != nil {
			l.endTurn()
		}
		if l.tasks.ended {
			return nil
		}
		n, err := l.wait(events)
		switch err {
		case 0:
		case syscall.EINTR:
			continue
		default:
			return err
		}
		l.ready = n
		for i := range n {
			l.dispatch(int(events[i].Fd), events[i].Events)
		}
	}
}

func (l *Loop) endTurn() {
	defer l.rescue(-1)
	l.batcher.flush()
}

// wait returns what is ready. A loop that has work is not without it for long: at first it waits without the scheduler's
// knowledge, which costs nothing but keeps a processor for pollBrief; then it lets the processor go.
func (l *Loop) wait(events []unix.EpollEvent) (int, syscall.Errno) {
	first, size := uintptr(unsafe.Pointer(&events[0])), uintptr(len(events))
	n, _, err := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), first, size, pollBrief, 0, 0)
	if n != 0 || err != 0 {
		return int(n), err
	}
	const forEver = ^uintptr(0) // -1
	n, _, err = syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), first, size, forEver, 0, 0)
	return int(n), err
}
