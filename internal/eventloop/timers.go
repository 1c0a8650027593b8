package eventloop

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// tickShift makes a tick 2^24 ns, about 17 ms: fine enough for the deadlines of connections, coarse enough that thousands
// of them share a wake-up.
const tickShift = 24

// timers drives the wheel of one loop by one timerfd, set only while timers are armed.
type timers struct {
	wheel  wheel
	loop   *Loop
	fd     int
	epoch  time.Time
	wakeAt int64 // tick for which the timerfd is set; 0 = not set
}

func (t *timers) open(l *Loop) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	t.fd, t.loop, t.epoch = fd, l, time.Now()
	if err := l.watchLevel(fd, t); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return nil
}

func (t *timers) close() { t.loop.forget(t.fd) }

// event fires what is due and sets the timerfd for what comes next.
func (t *timers) event(uint32) {
	var expirations [8]byte
	_, _ = unix.Read(t.fd, expirations[:]) // EAGAIN after a race with settime is harmless: due timers are found by the clock
	t.wakeAt = 0
	t.wheel.advance(t.tick(), func(timer *Timer) { t.loop.expire(timer) })
	t.schedule()
}

// expire runs one timer's handler by itself, so that a panic in it neither skips the others nor ends the loop.
func (l *Loop) expire(timer *Timer) {
	defer l.rescue(-1)
	timer.expirer.Expired(timer)
}

func (t *timers) tick() int64 { return int64(time.Since(t.epoch)) >> tickShift }

// schedule sets the timerfd when something is due before it would wake the loop. A timer that was disarmed meanwhile
// costs one wake-up that finds nothing; that is cheaper than a system call per disarmed timer.
func (t *timers) schedule() {
	due, ok := t.wheel.due()
	if !ok || t.wakeAt != 0 && t.wakeAt <= due {
		return
	}
	t.wakeAt = due
	wait := max(time.Duration(due<<tickShift)-time.Since(t.epoch), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(t.fd, 0, &spec, nil); err != nil {
		t.loop.log.Error("timerfd_settime failed; deadlines are late", "loop", t.loop.id, "error", err)
	}
}

// Arm sets t to tell e once after d, at most about 17 ms late while the loop is not busy. A timer armed already is moved.
func (l *Loop) Arm(t *Timer, d time.Duration, e Expirer) {
	t.expirer = e
	now := time.Since(l.timers.epoch)
	d = min(d, math.MaxInt64-now) // "never" must not come out as "at once"
	if l.timers.wheel.empty() {
		l.timers.wheel.now = int64(now) >> tickShift // it stood still while there was nothing to wait for
	}
	l.timers.wheel.add(t, int64(now+d)>>tickShift+1)
	l.timers.schedule()
}

// Disarm stops t. It is fine to disarm a timer that is not armed.
func (l *Loop) Disarm(t *Timer) { l.timers.wheel.remove(t) }
