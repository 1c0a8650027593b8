package weirtest

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ResetAtOnce answers every connection with a reset.
func ResetAtOnce(conn net.Conn) { Reset(conn) }

// ResetAfter reads at least n bytes, or the end, and resets.
func ResetAfter(n int) Behaviour {
	return func(conn net.Conn) {
		_, _ = io.CopyN(io.Discard, conn, int64(n))
		Reset(conn)
	}
}

// Silent accepts and never answers nor reads; it holds the connection until the backend stops.
func Silent(conn net.Conn) { hold(conn) }

// Stall reads once, answers text, and then neither reads, writes nor closes.
func Stall(text string) Behaviour {
	return func(conn net.Conn) {
		if readSome(conn) {
			_, _ = io.WriteString(conn, text)
		}
		hold(conn)
	}
}

// CloseAfter echoes n bytes and then closes, in the middle of whatever was going on.
func CloseAfter(n int) Behaviour {
	return func(conn net.Conn) { _, _ = io.CopyN(conn, conn, int64(n)) }
}

// Drip reads once and then sends text byte by byte, one each pause, and closes.
func Drip(text string, pause time.Duration) Behaviour {
	return func(conn net.Conn) {
		if !readSome(conn) {
			return
		}
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// Flood sends n bytes as fast as they are taken, and closes. What it is sent is not read.
func Flood(n int) Behaviour {
	return func(conn net.Conn) { _, _ = io.CopyN(conn, strings.NewReader(strings.Repeat("f", n)), int64(n)) }
}

// hold blocks until the connection is closed from this side, without reading what the peer sends.
func hold(conn net.Conn) {
	raw, ok := rawConn(conn)
	if !ok {
		discard(conn)
		return
	}
	// The callback asks for more readiness for ever; a close from outside ends the wait with an error.
	_ = raw.Read(func(fd uintptr) bool { return false })
}

func rawConn(conn net.Conn) (syscall.RawConn, bool) {
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = inner.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	return raw, err == nil
}

// Refused returns a loopback address that refuses connections.
func Refused(t testing.TB) string {
	t.Helper()
	// Bound, so that nobody else takes it, and not listening, so that the kernel refuses.
	fd := boundSocket(t)
	return socketAddr(t, fd)
}

// Unanswered returns a loopback address where a connect is neither accepted nor refused: its SYN is dropped, as by a firewall.
func Unanswered(t testing.TB) string {
	t.Helper()
	fd := boundSocket(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatalf("listen: %v", err)
	}
	addr := socketAddr(t, fd)
	// With a backlog of 0 the queue holds one connection; once it is full the kernel drops further SYNs.
	for range 8 {
		conn, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatalf("%s still answers with a full queue", addr)
	return ""
}

func boundSocket(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("make a socket: %v", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("bind: %v", err)
	}
	return fd
}

func socketAddr(t testing.TB, fd int) string {
	t.Helper()
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("name of a socket: %v", err)
	}
	return loopback(sa.(*syscall.SockaddrInet4).Port)
}
