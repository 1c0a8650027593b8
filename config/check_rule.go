package config

import (
	"errors"
	"fmt"

	"github.com/weirlb/weir/internal/rule"
)

// rule checks a router's rule. tls says whether the router takes TLS
// connections.
func (c *checker) rule(at, written string, family rule.Family, tls bool) {
	if written == "" {
		return // reported as missing
	}
	expr, err := rule.Parse(written)
	if err != nil {
		var wrong *rule.Error
		if !errors.As(err, &wrong) {
			wrong = &rule.Error{Message: err.Error()}
		}
		c.ruleProblem(at, wrong)
		return
	}
	for _, wrong := range rule.Check(expr, family) {
		c.ruleProblem(at, wrong)
	}
	if family != rule.TCP || tls {
		return
	}
	for m := range rule.Matches(expr) {
		if m.Name == "ClientIP" || m.Name == "HostSNI" && len(m.Args) == 1 && m.Args[0] == "*" {
			continue
		}
		c.ruleProblem(at, &rule.Error{
			Offset:  m.Offset,
			Message: m.String() + " matches TLS connections only, and the router takes none",
			Hint:    "add tls: {} to end TLS here, or tls: { passthrough: true }",
		})
		return
	}
}

// ruleProblem reports one thing wrong with a rule. A rule may have several, so
// the first does not hide the others.
func (c *checker) ruleProblem(at string, wrong *rule.Error) {
	file, line, col := c.cfg.Position(at)
	c.report(path{text: at}, position{file, line, col},
		fmt.Sprintf("%s, at character %d of the rule", wrong.Message, wrong.Offset+1), wrong.Hint)
}
