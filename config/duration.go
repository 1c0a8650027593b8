package config

import (
	"strings"
	"time"
)

// Duration is a length of time, written as Go writes it ("1m30s", "500ms"). A
// bare whole number counts seconds, as in Traefik. It is never negative,
// except where a key allows it for Traefik's sake.
type Duration time.Duration

// String returns the duration as the file would have it: "10m", not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
