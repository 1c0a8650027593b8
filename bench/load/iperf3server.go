package load

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Iperf3ServerSpec says where the backend of iperf3 is.
type Iperf3ServerSpec struct {
	Program string // path of iperf3
}

// Iperf3Server is an iperf3 that serves tests, one after the other, on a free port of loopback.
type Iperf3Server struct {
	cmd  *exec.Cmd
	addr string
}

// NewIperf3Server starts one and returns when it listens.
func NewIperf3Server(spec Iperf3ServerSpec) (*Iperf3Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return nil, err
	}
	cmd := exec.Command(spec.Program, "--server", "--bind", addr.IP.String(), "--port", strconv.Itoa(addr.Port), "--forceflush")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Iperf3Server{cmd, addr.String()}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Server listening") {
			go func() {
				for lines.Scan() { // it would stand still with a full pipe
				}
			}()
			return s, nil
		}
	}
	s.Close()
	return nil, fmt.Errorf("iperf3 does not listen on %s", addr)
}

// Addrs is the address where it listens.
func (s *Iperf3Server) Addrs() []string { return []string{s.addr} }

// Serve waits until stop is set.
func (s *Iperf3Server) Serve(stop *atomic.Bool) error {
	for !stop.Load() {
		time.Sleep(longestWait)
	}
	return nil
}

// Close ends it.
func (s *Iperf3Server) Close() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // and says so
}
