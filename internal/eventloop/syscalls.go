package eventloop

import (
	"syscall"
	"unsafe"
)

// The system calls of the data path never block: descriptors are non-blocking, and closing does not linger. So the
// scheduler is not told of them. If it were, its monitor would take the processor from a loop whose call takes longer than
// usual, as a write on loopback does that delivers the bytes too, and wake another thread up that has nothing to do
// (docs/design/2026-11-26-waiting.md).

func read(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func write(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func closeFD(fd int) { _, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }
