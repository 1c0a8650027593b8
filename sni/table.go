package sni

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"
)

// Kind is a way to name hosts.
type Kind uint8

// The kinds, in the order in which a table tries them.
const (
	Exact    Kind = iota + 1 // one name
	Wildcard                 // *.example.com: exactly one label before example.com
	Regexp                   // an RE2 expression over the lower-case name
	Default                  // every name, and no name
)

// Table maps host names to values. It is made by a Builder and never changes,
// so any number of goroutines may read it. The zero Table is empty.
type Table[T any] struct {
	exact     map[string]T
	wildcards map[string]T // by what follows the first label's dot
	regexps   []expression[T]
	fallback  T
	hasFall   bool
}

type expression[T any] struct {
	*regexp.Regexp
	value T
}

// Lookup yields the values whose pattern covers name: that of the exact name,
// that of the wildcard, those of the regular expressions in the order they were
// added, and the default. Capitals and one trailing dot make no difference. An
// empty name, of a client that sends none, is covered by regular expressions
// that match the empty string and by the default; what is too long to be a host
// name, by the default only.
//
// Lookup works as it is ranged over and does not allocate, except for one copy
// of a name with capitals when regular expressions are tried.
func (t *Table[T]) Lookup(name []byte) iter.Seq[T] {
	return func(yield func(T) bool) { t.each(name, yield) }
}

// First returns the first value Lookup yields.
func (t *Table[T]) First(name []byte) (value T, ok bool) {
	for value := range t.Lookup(name) {
		return value, true
	}
	return value, false
}

func (t *Table[T]) each(name []byte, yield func(T) bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) <= maxName && !t.eachNamed(name, yield) {
		return
	}
	if t.hasFall {
		yield(t.fallback)
	}
}

// eachNamed yields all but the default; it returns false once yield does.
func (t *Table[T]) eachNamed(name []byte, yield func(T) bool) bool {
	var folded [maxName]byte
	key := name
	capital := hasCapital(name)
	if capital {
		key = lower(folded[:0], name)
	}
	if v, ok := t.exact[string(key)]; ok && !yield(v) {
		return false
	}
	if dot := bytes.IndexByte(key, '.'); dot > 0 && len(t.wildcards) > 0 {
		if v, ok := t.wildcards[string(key[dot+1:])]; ok && !yield(v) {
			return false
		}
	}
	if len(t.regexps) == 0 {
		return true
	}
	if capital { // regexp keeps hold of its input, which must not be of this stack frame
		name = lower(make([]byte, 0, len(name)), name)
	}
	for _, e := range t.regexps {
		if e.Match(name) && !yield(e.value) {
			return false
		}
	}
	return true
}

// lower appends s to dst in lower case.
func lower(dst, s []byte) []byte {
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// Builder collects the entries of a Table. The zero Builder is ready to use; it
// may be used by one goroutine.
type Builder[T any] struct {
	exact     map[string]*T
	wildcards map[string]*T
	regexps   []expression[*T]
	order     map[string]*T // regexps by their text
	fallback  *T
}

// NewBuilder returns an empty Builder.
func NewBuilder[T any]() *Builder[T] { return new(Builder[T]) }

var errDuplicateEntry = errors.New("pattern was added before")

// Add sets the value of a pattern: for Exact and Wildcard a host name, in any
// case and with or without a trailing dot; for Regexp an expression; for
// Default anything, by custom "*". A pattern may be added once.
func (b *Builder[T]) Add(kind Kind, name string, value T) error {
	slot, fresh, err := b.slot(kind, name)
	switch {
	case err != nil:
		return err
	case !fresh:
		return fmt.Errorf("sni: %q: %w", name, errDuplicateEntry)
	}
	*slot = value
	return nil
}

// Slot returns where the value of a pattern is kept until Build, for callers
// that collect several things under one name: T is then a slice, and the slot
// is nil at first. The patterns are those of Add.
func (b *Builder[T]) Slot(kind Kind, name string) (*T, error) {
	slot, _, err := b.slot(kind, name)
	return slot, err
}

func (b *Builder[T]) slot(kind Kind, name string) (slot *T, fresh bool, err error) {
	switch kind {
	case Exact:
		host := strings.ToLower(strings.TrimSuffix(name, "."))
		if !isHostName(host) {
			return nil, false, fmt.Errorf("sni: %q is not a host name", name)
		}
		slot, fresh = at(&b.exact, host)
	case Wildcard:
		host := strings.ToLower(strings.TrimSuffix(name, "."))
		parent, ok := strings.CutPrefix(host, "*.")
		if !ok || !isHostName(parent) || len(host) > maxName {
			return nil, false, fmt.Errorf("sni: %q is not *. and a host name", name)
		}
		slot, fresh = at(&b.wildcards, parent)
	case Regexp:
		return b.regexpSlot(name)
	case Default:
		if fresh = b.fallback == nil; fresh {
			b.fallback = new(T)
		}
		slot = b.fallback
	default:
		return nil, false, fmt.Errorf("sni: %d is not a kind of pattern", kind)
	}
	return slot, fresh, nil
}

func (b *Builder[T]) regexpSlot(text string) (slot *T, fresh bool, err error) {
	if slot, ok := b.order[text]; ok {
		return slot, false, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, false, fmt.Errorf("sni: %w", err)
	}
	slot, _ = at(&b.order, text)
	b.regexps = append(b.regexps, expression[*T]{re, slot})
	return slot, true, nil
}

// at returns the slot of a key, which is fresh if it was not there before.
func at[T any](m *map[string]*T, key string) (slot *T, fresh bool) {
	if slot, ok := (*m)[key]; ok {
		return slot, false
	}
	if *m == nil {
		*m = make(map[string]*T)
	}
	slot = new(T)
	(*m)[key] = slot
	return slot, true
}

// Build returns a table of what the slots hold now. The builder may go on; the
// table does not see it.
func (b *Builder[T]) Build() *Table[T] {
	t := &Table[T]{exact: values(b.exact), wildcards: values(b.wildcards)}
	for _, e := range b.regexps {
		t.regexps = append(t.regexps, expression[T]{e.Regexp, *e.value})
	}
	if b.fallback != nil {
		t.fallback, t.hasFall = *b.fallback, true
	}
	return t
}

func values[T any](slots map[string]*T) map[string]T {
	m := make(map[string]T, len(slots))
	for name, slot := range slots {
		m[name] = *slot
	}
	return m
}
