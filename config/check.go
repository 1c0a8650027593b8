package config

import (
	"fmt"
	"reflect"
	"strings"
)

// checker holds a decoded Config against everything a single value cannot
// tell: references, fits, clashes. It settles what depends on other keys on
// the way.
type checker struct {
	*decoder
	cfg *Config
}

// finish checks a decoded Config and returns it, or everything that is wrong
// with it.
func finish(cfg *Config, d *decoder) (*Config, error) {
	c := &checker{d, cfg}
	c.entryPoints()
	c.adminAddress()
	c.tracing()
	c.tcp()
	c.udp()
	c.http()
	c.tls()
	c.resolvers()
	c.cluster()
	if err := d.problems.orNil(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// fail reports a problem with the value at a path, unless that value is known
// to be broken already.
func (c *checker) fail(at, message, hint string) {
	if c.brokenAt(at) {
		return
	}
	file, line, col := c.cfg.Position(at)
	c.report(path{text: at}, position{file, line, col}, message, hint)
}

func (c *checker) failf(at, format string, args ...any) {
	c.fail(at, fmt.Sprintf(format, args...), "")
}

// refer checks that a name stands in a section, and takes Traefik's "@file"
// off its end.
func refer[V any](c *checker, at string, name *string, section string, known map[string]V) {
	if _, ok := known[*name]; ok || *name == "" || c.brokenAt(section) {
		return
	}
	plain, provider, qualified := strings.Cut(*name, "@")
	if _, ok := known[plain]; ok && provider == "file" {
		*name = plain
		return
	}
	if qualified && provider != "file" {
		c.fail(at, fmt.Sprintf("%q names the provider %q: not supported by weir", abbreviated(*name), abbreviated(provider)),
			"everything stands in this configuration")
		return
	}
	names := sortedKeys(known)
	hint := suggestion(plain, names)
	switch {
	case hint != "":
	case len(names) == 0:
		hint = section + " is empty"
	case len(names) <= 8:
		hint = "there are " + strings.Join(names, ", ")
	}
	c.fail(at, fmt.Sprintf("no %q in %s", abbreviated(*name), section), hint)
}

// one checks that exactly one member of a named choice is there.
func (c *checker) one(at string, choice any) { c.oneOf(at, choice, "give each a name of its own") }

// oneOf checks that exactly one member of a choice is there. apart says how
// several can be had.
func (c *checker) oneOf(at string, choice any, apart string) {
	v := reflect.ValueOf(choice).Elem()
	var all, given []string
	for _, f := range keysOf(v.Type()) {
		all = append(all, f.key)
		if !v.Field(f.index).IsNil() {
			given = append(given, f.key)
		}
	}
	switch {
	case len(given) == 0 && !c.brokenWithin(at):
		c.fail(at, "is empty", "write one of "+strings.Join(all, ", "))
	case len(given) > 1:
		c.fail(at, "is "+strings.Join(given, " and ")+" at the same time", apart)
	}
}

// brokenWithin reports whether something inside the value at the path is
// broken, such as a key that could not be understood.
func (c *checker) brokenWithin(at string) bool {
	for p := range c.broken {
		if strings.HasPrefix(p, at+".") {
			return true
		}
	}
	return false
}

// circles reports services that lead back to themselves. next gives the
// services one names, each with the path of the reference.
func (c *checker) circles(names []string, next func(string) []reference) {
	const (
		entered = 1
		left    = 2
	)
	state := map[string]int{}
	var trail []string
	var visit func(string)
	visit = func(name string) {
		state[name] = entered
		trail = append(trail, name)
		for _, r := range next(name) {
			switch state[r.name] {
			case 0:
				visit(r.name)
			case entered:
				from := len(trail) - 1
				for trail[from] != r.name {
					from--
				}
				c.failf(r.at, "leads in a circle: %s", strings.Join(append(trail[from:len(trail):len(trail)], r.name), " -> "))
			}
		}
		trail = trail[:len(trail)-1]
		state[name] = left
	}
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
}

// reference is one service named by another.
type reference struct{ at, name string }

// mention is a service named by another: where, and the name as it is written.
type mention struct {
	at   string
	name *string
}

// mentions returns the services that a weighted and a failover service name,
// either of which may be nil.
func mentions(at string, w *Weighted, f *Failover) []mention {
	var out []mention
	if w != nil {
		out = append(out, weightedMentions(at+".weighted", w.Services)...)
	}
	if f != nil {
		out = append(out, mention{at + ".failover.service", &f.Service}, mention{at + ".failover.fallback", &f.Fallback})
	}
	return out
}

func weightedMentions(at string, services []WeightedService) []mention {
	var out []mention
	for i := range services {
		out = append(out, mention{fmt.Sprintf("%s.services[%d].name", at, i), &services[i].Name})
	}
	return out
}

// references checks that the services named by another exist, and returns
// those that do.
func references[V any](c *checker, section string, known map[string]V, named []mention) []reference {
	var out []reference
	for _, m := range named {
		refer(c, m.at, m.name, section, known)
		if _, ok := known[*m.name]; ok {
			out = append(out, reference{m.at, *m.name})
		}
	}
	return out
}

// written reports whether the value at the path stands in a file, rather than
// being a default.
func (c *checker) written(at string) bool {
	_, ok := c.cfg.origin.at[at]
	return ok
}
