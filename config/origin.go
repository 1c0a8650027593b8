package config

import (
	"fmt"
	"strings"
)

// position is a place in a file.
type position struct {
	file      string
	line, col int
}

// origin remembers where the values of a Config come from.
type origin struct {
	at map[string]position // by path
}

// Position returns where the value at path stands, such as
// "tcp.routers.orders.rule" or "tcp.services.orders.loadBalancer.servers[0]".
// For a value that comes from a default it returns the nearest object around it
// that is written in a file; line and col are 0 where there is none.
func (c *Config) Position(path string) (file string, line, col int) {
	for path != "" {
		if p, ok := c.origin.at[path]; ok {
			return p.file, p.line, p.col
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	p := c.origin.at[""]
	return p.file, p.line, p.col
}

// item returns the path of an entry of a list at the path, which is that of the
// list itself for an only object that stands there without the list.
func (c *Config) item(list string, i int) string {
	if at := fmt.Sprintf("%s[%d]", list, i); c.Written(at) {
		return at
	}
	return list
}

// Written reports whether the value at path, or something in it, stands in a
// file rather than coming from a default.
func (c *Config) Written(path string) bool {
	_, ok := c.origin.at[path]
	return ok
}
