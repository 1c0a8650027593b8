// Package predicate reads conditions such as `NetworkErrorRatio() > 0.3 || LatencyAtQuantileMS(50) > 100`: calls of
// functions, compared with constants, joined by && || ! ( ). It is the language of Traefik's circuitBreaker.expression and
// buffering.retryExpression, whose functions it names; what these come to is for those who use it.
package predicate

import (
	"fmt"
	"slices"
)

// Kind is what a function returns.
type Kind uint8

// The kinds. A Bool stands for itself; the others are compared with a constant, a Text only for being equal.
const (
	Number Kind = iota
	Text
	Bool
)

// Function is one that may be called.
type Function struct {
	Name  string
	Args  int // all of them numbers
	Kind  Kind
	Check func(args []float64) error // says what is wrong with the arguments; nil = anything goes
}

// Call is a function with its arguments.
type Call struct {
	Name string
	Args []float64
}

// Value is what a call comes to: the member of the function's kind counts.
type Value struct {
	Number float64
	Text   string
	Bool   bool
}

// Condition is a condition that was read. It never changes.
type Condition struct {
	calls []Call
	root  node
}

// Calls are the calls in the condition, each once. The slice is the Condition's.
func (c *Condition) Calls() []Call { return c.calls }

// Holds evaluates the condition. value is asked for the value of calls by their index in Calls, and only where it matters.
func (c *Condition) Holds(value func(call int) Value) bool { return c.root.holds(value) }

// node is a part of a condition.
type node interface {
	holds(value func(call int) Value) bool
}

type (
	and        []node
	or         []node
	not        struct{ operand node }
	flag       struct{ call int } // a call whose value is the condition
	comparison struct {
		call    int
		kind    Kind
		operand string // one of operators
		number  float64
		text    string
	}
)

func (n and) holds(value func(int) Value) bool {
	return !slices.ContainsFunc(n, func(m node) bool { return !m.holds(value) })
}

func (n or) holds(value func(int) Value) bool {
	return slices.ContainsFunc(n, func(m node) bool { return m.holds(value) })
}

func (n not) holds(value func(int) Value) bool { return !n.operand.holds(value) }

func (n flag) holds(value func(int) Value) bool { return value(n.call).Bool }

func (n comparison) holds(value func(int) Value) bool {
	v := value(n.call)
	order := 0
	switch {
	case n.kind == Text && v.Text != n.text, n.kind == Number && v.Number > n.number:
		order = 1
	case n.kind == Number && v.Number < n.number:
		order = -1
	}
	switch n.operand {
	case "==":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// Error is one thing wrong with a condition.
type Error struct {
	Offset  int    // bytes from the start of the text
	Message string // no capital, no full stop
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Message) }
