package eventloop

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// outOfDescriptors has do find no descriptors on the loop, nor when some have been given back, until the last of spare has.
func outOfDescriptors(t *testing.T, l *Loop, spare int, do func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(limit unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	given := 0
	on(t, l, func() {
		l.SetShed(func() bool {
			if given == spare {
				return false
			}
			if given++; given == spare {
				set(limit)
			}
			return true
		})
		set(unix.Rlimit{Cur: 3, Max: limit.Max})
		do()
		set(limit)
		l.SetShed(nil)
	})
	if given != spare {
		t.Errorf("%d of %d were given back", given, spare)
	}
}

// A connection that is to be made, and one that comes, find a descriptor where one can be spared.
func TestShedMakesRoom(t *testing.T) {
	for _, spare := range []int{0, 1, 3} {
		l := startLoop(t, nil)
		closes := acceptFunc(func(_ *Listener, fd int, _ netip.AddrPort) { _ = unix.Close(fd) })
		to := listen(t, l, anyPort, closes).Addr()
		connected := make(chan error, 1)
		var s Stream
		outOfDescriptors(t, l, spare, func() {
			err := s.Dial(l, to, connectedFunc(func(_ *Stream, err error) { connected <- err }))
			if (spare > 0) != (err == nil) || err != nil && !errors.Is(err, unix.EMFILE) {
				t.Errorf("%d descriptors to spare: dial: %v", spare, err)
			}
		})
		if spare > 0 {
			if err := await(t, connected, "the connection"); err != nil {
				t.Error(err)
			}
		}

		came := 0
		ln := listen(t, l, anyPort, acceptFunc(func(ln *Listener, fd int, from netip.AddrPort) { came++; closes(ln, fd, from) }))
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		outOfDescriptors(t, l, spare, func() {
			at := &unix.SockaddrInet4{Port: int(ln.Addr().Port()), Addr: ln.Addr().Addr().As4()}
			if err := unix.Connect(fd, at); err != nil { // the kernel takes it
				t.Error(err)
			}
			if err := ln.take(10); (spare > 0) != (err == nil) || came != min(spare, 1) {
				t.Errorf("%d descriptors to spare: %d accepted, %v", spare, came, err)
			}
		})
	}
}
