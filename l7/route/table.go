package route

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/weirlb/weir/internal/rule"
)

// Route is a router: the requests its rule matches get its value. It is a value
// of the configuration and never changes.
type Route[T any] struct {
	Name     string    // distinct within a table
	Rule     rule.Expr // of the HTTP family; nil matches every request
	Priority int       // the higher, the earlier; what the user says or rule.Priority
	TLS      bool      // takes requests that came over TLS, and only those
	Value    T
}

// Table is the routing of one entrypoint. It is made once from its routes and
// never changes, so any number of goroutines may use it.
type Table[T any] struct {
	routes []*Route[T] // in the order of their ranks: priority, highest first, then name
	plain  hosts
	tls    hosts
}

// ErrNeverMatches says that a rule contradicts itself.
var ErrNeverMatches = errors.New("rule can never match")

var errSameName = errors.New("two routers have this name")

// NewTable compiles routes. It keeps the pointers and does not change what they
// point to. The error names the first router that is wrong: one whose rule is
// not a good HTTP rule by rule.Check or can never match (ErrNeverMatches), or
// that has the name of another.
func NewTable[T any](routes []*Route[T]) (*Table[T], error) {
	t := &Table[T]{routes: slices.SortedFunc(slices.Values(routes), compareRoutes)}
	c := newCompiler()
	names := make(map[string]bool, len(routes))
	for rank, r := range t.routes {
		err := error(nil)
		if errs := rule.Check(r.Rule, rule.HTTP); errs != nil {
			err = errs[0]
		} else if names[r.Name] {
			err = errSameName
		} else if !t.side(r.TLS).add(c, rank, r.Rule) {
			err = fmt.Errorf("%w: %s", ErrNeverMatches, r.Rule)
		}
		if err != nil {
			return nil, fmt.Errorf("router %s: %w", r.Name, err)
		}
		names[r.Name] = true
	}
	return t, nil
}

// compareRoutes orders by priority, highest first, and by name where that is
// equal, so that the order is always the same.
func compareRoutes[T any](a, b *Route[T]) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
}

func (t *Table[T]) side(tls bool) *hosts {
	if tls {
		return &t.tls
	}
	return &t.plain
}

// add indexes a rule under every host and path pattern it can match; it returns
// false if there is none.
func (h *hosts) add(c *compiler, rank int, e rule.Expr) bool {
	names, any := rule.Hosts(e)
	if any {
		names = []rule.HostPattern{{Kind: rule.Any, Name: "*"}}
	}
	added := false
	for _, name := range names {
		rest, _ := rule.Residual(e, name) // Hosts leaves out the impossible
		for _, path := range pathsOf(rest) {
			left, known := c.under(rest, path)
			if known == never {
				continue
			}
			h.at(name, c).add(path, entry{rank, c.compile(left)})
			added = true
		}
	}
	return added
}

// Match returns the route of a request: of those whose rule holds the one with
// the highest priority, and of several of those the first by name. ok is false
// if no rule holds. Match allocates nothing once req has been used before, but
// for hosts that are IPv6 addresses and for queries of many parameters.
func (t *Table[T]) Match(req *Request) (r *Route[T], ok bool) {
	req.prepare()
	rank := t.side(req.TLS).find(req)
	if rank == none {
		return nil, false
	}
	return t.routes[rank], true
}

// HasTLSHost reports whether a request over TLS to the given server name could
// match: a route with TLS is for that name, for all names or for none in
// particular. The name is what the client's hello says, in any case; empty if
// it names none, as clients do that connect to an address (RFC 6066 section 3),
// so that routes for addresses count too. It allocates nothing for names in
// lower case.
func (t *Table[T]) HasTLSHost(name []byte) bool {
	name = bytes.TrimSuffix(name, []byte("."))
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			name = appendLower(nil, name)
			break
		}
	}
	return t.tls.has(name)
}
