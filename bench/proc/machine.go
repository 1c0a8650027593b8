package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

var errMachine = errors.New("not the head of /proc/stat")

// Busy returns the CPU time that this machine has spent since its start on
// anything but waiting, over all CPUs. Time that a hypervisor gave to others
// counts: nobody here could use it.
func Busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("CPU time of the machine: %w", err)
	}
	return parseBusy(text)
}

// parseBusy reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal; the guest times that follow are part of user
// and nice (proc(5)).
func parseBusy(text []byte) (time.Duration, error) {
	const idle, iowait, columns = 3, 4, 8
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 1+columns || string(fields[0]) != "cpu" {
		return 0, errMachine
	}
	var busy time.Duration
	for i, field := range fields[1 : 1+columns] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil || ticks < 0 {
			return 0, errMachine
		}
		if i != idle && i != iowait {
			busy += time.Duration(ticks) * tick
		}
	}
	return busy, nil
}
