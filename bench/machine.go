package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/proc"
)

// machine is where the measurement runs.
type machine struct {
	Host   string `json:"host"`
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`   // that this process may use
	NoFile int    `json:"nofile"` // descriptors of each program
	// The CPU of the balancer and that of load and backend; both
	// proc.Anywhere on a machine with one.
	BalancerCPU int `json:"balancerCPU"`
	LoadCPU     int `json:"loadCPU"`
	// Those of further clients, where there are more.
	ClientCPUs []int `json:"clientCPUs,omitempty"`
}

// maxNoFile caps the descriptors of every program here: what a bench may take
// from a machine that also does other work.
const maxNoFile = 20_000

// thisMachine looks around, and sets the descriptor limit that everything
// started later inherits.
func thisMachine() (machine, error) {
	m := machine{Arch: runtime.GOARCH, BalancerCPU: proc.Anywhere, LoadCPU: proc.Anywhere, CPU: cpuModel()}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.Kernel = string(name.Release[:max(0, bytes.IndexByte(name.Release[:], 0))])
	m.Host, _ = os.Hostname()

	// syscall's function tells the Go runtime that children are not to get
	// the limit back that this process was started with.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return m, fmt.Errorf("descriptor limit: %w", err)
	}
	files.Max = min(files.Max, maxNoFile)
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return m, fmt.Errorf("descriptor limit: %w", err)
	}
	m.NoFile = int(files.Cur)

	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return m, fmt.Errorf("CPU affinity: %w", err)
	}
	m.CPUs = cpus.Count()
	m.BalancerCPU, m.LoadCPU = assign(&cpus)
	m.ClientCPUs = spare(&cpus)
	return m, nil
}

// assign gives the first CPU to the balancer and the second to the load.
func assign(cpus *unix.CPUSet) (balancer, load int) {
	if cpus.Count() < 2 {
		return proc.Anywhere, proc.Anywhere
	}
	var first []int
	for cpu := 0; len(first) < 2; cpu++ {
		if cpus.IsSet(cpu) {
			first = append(first, cpu)
		}
	}
	return first[0], first[1]
}

// spare are the CPUs that assign leaves.
func spare(cpus *unix.CPUSet) []int {
	var all []int
	for cpu := 0; len(all) < cpus.Count(); cpu++ {
		if cpus.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all[min(2, len(all)):]
}

// cpuModel is what the kernel calls the processor; "" where it does not say.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// maxConn is how many connections a balancer with n descriptors can relay,
// at two each and with some kept for its own use.
func maxConn(n int) int { return (n - 500) / 2 }

func (m machine) String() string {
	where := "balancer, load and backend share one CPU"
	if m.BalancerCPU != proc.Anywhere {
		where = fmt.Sprintf("balancer on CPU %d, load and backend on CPU %d", m.BalancerCPU, m.LoadCPU)
	}
	return m.kind() + "; " + where
}

// kind is what the machine is, without who runs where.
func (m machine) kind() string {
	return fmt.Sprintf("%s, Linux %s %s, %d CPUs", m.CPU, m.Kernel, m.Arch, m.CPUs)
}
