package config

import (
	"fmt"
	"math"
	"strings"
)

// suggestion returns a hint that names the candidate most like what was
// written, "" where none is near enough to be meant.
func suggestion(written string, candidates []string) string {
	best, least := "", 1+max(1, len(written)/3)
	for _, c := range candidates {
		d := editDistance(strings.ToLower(written), strings.ToLower(c))
		if d < least || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	if best == "" {
		best = onlyOneWith(written, candidates)
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// onlyOneWith returns the one candidate that holds what was written, such as
// VersionTLS12 for TLS12; "" where none or several do.
func onlyOneWith(written string, candidates []string) string {
	const shortest = 3
	found := ""
	for _, c := range candidates {
		if len(written) < shortest || !strings.Contains(strings.ToLower(c), strings.ToLower(written)) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b. Names too long to be a slip of one another are
// infinitely far apart.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return math.MaxInt
	}
	var before, above, row [longest + 1]int
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := above[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
