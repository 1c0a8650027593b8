package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Free is a map whose keys are not this package's: those of a middleware that
// others have built into weir. It is kept as JSON.
type Free string

// free decodes a map of any keys.
func (d *decoder) free(p path, n *node, v interface{ SetString(string) }) {
	if n.kind != mapping {
		d.wrongType(p, n, "a map")
		return
	}
	value, ok := d.plain(p, n)
	if !ok {
		return
	}
	text, err := json.Marshal(value) // keys come out sorted: what says the same is the same
	if err != nil {
		d.report(p, n.pos, err.Error(), "")
		return
	}
	v.SetString(string(text))
}

// plain returns a node as encoding/json knows it. Places inside are not noted
// one by one: whoever finds fault with them knows but the map.
func (d *decoder) plain(p path, n *node) (value any, ok bool) {
	switch n.kind {
	case boolean:
		return strings.EqualFold(n.value, "true"), true
	case integer, float:
		return d.plainNumber(p, n)
	case list:
		all := []any{}
		for i, item := range n.items {
			v, ok := d.plain(p.item(i), item)
			if !ok {
				return nil, false
			}
			all = append(all, v)
		}
		return all, true
	case mapping:
		d.duplicates(p, n)
		all := map[string]any{}
		for _, e := range n.entries {
			v, ok := d.plain(p.key(e.key), e.value)
			if !ok {
				return nil, false
			}
			all[e.key] = v
		}
		return all, true
	case null:
		return nil, true
	}
	return n.value, true
}

func (d *decoder) plainNumber(p path, n *node) (value any, ok bool) {
	if i, err := strconv.ParseInt(n.value, 0, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(n.value, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		d.report(p, n.pos, fmt.Sprintf("the number %s cannot be passed on", abbreviated(n.value)), "put it in quotes, and it is text")
		return nil, false
	}
	return f, true
}
