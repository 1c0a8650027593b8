package l7

// Statuses is a set of status codes. Its zero value is empty.
type Statuses struct{ bits [16]uint64 }

// StatusRange is the status codes from First to Last, both included.
type StatusRange struct{ First, Last int }

// NewStatuses returns the codes in any of the ranges. Those that are none, outside 100 to 999, are left out.
func NewStatuses(ranges ...StatusRange) (s Statuses) {
	for _, r := range ranges {
		for code := max(r.First, 100); code <= min(r.Last, 999); code++ {
			s.bits[code/64] |= 1 << (code % 64)
		}
	}
	return s
}

// Has reports whether the code is in the set.
func (s *Statuses) Has(code int) bool {
	return code >= 0 && code <= 999 && s.bits[code/64]>>(code%64)&1 != 0
}
