package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Anywhere is the CPU of a Command that is not pinned.
const Anywhere = -1

// Command says what to start.
type Command struct {
	Path string
	Args []string // without the program's own name
	Dir  string   // working directory; empty means the caller's
	CPU  int      // the one CPU it and its children run on, or Anywhere
	Log  string   // file that takes standard error, and standard output unless Output is set
	// Output takes standard output; Input gives standard input, which is
	// empty without it. Both are the child's end of a pipe, and Start closes
	// the caller's copy of them.
	Output, Input *os.File
	// Errors takes standard error in place of Log. It is the child's end of a
	// pipe like Output.
	Errors *os.File
	// OwnNetwork gives it a new network namespace, which ends with it. That
	// takes the privileges of CAP_SYS_ADMIN.
	OwnNetwork bool
}

// Process is one started program.
type Process struct {
	PID  int
	done chan struct{}
	err  error // written before done is closed
}

// Start runs a command in a process group of its own, so that an interrupt
// typed at the terminal reaches the caller alone and the caller can stop
// everything in order. The program gets SIGTERM when the caller dies without
// having done so.
func Start(c Command) (*Process, error) {
	defer closeAll(c.Output, c.Input, c.Errors)
	log, err := os.Create(c.Log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	defer log.Close()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = log, log
	if c.Output != nil {
		cmd.Stdout = c.Output
	}
	if c.Errors != nil {
		cmd.Stderr = c.Errors
	}
	if c.Input != nil {
		cmd.Stdin = c.Input
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if c.OwnNetwork {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := startOn(c.CPU, cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &Process{PID: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// startOn starts cmd on one CPU. A new process inherits the affinity of the
// thread that forks it, so the thread is moved there and back, and the
// program is in its place from its first instruction on: a runtime that
// counts its CPUs at the start counts one.
func startOn(cpu int, cmd *exec.Cmd) error {
	if cpu == Anywhere {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	startErr := cmd.Start()
	if err := unix.SchedSetaffinity(0, &before); err != nil {
		// This thread is of no use to anybody else now: it stays locked and
		// ends with its goroutine.
		runtime.LockOSThread()
		return errors.Join(startErr, fmt.Errorf("unpin: %w", err))
	}
	return startErr
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the program ended: nil, or an *exec.ExitError. It is valid
// after Done.
func (p *Process) Err() error { return p.err }

// Stop ends the program and everything it started: SIGTERM, after half of
// grace once more, after all of it SIGKILL for each member of the tree that
// is left. It returns when the program itself has gone.
func (p *Process) Stop(grace time.Duration) error {
	held, err := hold(p.PID)
	for range 2 {
		if p.signal(unix.SIGTERM) || p.wait(grace/2) {
			break
		}
	}
	// Those in other process groups are known only from before, those that
	// came since only from now.
	late, lateErr := hold(p.PID)
	for _, fd := range append(held, late...) {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		unix.Close(fd)
	}
	<-p.done
	return errors.Join(err, lateErr)
}

// Kill ends the program itself without a word of warning, and returns when it
// has gone. What it started is left alone.
func (p *Process) Kill() {
	p.signal(unix.SIGKILL)
	<-p.done
}

// hold opens a descriptor for each member of the tree under root. Unlike an
// id it never comes to mean another process.
func hold(root int) ([]int, error) {
	pids, err := Members(root)
	if err != nil {
		return nil, err
	}
	var held []int
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held = append(held, fd)
		}
	}
	return held, nil
}

// signal reports whether the program has ended already; otherwise it sends
// sig.
func (p *Process) signal(sig unix.Signal) (ended bool) {
	if p.ended() {
		return true
	}
	unix.Kill(p.PID, sig)
	return false
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *Process) wait(limit time.Duration) (ended bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// Tail returns the last lines of a log file, at most limit bytes, for a
// message about the program that wrote it.
func Tail(path string, limit int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, end-limit), io.SeekStart)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
