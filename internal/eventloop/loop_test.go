package eventloop

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPostRunsInOrder(t *testing.T) {
	l := startLoop(t, nil)
	var got []int
	for i := range 1000 {
		if err := l.Post(func() { got = append(got, i) }); err != nil {
			t.Fatal(err)
		}
	}
	on(t, l, func() {})
	if len(got) != 1000 || !slices.IsSorted(got) {
		t.Fatalf("%d tasks ran, sorted %v", len(got), slices.IsSorted(got))
	}
}

func TestPostFromTheLoopRunsAfterwards(t *testing.T) {
	l := startLoop(t, nil)
	var got []string
	inner := make(chan struct{})
	on(t, l, func() {
		_ = l.Post(func() { got = append(got, "posted"); close(inner) })
		got = append(got, "task")
	})
	await(t, inner, "the posted task")
	if !slices.Equal(got, []string{"task", "posted"}) {
		t.Fatalf("ran %v", got)
	}
}

func TestTasksPostedBeforeCloseRun(t *testing.T) {
	l, err := New(7, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if l.ID() != 7 {
		t.Errorf("ID is %d", l.ID())
	}
	ran := 0
	for range 500 {
		if err := l.Post(func() { ran++ }); err != nil {
			t.Fatal(err)
		}
	}
	entered := make(chan struct{})
	release := make(chan struct{})
	_ = l.Post(func() { close(entered); <-release; ran++ })
	finished := make(chan error, 1)
	go func() { finished <- l.Run() }()
	await(t, entered, "the loop")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Post(func() { t.Error("a task ran that was posted after Close") }); !errors.Is(err, ErrLoopClosed) {
		t.Errorf("post after Close: %v", err)
	}
	close(release)
	if err := await(t, finished, "the end of Run"); err != nil {
		t.Errorf("run: %v", err)
	}
	if ran != 501 {
		t.Errorf("%d of 501 tasks ran", ran)
	}
	await(t, l.Done(), "Done")
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := l.Call(func() {}); !errors.Is(err, ErrLoopClosed) {
		t.Errorf("call after the end: %v", err)
	}
}

// Every task that Post took must run, and every Call must return, whenever Close comes.
func TestPostsAroundCloseRunOrAreRefused(t *testing.T) {
	for range 40 {
		l, err := New(0, nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		var took, ran atomic.Int64
		var posters sync.WaitGroup
		for range 4 {
			posters.Go(func() {
				for l.Post(func() { ran.Add(1) }) == nil {
					took.Add(1)
				}
			})
			posters.Go(func() {
				for l.Call(func() {}) == nil {
					continue
				}
			})
		}
		finished := make(chan error, 1)
		go func() { finished <- l.Run() }()
		on(t, l, func() {})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		posters.Wait()
		if err := await(t, finished, "the end of Run"); err != nil {
			t.Fatal(err)
		}
		if took.Load() != ran.Load() {
			t.Fatalf("%d tasks were taken and %d ran", took.Load(), ran.Load())
		}
	}
}

func TestCloseBeforeRun(t *testing.T) {
	before := descriptors(t)
	l, err := New(0, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	posted := make(chan struct{})
	go func() {
		_ = l.Post(func() {})
		close(posted)
		called <- l.Call(func() {})
	}()
	await(t, posted, "a post")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, called, "Call"); !errors.Is(err, ErrLoopClosed) {
		t.Errorf("call: %v", err)
	}
	if err := l.Run(); err != nil {
		t.Errorf("run after Close: %v", err)
	}
	await(t, l.Done(), "Done")
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func TestLoopGivesItsDescriptorsBack(t *testing.T) {
	before := descriptors(t)
	for range 20 {
		l, err := New(0, nil, quiet())
		if err != nil {
			t.Fatal(err)
		}
		finished := make(chan error, 1)
		go func() { finished <- l.Run() }()
		on(t, l, func() {
			l.pipes.put(l.pipes.get())
			var timer Timer
			l.Arm(&timer, time.Hour, expiredFunc(func(*Timer) {}))
		})
		_ = l.Close()
		_ = await(t, finished, "the end of Run")
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func TestPanicsCostNoMoreThanTheirStream(t *testing.T) {
	l := startLoop(t, nil)

	t.Run("task", func(t *testing.T) {
		on(t, l, func() { panic("task") })
		on(t, l, func() {}) // a panic is counted after its Call has returned
		if n := l.Panics(); n != 1 {
			t.Errorf("%d panics counted", n)
		}
	})

	t.Run("timer", func(t *testing.T) {
		var bad, good Timer
		fired := make(chan struct{})
		on(t, l, func() {
			l.Arm(&bad, time.Millisecond, expiredFunc(func(*Timer) { panic("timer") }))
			l.Arm(&good, time.Millisecond, expiredFunc(func(*Timer) { close(fired) }))
		})
		await(t, fired, "the timer beside the one that panicked")
		on(t, l, func() {})
		if n := l.Panics(); n != 2 {
			t.Errorf("%d panics counted", n)
		}
	})

	t.Run("handler", func(t *testing.T) {
		good := newReader(4)
		_, other := accepted(t, l, good)
		closed := make(chan *Stream, 2)
		s, c := accepted(t, l, nil)
		on(t, l, func() {
			s.SetOwner(ownerFunc(func(s *Stream) { closed <- s }))
			s.SetHandler(readyFunc(func(*Stream) { panic("handler") }))
		})
		_, _ = c.Write([]byte("x"))
		if got := await(t, closed, "the owner"); got != s {
			t.Error("the owner was told of another stream")
		}
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("the peer got %v, want a reset", err)
		}
		_, _ = other.Write([]byte("fine"))
		if err := await(t, good.done, "the other stream"); err != nil {
			t.Error(err)
		}
		if n := l.Panics(); n != 3 {
			t.Errorf("%d panics counted", n)
		}
	})

	t.Run("owner too", func(t *testing.T) {
		s, c := accepted(t, l, nil)
		on(t, l, func() {
			s.SetOwner(ownerFunc(func(*Stream) { panic("owner") }))
			s.SetHandler(readyFunc(func(*Stream) { panic("handler") }))
		})
		_, _ = c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("the peer got %v, want a reset", err)
		}
		on(t, l, func() {})
	})

	t.Run("relay", func(t *testing.T) {
		a, client := accepted(t, l, nil)
		b, backend := accepted(t, l, nil)
		ended := make(chan End, 1)
		var r Relay
		on(t, l, func() {
			r.Start(a, b, 0, relayedFunc(func(_ *Relay, end End) { ended <- end }))
			a.tls = new(tlsState) // without a connection inside: reading it panics
			a.tls.more = true
		})
		_, _ = client.Write([]byte("x"))
		if end := await(t, ended, "the relay's end"); !errors.Is(end.Err, ErrPanicked) {
			t.Errorf("the relay ended with %v", end.Err)
		}
		for name, c := range map[string]*net.TCPConn{"client": client, "backend": backend} {
			if _, err := c.Read(make([]byte, 1)); !isReset(err) {
				t.Errorf("%s got %v, want a reset", name, err)
			}
		}
	})
}

func TestPanicOfAnAccepterClosesTheConnection(t *testing.T) {
	l := startLoop(t, nil)
	for _, when := range []struct {
		name string
		do   func(fd int, from netip.AddrPort)
	}{
		{"before it opens a stream", func(int, netip.AddrPort) {}},
		{"after it opened a stream", func(fd int, from netip.AddrPort) { _ = new(Stream).Open(l, fd, from, nil) }},
		{"after it discarded the connection", func(fd int, _ netip.AddrPort) { l.Discard(fd) }},
	} {
		t.Run(when.name, func(t *testing.T) {
			ln := listen(t, l, anyPort, acceptFunc(func(_ *Listener, fd int, from netip.AddrPort) {
				when.do(fd, from)
				panic("accepter")
			}))
			before := descriptors(t)
			for range 10 {
				c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(ln.Addr()))
				if err != nil {
					continue // reset before the dial was over
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the connection is open: %v", err)
				}
				_ = c.Close()
			}
			if after := ask(t, l, func() int { return descriptors(t) }); after != before {
				t.Errorf("%d descriptors are open, %d before", after, before)
			}
		})
	}
}

func TestTimersOnALoop(t *testing.T) {
	l := startLoop(t, nil)
	type firing struct {
		name string
		wait time.Duration
		took time.Duration
	}
	fired := make(chan firing, 64)
	var timers [8]Timer
	on(t, l, func() {
		for i, wait := range []time.Duration{0, time.Millisecond, 17 * time.Millisecond, 40 * time.Millisecond, 90 * time.Millisecond} {
			start := time.Now()
			l.Arm(&timers[i], wait, expiredFunc(func(*Timer) { fired <- firing{"armed", wait, time.Since(start)} }))
		}
		start := time.Now()
		l.Arm(&timers[5], time.Hour, expiredFunc(func(*Timer) { t.Error("the first arming of a moved timer fired") }))
		l.Arm(&timers[5], 30*time.Millisecond, expiredFunc(func(*Timer) { fired <- firing{"moved", 30 * time.Millisecond, time.Since(start)} }))
		l.Arm(&timers[6], time.Millisecond, expiredFunc(func(*Timer) { t.Error("a disarmed timer fired") }))
		l.Disarm(&timers[6])
		l.Disarm(&timers[6])
		rounds := 0
		l.Arm(&timers[7], time.Millisecond, expiredFunc(func(timer *Timer) {
			if rounds++; rounds < 3 {
				l.Arm(timer, 10*time.Millisecond, timer.expirer)
				return
			}
			fired <- firing{"armed by itself", 21 * time.Millisecond, time.Since(start)}
		}))
	})
	for range 7 {
		if f := await(t, fired, "a timer"); f.took < f.wait {
			t.Errorf("%s: fired after %v, armed for %v", f.name, f.took, f.wait)
		}
	}
	on(t, l, func() {
		for i := range timers {
			if timers[i].Armed() {
				t.Errorf("timer %d is armed still", i)
			}
		}
	})
}

// An earlier timer moves the wake-up forward; one that was disarmed does not keep the loop awake.
func TestTimerArmedBehindALaterOne(t *testing.T) {
	l := startLoop(t, nil)
	fired := make(chan struct{})
	var late, never, soon Timer
	on(t, l, func() {
		l.Arm(&late, time.Hour, expiredFunc(func(*Timer) {}))
		l.Arm(&never, math.MaxInt64, expiredFunc(func(*Timer) { t.Error("the largest wait ran out") }))
	})
	on(t, l, func() { l.Arm(&soon, 5*time.Millisecond, expiredFunc(func(*Timer) { close(fired) })) })
	await(t, fired, "the earlier timer")
	on(t, l, func() {
		if !late.Armed() || !never.Armed() {
			t.Error("a later timer is gone")
		}
		l.Disarm(&late)
		l.Disarm(&never)
		if !l.timers.wheel.empty() {
			t.Error("the wheel is not empty")
		}
	})
}

func BenchmarkPost(b *testing.B) {
	l := startLoop(b, nil)
	task := func() {}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Post(task); err != nil {
			b.Fatal(err)
		}
	}
	on(b, l, task)
}

func BenchmarkArmDisarm(b *testing.B) {
	l := startLoop(b, nil)
	var timer Timer
	b.ReportAllocs()
	on(b, l, func() {
		for b.Loop() {
			l.Arm(&timer, time.Minute, expiredFunc(nil))
			l.Disarm(&timer)
		}
	})
}
