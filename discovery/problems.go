package discovery

import "strings"

// problems are several errors at once, told in one line: they are shown in tables and logs.
type problems []error

// together joins errors; it is nil if all are.
func together(errs ...error) error {
	var p problems
	for _, err := range errs {
		if err != nil {
			p = append(p, err)
		}
	}
	switch len(p) {
	case 0:
		return nil
	case 1:
		return p[0]
	}
	return p
}

func (p problems) Error() string {
	texts := make([]string, len(p))
	for i, err := range p {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap is for errors.Is and errors.As.
func (p problems) Unwrap() []error { return p }
