package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/internal/rule"
)

// decoder fills the types from a tree. It goes on after a problem, so that one
// run reports them all.
type decoder struct {
	lang     language
	problems Problems
	origin   origin
	broken   map[string]bool // paths whose value could not be taken
}

// decodeRoot decodes a whole document. The Config is complete as far as the
// decoder's problems allow.
func decodeRoot(root *node) (*Config, *decoder) {
	d := &decoder{lang: language{}, origin: origin{at: map[string]position{"": root.pos}}, broken: map[string]bool{}}
	cfg := new(Config)
	v := reflect.ValueOf(cfg).Elem()
	d.lang.setDefaults(v)
	d.object(path{}, root, v)
	cfg.origin = d.origin
	return cfg, d
}

// report notes that the value at the path could not be taken.
func (d *decoder) report(p path, at position, message, hint string) {
	d.broken[p.text] = true
	d.later(p, at, message, hint)
}

// later notes a problem that leaves the value usable, so that the checks that
// build on it still run: it is fine, but of no use to this version.
func (d *decoder) later(p path, at position, message, hint string) {
	d.problems = append(d.problems, Problem{
		File: at.file, Line: at.line, Col: at.col, Path: p.text, Message: message, Hint: hint,
	})
}

func (d *decoder) wrongType(p path, n *node, expected string) {
	hint := ""
	switch {
	case n.kind == null:
		hint = "remove the key, or give it a value"
		if expected == "a map" {
			hint = "remove the key, or write {} for the defaults"
		}
	case expected == "text" && n.kind != list && n.kind != mapping:
		hint = "put it in quotes"
	case expected != "text" && n.kind == text && looksLike(expected, n.value):
		hint = "remove the quotes"
	case expected == "a list" && n.kind == text:
		hint = fmt.Sprintf("write [%q]", abbreviated(n.value))
	}
	d.report(p, n.pos, fmt.Sprintf("expected %s, found %s", expected, n.describe()), hint)
}

// looksLike reports whether a quoted value would be right without the quotes.
func looksLike(expected, value string) bool {
	switch expected {
	case "a whole number":
		_, err := strconv.Atoi(value)
		return err == nil
	case "true or false":
		return value == "true" || value == "false"
	}
	return false
}

// value decodes n into v, which holds its default.
func (d *decoder) value(p path, f field, n *node, v reflect.Value) {
	switch {
	case v.Type() == durationType:
		d.duration(p, f, n, v)
	case v.Type() == prefixType:
		d.prefix(p, n, v)
	case v.Type() == statusType:
		d.status(p, n, v)
	case v.Type() == freeType:
		d.free(p, n, v)
	case v.Type() == shareType:
		d.share(p, n, v)
	case v.Kind() == reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		d.lang.setDefaults(fresh.Elem())
		d.value(p, f, n, fresh.Elem())
		v.Set(fresh)
	case v.Kind() == reflect.Struct:
		d.structure(p, f, n, v)
	case v.Kind() == reflect.Map:
		d.named(p, n, v)
	case v.Kind() == reflect.Slice:
		d.items(p, f, n, v)
	case v.Kind() == reflect.String:
		d.word(p, f, n, v)
	case v.Kind() == reflect.Bool:
		d.boolean(p, n, v)
	case v.Kind() == reflect.Int:
		d.number(p, f, n, v)
	default:
		panic(fmt.Sprintf("config: no decoder for %s at %s", v.Type(), p.shape))
	}
}

// structure decodes an object, or the arm of a name-or-object value that fits.
func (d *decoder) structure(p path, f field, n *node, v reflect.Value) {
	scalar, object, ok := arms(v.Type())
	switch {
	case !ok:
		d.object(p, n, v)
	case n.kind == mapping:
		d.value(p, object, n, v.Field(object.index))
	case n.kind == text:
		d.value(p, scalar, n, v.Field(scalar.index))
	default:
		d.wrongType(p, n, "a name or a map")
	}
}

// object decodes a mapping with known keys.
func (d *decoder) object(p path, n *node, v reflect.Value) {
	if n.kind != mapping {
		d.wrongType(p, n, "a map")
		return
	}
	d.duplicates(p, n)
	fields := d.lang.keysOf(v.Type())
	for i := range n.entries {
		e := &n.entries[i]
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == e.key })
		if at < 0 {
			d.unknown(p, e, fields)
			continue
		}
		here := p.key(e.key)
		d.origin.at[here.text] = e.at()
		d.value(here, fields[at], e.value, v.Field(fields[at].index))
		if what, ok := notServed[here.shape]; ok {
			d.later(here, e.pos, notServedMessage, what)
		}
	}
	for _, f := range fields {
		if f.need && n.get(f.key) == nil && v.Field(f.index).IsZero() {
			d.report(p.key(f.key), d.origin.at[p.text], "missing", strings.TrimSuffix(f.doc, " (restart)"))
		}
	}
}

