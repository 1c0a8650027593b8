package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckBodyMiddlewares(t *testing.T) {
	runProblems(t, []problemCase{
		{"buffering", `
http:
  middlewares:
    a: {buffering: {maxRequestBodyBytes: -1, memRequestBodyBytes: 16777217, retryExpression: "RequestMethod() == GET"}}
    b: {buffering: {memResponseBodyBytes: -1, maxResponseBodyBytes: 1000000000000}}
`, []string{
			`4:42: http.middlewares.a.buffering.maxRequestBodyBytes: -1 is less than 0, the least there may be`,
			`4:67: http.middlewares.a.buffering.memRequestBodyBytes: 16777217 is more than 16777216, the most there may be`,
			`4:94: http.middlewares.a.buffering.retryExpression: at byte 19: 'G' stands where text in quotes is expected`,
			`5:43: http.middlewares.b.buffering.memResponseBodyBytes: -1 is less than 0, the least there may be`,
		}},
		{"circuit breakers", `
http:
  middlewares:
    a: {circuitBreaker: {expression: "NetworkErrorRatio() >"}}
    b: {circuitBreaker: {expression: "ResponseCodeRatio(500, 500, 0, 600) > 1"}}
    c: {circuitBreaker: {expression: "LatencyAtQuantileMS(101) > 1", checkPeriod: 0s, responseCode: 99}}
    d: {circuitBreaker: {}}
    e: {circuitBreaker: {expression: "Latency() > 1"}}
`, []string{
			`4:38: http.middlewares.a.circuitBreaker.expression: at byte 21: ends where a number is expected`,
			`5:38: http.middlewares.b.circuitBreaker.expression: at byte 0: ResponseCodeRatio: each range goes from a status up to, without, a higher one`,
			`6:38: http.middlewares.c.circuitBreaker.expression: at byte 0: LatencyAtQuantileMS: the quantile is from 0 to 100`,
			`6:83: http.middlewares.c.circuitBreaker.checkPeriod: 0s is less than 1ms, the least there may be`,
			`6:101: http.middlewares.c.circuitBreaker.responseCode: 99 is less than 200, the least there may be`,
			`7:9: http.middlewares.d.circuitBreaker.expression: missing (When it opens: NetworkErrorRatio(), ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) and LatencyAtQuantileMS(quantile), compared with numbers, joined by && || ! ( ).)`,
			`8:38: http.middlewares.e.circuitBreaker.expression: at byte 0: there is no Latency, only NetworkErrorRatio, ResponseCodeRatio, LatencyAtQuantileMS`,
		}},
		{"compression", `
http:
  middlewares:
    a: {compress: {excludedContentTypes: [text], includedContentTypes: ["text/html; charset=x"], encodings: [gzip, deflate], defaultEncoding: br}}
    b: {compress: {encodings: [], defaultEncoding: lzma, minResponseBodyBytes: -1}}
`, []string{
			`4:43: http.middlewares.a.compress.excludedContentTypes[0]: "text" is not a media type (write it like "text/html")`,
			`4:50: http.middlewares.a.compress.includedContentTypes: stands beside excludedContentTypes (keep one of them)`,
			`4:116: http.middlewares.a.compress.encodings[1]: unknown encoding "deflate"`,
			`4:143: http.middlewares.a.compress.defaultEncoding: br is not among the encodings`,
			`5:20: http.middlewares.b.compress.encodings: must not be empty (without the key, all are offered)`,
			`5:52: http.middlewares.b.compress.defaultEncoding: unknown value "lzma" (one of gzip, br, zstd)`,
			`5:80: http.middlewares.b.compress.minResponseBodyBytes: -1 is less than 0, the least there may be`,
		}},
		{"retries", `
http:
  middlewares:
    a: {retry: {}}
    b: {retry: {attempts: 0, initialInterval: -1s, status: [500, "101-300", 5xx], maxRequestBodyBytes: 2097152}}
`, []string{
			`4:9: http.middlewares.a.retry.attempts: missing (How often a request is sent to the service, the first time included.)`,
			`5:27: http.middlewares.b.retry.attempts: 0 is less than 1, the least there may be`,
			`5:47: http.middlewares.b.retry.initialInterval: the duration -1s is negative`,
			`5:66: http.middlewares.b.retry.status[1]: 101-300 is not the status of an answer, which begin at 200`,
			`5:77: http.middlewares.b.retry.status[2]: "5xx" is neither a status from 100 to 599 nor a range of them (write it like "404" or "500-504")`,
			`5:104: http.middlewares.b.retry.maxRequestBodyBytes: 2097152 is more than 1048576, the most there may be`,
		}},
		{"error pages", soundHTTP + `
  middlewares:
    a: {errors: {}}
    b: {errors: {status: [404], service: nope, query: "/{statsu}"}}
    c: {errors: {status: ["404"], service: s@file, query: "/a b", statusRewrites: {"600": 500, "404": 304}, errorRequestHeaders: []}}
    d: {errors: {status: ["404"], service: s, query: "/{url}?{status}{originalStatus}", statusRewrites: {"500-599": 500}, errorRequestHeaders: ["a b"]}}
`, []string{
			`8:9: http.middlewares.a.errors.status: missing (Status codes, and ranges of them, of answers that are replaced.)`,
			`8:9: http.middlewares.a.errors.service: missing (HTTP service that has the pages.)`,
			`9:42: http.middlewares.b.errors.service: no "nope" in http.services (there are s)`,
			`9:55: http.middlewares.b.errors.query: "/{statsu}" is not a path, with {status}, {originalStatus} and {url} in it (write others than letters percent-encoded)`,
			`10:59: http.middlewares.c.errors.query: "/a b" is not a path, with {status}, {originalStatus} and {url} in it (write others than letters percent-encoded)`,
			`10:91: http.middlewares.c.errors.statusRewrites.600: "600" is neither a status from 100 to 599 nor a range of them (write it like "404" or "500-504")`,
			`10:103: http.middlewares.c.errors.statusRewrites.404: 304 is not the status of an answer with a body`,
			`11:145: http.middlewares.d.errors.errorRequestHeaders[0]: "a b" is not the name of a header`,
		}},
	})
}

