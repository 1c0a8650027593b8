package l7

// Statuses is a set of status codes. Its zero value is empty.
type Statuses struct{ bits [16]uint64 }

// Add adds the codes from first to last. Those that are none, outside 100 to 999, are left out.
func (s *Statuses) Add(first, last int) {
	for code := max(first, 100); code <= min(last, 999); code++ {
		s.bits[code/64] |= 1 << (code % 64)
	}
}

// Has reports whether the code is in the set.
func (s *Statuses) Has(code int) bool {
	return code >= 0 && code <= 999 && s.bits[code/64]>>(code%64)&1 != 0
}
