package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc/PID/stat. Linux shows them in
// USER_HZ, which is 100 a second on every architecture weir is built for,
// whatever the kernel's own clock runs at (proc(5)).
const tick = 10 * time.Millisecond

// released is the group of a process that has been waited for while its line
// was written: the kernel does not find it any more (do_task_stat in
// fs/proc/array.c). Its parent has its times already.
const released = -1

var errStat = errors.New("not a line of /proc/PID/stat")

// stat holds the fields of one /proc/PID/stat line that accounting needs.
type stat struct {
	pid, parent, group int
	state              byte
	cpu                time.Duration // user + system, all threads, those that ended included
	reaped             time.Duration // the same of children that ended and were waited for, and of theirs
	rss                int64         // pages
}

// parseStat reads a line of /proc/PID/stat. The command name in it is any
// bytes the program chose, brackets and spaces included, so the fields are
// counted from the last closing bracket.
func parseStat(line []byte) (stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil || pid <= 0 {
		return stat{}, errStat
	}
	// Field numbers of proc(5); the state is field 3 and first of these.
	const first = 3
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= 24-first || len(fields[0]) != 1 {
		return stat{}, errStat
	}
	number := func(field int) int64 {
		n, e := strconv.ParseInt(string(fields[field-first]), 10, 64)
		if e != nil || n < 0 {
			err = errStat
		}
		return n
	}
	group := released
	if string(fields[5-first]) != "-1" {
		group = int(number(5))
	}
	s := stat{
		pid:    pid,
		state:  fields[0][0],
		parent: int(number(4)),
		group:  group,
		cpu:    time.Duration(number(14)+number(15)) * tick,
		reaped: time.Duration(number(16)+number(17)) * tick,
		rss:    number(24),
	}
	if err != nil {
		return stat{}, err
	}
	return s, nil
}

// readStats returns the processes of this machine by id. One that ends while
// the list is read is left out.
func readStats() (map[int]stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := make(map[int]stat, len(names))
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		line, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("process %s: %w", name, err)
		}
		if s.group != released {
			all[s.pid] = s
		}
	}
	return all, nil
}
