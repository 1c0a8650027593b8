package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// basicAuthPlan is a basicAuth middleware.
type basicAuthPlan struct {
	users   []string // as htpasswd writes them
	options l7.BasicAuthOptions
}

func (c *compiler) basicAuth(at string, b *config.BasicAuth) webMaker {
	p := basicAuthPlan{options: l7.BasicAuthOptions{Realm: b.Realm, HeaderField: b.HeaderField, RemoveHeader: b.RemoveHeader}}
	p.users = c.users(at, b.Users, b.UsersFile, func(lines []string) error {
		_, err := l7.NewBasicUsers(lines)
		return err
	})
	return p
}

func (p basicAuthPlan) make(name string, _ making) (*l7.Middleware, error) {
	users, err := l7.NewBasicUsers(p.users)
	if err != nil {
		return nil, err
	}
	p.options.Users = users
	return l7.BasicAuth(name, p.options), nil
}

// users joins the users of a middleware with those of its file, which come last: the first line of a user counts.
func (c *compiler) users(at string, listed []string, file string, check func([]string) error) []string {
	if err := check(listed); err != nil {
		c.fail(at+".users", err.Error(), "")
		return nil
	}
	if file == "" {
		return slices.Clone(listed)
	}
	lines := strings.Split(strings.ReplaceAll(string(c.files[file]), "\r\n", "\n"), "\n")
	if err := check(lines); err != nil {
		c.fail(at+".usersFile", fmt.Sprintf("%s: %v", file, err), "")
		return nil
	}
	return slices.Concat(listed, lines)
}
