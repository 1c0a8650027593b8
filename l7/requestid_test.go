package l7

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestRequestID(t *testing.T) {
	own := []*Middleware{RequestID("id", "X-Request-Id", false)}
	trusting := []*Middleware{RequestID("id", "X-Request-Id", true)}
	const made = `X-Request-Id=["01`
	behave(t, told, []behaviour{
		{name: "made", m: own, want: []string{made, "X-Request-Id: 01"}, record: []string{`"RequestID":"01`}},
		{name: "the client's is no name", m: own, request: "X-Request-Id: mine\r\n", want: []string{made}, wantNot: []string{"mine"}},
		{name: "the client's", m: trusting, request: "x-request-id: mine/7\r\n", want: []string{`X-Request-Id=["mine/7"]`, "X-Request-Id: mine/7\r\n"}, record: []string{`"RequestID":"mine/7"`}},
		{name: "no name of the client", m: trusting, want: []string{made}},
		{name: "a bad name of the client", m: trusting, request: "X-Request-Id: a b\r\n", want: []string{made}, wantNot: []string{"a b"}},
		{name: "an empty name of the client", m: trusting, request: "X-Request-Id:\r\n", want: []string{made}},
		{name: "a long name of the client", m: trusting, request: "X-Request-Id: " + strings.Repeat("x", 129) + "\r\n", want: []string{made}, wantNot: []string{"xxx"}},
		{name: "two names of the client", m: trusting, request: "X-Request-Id: a\r\nX-Request-Id: b\r\n", want: []string{made}},
		{name: "another header", m: []*Middleware{RequestID("id", "X-Trace", false)}, want: []string{`X-Trace=["01`, "X-Trace: 01"}},
		{name: "weir's own answer", m: append(own, IPAllowList("nobody", nil, 0)), status: 403, want: []string{"X-Request-Id: 01"}},
	})
}

func TestNewRequestID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	at := time.UnixMilli(0x017F22E279B0) // the example of RFC 9562
	a, b := newRequestID(at), newRequestID(at)
	if !form.MatchString(a) || !strings.HasPrefix(a, "017f22e2-79b0-7") || a == b {
		t.Errorf("%s, %s", a, b)
	}
	if !isRequestID([]byte(a)) {
		t.Errorf("%s is no name", a)
	}
}
