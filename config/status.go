package config

import (
	"fmt"
	"strconv"
	"strings"
)

// StatusRange is a range of HTTP status codes, both ends included and from 100
// to 599. A file has it as "500-504" or "404".
type StatusRange struct{ First, Last int }

// ParseStatusRange reads one status code, or two with a hyphen between.
func ParseStatusRange(written string) (StatusRange, error) {
	first, last, isRange := strings.Cut(written, "-")
	if !isRange {
		last = first
	}
	r := StatusRange{statusOf(first), statusOf(last)}
	if r.First == 0 || r.Last < r.First {
		return StatusRange{}, fmt.Errorf("%q is neither a status from 100 to 599 nor a range of them", abbreviated(written))
	}
	return r, nil
}

// statusOf returns the status code that s writes, 0 where it writes none.
func statusOf(s string) int {
	const digits = 3
	if n, err := strconv.ParseUint(s, 10, 16); err == nil && len(s) == digits && n >= 100 && n <= 599 {
		return int(n)
	}
	return 0
}

// Contains reports whether the range holds a status code.
func (r StatusRange) Contains(status int) bool { return r.First <= status && status <= r.Last }

// String returns the range as the file would have it.
func (r StatusRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}
