package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one key of a type of the language, as its struct tag tells.
type field struct {
	key      string
	doc      string
	enum     []string
	min, max *int64 // of numbers; of durations in nanoseconds
	need     bool
	usual    string // default of a value that is settled later than it is decoded, as JSON
	quoted   bool   // a number that may be written as text
	lone     bool   // a list of objects whose only one may stand without the list
	index    int
	typ      reflect.Type
}

// keysOf returns the keys of a struct type in their order.
func keysOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, arm, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || arm != "" {
			continue
		}
		fields = append(fields, fieldOf(f, key, i))
	}
	return fields
}

func fieldOf(f reflect.StructField, key string, index int) field {
	out := field{
		key: key, doc: f.Tag.Get("doc"), need: f.Tag.Get("need") == "true",
		usual:  f.Tag.Get("usual"),
		quoted: f.Tag.Get("quoted") == "true",
		lone:   f.Tag.Get("lone") == "true",
		index:  index, typ: f.Type,
	}
	if words := f.Tag.Get("enum"); words != "" {
		out.enum = strings.Split(words, "|")
	}
	out.min, out.max = bound(f, "min"), bound(f, "max")
	return out
}

// bound reads a min or max tag, nil where there is none. A tag that cannot be
// read is a mistake in this package, which a test over all types finds.
func bound(f reflect.StructField, tag string) *int64 {
	written, ok := f.Tag.Lookup(tag)
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(written, 10, 64)
	if f.Type == durationType {
		var d time.Duration
		d, err = time.ParseDuration(written)
		n = int64(d)
	}
	if err != nil {
		panic(fmt.Sprintf("config: bad %s tag on %s: %v", tag, f.Name, err))
	}
	return &n
}

// arms returns the two members of a name-or-object type; ok is false for every
// other struct.
func arms(t reflect.Type) (scalar, object field, ok bool) {
	if t.Kind() != reflect.Struct || t.NumField() != 2 {
		return field{}, field{}, false
	}
	a, b := t.Field(0), t.Field(1)
	if a.Tag.Get("yaml") != ",scalar" || b.Tag.Get("yaml") != ",object" {
		return field{}, field{}, false
	}
	return fieldOf(a, "", 0), fieldOf(b, "", 1), true
}

var (
	durationType = reflect.TypeFor[Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	statusType   = reflect.TypeFor[StatusRange]()
	shareType    = reflect.TypeFor[Share]()
	freeType     = reflect.TypeFor[Free]()
)

// language remembers the keys of the types it has met: reading struct tags
// anew for every one of ten thousand servers would take most of a load's time.
type language map[reflect.Type][]field

func (l language) keysOf(t reflect.Type) []field {
	fields, ok := l[t]
	if !ok {
		fields = keysOf(t)
		l[t] = fields
	}
	return fields
}

// defaulted returns an addressable new value of t with its defaults set, in
// the value itself and in the structs it holds.
func (l language) defaulted(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	l.setDefaults(v)
	return v
}

func (l language) setDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct || v.Type() == prefixType || v.Type() == statusType {
		return
	}
	if d, ok := v.Addr().Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
	for _, f := range l.keysOf(v.Type()) {
		l.setDefaults(v.Field(f.index))
	}
}
