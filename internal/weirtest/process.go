package weirtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second // from start to the first answer; databases on a busy machine need seconds
	stopTimeout  = 10 * time.Second // from the polite signal to SIGKILL
	logLimit     = 256 << 10        // what is kept of a program's output, counted from its end
)

// A Process is a program started for one test, with everything it starts itself.
// It ends with the test, or with the test binary should that die first. Its methods are for one goroutine at a time, Log and Done for any.
type Process struct {
	t    testing.TB
	spec spec
	log  logTail
	run  *running // the program as last started
}

// spec is how a program is started, stopped and found ready.
type spec struct {
	name       string
	path       string
	args       []string
	dir        string
	env        []string
	credential *syscall.Credential // nil: as the test itself
	stopSignal syscall.Signal      // 0: SIGTERM
	ready      func(ctx context.Context) error
}

// running is one life of a program.
type running struct {
	pid  int
	done chan struct{} // closed once the program is reaped; err and state are set before
	err  error
	code int
}

func startProcess(t testing.TB, s spec) *Process {
	t.Helper()
	p := &Process{t: t}
	p.prepare(s)
	p.Start()
	return p
}

// prepare says what is to be started, and sees to its end.
func (p *Process) prepare(s spec) {
	p.spec = s
	p.t.Cleanup(func() {
		p.Stop()
		if p.t.Failed() {
			p.t.Logf("--- log of %s:\n%s--- end of log of %s", p.spec.name, p.Log(), p.spec.name)
		}
	})
}

// Start starts the program again after Stop or Kill, with the same directory and addresses, and returns when it is ready.
func (p *Process) Start() {
	p.t.Helper()
	p.launch()
	p.awaitReady()
}

// StartAll is Start for programs that wait for each other: all are started before any is waited for.
func StartAll(processes ...*Process) {
	for _, p := range processes {
		p.t.Helper()
		p.launch()
	}
	for _, p := range processes {
		p.awaitReady()
	}
}

func (p *Process) launch() {
	p.t.Helper()
	run, err := launch(p.spec, &p.log)
	if err != nil {
		p.t.Fatalf("start %s: %v", p.spec.name, err)
	}
	p.run = run
}

// launch starts the program on a thread that lives as long as the program does:
// the kernel sends the parent-death signal when the starting *thread* ends, and threads of the Go runtime come and go.
func launch(s spec, log *logTail) (*running, error) {
	cmd := exec.Command(s.path, s.args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: s.credential}
	run := &running{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			run.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		run.err = cmd.Wait()
		run.code = cmd.ProcessState.ExitCode()
		close(run.done)
	}()
	return run, <-started
}

func (p *Process) awaitReady() {
	p.t.Helper()
	if p.spec.ready == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var last error
	ready := poll(startTimeout, func() bool {
		if p.exited() {
			p.t.Fatalf("%s ended while starting: %v", p.spec.name, p.run.err)
		}
		last = p.spec.ready(ctx)
		return last == nil
	})
	if !ready {
		p.t.Fatalf("%s is not ready after %v: %v", p.spec.name, startTimeout, last)
	}
}

func (p *Process) exited() bool {
	select {
	case <-p.run.done:
		return true
	default:
		return false
	}
}

// PID returns the process id of the program as last started.
func (p *Process) PID() int { return p.run.pid }

// Done is closed when the program as last started has ended.
func (p *Process) Done() <-chan struct{} { return p.run.done }

// ExitCode waits for the program to end, at most d, and returns its exit code, -1 if a signal ended it.
func (p *Process) ExitCode(d time.Duration) int {
	p.t.Helper()
	select {
	case <-p.run.done:
	case <-time.After(d):
		p.t.Fatalf("%s has not ended after %v", p.spec.name, d)
	}
	return p.run.code
}

// Log returns the last 256 KiB of what the program printed on both outputs.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal to the program itself, not to what it started.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if p.exited() {
		p.t.Fatalf("signal %v for %s, which has ended", s, p.spec.name)
	}
	if err := syscall.Kill(p.run.pid, s); err != nil {
		p.t.Fatalf("signal %v for %s: %v", s, p.spec.name, err)
	}
}

// Stop ends the program politely, and by force after ten seconds. It may be called again.
func (p *Process) Stop() {
	if p.run == nil || p.exited() {
		return
	}
	polite := p.spec.stopSignal
	if polite == 0 {
		polite = syscall.SIGTERM
	}
	p.Resume() // a stopped process answers no signal but SIGKILL
	_ = syscall.Kill(p.run.pid, polite)
	select {
	case <-p.run.done:
	case <-time.After(stopTimeout):
		p.t.Logf("%s did not stop within %v, killing it", p.spec.name, stopTimeout)
		p.Kill()
	}
}

// Kill ends the program and its children at once, as a power cut would.
func (p *Process) Kill() {
	if p.run == nil || p.exited() {
		return
	}
	// Stopped first, so that it cannot start another child while its children are read.
	_ = syscall.Kill(p.run.pid, syscall.SIGSTOP)
	victims := children(p.run.pid)
	_ = syscall.Kill(-p.run.pid, syscall.SIGKILL)
	for _, pid := range victims {
		// PostgreSQL's children lead sessions of their own and are not in the group.
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.run.done
}

// Pause freezes the program and its process group: connections stay open, nothing answers, the kernel still accepts for it.
func (p *Process) Pause() { p.signalGroup(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() { p.signalGroup(syscall.SIGCONT) }

func (p *Process) signalGroup(s syscall.Signal) {
	if p.exited() {
		return
	}
	_ = syscall.Kill(-p.run.pid, s)
	for _, pid := range children(p.run.pid) {
		_ = syscall.Kill(pid, s)
	}
}

// children returns the process ids of a process's direct children.
func children(pid int) []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var out []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// serverDir makes a directory for a server's data, owned by who will use it.
// It is not t.TempDir, whose parent is closed to other users and whose name may be too long for a Unix socket in it.
func serverDir(t testing.TB, name string, c *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weirtest-"+name+"-")
	if err != nil {
		t.Fatalf("make a directory for %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the directory of %s: %v", name, err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open the directory of %s: %v", name, err)
	}
	give(t, dir, c)
	return dir
}

// give hands a file to the user a server runs as.
func give(t testing.TB, path string, c *syscall.Credential) {
	t.Helper()
	if c == nil {
		return
	}
	if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
		t.Fatalf("give %s away: %v", path, err)
	}
}

// giveCopy copies a file into a server's directory, readable by that server alone: databases refuse keys that others may read.
func giveCopy(t testing.TB, from, dir, name string, c *syscall.Credential) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("read %s: %v", from, err)
	}
	to := filepath.Join(dir, name)
	writeFile(t, to, 0o600, content)
	give(t, to, c)
	return to
}

// unprivileged returns the first of the named users that exists, or nil when the test is not root and everything runs as itself.
func unprivileged(t testing.TB, names ...string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			t.Fatalf("user %s has no numeric ids: %v", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: false}
	}
	t.Fatalf("none of the users %v exists", names)
	return nil
}

// runAs runs a set-up program to its end as the given user.
func runAs(t testing.TB, c *syscall.Credential, dir, path string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, out)
	}
}

// logTail keeps the end of what is written to it.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if len(l.text) > 2*logLimit {
		l.text = append(l.text[:0], l.text[len(l.text)-logLimit:]...)
	}
	return len(b), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-logLimit):])
}
