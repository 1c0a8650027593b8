package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is its own set of programs to measure: the environment says
// which one it plays.
const playing = "PROC_TEST_PLAY"

const burned = 200 * time.Millisecond

func TestMain(m *testing.M) {
	switch os.Getenv(playing) {
	case "":
		os.Exit(m.Run())
	case "burn":
		burn()
		told()
	case "idle":
		told()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		told()
	case "burn and leave":
		burn()
	case "burn in a child":
		os.Setenv(playing, "burn and leave")
		if err := exec.Command(os.Args[0]).Run(); err != nil {
			panic(err)
		}
		told()
	case "child in the background":
		os.Setenv(playing, "idle")
		child := exec.Command(os.Args[0])
		child.Stdin = os.Stdin
		if err := child.Start(); err != nil {
			panic(err)
		}
		told()
	}
}

// burn uses the CPU until the process has been charged for it.
func burn() {
	for {
		var used unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &used)
		if time.Duration(used.Utime.Nano()+used.Stime.Nano()) >= burned {
			return
		}
	}
}

// told says that the play has come to its end and stays until standard input
// is closed.
func told() {
	fmt.Println("done", affinity())
	io.Copy(io.Discard, os.Stdin)
}

func affinity() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		panic(err)
	}
	return set.Count()
}

// play starts the test binary in a role and returns when it has reported.
func play(t *testing.T, role string, cpu int) (p *Process, report string) {
	t.Helper()
	t.Setenv(playing, role)
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err = Start(Command{
		Path: os.Args[0], CPU: cpu,
		Log:    filepath.Join(t.TempDir(), "log"),
		Output: outW, Input: inR,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
		p.Stop(2 * time.Second)
	})
	report, err = bufio.NewReader(outR).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	return p, strings.TrimSpace(report)
}

func TestMeasure(t *testing.T) {
	tests := []struct {
		name      string
		low, high time.Duration
		processes int
	}{
		{name: "burn", low: burned - 2*tick, high: 3 * burned, processes: 1},
		{name: "idle", low: 0, high: burned / 2, processes: 1},
		{name: "burn in a child", low: burned - 2*tick, high: 3 * burned, processes: 1},
		{name: "child in the background", low: 0, high: burned / 2, processes: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _ := play(t, tt.name, Anywhere)
			used, err := Measure(p.PID)
			if err != nil {
				t.Fatal(err)
			}
			if used.CPU < tt.low || used.CPU > tt.high {
				t.Errorf("CPU %v, want %v to %v", used.CPU, tt.low, tt.high)
			}
			if used.Processes != tt.processes {
				t.Errorf("%d processes, want %d", used.Processes, tt.processes)
			}
			if used.RSS < 100<<10 || used.RSS > 1<<30 {
				t.Errorf("resident memory %d bytes", used.RSS)
			}
		})
	}
}

func TestStartPins(t *testing.T) {
	before := affinity()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	if _, report := play(t, "idle", cpu); report != "done 1" {
		t.Errorf("the child says %q, want one CPU", report)
	}
	if after := affinity(); after != before {
		t.Errorf("the parent has %d CPUs afterwards, had %d", after, before)
	}
}

func TestStop(t *testing.T) {
	for _, role := range []string{"idle", "stubborn", "child in the background"} {
		t.Run(role, func(t *testing.T) {
			p, _ := play(t, role, Anywhere)
			held, err := hold(p.PID)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Stop(200 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			for _, fd := range held {
				// A descriptor of a process is readable once it has ended.
				n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
				if n != 1 || err != nil {
					t.Errorf("a process of the tree is still there (%v)", err)
				}
				unix.Close(fd)
			}
		})
	}
}

func TestKill(t *testing.T) {
	p, _ := play(t, "stubborn", Anywhere)
	p.Kill()
	if !p.ended() || p.Err() == nil {
		t.Errorf("it ended: %t, with %v", p.ended(), p.Err())
	}
	p.Kill() // once is enough, twice does no harm
}

// Standard error goes where it is wanted, and the log stays empty.
func TestErrors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log := filepath.Join(t.TempDir(), "log")
	p, err := Start(Command{Path: "/bin/sh", Args: []string{"-c", "echo aside >&2"}, CPU: Anywhere, Log: log, Errors: w})
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(r)
	if <-p.Done(); err != nil || string(said) != "aside\n" || Tail(log, 100) != "" {
		t.Errorf("it says %q (%v), and to the log %q", said, err, Tail(log, 100))
	}
}

func TestMeasureOfNobody(t *testing.T) {
	p, _ := play(t, "idle", Anywhere)
	if err := p.Stop(time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := Measure(p.PID); !errors.Is(err, ErrGone) {
		t.Errorf("error %v, want %v", err, ErrGone)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("first\nlast\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{5: "last\n", 100: "first\nlast\n"} {
		if got := Tail(path, limit); got != want {
			t.Errorf("Tail(%d) = %q, want %q", limit, got, want)
		}
	}
	if got := Tail(path+"x", 5); !strings.Contains(got, "no such file") {
		t.Errorf("a missing log reads %q", got)
	}
}
