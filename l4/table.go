package l4

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weirlb/weir/internal/rule"
	"github.com/weirlb/weir/sni"
)

// Table is the routing of one entrypoint. It is made once from its routes and never changes.
//
// TLS connections are looked up by server name; what is left of each rule then (ALPN, client address) is evaluated in the
// order of priority. Plain connections have no name: their routes are tried in order. The cost of a lookup does not grow
// with the number of names.
type Table struct {
	named  *sni.Table[[]*match] // TLS routes with a name in their rule
	any    []*match             // TLS routes for any name, or none
	plain  []*match             // routes without TLS
	http   Handler              // what no plain route takes; nil = nothing
	https  HostHandler          // TLS names served by HTTP routers; nil = none
	sniffs bool                 // the first bytes must be looked at to decide
	secure bool                 // there is somebody for TLS connections
	blank  sni.Hello            // what rules of plain connections see; here, so that a lookup allocates nothing
}

// HostHandler answers for the TLS connections that HTTP routers serve.
type HostHandler interface {
	// HandlerFor returns what serves a TLS connection to the given server name, nil if no router does.
	HandlerFor(serverName []byte) Handler
}

// match is a route together with what is left to evaluate of its rule where it is stored.
type match struct {
	*Route
	left predicate // nil = nothing is left: it matches
}

// NewTable builds a table. http takes the plain connections no TCP route wants, https the TLS connections of its names
// after TCP routes with a name in their rule and before the catch-alls; both may be nil.
func NewTable(routes []*Route, http Handler, https HostHandler) (*Table, error) {
	t := &Table{http: http, https: https, sniffs: http != nil || https != nil, secure: https != nil}
	b := sni.NewBuilder[[]*match]()
	for _, r := range slices.SortedFunc(slices.Values(routes), compareRoutes) {
		if err := t.add(b, r); err != nil {
			return nil, fmt.Errorf("router %s: %w", r.Name, err)
		}
	}
	t.named = b.Build()
	return t, nil
}

// compareRoutes orders by priority, highest first, and by name where that is equal, so that the order is always the same.
func compareRoutes(a, b *Route) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
}

func (t *Table) add(b *sni.Builder[[]*match], r *Route) error {
	names, any := rule.Hosts(r.Rule)
	if r.TLS == NoTLS {
		left, possible := rule.Residual(r.Rule, rule.HostPattern{Kind: rule.Any, Name: "*"})
		if !possible {
			return impossible(r)
		}
		t.plain = append(t.plain, &match{Route: r, left: compile(left)})
		return nil
	}
	if !any && len(names) == 0 {
		return impossible(r)
	}
	t.sniffs, t.secure = true, true
	if any {
		left, _ := rule.Residual(r.Rule, rule.HostPattern{Kind: rule.Any, Name: "*"})
		t.any = append(t.any, &match{Route: r, left: compile(left)})
		return nil
	}
	for _, name := range names {
		slot, err := b.Slot(kinds[name.Kind], name.Name)
		if err != nil {
			return err
		}
		left, _ := rule.Residual(r.Rule, name)
		*slot = append(*slot, &match{Route: r, left: compile(left)})
	}
	return nil
}

func impossible(r *Route) error { return fmt.Errorf("rule can never match: %s", r.Rule) }

var kinds = map[rule.HostKind]sni.Kind{
	rule.Exact:    sni.Exact,
	rule.Wildcard: sni.Wildcard,
	rule.Regexp:   sni.Regexp,
	rule.Any:      sni.Default,
}

// tls finds the route or handler of a TLS connection: routes by name first, then HTTP's names, then catch-alls.
func (t *Table) tls(hello *sni.Hello, client netip.Addr) (*Route, Handler) {
	var best *match
	for matches := range t.named.Lookup(hello.ServerName) {
		if m := first(matches, hello, client); m != nil && (best == nil || compareRoutes(m.Route, best.Route) < 0) {
			best = m
		}
	}
	if best != nil {
		return best.Route, nil
	}
	if t.https != nil {
		if h := t.https.HandlerFor(hello.ServerName); h != nil {
			return nil, h
		}
	}
	if m := first(t.any, hello, client); m != nil {
		return m.Route, nil
	}
	return nil, nil
}

// bare finds the route of a connection without TLS, nil if none takes it.
func (t *Table) bare(client netip.Addr) *Route {
	if m := first(t.plain, &t.blank, client); m != nil {
		return m.Route
	}
	return nil
}

// first returns the first match whose rule holds; they are in order of priority.
func first(matches []*match, hello *sni.Hello, client netip.Addr) *match {
	for _, m := range matches {
		if m.left == nil || m.left(hello, client) {
			return m
		}
	}
	return nil
}
