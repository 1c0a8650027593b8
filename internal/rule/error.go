package rule

import "fmt"

// Error is one thing wrong with a rule.
type Error struct {
	Offset  int    // bytes from the start of the rule's text
	Message string // what is wrong; no capital, no full stop
	Hint    string // what to write instead; may be empty
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("at byte %d: %s", e.Offset, e.Message)
	}
	return fmt.Sprintf("at byte %d: %s (%s)", e.Offset, e.Message, e.Hint)
}
