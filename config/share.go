package config

import "strconv"

// Share is a part of a whole, from 0 to 1.
type Share float64

// String returns the share as the file would have it.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }
