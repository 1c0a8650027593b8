package weir_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/config"
)

// traefikOptions are the options of all HTTP middlewares of Traefik v3.7, those for other providers than files left out, each
// with its default as JSON; empty where there is none, and for false, 0 and empty lists. Those that Traefik calls deprecated are there too.
var traefikOptions = map[string]string{
	"addPrefix.prefix": "",

	"basicAuth.users": "", "basicAuth.usersFile": "", "basicAuth.realm": `"traefik"`, "basicAuth.removeHeader": "", "basicAuth.headerField": "",

	"buffering.maxRequestBodyBytes": "", "buffering.memRequestBodyBytes": "1048576", "buffering.maxResponseBodyBytes": "", "buffering.memResponseBodyBytes": "1048576",
	"buffering.retryExpression": "",

	"chain.middlewares": "",

	"circuitBreaker.expression": "", "circuitBreaker.checkPeriod": `"100ms"`, "circuitBreaker.fallbackDuration": `"10s"`, "circuitBreaker.recoveryDuration": `"10s"`,
	"circuitBreaker.responseCode": "503",

	"compress.excludedContentTypes": "", "compress.includedContentTypes": "", "compress.minResponseBodyBytes": "1024", "compress.encodings": `["gzip","br","zstd"]`,
	"compress.defaultEncoding": "",

	"contentType.autoDetect": "",

	"digestAuth.users": "", "digestAuth.usersFile": "", "digestAuth.realm": `"traefik"`, "digestAuth.removeHeader": "", "digestAuth.headerField": "",

	"encodedCharacters.allowEncodedSlash": "", "encodedCharacters.allowEncodedBackSlash": "", "encodedCharacters.allowEncodedNullCharacter": "",
	"encodedCharacters.allowEncodedSemicolon": "", "encodedCharacters.allowEncodedPercent": "", "encodedCharacters.allowEncodedQuestionMark": "",
	"encodedCharacters.allowEncodedHash": "",

	"errors.status": "", "errors.statusRewrites": "", "errors.service": "", "errors.query": "", "errors.errorRequestHeaders": "",

	"forwardAuth.address": "", "forwardAuth.tls.ca": "", "forwardAuth.tls.cert": "", "forwardAuth.tls.key": "", "forwardAuth.tls.insecureSkipVerify": "",
	"forwardAuth.tls.caOptional": "", "forwardAuth.trustForwardHeader": "", "forwardAuth.authResponseHeaders": "", "forwardAuth.authResponseHeadersRegex": "",
	"forwardAuth.authRequestHeaders": "", "forwardAuth.maxResponseBodySize": "-1", "forwardAuth.addAuthCookiesToResponse": "", "forwardAuth.headerField": "",
	"forwardAuth.forwardBody": "", "forwardAuth.maxBodySize": "-1", "forwardAuth.preserveLocationHeader": "", "forwardAuth.preserveRequestMethod": "",
	"forwardAuth.authSigninURL": "",

	"grpcWeb.allowOrigins": "",

	"headers.customRequestHeaders": "", "headers.customResponseHeaders": "", "headers.accessControlAllowCredentials": "", "headers.accessControlAllowHeaders": "",
	"headers.accessControlAllowMethods": "", "headers.accessControlAllowOriginList": "", "headers.accessControlAllowOriginListRegex": "",
	"headers.accessControlExposeHeaders": "", "headers.accessControlMaxAge": "", "headers.addVaryHeader": "", "headers.allowedHosts": "", "headers.hostsProxyHeaders": "",
	"headers.sslProxyHeaders": "", "headers.stsSeconds": "", "headers.stsIncludeSubdomains": "", "headers.stsPreload": "", "headers.forceSTSHeader": "", "headers.frameDeny": "",
	"headers.customFrameOptionsValue": "", "headers.contentTypeNosniff": "", "headers.browserXssFilter": "", "headers.customBrowserXSSValue": "",
	"headers.contentSecurityPolicy": "", "headers.contentSecurityPolicyReportOnly": "", "headers.publicKey": "", "headers.referrerPolicy": "", "headers.permissionsPolicy": "",
	"headers.isDevelopment": "", "headers.featurePolicy": "", "headers.sslRedirect": "", "headers.sslTemporaryRedirect": "", "headers.sslHost": "", "headers.sslForceHost": "",

	"inFlightReq.amount": "", "inFlightReq.sourceCriterion.ipStrategy.depth": "", "inFlightReq.sourceCriterion.ipStrategy.excludedIPs": "",
	"inFlightReq.sourceCriterion.ipStrategy.ipv6Subnet": "", "inFlightReq.sourceCriterion.requestHeaderName": "", "inFlightReq.sourceCriterion.requestHost": "",

	"ipAllowList.sourceRange": "", "ipAllowList.ipStrategy.depth": "", "ipAllowList.ipStrategy.excludedIPs": "", "ipAllowList.ipStrategy.ipv6Subnet": "",
	"ipAllowList.rejectStatusCode": "403",

	"ipWhiteList.sourceRange": "", "ipWhiteList.ipStrategy.depth": "", "ipWhiteList.ipStrategy.excludedIPs": "", "ipWhiteList.ipStrategy.ipv6Subnet": "",

	"passTLSClientCert.pem": "", "passTLSClientCert.info.notAfter": "", "passTLSClientCert.info.notBefore": "", "passTLSClientCert.info.sans": "",
	"passTLSClientCert.info.serialNumber": "", "passTLSClientCert.info.subject.country": "", "passTLSClientCert.info.subject.province": "",
	"passTLSClientCert.info.subject.locality": "", "passTLSClientCert.info.subject.organization": "", "passTLSClientCert.info.subject.organizationalUnit": "",
	"passTLSClientCert.info.subject.commonName": "", "passTLSClientCert.info.subject.serialNumber": "", "passTLSClientCert.info.subject.domainComponent": "",
	"passTLSClientCert.info.issuer.country": "", "passTLSClientCert.info.issuer.province": "", "passTLSClientCert.info.issuer.locality": "",
	"passTLSClientCert.info.issuer.organization": "", "passTLSClientCert.info.issuer.commonName": "", "passTLSClientCert.info.issuer.serialNumber": "",
	"passTLSClientCert.info.issuer.domainComponent": "",

	"plugin": "",

	"rateLimit.average": "", "rateLimit.period": `"1s"`, "rateLimit.burst": "1", "rateLimit.sourceCriterion.ipStrategy.depth": "",
	"rateLimit.sourceCriterion.ipStrategy.excludedIPs": "", "rateLimit.sourceCriterion.ipStrategy.ipv6Subnet": "", "rateLimit.sourceCriterion.requestHeaderName": "",
	"rateLimit.sourceCriterion.requestHost": "", "rateLimit.redis": "",

	"redirectRegex.regex": "", "redirectRegex.replacement": "", "redirectRegex.permanent": "",

	"redirectScheme.scheme": "", "redirectScheme.port": "", "redirectScheme.permanent": "",

	"replacePath.path": "",

	"replacePathRegex.regex": "", "replacePathRegex.replacement": "",

	"retry.attempts": "", "retry.timeout": "", "retry.initialInterval": "", "retry.maxRequestBodyBytes": "2097152", "retry.status": "", "retry.disableRetryOnNetworkError": "",
	"retry.retryNonIdempotentMethod": "",

	"stripPrefix.prefixes": "", "stripPrefix.forceSlash": "true",

	"stripPrefixRegex.regex": "",
}

// difference is a row of the manual's table of what weir does otherwise: an option, what it is in Traefik, and in weir.
type difference struct{ traefik, weir string }

// TestMiddlewaresAreTraefiks holds the options of middlewares against Traefik's. One that weir does not have, or with another
// default, stands in the manual's table of differences, and so does one that Traefik does not have. No row is about nothing.
func TestMiddlewaresAreTraefiks(t *testing.T) {
	weir, told := middlewareOptions(t), toldDifferences(t)
	for option, want := range traefikOptions {
		row, isTold := told[option]
		if !isTold {
			middleware, _, _ := strings.Cut(option, ".")
			row, isTold = told[middleware] // of all its options
		}
		got, has := weir[option]
		switch {
		case !has && !isTold:
			t.Errorf("%s: weir does not have it, and the manual does not say so", option)
		case !has && !strings.Contains(row.weir, "not there"):
			t.Errorf("%s: weir does not have it; the manual says %q", option, row.weir)
		case has && got != want && !isTold:
			t.Errorf("%s is %s if nothing is said, in Traefik %s, and the manual does not say so", option, got, want)
		case has && got != want && (!strings.Contains(row.weir, got) || !strings.Contains(row.traefik, want)):
			t.Errorf("%s is %s if nothing is said, in Traefik %s; the manual says %q and %q", option, got, want, row.weir, row.traefik)
		}
	}
	for option := range weir {
		middleware, _, _ := strings.Cut(option, ".")
		if _, its := traefikOptions[option]; !its && told[option].traefik != "-" && told[middleware].traefik != "-" {
			t.Errorf("%s is weir's own, and the manual does not say so", option)
		}
	}
	for option := range told {
		isOption := func(o string) bool { return o == option || strings.HasPrefix(o, option+".") }
		known := false
		for o := range traefikOptions {
			known = known || isOption(o)
		}
		for o := range weir {
			known = known || isOption(o)
		}
		if !known {
			t.Errorf("the manual tells of %s, which neither has", option)
		}
	}
}

// The manual's table of the options of a middleware is generated between two such lines.
var optionsOf = regexp.MustCompile("(?s)<!-- options of (\\w+) -->\n(.*?)<!-- end of options -->\n")

// TestMiddlewareOptions holds the manual's tables of options against the schema. Every middleware has one, in a section of its own.
func TestMiddlewareOptions(t *testing.T) {
	const path = "docs/middlewares.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if s, err := config.Schema(); err != nil || json.Unmarshal(s, &root) != nil {
		t.Fatal(err)
	}
	kinds := root.Defs["HTTPMiddleware"].Properties
	told := map[string]bool{}
	want := optionsOf.ReplaceAllStringFunc(string(text), func(block string) string {
		kind := optionsOf.FindStringSubmatch(block)[1]
		told[kind] = true
		var out strings.Builder
		fmt.Fprintf(&out, "<!-- options of %s -->\n| of `%s` | default | meaning |\n|---|---|---|\n", kind, kind)
		root.rows(&out, "http.middlewares.NAME."+kind, "", kinds[kind])
		return out.String() + "<!-- end of options -->\n"
	})
	for kind, k := range kinds {
		if len(root.resolve(k).Properties) == 0 {
			told[kind] = true // its keys are somebody else's
		}
		if heading := regexp.MustCompile("(?m)^## (.*, )?" + kind + "(,.*)?$"); !told[kind] || !heading.MatchString(want) {
			t.Errorf("%s: no section, or no options in it", kind)
		}
	}
	if *update && want != string(text) {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is not what the types say; go test -run TestMiddlewareOptions -update . mends it (-want +got):\n%s", path, diff)
	}
}

// TestManualAnswers holds the manual's table of what middlewares answer against the words in their source, both ways round.
func TestManualAnswers(t *testing.T) {
	text, err := os.ReadFile("docs/middlewares.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| `Reason` | `Detail` |\n|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{}
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, " | ")
		if len(cells) != 5 {
			t.Fatalf("%q has %d cells", row, len(cells))
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[4], -1) {
			told[m[1]] = true
		}
	}
	said := map[string]bool{"long-response": true} // by buffering, where it holds answers
	for _, file := range []string{
		"basicauth", "digestauth", "forwardauth", "jwt", "ipallowlist", "inflightreq", "ratelimit", "headers", "grpcweb", "redirectscheme", "redirectregex",
		"prefix", "stripprefixregex", "replacepath", "replacepathregex", "encodedcharacters", "circuitbreaker", "buffering", "retry", "errorpage", "compress",
		"contenttype", "requestid", "passtlsclientcert",
	} {
		source, err := os.ReadFile("l7/" + file + ".go")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:detail = |challenge\(challenge, |tokenFault\{\d+, |word := |return )"([a-z]+-[a-z0-9-]+)"`).FindAllStringSubmatch(string(source), -1) {
			said[m[1]] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(said)), slices.Sorted(maps.Keys(told))); diff != "" {
		t.Errorf("words of the source and of the manual (-source +manual):\n%s", diff)
	}
}

// middlewareOptions are the options of weir's HTTP middlewares by the schema, with their defaults as JSON.
func middlewareOptions(t *testing.T) map[string]string {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Ref     string          `json:"$ref"`
		Default json.RawMessage `json:"default"`
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]property `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var walk func(at, def string)
	walk = func(at, def string) {
		for key, p := range schema.Defs[def].Properties {
			path := strings.TrimPrefix(at+"."+key, ".")
			if name, isRef := strings.CutPrefix(p.Ref, "#/$defs/"); isRef && len(schema.Defs[name].Properties) > 0 {
				walk(path, name)
				continue
			}
			usual := strings.Join(strings.Fields(string(p.Default)), "")
			found[path] = usual
		}
	}
	walk("", "HTTPMiddleware")
	if len(found) < 100 {
		t.Fatalf("only %d options found", len(found))
	}
	return found
}

// toldDifferences are the rows of the manual's table.
func toldDifferences(t *testing.T) map[string]difference {
	t.Helper()
	text, err := os.ReadFile("docs/middlewares.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| option | Traefik | weir |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]difference{}
	var order []string
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`[^`]+`(?:, )?)+) \\| (.*) \\| (.*) \\|$").FindAllStringSubmatch(table, -1) {
		for _, option := range strings.Split(strings.ReplaceAll(row[1], "`", ""), ", ") {
			told[option] = difference{row[2], row[3]}
			order = append(order, option)
		}
	}
	if lines := strings.Count(strings.TrimSpace(table), "\n") + 1; len(told) < lines || len(told) != len(order) {
		t.Errorf("%d lines tell of %d options, %d times", lines, len(told), len(order))
	}
	if !slices.IsSorted(order) {
		t.Errorf("the table is not in order: %v", order)
	}
	return told
}
