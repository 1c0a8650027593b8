package l7

import (
	"net/netip"
	"strings"
	"testing"
)

// refusal is a request that must not be understood in two ways, and so not at all.
type refusal struct {
	name, in string
	status   int
	detail   string
}

// Every row of the table of things that servers have been seen to read in two ways, through a running front: the client
// gets the status and the end of the connection, the log the word, and no server sees any of it.
func TestStrictHeads(t *testing.T) {
	o := newOrigin(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	const next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for i, tt := range refusedHeads() {
		t.Run(tt.name, func(t *testing.T) {
			b := b.with(t)
			text := b.exchange(tt.in + next)
			has(t, text, "Connection: close\r\n")
			if n := strings.Count(text, "HTTP/1.1 "); n != 1 {
				t.Errorf("%d answers: %q", n, text)
			}
			e := b.ended(i+1, tt.status, "client", "bad-request")
			if e.Detail != tt.detail {
				t.Errorf("detail %q, want %q", e.Detail, tt.detail)
			}
		})
	}
	if n := o.Accepted(); n != 0 {
		t.Errorf("%d connections to the server: %q", n, o.all())
	}
}

func refusedHeads() []refusal {
	line := func(s string) string { return s + "\r\nHost: a\r\n\r\n" }
	post := func(fields ...string) string {
		return "POST / HTTP/1.1\r\nHost: a\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	}
	return []refusal{
		{"length: plus", post("Content-Length: +1"), 400, "bad-length"},
		{"length: minus", post("Content-Length: -1"), 400, "bad-length"},
		{"length: underscore", post("Content-Length: 1_0"), 400, "bad-length"},
		{"length: leading zero", post("Content-Length: 010"), 400, "bad-length"},
		{"length: prefix", post("Content-Length: 1Z"), 400, "bad-length"},
		{"length: empty", post("Content-Length:"), 400, "bad-length"},
		{"length: equal list", post("Content-Length: 5,5"), 400, "bad-length"},
		{"length: list", post("Content-Length: 5,6"), 400, "bad-length"},
		{"length: twice the same", post("Content-Length: 5", "Content-Length: 5"), 400, "many-lengths"},
		{"length: twice", post("Content-Length: 5", "Content-Length: 6"), 400, "many-lengths"},
		{"length: with coding", post("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "length-and-coding"},
		{"length: behind coding", post("Transfer-Encoding: chunked", "Content-Length: 5"), 400, "length-and-coding"},
		{"length: tab before colon", post("Content-Length\t: 5"), 400, "bad-field-name"},
		{"length: space before colon", post("Content-Length : 5"), 400, "bad-field-name"},
		{"length: overflow", post("Content-Length: 18446744073709551616"), 400, "bad-length"},
		{"length: overflow of int64", post("Content-Length: 9223372036854775808"), 400, "bad-length"},
		{"coding: xchunked", post("Transfer-Encoding: xchunked"), 400, "bad-coding"},
		{"coding: chunked, identity", post("Transfer-Encoding: chunked, identity"), 400, "bad-coding"},
		{"coding: identity", post("Transfer-Encoding: identity"), 400, "bad-coding"},
		{"coding: comma before", post("Transfer-Encoding: ,chunked"), 400, "bad-coding"},
		{"coding: comma behind", post("Transfer-Encoding: chunked,"), 400, "bad-coding"},
		{"coding: two fields", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "bad-coding"},
		{"coding: folded", post("Transfer-Encoding:", " chunked"), 400, "folded-field"},
		{"coding: VTAB", post("Transfer-Encoding: chunked\x0b"), 400, "bad-field-value"},
		{"coding: FF", post("Transfer-Encoding: chunked\x0c"), 400, "bad-field-value"},
		{"coding: NBSP", post("Transfer-Encoding: chunked\xa0"), 400, "bad-coding"},
		{"coding: 0x85", post("Transfer-Encoding: chunked\x85"), 400, "bad-coding"},
		{"coding: NUL", post("Transfer-Encoding: chunked\x00"), 400, "bad-field-value"},
		{"coding: not last", post("Transfer-Encoding: chunked, gzip"), 400, "bad-coding"},
		{"coding: unknown", post("Transfer-Encoding: gzip, chunked"), 501, "unknown-coding"},
		{"coding: in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "coding-in-1.0"},
		{"name: empty", post(": x"), 400, "bad-field-name"},
		{"name: no colon", post("X"), 400, "bad-field-name"},
		{"name: space before colon", post("X : y"), 400, "bad-field-name"},
		{"name: leading space first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded-field"},
		{"name: control byte", post("X\x01: y"), 400, "bad-field-name"},
		{"name: not ASCII", post("\xc3\x84: y"), 400, "bad-field-name"},
		{"value: NUL", post("X: a\x00b"), 400, "bad-field-value"},
		{"value: CR", post("X: a\rb"), 400, "bad-field-value"},
		{"value: LF", post("X: a\nb: c"), 400, "bare-lf"},
		{"value: control byte", post("X: \x1b[2J"), 400, "bad-field-value"},
		{"line: bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare-lf"},
		{"line: LF separates", "GET\n/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare-lf"},
		{"version: 1.32", line("GET / HTTP/1.32"), 400, "bad-request-line"},
		{"version: 0.9", line("GET / HTTP/0.9"), 505, "version"},
		{"version: 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version"},
		{"version: CR", line("GET / HTTP/\r\r1.1"), 400, "bad-request-line"},
		{"method: bytes", line("GE\x01T / HTTP/1.1"), 400, "bad-method"},
		{"method: lower case", line("get / HTTP/1.1"), 400, "bad-method"},
		{"target: fragment", line("GET /#a HTTP/1.1"), 400, "bad-target"},
		{"target: not ASCII", line("GET /\xff HTTP/1.1"), 400, "bad-target"},
		{"target: of another host", line("GET http://b/ HTTP/1.1"), 400, "host-mismatch"},
		{"target: escape of nothing", line("GET /%zz HTTP/1.1"), 400, "bad-target"},
		{"target: escaped NUL", line("GET /a%00b HTTP/1.1"), 400, "bad-path"},
		{"host: missing", "GET / HTTP/1.1\r\n\r\n", 400, "no-host"},
		{"host: twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "many-hosts"},
		{"host: comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "bad-host"},
		{"host: empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "bad-host"},
		{"CONNECT", line("CONNECT a:443 HTTP/1.1"), 405, "connect"},
		{"trailer: announced length", post("Transfer-Encoding: chunked", "Trailer: content-length"), 400, "bad-trailer"},
		{"connection: no token", post("Connection: a b"), 400, "bad-connection"},
		{"expect: other", post("Expect: 200-ok", "Content-Length: 1"), 417, "expectation"},
		{"limit: request line", line("GET /" + strings.Repeat("a", 8192) + " HTTP/1.1"), 414, "long-request-line"},
		{"limit: field", post("X: " + strings.Repeat("a", 8192)), 431, "long-field"},
		{"limit: head", post(strings.TrimSuffix(strings.Repeat("X: "+strings.Repeat("a", 4000)+"\r\n", 9), "\r\n")), 431, "long-head"},
		{"limit: fields", post(strings.TrimSuffix(strings.Repeat("X: a\r\n", 100), "\r\n")), 431, "many-fields"},
	}
}

// What is wrong with a chunked body shows when the head is on its way already: the server gets the right part of it and
// then a connection that is cut, never an end that it could take for the body's, and never what follows.
func TestStrictChunks(t *testing.T) {
	for _, tt := range []struct{ name, body, detail string }{
		{"size: 0x", "0x5\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: plus", "+5\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: minus", "-5\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: underscore", "1_0\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: empty", "\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: leading space", " 5\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: trailing space", "5 \r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: prefix", "5g\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: bare LF", "5\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"size: bare CR", "5\rhello\r\n0\r\n\r\n", "bad-chunk-line"},
		{"extension: CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", "bad-chunk-line"},
		{"extension: LF", "5;a\nhello\r\n0\r\n\r\n", "bad-chunk-line"},
		{"extension: too long", "5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n", "long-chunk-line"},
		{"data: XX behind", "5\r\nhelloXX0\r\n\r\n", "bad-chunk-end"},
		{"data: CRLF XX behind", "5\r\nhello\r\nXX0\r\n\r\n", "bad-chunk-size"},
		{"data: bare LF behind", "5\r\nhello\n0\r\n\r\n", "bad-chunk-end"},
		{"end: bare LF", "5\r\nhello\r\n0\r\n\n", "bad-trailer-line"},
		{"end: missing", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "bad-trailer-line"},
		{"trailer: Host", "0\r\nHost: b\r\n\r\n", "bad-trailer"},
		{"trailer: length", "0\r\nContent-Length: 5\r\n\r\n", "bad-trailer"},
		{"trailer: coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad-trailer"},
		{"trailer: authorization", "0\r\nAuthorization: x\r\n\r\n", "bad-trailer"},
		{"trailer: space before colon", "0\r\nX : y\r\n\r\n", "bad-trailer-line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const good = "3\r\nabc\r\n"
			o := newOrigin(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			for i, pieces := range [][]string{{good + tt.body}, {good, tt.body}} {
				c := b.dial()
				send(t, c, "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
				for _, piece := range pieces {
					send(t, c, piece)
				}
				send(t, c, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
				text := rest(t, c, false)
				has(t, text, "Connection: close\r\n")
				status := 400
				if n := strings.Count(text, "HTTP/1.1 "); n != 1 {
					t.Errorf("%d answers: %q", n, text)
				}
				if e := b.ended(i+1, status, "client", "bad-request"); e.Detail != tt.detail {
					t.Errorf("detail %q, want %q", e.Detail, tt.detail)
				}
			}
			if n := b.server.Idle(b.pool.Backends()[0]); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
			for _, text := range o.all() {
				_, body, _ := strings.Cut(text, "\r\n\r\n")
				if strings.Contains(text, "smuggled") || strings.HasSuffix(body, "\r\n0\r\n\r\n") {
					t.Errorf("the server got %q", text)
				}
			}
		})
	}
}

// What a client names in Connection concerns its own connection, and nothing of what frames or routes the request.
func TestHopByHop(t *testing.T) {
	o := newOrigin(t, answers("HTTP/1.1 200 OK\r\nConnection: X-Inner, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Inner: 1\r\n"+
		"Proxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok"))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	text := b.exchange("POST / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret, Content-Length, Host, X-Forwarded-For\r\n" +
		"X-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi")
	for _, gone := range []string{"X-Inner", "Keep-Alive"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s reached the client: %q", gone, text)
		}
	}
	got := o.all()[0]
	has(t, got, "Host: a\r\n", "Content-Length: 2\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "\r\n\r\nhi")
	for _, gone := range []string{"X-Secret", "Keep-Alive", "TE:", "Upgrade", "Connection"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s reached the server: %q", gone, got)
		}
	}
}

// A request without a body that asks for another protocol may have bytes behind it. They reach the server when it has
// agreed, and are the next request when it has not.
func TestNothingBehindAnUpgradeIsForwarded(t *testing.T) {
	o := newOrigin(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"))
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	text := b.exchange("GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" +
		"GET /two HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n")
	has(t, text, "\r\n\r\nno", "\r\n\r\ntwo")
	if all := strings.Join(o.all(), ""); strings.Contains(all, "6.6.6.6") {
		t.Errorf("bytes behind the head were forwarded as they were: %q", all)
	}
	for _, e := range b.entries(2) {
		if e.Reason != "done" || e.DownstreamStatus != 200 {
			t.Errorf("%+v", e)
		}
	}
}
