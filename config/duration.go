package config

import "time"

// Duration is a length of time, written as Go writes it ("1m30s", "500ms"). A
// bare whole number counts seconds, as in Traefik. It is never negative.
type Duration time.Duration

// String returns the duration in the form the file uses.
func (d Duration) String() string { return time.Duration(d).String() }
