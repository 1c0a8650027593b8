package server

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// spareDescriptors are kept for what is not a client connection and its way to a backend: log files, probes, the admin
// endpoint, pollers.
const spareDescriptors = 512

// raiseDescriptors lifts the soft limit of open files to the hard one and returns it. A limit that cannot be read or
// raised is not an error: the process goes on with what it has.
func raiseDescriptors() (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	if l.Cur < l.Max {
		raised := syscall.Rlimit{Cur: l.Max, Max: l.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			return l.Cur, fmt.Errorf("raise the limit of open files from %d to %d: %w", l.Cur, l.Max, err)
		}
	}
	return l.Max, nil
}

// connectionLimit is how many client connections a number of descriptors carries, each with one to a backend, when
// listeners take some. It is at least 1. No descriptors mean that the limit is not known, and then there is none (0).
func connectionLimit(descriptors uint64, listeners int) int {
	if descriptors == 0 {
		return 0
	}
	reserve := min(spareDescriptors, descriptors/4) + uint64(max(listeners, 0))
	if descriptors <= reserve+2 {
		return 1
	}
	return int(min((descriptors-reserve)/2, math.MaxInt32))
}

// linkLimit is how many connections to HTTP servers a number of descriptors carries beside as many client connections as
// there may be. One client of HTTP/2 may want hundreds of them, so clients do not bound them. Where the clients were given
// nearly all descriptors it is a quarter of them; 0 means that there is no limit.
func linkLimit(descriptors uint64, listeners, clients int) int {
	if descriptors == 0 {
		return 0
	}
	reserve := min(spareDescriptors, descriptors/4) + uint64(max(listeners, 0))
	if descriptors <= reserve {
		return 1
	}
	free := descriptors - reserve
	left := max(free, uint64(clients)) - uint64(clients)
	return int(min(max(left, free/4, 1), math.MaxInt32))
}

// flowShare is the part of the descriptors, beyond those in reserve, that UDP flows may have, in percent. Somebody who forges
// sources may open as many flows as there may be, and connections must find descriptors nevertheless.
const flowShare = 75

// flowLimit is how many UDP flows, each with a socket towards its backend, a number of descriptors carries. As with
// connectionLimit it is at least 1, and 0 means that there is no limit.
func flowLimit(descriptors uint64, listeners int) int {
	if descriptors == 0 {
		return 0
	}
	reserve := min(spareDescriptors, descriptors/4) + uint64(max(listeners, 0))
	if descriptors <= reserve {
		return 1
	}
	return int(min(max((descriptors-reserve)*flowShare/100, 1), math.MaxInt32))
}

// spareProcessor gives the Go scheduler one processor more than there are loops, unless GOMAXPROCS says what is wanted.
// When every one of them sits in a loop's epoll_wait, the runtime's monitor takes the processor of a waiting loop away
// each time it looks, every 20 microseconds, and gives it back at the next event. With one to spare it has no reason to,
// and probes and handshakes find a place besides. docs/design has what was measured.
func spareProcessor(loops int) {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
}

// memoryShare is the part of the cgroup's memory that the Go heap may fill before the collector works harder; the rest
// is for what it does not count.
const memoryShare = 0.9

// limitMemory tells the garbage collector of the cgroup's memory limit, unless GOMEMLIMIT has told it already. It returns
// the limit it set, 0 if none.
func limitMemory(root string) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	membership, err := readBounded(filepath.Join(root, "proc/self/cgroup"), 64<<10)
	if err != nil {
		return 0
	}
	limit := cgroupMemory(string(membership), func(group string) (string, error) {
		b, err := readBounded(filepath.Join(root, "sys/fs/cgroup", group, "memory.max"), 4096)
		return string(b), err
	})
	if limit <= 0 {
		return 0
	}
	limit = int64(float64(limit) * memoryShare)
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupMemory returns the lowest memory.max from the process's group to the root (cgroup v2), 0 if there is none.
// membership is /proc/self/cgroup.
func cgroupMemory(membership string, read func(group string) (string, error)) int64 {
	group := ""
	for line := range strings.Lines(membership) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			group = path
		}
	}
	lowest := int64(0)
	for path := filepath.Clean("/" + group); ; path = filepath.Dir(path) {
		if text, err := read(path); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && (lowest == 0 || n < lowest) {
				lowest = n
			}
		}
		if path == "/" {
			return lowest
		}
	}
}
