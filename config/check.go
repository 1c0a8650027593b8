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

// one checks that exactly one member of a choice is there.
func (c *checker) one(at string, choice any) {
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
		c.fail(at, "is "+strings.Join(given, " and ")+" at the same time", "give each a name of its own")
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

// references collects the services that a weighted or failover service names,
// and checks that they exist.
func references[V any](c *checker, at, section string, known map[string]V, w *Weighted, f *Failover) []reference {
	var out []reference
	add := func(at string, name *string) {
		refer(c, at, name, section, known)
		if _, ok := known[*name]; ok {
			out = append(out, reference{at, *name})
		}
	}
	if w != nil {
		for i := range w.Services {
			add(fmt.Sprintf("%s.weighted.services[%d].name", at, i), &w.Services[i].Name)
		}
	}
	if f != nil {
		add(at+".failover.service", &f.Service)
		add(at+".failover.fallback", &f.Fallback)
	}
	return out
}
