package weirtest

import (
	"net"

	"golang.org/x/sys/unix"
)

// established is TCP_ESTABLISHED of linux/tcp_states.h: neither side has sent its end.
const established = 1

// Established reports whether neither side of a TCP connection has sent its end, without reading what is there.
func Established(conn net.Conn) bool {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	stands := false
	_ = raw.Control(func(fd uintptr) { // fails only when the connection is closed
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		stands = err == nil && info.State == established
	})
	return stands
}
