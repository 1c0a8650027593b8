package accesslog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

var errNoPath = errors.New("no path given")

// openSink opens what a path names: "stdout", "stderr" or a file to append to.
func openSink(path string) (io.WriteCloser, error) {
	switch path {
	case "":
		return nil, errNoPath
	case "stdout":
		return duplicate(os.Stdout)
	case "stderr":
		return duplicate(os.Stderr)
	}
	// O_APPEND: one write is one append, also beside another process of a binary upgrade.
	// O_NONBLOCK: a named pipe that nobody reads is an error now instead of an open that never returns.
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o640)
}

// duplicate gives a standard stream a descriptor of its own: closing the sink leaves the stream open, and a broken pipe
// is an error to count rather than the SIGPIPE that the runtime raises for descriptors 1 and 2.
func duplicate(f *os.File) (io.WriteCloser, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Dup(int(f.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("%s: dup: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
