package discovery

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/weirlb/weir/upstream"
)

// Bounds of one document.
const (
	maxDocument  = 4 << 20 // bytes
	maxEndpoints = 10_000
	maxPriority  = 65535 // as of a listed server
	maxName      = 255   // bytes

	// maxMarks bounds the marks that begin a value: line ends, commas and opening brackets. The parser takes several hundred
	// bytes of memory for each: a document of 4 MiB with little else in it took 900 MiB. An endpoint spread over lines has 11.
	maxMarks = 200_000
)

// Labels of a target group that mean something here.
const (
	labelWeight   = "weir_weight"
	labelPriority = "weir_priority"
)

// ParseEndpoints reads a list of endpoints, JSON or YAML, and returns it sorted and not nil. name is the file or address
// that errors begin with. Each item of the list is an address, an endpoint, or a target group as Prometheus reads
// them from files and over HTTP; the list may stand alone or under the key endpoints:
//
//   - 10.0.0.1:5432
//   - { address: "10.0.0.2:5432", weight: 2, priority: 1, name: db-2 }
//   - { targets: ["10.0.0.3:5432", "10.0.0.4:5432"], labels: { weir_weight: "2", weir_priority: "1" } }
//
// An endpoint takes no other key. A group may have any and all the labels that other readers want; but for the two shown they
// are passed over. Weight is 1 and priority 0 where nothing is said. Addresses are IP addresses and ports, without
// a zone, which would name an interface of one machine.
//
// An address that comes twice and is given the same both times counts once; given differently it is an error. A list with
// no items, or whose groups have no targets, is an empty set. A document with nothing in it is an error: it is what
// a file looks like before its writer has got to it.
func ParseEndpoints(name string, data []byte) ([]upstream.Endpoint, error) {
	root, err := parseDocument(name, data)
	if err != nil {
		return nil, err
	}
	l := listing{name: name, lines: make(map[netip.AddrPort]int), endpoints: []upstream.Endpoint{}}
	if err := l.document(root); err != nil {
		return nil, err
	}
	Sort(l.endpoints)
	return l.endpoints, nil
}