// duplicates reports keys of a mapping that were given before; the first one counts.
func (d *decoder) duplicates(p path, n *node) {
	for _, e := range n.again {
		first := n.entries[n.index[e.key]].pos
		d.later(path{text: joined(p.text, abbreviated(e.key))}, e.pos, fmt.Sprintf("duplicate key, first given on line %d", first.line), "")
	}
}

// unknown reports a key that no field has: one of a later weir, one of
// Traefik, or a slip.
func (d *decoder) unknown(p path, e *entry, fields []field) {
	here := p.key(e.key)
	if what, ok := notServed[here.shape]; ok {
		d.report(here, e.pos, notServedMessage, what)
		return
	}
	if what, ok := foreign[here.shape]; ok {
		d.report(here, e.pos, unsupportedMessage, what)
		return
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	hint := suggestion(e.key, keys)
	if hint == "" && len(keys) > 0 {
		hint = "known here: " + strings.Join(keys, ", ")
	}
	d.report(path{text: joined(p.text, abbreviated(e.key))}, e.pos, "unknown key", hint)
}

// named decodes a mapping whose keys are names the user gives.
func (d *decoder) named(p path, n *node, v reflect.Value) {
	if n.kind != mapping {
		d.wrongType(p, n, "a map")
		return
	}
	d.duplicates(p, n)
	if len(n.entries) == 0 {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for i := range n.entries {
		e := &n.entries[i]
		if wrong := nameFault(e.key, isNamed(v.Type())); wrong != nil {
			d.report(p, e.pos, wrong.message, wrong.hint)
			continue
		}
		here := p.name(e.key)
		d.origin.at[here.text] = e.at()
		item := d.lang.defaulted(v.Type().Elem())
		d.value(here, field{}, e.value, item)
		out.SetMapIndex(reflect.ValueOf(e.key), item)
	}
	v.Set(out)
}

// isNamed reports whether the keys of a map name objects of the configuration,
// rather than headers.
func isNamed(t reflect.Type) bool { return t.Elem().Kind() == reflect.Pointer }

// nameFault says why a name cannot be used, nil where it can. Names go into log
// lines, metric labels and URLs. That of an object has no @, which stands between
// such a name and where it comes from.
func nameFault(name string, object bool) *fault {
	const longest = 255
	switch {
	case name == "":
		return &fault{message: "a name must not be empty"}
	case len(name) > longest:
		return &fault{message: fmt.Sprintf("the name %q is longer than %d bytes", abbreviated(name), longest)}
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &fault{message: fmt.Sprintf("the name %q has a control character", name)}
	case object && strings.ContainsRune(name, '@'):
		return &fault{fmt.Sprintf("the name %q has an @", name), "what follows an @ says where a name comes from; leave it out"}
	}
	return nil
}

func (d *decoder) items(p path, f field, n *node, v reflect.Value) {
	switch {
	case f.lone && n.kind == mapping:
		d.lone(p, n, v)
		return
	case f.lone && n.kind != list:
		d.wrongType(p, n, "a map or a list of maps")
		return
	case n.kind != list:
		d.wrongType(p, n, "a list")
		return
	}
	if len(n.items) == 0 {
		if f.need {
			d.report(p, n.pos, "must not be empty", f.doc)
		}
		v.SetZero()
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		here := p.item(i)
		d.origin.at[here.text] = item.pos
		d.lang.setDefaults(out.Index(i))
		d.value(here, field{need: true}, item, out.Index(i))
	}
	v.Set(out)
}

// lone decodes the only object of a list that stands there without the list. It
// has the path of the list, and the shape of its objects.
func (d *decoder) lone(p path, n *node, v reflect.Value) {
	out := reflect.MakeSlice(v.Type(), 1, 1)
	d.lang.setDefaults(out.Index(0))
	d.value(path{p.text, p.shape + "[]"}, field{need: true}, n, out.Index(0))
	v.Set(out)
}

func (d *decoder) word(p path, f field, n *node, v reflect.Value) {
	switch {
	case n.kind != text:
		d.wrongType(p, n, "text")
	case n.value == "" && (f.need || f.enum != nil):
		d.report(p, n.pos, "must not be empty", f.doc)
	case f.enum != nil && !slices.Contains(f.enum, n.value):
		hint := suggestion(n.value, f.enum)
		if hint == "" {
			hint = "one of " + strings.Join(f.enum, ", ")
		}
		d.report(p, n.pos, fmt.Sprintf("unknown value %q", abbreviated(n.value)), hint)
	default:
		v.SetString(n.value)
		d.single(p, n, n.value)
	}
}

// single reports one value, of a key that is served, that is not.
func (d *decoder) single(p path, n *node, value string) {
	if what, ok := notServed[p.shape+"="+value]; ok {
		d.later(p, n.pos, fmt.Sprintf("%s is %s", value, notServedMessage), what)
	}
	if what, ok := foreign[p.shape+"="+value]; ok {
		d.later(p, n.pos, fmt.Sprintf("%s is %s", value, unsupportedMessage), what)
	}
}

func (d *decoder) boolean(p path, n *node, v reflect.Value) {
	switch {
	case n.kind == boolean && strings.EqualFold(n.value, "true"):
		v.SetBool(true)
	case n.kind == boolean && strings.EqualFold(n.value, "false"):
		v.SetBool(false)
	default:
		d.wrongType(p, n, "true or false")
		return
	}
	d.single(p, n, strings.ToLower(n.value))
}

func (d *decoder) number(p path, f field, n *node, v reflect.Value) {
	if n.kind != integer && (!f.quoted || n.kind != text || !looksLike("a whole number", n.value)) {
		d.wrongType(p, n, "a whole number")
		return
	}
	digits := strings.TrimLeft(n.value, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		d.report(p, n.pos, fmt.Sprintf("the number %s starts with a zero", abbreviated(n.value)), "some readers take it as octal; remove the zero")
		return
	}
	i, err := strconv.ParseInt(strings.TrimPrefix(n.value, "+"), 0, strconv.IntSize)
	if err != nil {
		d.report(p, n.pos, fmt.Sprintf("the number %s is out of range", abbreviated(n.value)), "")
		return
	}
	show := func(i int64) string { return strconv.FormatInt(i, 10) }
	if d.within(p, f, n, i, show) {
		v.SetInt(i)
	}
}

// within holds a number against the bounds of its key.
func (d *decoder) within(p path, f field, n *node, i int64, show func(int64) string) bool {
	switch {
	case f.min != nil && i < *f.min:
		d.report(p, n.pos, fmt.Sprintf("%s is less than %s, the least there may be", show(i), show(*f.min)), "")
	case f.max != nil && i > *f.max:
		d.report(p, n.pos, fmt.Sprintf("%s is more than %s, the most there may be", show(i), show(*f.max)), "")
	default:
		return true
	}
	return false
}

func (d *decoder) duration(p path, f field, n *node, v reflect.Value) {
	const form = `write it like "1m30s" or "500ms"`
	var length time.Duration
	switch n.kind {
	case text:
		var err error
		if length, err = time.ParseDuration(n.value); err != nil {
			d.report(p, n.pos, fmt.Sprintf("%q is not a duration", abbreviated(n.value)), form)
			return
		}
	case integer:
		seconds, err := strconv.ParseInt(n.value, 10, 64)
		if err != nil || seconds > int64(maxDuration/time.Second) || seconds < -int64(maxDuration/time.Second) {
			d.report(p, n.pos, fmt.Sprintf("%s seconds is out of range", abbreviated(n.value)), form)
			return
		}
		length = time.Duration(seconds) * time.Second
	default:
		d.wrongType(p, n, "a duration")
		return
	}
	switch {
	case length < 0 && (f.min == nil || *f.min >= 0):
		d.report(p, n.pos, fmt.Sprintf("the duration %s is negative", length), "")
	case length > maxDuration:
		d.report(p, n.pos, fmt.Sprintf("the duration %s is longer than a year", length), "")
	case d.within(p, f, n, int64(length), func(i int64) string { return time.Duration(i).String() }):
		v.SetInt(int64(length))
	}
}

// maxDuration keeps every sum and product of configured durations far from
// overflow.
const maxDuration = 366 * 24 * time.Hour

func (d *decoder) share(p path, n *node, v reflect.Value) {
	if n.kind != integer && n.kind != float {
		d.wrongType(p, n, "a number from 0 to 1")
		return
	}
	share, err := strconv.ParseFloat(n.value, 64)
	if err != nil || !(share >= 0 && share <= 1) { // .nan is neither
		d.report(p, n.pos, fmt.Sprintf("%s is not a number from 0 to 1", abbreviated(n.value)), "")
		return
	}
	v.SetFloat(share)
}

func (d *decoder) prefix(p path, n *node, v reflect.Value) {
	if n.kind != text {
		d.wrongType(p, n, "text")
		return
	}
	prefix, err := rule.ParsePrefix(n.value)
	if err != nil {
		d.report(p, n.pos, abbreviated(err.Error()), `write an address or a network such as "10.0.0.0/8"`)
		return
	}
	v.Set(reflect.ValueOf(prefix))
}

func (d *decoder) status(p path, n *node, v reflect.Value) {
	if n.kind != text && n.kind != integer {
		d.wrongType(p, n, "a status or a range of them")
		return
	}
	status, err := ParseStatusRange(n.value)
	if err != nil {
		d.report(p, n.pos, err.Error(), `write it like "404" or "500-504"`)
		return
	}
	v.Set(reflect.ValueOf(status))
}

// brokenAt reports whether the value at the path, or one around it, could not
// be taken, so that checks that build on it would only repeat the complaint.
func (d *decoder) brokenAt(at string) bool {
	for at != "" {
		if d.broken[at] {
			return true
		}
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	return false
}

// sortedKeys returns the names of a map in order, so that problems come out
// the same on every run.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