// No headers are not all headers: neither in what is loaded nor in its dump.
func TestErrorRequestHeaders(t *testing.T) {
	cfg := mustParse(t, "x.yaml", soundHTTP+`
  middlewares:
    all: {errors: {status: ["404"], service: s}}
    none: {errors: {status: ["404"], service: s, errorRequestHeaders: []}}
`)
	for range 2 {
		all, none := cfg.HTTP.Middlewares["all"].Errors.ErrorRequestHeaders, cfg.HTTP.Middlewares["none"].Errors.ErrorRequestHeaders
		if all != nil || none == nil || len(none) != 0 {
			t.Errorf("all: %#v, none: %#v", all, none)
		}
		dump, err := cfg.Dump()
		if err != nil {
			t.Fatal(err)
		}
		cfg = mustParse(t, "dump.yaml", string(dump))
	}
}

func TestCompressIsSettled(t *testing.T) {
	cfg := mustParse(t, "x.yaml", `
http:
  middlewares:
    usual: {compress: {}}
    own: {compress: {excludedContentTypes: ["Text/HTML; charset=utf-8"], minResponseBodyBytes: 0, encodings: [zstd], defaultEncoding: zstd}}
`)
	for name, want := range map[string]*Compress{
		"usual": {MinResponseBodyBytes: 1024, Encodings: []string{"gzip", "br", "zstd"}},
		"own":   {ExcludedContentTypes: []string{"text/html"}, MinResponseBodyBytes: 1024, Encodings: []string{"zstd"}, DefaultEncoding: "zstd"},
	} {
		if diff := cmp.Diff(want, cfg.HTTP.Middlewares[name].Compress); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
