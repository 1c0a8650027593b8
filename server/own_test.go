package server

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/l7"
)

// saying makes a middleware that tells servers and clients what its options say.
func saying(name string, options json.RawMessage) (*l7.Middleware, error) {
	var o struct{ Say string }
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	switch o.Say {
	case "":
		return nil, errors.New("say: missing")
	case "nothing":
		return nil, nil
	case "panic":
		panic("at the disco")
	}
	return &l7.Middleware{Name: name, Request: func(x *l7.Exchange) l7.Action {
		x.Answer(299, nil, o.Say)
		return l7.Answered
	}}, nil
}

var ownMakers = map[string]Maker{"say": saying}

// TestOwnMiddleware: a kind that somebody has built in is in routers like any other, and stays the same object as long as its options do.
func TestOwnMiddleware(t *testing.T) {
	text := withMiddleware(`{ plugin: { say: { say: one } } }`, "127.0.0.1:1")
	r := launchWith(t, text, ownMakers)
	<-r.Ready()
	conn := dial(t, r.addr("web"))
	if status, body := conn.get("/"); status != 299 || body != "one" {
		t.Errorf("%d %q", status, body)
	}
	before := r.web.middlewares["m"]
	r.mustReload(strings.Replace(text, "slowStart: 0s", "slowStart: 1s", 1))
	if r.web.middlewares["m"] != before {
		t.Error("a reload that leaves it alone makes it anew")
	}
	r.mustReload(strings.Replace(text, "say: one", "say: two", 1))
	if status, body := conn.get("/"); status != 299 || body != "two" {
		t.Errorf("with other options: %d %q", status, body)
	}
	if err := r.tryReload(strings.Replace(text, "say: one", "say: ''", 1)); err == nil || !strings.Contains(err.Error(), "plugin.say: say: missing") {
		t.Errorf("bad options give %v", err)
	}
	if status, body := conn.get("/"); status != 299 || body != "two" {
		t.Errorf("after a reload that failed: %d %q", status, body)
	}
}

// TestOwnMiddlewareProblems: what a maker says, and that there is none, is said where the options stand.
func TestOwnMiddlewareProblems(t *testing.T) {
	const at = "http.middlewares.m.plugin."
	for _, tt := range []struct {
		text, want string
		makers     map[string]Maker
	}{
		{`{ plugin: { say: { say: hello } } }`, "", ownMakers},
		{`{ plugin: { say: {} } }`, at + "say: say: missing", ownMakers},
		{`{ plugin: { say: { say: 5 } } }`, at + "say: json: cannot unmarshal number", ownMakers},
		{`{ plugin: { say: { say: nothing } } }`, at + "say: nothing was made of it", ownMakers},
		{`{ plugin: { say: { say: panic } } }`, at + "say: panic: at the disco", ownMakers},
		{`{ plugin: { sya: {} } }`, at + "sya: this weir has no middleware of that kind (there are say)", ownMakers},
		{`{ plugin: { say: {} } }`, at + "say: this weir has no middleware of that kind (nothing is built in; see docs/writing-middleware.md)", nil},
	} {
		cfg, err := config.Parse("weir.yaml", []byte(withMiddleware(tt.text, "127.0.0.1:1")))
		if err != nil {
			t.Fatal(err)
		}
		err = CheckWith(tt.makers, cfg)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s\ngives\n%v\nwant %q", tt.text, err, tt.want)
		}
	}
}
