package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// Maker makes a middleware of a kind that is not weir's own. name is that of the middleware in the configuration, options what
// stands there below plugin and the kind. It is called to check a configuration, and again when that takes effect, so it
// neither starts nor opens anything, and keeps nothing. Its error is shown to whoever wrote the options: it says what is wrong with which key.
type Maker func(name string, options json.RawMessage) (*l7.Middleware, error)

// ownKinds are the kinds that others have built in. Plans refer to it, so there is one for the whole life of a Server.
type ownKinds struct{ makers map[string]Maker }

// ownPlan is a middleware of such a kind.
type ownPlan struct {
	kind, options string
	of            *ownKinds
}

// own plans the one middleware below plugin.
func (c *compiler) own(at string, plugin map[string]config.Free) webMaker {
	for kind, options := range plugin { // there is one
		p := ownPlan{kind, string(options), c.kinds}
		if _, err := p.make("check"); err != nil {
			hint := ""
			if errors.Is(err, errNoKind) {
				hint = c.kinds.hint()
			}
			c.fail(at+".plugin."+kind, err.Error(), hint)
		}
		return p
	}
	return nil
}

var (
	errNoKind = errors.New("this weir has no middleware of that kind")
	errNone   = errors.New("nothing was made of it")
)

func (k *ownKinds) hint() string {
	if len(k.makers) == 0 {
		return "nothing is built in; see docs/writing-middleware.md"
	}
	return "there are " + strings.Join(sorted(k.makers), ", ")
}

func (p ownPlan) make(name string) (m *l7.Middleware, err error) {
	maker := p.of.makers[p.kind]
	if maker == nil {
		return nil, errNoKind
	}
	defer func() {
		if cause := recover(); cause != nil {
			m, err = nil, fmt.Errorf("panic: %v", cause) // it is not weir's code, and weir is to go on
		}
	}()
	if m, err = maker(name, json.RawMessage(p.options)); err == nil && m == nil {
		return nil, errNone
	}
	return m, err
}