// parseDocument returns the one document that data holds.
func parseDocument(name string, data []byte) (*yaml.Node, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%s: larger than %d MiB: split the service, or leave out the labels", name, maxDocument>>20)
	}
	if marks(data) > maxMarks {
		return nil, fmt.Errorf("%s: more than %d lines, commas and brackets: leave out labels and comments", name, maxMarks)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := dec.Decode(&first)
	if errors.Is(err, io.EOF) || err == nil && len(first.Content) == 0 {
		return nil, fmt.Errorf("%s: nothing is in it: write [] where there are no endpoints", name)
	}
	if err != nil {
		return nil, syntaxError(name, err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("%s:%d: a second document begins: put all endpoints into one", name, max(second.Line, 1))
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(name, err)
	}
	return first.Content[0], nil
}

func marks(data []byte) int {
	n := 0
	for _, c := range data {
		switch c {
		case '\n', '\r', ',', '[', '{':
			n++
		}
	}
	return n
}

// syntaxErrorLine finds the line in the parser's message, the only place it gives it.
var syntaxErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s).*)$`)

// syntaxError puts the line where it belongs.
func syntaxError(name string, err error) error {
	line, message := "1", err.Error()
	if m := syntaxErrorLine.FindStringSubmatch(message); m != nil {
		line, message = cmp.Or(m[1], line), m[2]
	}
	return fmt.Errorf("%s:%s: neither JSON nor YAML: %s: it may be half written", name, line, shortened(message))
}

// listing collects the endpoints of one document.
type listing struct {
	name      string
	endpoints []upstream.Endpoint
	lines     map[netip.AddrPort]int // where an address came first, as an index of endpoints
}

// fault is an error at the line of n.
func (l *listing) fault(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{l.name, max(n.Line, 1)}, args...)...)
}

func (l *listing) document(root *yaml.Node) error {
	if root.Kind != yaml.MappingNode {
		return l.list(root)
	}
	var found *yaml.Node
	for key, value := range pairs(root) {
		if key.Value != "endpoints" {
			return l.fault(key, "unknown key %s: write a list of endpoints, or the key endpoints with one", quote(key.Value))
		}
		if found != nil {
			return l.fault(key, "the key endpoints comes twice: join the lists")
		}
		found = value
	}
	if found == nil {
		return l.fault(root, "no key in it: write [] where there are no endpoints")
	}
	return l.list(found)
}

func (l *listing) list(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return l.fault(n, "found %s, not a list of endpoints: write [] where there are none", kind(n))
	}
	for _, item := range n.Content {
		if err := l.item(item); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) item(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode:
		return l.add(n, upstream.Endpoint{Weight: 1})
	case n.Kind == yaml.MappingNode && has(n, "targets"):
		return l.group(n)
	case n.Kind == yaml.MappingNode:
		return l.entry(n)
	}
	return l.fault(n, "found %s, not an endpoint: write an address, { address: ... } or { targets: [...] }", kind(n))
}

// entry reads an endpoint in weir's own shape.
func (l *listing) entry(n *yaml.Node) error {
	e := upstream.Endpoint{Weight: 1}
	var address *yaml.Node
	seen := make(map[string]bool, 4)
	for key, value := range pairs(n) {
		if seen[key.Value] {
			return l.fault(key, "the key %s comes twice: remove one", quote(key.Value))
		}
		seen[key.Value] = true
		var err error
		switch key.Value {
		case "address":
			address = value
		case "weight":
			e.Weight, err = l.number(key, value, upstream.MaxWeight)
		case "priority":
			e.Priority, err = l.number(key, value, maxPriority)
		case "name":
			e.Name, err = l.text(key, value)
		default:
			err = l.fault(key, "unknown key %s: an endpoint has address, weight, priority and name", quote(key.Value))
		}
		if err != nil {
			return err
		}
	}
	if address == nil {
		return l.fault(n, `an endpoint without address: write one such as "10.0.0.1:5432"`)
	}
	return l.add(address, e)
}

// group reads a target group. What is not known in it is for other readers.
func (l *listing) group(n *yaml.Node) error {
	e := upstream.Endpoint{Weight: 1}
	var targets *yaml.Node
	for key, value := range pairs(n) {
		switch key.Value {
		case "targets":
			if targets != nil {
				return l.fault(key, "the key targets comes twice: join the lists")
			}
			targets = value
		case "labels":
			if err := l.labels(value, &e); err != nil {
				return err
			}
		}
	}
	if targets.Kind != yaml.SequenceNode {
		return l.fault(targets, "targets is %s, not a list: write [] where there are none", kind(targets))
	}
	for _, target := range targets.Content {
		if err := l.add(target, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) labels(n *yaml.Node, e *upstream.Endpoint) error {
	for key, value := range pairs(n) {
		var err error
		switch key.Value {
		case labelWeight:
			e.Weight, err = l.number(key, value, upstream.MaxWeight)
		case labelPriority:
			e.Priority, err = l.number(key, value, maxPriority)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add completes e with its address and takes it into the list.
func (l *listing) add(address *yaml.Node, e upstream.Endpoint) error {
	var err error
	if e.Addr, err = l.address(address); err != nil {
		return err
	}
	if i, twice := l.lines[e.Addr]; twice {
		if l.endpoints[i] != e {
			return l.fault(address, "%s comes twice, with different weights, priorities or names: remove one", e.Addr)
		}
		return nil
	}
	if len(l.endpoints) == maxEndpoints {
		return l.fault(address, "more than %d endpoints: split the service", maxEndpoints)
	}
	l.lines[e.Addr] = len(l.endpoints)
	l.endpoints = append(l.endpoints, e)
	return nil
}

func (l *listing) address(n *yaml.Node) (netip.AddrPort, error) {
	const form = `write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432"`
	if n.Kind != yaml.ScalarNode {
		return netip.AddrPort{}, l.fault(n, "found %s, not an address: %s", kind(n), form)
	}
	addr, err := netip.ParseAddrPort(n.Value)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(n.Value)
		if _, ipErr := netip.ParseAddr(host); splitErr == nil && host != "" && ipErr != nil {
			return netip.AddrPort{}, l.fault(n, "%s is a host name: write its IP address, or use DNS discovery", quote(host))
		}
		return netip.AddrPort{}, l.fault(n, "%s is not ip:port: %s", quote(n.Value), form)
	}
	switch ip := addr.Addr().Unmap(); {
	case addr.Port() == 0:
		return netip.AddrPort{}, l.fault(n, "%s has port 0, to which nobody can connect: %s", quote(n.Value), form)
	case ip.Zone() != "":
		return netip.AddrPort{}, l.fault(n, "%s has a zone, which names one machine's interface: leave it out", quote(n.Value))
	case ip.IsUnspecified() || ip.IsMulticast():
		return netip.AddrPort{}, l.fault(n, "%s is not the address of one server: %s", quote(n.Value), form)
	default:
		return netip.AddrPortFrom(ip, addr.Port()), nil
	}
}

// number reads a whole number from 0 to most. Labels are text by their format, so a number in quotes is one.
func (l *listing) number(key, n *yaml.Node, most int) (int, error) {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > most {
		return 0, l.fault(n, "%s is %s: write a whole number from 0 to %d", key.Value, kind(n), most)
	}
	return v, nil
}

// text reads a name, which people will see in tables and logs.
func (l *listing) text(key, n *yaml.Node) (string, error) {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		return "", l.fault(n, "%s is %s: write a text in quotes", key.Value, kind(n))
	case len(n.Value) > maxName:
		return "", l.fault(n, "%s is longer than %d bytes: shorten it", key.Value, maxName)
	case strings.ContainsFunc(n.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", l.fault(n, "%s is %s, with characters that do not print: remove them", key.Value, kind(n))
	}
	return n.Value, nil
}

// pairs returns the keys of a mapping with their values; nothing of another kind of node.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func has(n *yaml.Node, key string) bool {
	for k := range pairs(n) {
		if k.Value == key {
			return true
		}
	}
	return false
}

// kind says for people what a node is. Aliases are not followed: machines do not write them.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	case yaml.AliasNode:
		return "an alias, which is not followed"
	}
	if n.ShortTag() == "!!null" {
		return "no value"
	}
	return quote(n.Value)
}

// quote makes what a source said fit for a message.
func quote(said string) string { return strconv.Quote(shortened(said)) }

func shortened(said string) string {
	const most = 128
	if len(said) > most {
		return said[:most] + "..."
	}
	return said
}
