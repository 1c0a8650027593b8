package config

import (
	"fmt"
	"net/url"
	"strings"
)

// GRPCWeb makes calls of gRPC-Web ones of gRPC.
type GRPCWeb struct {
	AllowOrigins []string `yaml:"allowOrigins" doc:"Origins whose scripts may call; * means any, without credentials. Without the key, only pages of the same origin may."`
}

func (c *checker) grpcWeb(at string, g *GRPCWeb) {
	for i, origin := range g.AllowOrigins {
		if origin == "*" || origin == "null" {
			continue
		}
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host || strings.Contains(u.Host, "*") {
			c.fail(fmt.Sprintf("%s.allowOrigins[%d]", at, i), fmt.Sprintf("%q is not an origin", abbreviated(origin)), `write it like "https://www.example.com", without a path, or "*"`)
		}
	}
}
