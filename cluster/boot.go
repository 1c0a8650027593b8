package cluster

import "time"

// bootRandomBits is how many of the low bits of a first boot are random.
const bootRandomBits = 16

// FirstBoot returns the boot of a process that starts: the time in milliseconds, then 16 random bits, but always more than
// the boot saved by the life before (0 = none is known).
//
// The time alone would do if clocks never went back, and the saved counter alone if disks were never lost. Neither is
// relied on: a node that learns of a life of its own that is not older than this one goes above it (Table.Merge), so a boot
// that came out too low, by a clock that was put back an hour on an empty disk, costs one exchange of messages. What the
// time gives is that this exchange is hardly ever needed; what the random bits give is that two processes that start in the
// same millisecond under one name do not take each other's cells for their own.
func FirstBoot(now time.Time, saved uint64, random uint16) uint64 {
	ms := uint64(max(0, now.UnixMilli()))
	boot := min(ms<<bootRandomBits|uint64(random), MaxBoot-1)
	return max(1, boot, min(saved, MaxBoot-1)+1)
}
