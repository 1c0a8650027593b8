//go:build !race

package weirtest

// raceEnabled says that the tests run under the race detector, so that the programs they build do too.
const raceEnabled = false
