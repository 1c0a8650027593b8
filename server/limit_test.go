package server

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"
)

func TestConnectionLimit(t *testing.T) {
	tests := []struct {
		name        string
		descriptors uint64
		listeners   int
		want        int
	}{
		{"not known", 0, 5, 0},
		{"usual", 20000, 12, 9738},
		{"few", 1024, 4, 382},
		{"hardly any", 16, 10, 1},
		{"fewer than listeners", 100, 200, 1},
		{"without end", math.MaxUint64, 1, math.MaxInt32},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := connectionLimit(tt.descriptors, tt.listeners); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestLinkLimit(t *testing.T) {
	tests := []struct {
		name               string
		descriptors        uint64
		listeners, clients int
		want               int
	}{
		{"not known", 0, 5, 100, 0},
		{"half each", 20000, 12, 9738, 9738},
		{"few clients", 20000, 12, 100, 19376},
		{"many clients", 20000, 12, 19000, 4869},
		{"more clients than descriptors", 20000, 12, 1 << 20, 4869},
		{"fewer than listeners", 100, 200, 1, 1},
		{"without end", math.MaxUint64, 1, math.MaxInt32, math.MaxInt32},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := linkLimit(tt.descriptors, tt.listeners, tt.clients); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestCgroupMemory(t *testing.T) {
	groups := map[string]string{"/": "max\n", "/system": "4096\n", "/system/weir": "8192\n", "/free": "max\n"}
	read := func(group string) (string, error) {
		if text, ok := groups[group]; ok {
			return text, nil
		}
		return "", errors.New("no such group")
	}
	tests := []struct {
		name, membership string
		want             int64
	}{
		{"own limit, and a tighter one above", "0::/system/weir\n", 4096},
		{"unlimited", "0::/free\n", 0},
		{"version 1 lines first", "5:memory:/x\n0::/system\n", 4096},
		{"root", "0::/\n", 0},
		{"nothing", "", 0},
		{"a way out", "0::/../../system\n", 4096},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cgroupMemory(tt.membership, read); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestLimitMemory(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/proc/self/cgroup", "0::/weir\n")
	write(t, root+"/sys/fs/cgroup/weir/memory.max", "1073741824\n")
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got := limitMemory(root); got != 0 || debug.SetMemoryLimit(-1) != before {
		t.Errorf("set %d although GOMEMLIMIT is set", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	if got := limitMemory(root); got != 966367641 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("set %d, and %d is in force", got, debug.SetMemoryLimit(-1))
	}
}
