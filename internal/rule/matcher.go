package rule

import (
	"fmt"
	"strings"
)

// Family is the kind of router a rule belongs to.
type Family uint8

const (
	TCP Family = 1 << iota
	HTTP
)

func (f Family) String() string {
	switch f {
	case TCP:
		return "TCP"
	case HTTP:
		return "HTTP"
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// matcher describes one matcher of the language.
type matcher struct {
	name     string
	families Family
	min, max int // number of arguments
	example  string
	check    func(args []string) (message, hint string) // "" if the arguments are fine
}

// matchers lists the whole language; it is never changed.
var matchers = []matcher{
	{"HostSNI", TCP, 1, 1, "HostSNI(`db.example.com`)", checkHostSNI},
	{"HostSNIRegexp", TCP, 1, 1, "HostSNIRegexp(`^db-[0-9]+\\.example\\.com$`)", checkHostRegexp},
	{"ALPN", TCP, 1, 1, "ALPN(`h2`)", checkALPN},
	{"ClientIP", TCP | HTTP, 1, 1, "ClientIP(`10.0.0.0/8`)", checkClientIP},
	{"Host", HTTP, 1, 1, "Host(`www.example.com`)", checkHost},
	{"HostRegexp", HTTP, 1, 1, "HostRegexp(`^[a-z]+\\.example\\.com$`)", checkHostRegexp},
	{"Path", HTTP, 1, 1, "Path(`/login`)", checkPath},
	{"PathPrefix", HTTP, 1, 1, "PathPrefix(`/api`)", checkPath},
	{"PathRegexp", HTTP, 1, 1, "PathRegexp(`^/v[0-9]+/`)", checkRegexp},
	{"Method", HTTP, 1, 1, "Method(`GET`)", checkMethod},
	{"Header", HTTP, 2, 2, "Header(`Content-Type`, `application/json`)", checkHeader},
	{"HeaderRegexp", HTTP, 2, 2, "HeaderRegexp(`User-Agent`, `^curl/`)", checkHeaderRegexp},
	{"Query", HTTP, 1, 2, "Query(`page`, `2`)", checkQuery},
	{"QueryRegexp", HTTP, 1, 2, "QueryRegexp(`page`, `^[0-9]+$`)", checkQueryRegexp},
}

func lookup(name string) (matcher, bool) {
	for _, m := range matchers {
		if strings.EqualFold(m.name, name) {
			return m, true
		}
	}
	return matcher{}, false
}

func unknownMatcher(name string, offset int) *Error {
	e := &Error{Offset: offset, Message: fmt.Sprintf("unknown matcher %q", name)}
	best := 3 // two edits apart is a slip, three is another word
	for _, m := range matchers {
		if d := distance(strings.ToLower(name), strings.ToLower(m.name)); d < best && d < len(name) {
			best, e.Hint = d, "did you mean "+m.name+"?"
		}
	}
	return e
}

// distance counts the insertions, deletions and replacements of bytes that
// turn a into b. Names longer than any matcher by far are not worth comparing
// and count as infinitely far.
func distance(a, b string) int {
	if len(a) > len(b)+3 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
