package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// wrongMiddlewares has for each kind of HTTP middleware one that is wrong in a way that its own check finds, or, where it has
// nothing to check, the decoder; and the key that the problem is about.
var wrongMiddlewares = map[string][2]string{
	"addPrefix":         {`{prefix: "a b"}`, "prefix"},
	"basicAuth":         {`{users: [nobody]}`, "users[0]"},
	"buffering":         {`{retryExpression: "Attempts("}`, "retryExpression"},
	"chain":             {`{middlewares: [nowhere]}`, "middlewares[0]"},
	"circuitBreaker":    {`{expression: "Latency() > 1"}`, "expression"},
	"compress":          {`{defaultEncoding: zstd, encodings: [gzip]}`, "defaultEncoding"},
	"contentType":       {`{autoDetect: maybe}`, "autoDetect"},
	"digestAuth":        {`{users: ["a:b"]}`, "users[0]"},
	"encodedCharacters": {`{allowEncodedNullCharacter: true}`, "allowEncodedNullCharacter"},
	"errors":            {`{status: [500], service: nowhere}`, "service"},
	"forwardAuth":       {`{address: auth}`, "address"},
	"grpcWeb":           {`{allowOrigins: [here]}`, "allowOrigins[0]"},
	"headers":           {`{customRequestHeaders: {Connection: close}}`, "customRequestHeaders.Connection"},
	"inFlightReq":       {`{amount: 1, sourceCriterion: {requestHeaderName: "a b"}}`, "sourceCriterion.requestHeaderName"},
	"ipAllowList":       {`{sourceRange: [10.0.0.1], ipStrategy: {depth: 1, excludedIPs: [10.0.0.1]}}`, "ipStrategy.excludedIPs"},
	"ipDenyList":        {`{sourceRange: [10.0.0.1], ipStrategy: {depth: 1, excludedIPs: [10.0.0.1]}}`, "ipStrategy.excludedIPs"},
	"jwt":               {`{jwksUrl: keys}`, "jwksUrl"},
	"passTLSClientCert": {`{}`, ""},
	"plugin":            {`{one: {}, two: {}}`, ""},
	"rateLimit":         {`{average: 1, sourceCriterion: {requestHeaderName: "a b"}}`, "sourceCriterion.requestHeaderName"},
	"redirectRegex":     {`{regex: "(", replacement: x}`, "regex"},
	"redirectScheme":    {`{scheme: gopher}`, "scheme"},
	"replacePath":       {`{path: "a b"}`, "path"},
	"replacePathRegex":  {`{regex: x, replacement: "$1"}`, "replacement"},
	"requestID":         {`{headerName: Host}`, "headerName"},
	"retry":             {`{attempts: 1, status: [100]}`, "status[0]"},
	"stripPrefix":       {`{prefixes: [api]}`, "prefixes[0]"},
	"stripPrefixRegex":  {`{regex: ["("]}`, "regex[0]"},
}

// TestUnusedMiddlewaresAreChecked: a middleware that no router names is held to all that one in use is. The table has every
// kind that the language knows.
func TestUnusedMiddlewaresAreChecked(t *testing.T) {
	kinds := keysIn[HTTPMiddleware]()
	slices.Sort(kinds)
	if known := slices.Sorted(maps.Keys(wrongMiddlewares)); !slices.Equal(kinds, known) {
		t.Errorf("the language knows %q, the table %q", kinds, known)
	}
	for kind, wrong := range wrongMiddlewares {
		about := strings.TrimSuffix(kind+"."+wrong[1], ".") + ": "
		if got := middlewareProblems(t, "{"+kind+": "+wrong[0]+"}"); len(got) != 1 || !strings.HasPrefix(got[0], about) {
			t.Errorf("%s: %q, want one problem of %s", kind, got, about)
		}
		if kind == "plugin" {
			continue // its keys are those of whoever has written it
		}
		if got := middlewareProblems(t, "{"+kind+": {nonsense: 1}}"); !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, kind+".nonsense: unknown key") }) {
			t.Errorf("%s: an unknown key gives %q", kind, got)
		}
	}
}
