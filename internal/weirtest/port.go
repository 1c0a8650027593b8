package weirtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports are taken from below the range the kernel gives to outgoing connections (32768 and up on Linux):
// a port from inside it may become some connection's source between the moment it is found free and the moment a server binds it.
const (
	lowestPort  = 12000
	highestPort = 32000
)

// FreePort returns a port that is free for TCP and UDP on all addresses. Nothing holds it: bind it soon.
func FreePort(t testing.TB) int {
	t.Helper()
	return FreePorts(t, 1)
}

// FreePorts returns the first of n adjacent ports that are free for TCP and UDP.
func FreePorts(t testing.TB, n int) int {
	t.Helper()
	for range 200 {
		first := lowestPort + rand.IntN(highestPort-lowestPort-n)
		if allFree(first, n) {
			return first
		}
	}
	t.Fatalf("found no %d adjacent free ports between %d and %d", n, lowestPort, highestPort)
	return 0
}

// FreeAddr returns a free loopback address as host:port.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return loopback(FreePort(t))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		if !isFree(port) {
			return false
		}
	}
	return true
}

func isFree(port int) bool {
	addr := fmt.Sprintf(":%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	p.Close()
	return true
}
