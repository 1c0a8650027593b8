package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string `json:"file"`           // the file, or where else the value comes from (a flag, an environment variable)
	Line    int    `json:"line"`           // from 1; 0 where File is not a file
	Col     int    `json:"col"`            // from 1, in characters; 0 where File is not a file
	Path    string `json:"path"`           // the key, such as tcp.routers.x.rule; empty where the document as a whole is meant
	Message string `json:"message"`        // what is wrong
	Hint    string `json:"hint,omitempty"` // how it may be mended; may be empty
}

// Error returns the problem on one line: file:line:col: path: message (hint).
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Col)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return b.String()
}

// Problems is everything that is wrong with a configuration, in the order of
// the files. As an error it is never empty.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what one load reports; a file that wrong is mended from
// the top.
const maxProblems = 200

// orNil returns the problems in order as an error, nil where there is none.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	sorted = slices.Compact(sorted)
	if len(sorted) > maxProblems {
		sorted = sorted[:maxProblems]
	}
	return sorted
}
