package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// routed is a configuration about which the tests ask where requests go.
const routed = `
entryPoints:
  web:    { address: ":8080" }
  secure: { address: ":8443" }
http:
  routers:
    shop:  { entryPoints: [web], rule: "Host(` + "`shop.test`" + `)", service: shop }
    api:   { entryPoints: [web], rule: "Host(` + "`shop.test`" + `) && PathPrefix(` + "`/api`" + `)", service: api }
    posts: { entryPoints: [web], rule: "Method(` + "`POST`" + `) && Header(` + "`X-Kind`, `note`" + `)", service: api, priority: 1000 }
    inner: { entryPoints: [web], rule: "Path(` + "`/inner`" + `) && ClientIP(` + "`10.0.0.0/8`" + `)", service: api }
    safe:  { entryPoints: [secure], rule: "Host(` + "`shop.test`" + `)", tls: {}, service: shop }
  services:
    shop: { loadBalancer: { servers: [ { url: "http://127.0.0.1:1" } ] } }
    api:  { loadBalancer: { servers: [ { url: "http://127.0.0.1:2" } ] } }
`

func TestRoutesTest(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, routed)
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		router string // empty: none
		says   string
	}{
		{"host", []string{"http://shop.test/"}, 0, "shop", ""},
		{"longer rule first", []string{"http://SHOP.test/api/x?y"}, 0, "api", ""},
		{"path is cleaned", []string{"http://shop.test/x/../api"}, 0, "api", `path "/api"`},
		{"method and header", []string{"http://other.test/", "--method", "post", "--header", "X-Kind: note"}, 0, "posts", ""},
		{"another header", []string{"http://other.test/", "--method", "POST", "--header", "X-Kind: notes"}, 1, "", "404"},
		{"client", []string{"http://other.test/inner", "--client", "10.1.2.3"}, 0, "inner", ""},
		{"another client", []string{"http://other.test/inner"}, 1, "", "404"},
		{"https", []string{"https://shop.test/"}, 0, "safe", ""},
		{"entrypoint", []string{"http://shop.test/", "--entrypoint", "web"}, 0, "shop", ""},
		{"entrypoint that is not there", []string{"http://shop.test/", "--entrypoint", "nope"}, 1, "", "nope"},
		{"path nobody may ask for", []string{"http://shop.test/a%00"}, 1, "", "400"},
		{"no URL", []string{"shop.test"}, 2, "", "not an http or https URL"},
		{"no header", []string{"http://shop.test/", "--header", "nothing"}, 2, "", "Name: value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"routes", "test", "-c", file}, tt.args...)
			got := weir(t, args...)
			if got.code != tt.code || !strings.Contains(got.stdout+got.stderr, tt.says) {
				t.Fatalf("exit code %d, want %d: %s%s", got.code, tt.code, got.stdout, got.stderr)
			}
			if tt.router != "" && !strings.Contains(got.stdout, "router "+tt.router+",") {
				t.Errorf("want router %s: %s", tt.router, got.stdout)
			}
			if tt.code != 0 {
				return
			}
			var routes []struct{ Router, Service, Why string }
			if err := json.Unmarshal([]byte(weir(t, append(args, "--json")...).stdout), &routes); err != nil {
				t.Fatal(err)
			}
			if len(routes) != 1 || routes[0].Router != tt.router || routes[0].Service == "" || routes[0].Why == "" {
				t.Errorf("in JSON: %+v", routes)
			}
		})
	}
}

// TestCheckHTTP wants every fault of an http section to be told, with its place.
func TestCheckHTTP(t *testing.T) {
	t.Parallel()
	const config = `entryPoints: { web: { address: ":8080", http: { maxHeadBytes: 1 } } }
http:
  routers:
    rule:    { rule: "Hots(` + "`a`" + `)", service: app }
    open:    { rule: "Host(` + "`a`" + `", service: app }
    service: { rule: "Host(` + "`a`" + `)", service: ap }
    door:    { rule: "Host(` + "`a`" + `)", service: app, entryPoints: [wbe] }
    with:    { rule: "Host(` + "`a`" + `)", service: app, middlewares: [strip] }
    secret:  { rule: "Host(` + "`a`" + `)", service: app, tls: { options: strict } }
  middlewares: { plug: { ipWhiteList: {} } }
  services:
    app:   { loadBalancer: { servers: [ { url: "ftp://127.0.0.1" }, { url: "http://app:80" } ], sticki: {} } }
    loop:  { weighted: { services: [ { name: loop } ] } }
    empty: { loadBalancer: {} }
`
	got := weir(t, "check", "-c", writeTemp(t, config))
	if got.code != 1 {
		t.Errorf("exit code %d", got.code)
	}
	for _, word := range []string{
		"maxHeadBytes", "Hots", "ap }", "wbe", "strip]", "strict", "ipWhiteList", "ftp://", "http://app:80", "sticki",
	} {
		line, _, _ := strings.Cut(positionOf(t, config, word), ":")
		if !strings.Contains(got.stderr, ":"+line+":") {
			t.Errorf("nothing is said of line %s with %s:\n%s", line, word, got.stderr)
		}
	}
	for _, path := range []string{
		"entryPoints.web.http", "http.routers.rule.rule", "http.routers.open.rule", "http.routers.service.service", "http.routers.door.entryPoints",
		"http.routers.with.middlewares", "http.routers.secret.tls.options", "http.middlewares.plug.ipWhiteList", "http.services.app.loadBalancer.servers[0].url",
		"http.services.app.loadBalancer.servers[1].url", "http.services.app.loadBalancer", "http.services.loop", "http.services.empty",
	} {
		if !strings.Contains(got.stderr, " "+path) {
			t.Errorf("nothing is said of %s:\n%s", path, got.stderr)
		}
	}
	if n := strings.Count(got.stderr, "\n"); n > 20 {
		t.Errorf("%d lines for 14 faults:\n%s", n, got.stderr)
	}
	fine := weir(t, "check", "-c", writeTemp(t, routed))
	if want := fmt.Sprintf("ok: %d entrypoints, %d routers, %d services", 2, 5, 2); fine.code != 0 || !strings.Contains(fine.stdout, want) {
		t.Errorf("a good one: exit code %d, %s%s", fine.code, fine.stdout, fine.stderr)
	}
}
