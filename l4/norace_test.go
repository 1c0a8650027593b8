//go:build !race

package l4

// raceEnabled says that the race detector is on, which multiplies memory.
const raceEnabled = false
