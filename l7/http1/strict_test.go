package http1

import (
	"strings"
	"testing"
)

// strictCase is a message and the word it is refused with, if it is.
type strictCase struct{ name, in, want string }

func TestStrictRequests(t *testing.T) {
	for _, tt := range strictRequests() {
		t.Run(tt.name, func(t *testing.T) {
			if got := readAll(t, Parser{}, "", tt.in); got.Err != tt.want {
				t.Errorf("%q: %q, want %q", tt.in[:min(len(tt.in), 200)], got.Err, tt.want)
			}
			likeNetHTTP(t, []byte(tt.in))
		})
	}
}

// TestStrictResponses is the same for what servers send.
func TestStrictResponses(t *testing.T) {
	for _, tt := range strictResponses() {
		t.Run(tt.name, func(t *testing.T) {
			if got := readAll(t, Parser{}, "GET", tt.in); got.Err != tt.want {
				t.Errorf("%q: %q, want %q", tt.in[:min(len(tt.in), 200)], got.Err, tt.want)
			}
			likeNetHTTPResponse(t, "GET", []byte(tt.in))
			likeNetHTTPResponse(t, "HEAD", []byte(tt.in))
		})
	}
}

// strictRequests has a case for everything that servers have been seen to read
// in two ways. Nearly all of it is refused; what is accepted says why.
func strictRequests() []strictCase {
	const ok = ""
	chunked := func(body string) string { return chunkedRequest(body) }
	line := func(s string) string { return s + "\r\nHost: a\r\n\r\n" }
	return []strictCase{
		// Chunk sizes.
		{"chunk: right", chunked("5\r\nhello\r\n0\r\n\r\n"), ok},
		{"chunk: capitals", chunked("A\r\n0123456789\r\n0\r\n\r\n"), ok},
		{"chunk: leading zeros", chunked("0005\r\nhello\r\n000\r\n\r\n"), ok}, // RFC 9112 section 7.1: 1*HEXDIG
		{"chunk: 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: minus", chunked("-5\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: minus zero", chunked("-0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: underscore", chunked("1_0\r\n0123456789abcdef\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: empty", chunked("\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: empty with extension", chunked(";a=b\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: leading space", chunked(" 5\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: leading tab", chunked("\t5\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: trailing space", chunked("5 \r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: trailing tab", chunked("5\t\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: trailing space of the last", chunked("5\r\nhello\r\n0 \r\n\r\n"), "bad-chunk-size"},
		{"chunk: largest size", chunked("7fffffffffffffff\r\nhello"), "short"},
		{"chunk: overflow of int64", chunked("8000000000000000\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: overflow of uint64", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: overflow of 32 bits", chunked("100000005\r\nhello\r\n0\r\n\r\n"), "short"},
		{"chunk: too many zeros", chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: longest valid prefix", chunked("5g\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: decimal point", chunked("5.0\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: quoted", chunked("\"5\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: wide digit", chunked("\xef\xbc\x95\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: NUL", chunked("5\x00\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		// Chunk lines.
		{"chunk: bare LF behind size", chunked("5\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: bare CR behind size", chunked("5\rhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"chunk: CR CR LF", chunked("5\r\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"chunk: bare LF behind data", chunked("5\r\nhello\n0\r\n\r\n"), "bad-chunk-end"},
		{"chunk: bare CR behind data", chunked("5\r\nhello\r0\r\n\r\n"), "bad-chunk-end"},
		{"chunk: nothing behind data", chunked("5\r\nhello0\r\n\r\n"), "bad-chunk-end"},
		{"chunk: XX behind data", chunked("5\r\nhelloXX0\r\n\r\n"), "bad-chunk-end"},
		{"chunk: CRLF XX behind data", chunked("5\r\nhello\r\nXX0\r\n\r\n"), "bad-chunk-size"},
		{"chunk: more data than size", chunked("5\r\nhello world\r\n0\r\n\r\n"), "bad-chunk-end"},
		{"chunk: bare LF at the end", chunked("5\r\nhello\r\n0\r\n\n"), "bad-trailer-line"},
		{"chunk: bare LF behind the last", chunked("5\r\nhello\r\n0\n\r\n"), "bad-chunk-size"},
		{"chunk: bare CR at the end", chunked("5\r\nhello\r\n0\r\n\rX"), "bad-trailer-line"},
		{"chunk: missing final CRLF", chunked("5\r\nhello\r\n0\r\n"), "short"},
		{"chunk: missing last chunk", chunked("5\r\nhello\r\n"), "short"},
		{"chunk: nothing", chunked(""), "short"},
		// Extensions.
		{"extension: right", chunked("5;a\r\nhello\r\n0;a=b;c=\"d;\\\"e\"\r\n\r\n"), ok},
		{"extension: quoted tab and space", chunked("5;a=\"\t \"\r\nhello\r\n0\r\n\r\n"), ok},
		{"extension: LF", chunked("5;a\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: CR", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: CR in quotes", chunked("5;a=\"\rb\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: LF in quotes", chunked("5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: CRLF in quotes", chunked("5;a=\"\r\nb\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: escaped LF", chunked("5;a=\"\\\nb\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: DEL in quotes", chunked("5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: open quote", chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: NUL", chunked("5;a=\x00\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: space before semicolon", chunked("5 ;a\r\nhello\r\n0\r\n\r\n"), "bad-chunk-size"},
		{"extension: space behind semicolon", chunked("5; a\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: space around equals", chunked("5;a = b\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: trailing space", chunked("5;a \r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: no name", chunked("5;\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: no value", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: behind quotes", chunked("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"), "bad-chunk-line"},
		{"extension: longest", chunked("5;" + strings.Repeat("a", MaxChunkLine-2) + "\r\nhello\r\n0\r\n\r\n"), ok},
		{"extension: too long", chunked("5;" + strings.Repeat("a", MaxChunkLine-1) + "\r\nhello\r\n0\r\n\r\n"), "long-chunk-line"},
		{"extension: too many", chunked(strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100) + "0\r\n\r\n"), "chunk-excess"},
		{"chunk: one byte each", chunked(strings.Repeat("1\r\nx\r\n", 3000) + "0\r\n\r\n"), ok},

		// Content-Length.
		{"length: right", request("Content-Length: 5") + "hello", ok},
		{"length: zero", request("Content-Length: 0"), ok},
		{"length: truncated", request("Content-Length: 5") + "hell", "short"},
		{"length: plus", request("Content-Length: +1") + "h", "bad-length"},
		{"length: minus", request("Content-Length: -1") + "h", "bad-length"},
		{"length: underscore", request("Content-Length: 1_0") + "0123456789", "bad-length"},
		{"length: leading zero", request("Content-Length: 010") + "0123456789", "bad-length"},
		{"length: longest valid prefix", request("Content-Length: 1Z") + "h", "bad-length"},
		{"length: hexadecimal", request("Content-Length: 0x5") + "hello", "bad-length"},
		{"length: exponent", request("Content-Length: 1e1") + "hello", "bad-length"},
		{"length: decimal point", request("Content-Length: 5.0") + "hello", "bad-length"},
		{"length: empty", request("Content-Length: ") + "hello", "bad-length"},
		{"length: empty without space", request("Content-Length:"), "bad-length"},
		{"length: equal list", request("Content-Length: 5,5") + "hello", "bad-length"},
		{"length: equal list with space", request("Content-Length: 5, 5") + "hello", "bad-length"},
		{"length: list", request("Content-Length: 5,6") + "hello", "bad-length"},
		{"length: twice the same", request("Content-Length: 5", "Content-Length: 5") + "hello", "many-lengths"},
		{"length: twice", request("Content-Length: 5", "Content-Length: 6") + "hello", "many-lengths"},
		{"length: twice in another case", request("Content-Length: 5", "content-length: 6") + "hello", "many-lengths"},
		{"length: with chunks", request("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n", "length-and-coding"},
		{"length: chunks before", request("Transfer-Encoding: chunked", "Content-Length: 0") + "0\r\n\r\n", "length-and-coding"},
		{"length: wrong, with chunks", request("Transfer-Encoding: chunked", "Content-Length: x") + "0\r\n\r\n", "length-and-coding"},
		{"length: in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", ok},                      // forwarded with this framing
		{"length: on GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", ok},                       // forwarded with this framing
		{"length: on HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", ok},                     // forwarded with this framing
		{"length: on OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", ok},               // forwarded with this framing
		{"chunks on GET", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", ok}, // likewise
		{"length: tab before colon", request("Content-Length\t: 5") + "hello", "bad-field-name"},
		{"length: space before colon", request("Content-Length : 5") + "hello", "bad-field-name"},
		{"length: largest", request("Content-Length: 9223372036854775807"), "short"},
		{"length: overflow of int64", request("Content-Length: 9223372036854775808"), "bad-length"},
		{"length: overflow of uint64", request("Content-Length: 18446744073709551621") + "hello", "bad-length"},
		{"length: folded", request("Content-Length:", " 5") + "hello", "folded-field"},
		{"length: VTAB", request("Content-Length: \x0b5") + "hello", "bad-field-value"},
		{"length: NBSP", request("Content-Length: 5\xa0") + "hello", "bad-length"},
		{"length: quoted", request("Content-Length: \"5\"") + "hello", "bad-length"},

		// Transfer-Encoding.
		{"coding: case", request("Transfer-Encoding: ChUnKeD") + "0\r\n\r\n", ok}, // RFC 9112 section 7: codings are case-insensitive
		{"coding: xchunked", request("Transfer-Encoding: xchunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: chunkedx", request("Transfer-Encoding: chunkedx") + "0\r\n\r\n", "bad-coding"},
		{"coding: chunked, identity", request("Transfer-Encoding: chunked, identity") + "0\r\n\r\n", "bad-coding"},
		{"coding: identity", request("Transfer-Encoding: identity"), "bad-coding"},
		{"coding: identity with length", request("Transfer-Encoding: identity", "Content-Length: 5") + "hello", "length-and-coding"},
		{"coding: identity, chunked", request("Transfer-Encoding: identity, chunked") + "0\r\n\r\n", "unknown-coding"},
		{"coding: gzip, chunked", request("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", "unknown-coding"},
		{"coding: not last", request("Transfer-Encoding: chunked, gzip") + "0\r\n\r\n", "bad-coding"},
		{"coding: chunked twice", request("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: comma before", request("Transfer-Encoding: ,chunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: comma behind", request("Transfer-Encoding: chunked,") + "0\r\n\r\n", "bad-coding"},
		{"coding: two fields", request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: two fields, one identity", request("Transfer-Encoding: identity", "Transfer-Encoding: chunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: folded", request("Transfer-Encoding:", " chunked") + "0\r\n\r\n", "folded-field"},
		{"coding: folded behind", request("Transfer-Encoding: chunked", " , identity") + "0\r\n\r\n", "folded-field"},
		{"coding: VTAB before", request("Transfer-Encoding: \x0bchunked") + "0\r\n\r\n", "bad-field-value"},
		{"coding: VTAB behind", request("Transfer-Encoding: chunked\x0b") + "0\r\n\r\n", "bad-field-value"},
		{"coding: FF", request("Transfer-Encoding: chunked\x0c") + "0\r\n\r\n", "bad-field-value"},
		{"coding: NBSP", request("Transfer-Encoding: chunked\xa0") + "0\r\n\r\n", "bad-coding"},
		{"coding: 0x85", request("Transfer-Encoding: chunked\x85") + "0\r\n\r\n", "bad-coding"},
		{"coding: 0x85 before", request("Transfer-Encoding: \x85chunked") + "0\r\n\r\n", "bad-coding"},
		{"coding: NUL", request("Transfer-Encoding: chunked\x00") + "0\r\n\r\n", "bad-field-value"},
		{"coding: bare CR", request("Transfer-Encoding: chunked\rx") + "0\r\n\r\n", "bad-field-value"},
		{"coding: parameter", request("Transfer-Encoding: chunked;q=1") + "0\r\n\r\n", "bad-coding"},
		{"coding: quoted", request("Transfer-Encoding: \"chunked\"") + "0\r\n\r\n", "bad-coding"},
		{"coding: empty", request("Transfer-Encoding: "), "bad-coding"},
		{"coding: in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding-in-1.0"},
		{"coding: in 1.0 with keep-alive", "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding-in-1.0"},
		{"coding: in 1.0 with length", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "coding-in-1.0"},
		{"coding: space before colon", request("Transfer-Encoding : chunked") + "0\r\n\r\n", "bad-field-name"},
		{"coding: space behind", request("Transfer-Encoding: chunked ") + "0\r\n\r\n", ok}, // written without it: TestOddFramingIsWrittenAnew
		{"coding: tab behind", request("Transfer-Encoding: chunked\t") + "0\r\n\r\n", ok},  // likewise

		// Names and values.
		{"name: empty", request(": x"), "bad-field-name"},
		{"name: empty and no value", request(":"), "bad-field-name"},
		{"name: no colon", request("X"), "bad-field-name"},
		{"name: space before colon", request("X : y"), "bad-field-name"},
		{"name: tab before colon", request("X\t: y"), "bad-field-name"},
		{"name: space in it", request("X Y: z"), "bad-field-name"},
		{"name: leading space on the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded-field"},
		{"name: leading tab on the first field", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "folded-field"},
		{"name: leading space", request("A: b", " X: y"), "folded-field"},
		{"name: line of space", request("A: b", " "), "folded-field"},
		{"name: control byte", request("X\x01: y"), "bad-field-name"},
		{"name: NUL", request("X\x00: y"), "bad-field-name"},
		{"name: DEL", request("X\x7f: y"), "bad-field-name"},
		{"name: CR", request("X\r: y"), "bad-field-name"},
		{"name: CR before", request("\rTransfer-Encoding: chunked"), "bad-field-name"},
		{"name: VTAB", request("\x0bX: y"), "bad-field-name"},
		{"name: umlaut", request("\xc3\x84: y"), "bad-field-name"},
		{"name: NBSP before colon", request("Content-Length\xa0: 5"), "bad-field-name"},
		{"name: brackets", request("X[]: y"), "bad-field-name"},
		{"name: slash", request("X/Y: y"), "bad-field-name"},
		{"name: quotes", request("\"X\": y"), "bad-field-name"},
		{"name: of 8000 bytes", request(strings.Repeat("x", 8000) + ": y"), ok}, // no length wraps around
		{"value: NUL", request("X: a\x00b"), "bad-field-value"},
		{"value: CR", request("X: a\rb"), "bad-field-value"},
		{"value: CR at the end", request("X: a\r"), "bad-field-value"},
		{"value: CR and a field", request("X: a\rTransfer-Encoding: chunked"), "bad-field-value"},
		{"value: LF", request("X: a\nb: c"), "bare-lf"},
		{"value: other control byte", request("X: \x1b[2J"), "bad-field-value"},
		{"value: DEL", request("X: a\x7f"), "bad-field-value"},
		{"value: tab", request("X: a\tb"), ok},
		{"value: none", request("X:"), ok},
		{"value: UTF-8", request("X: b\xc3\xbccher"), ok}, // RFC 9110 section 5.5: opaque bytes
		{"value: colons", request("X:: a:b"), ok},
		{"no space behind colon", request("X:y"), ok},

		// Request lines.
		{"line: right", line("GET / HTTP/1.1"), ok},
		{"line: bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", "bare-lf"},
		{"line: LF only", "GET / HTTP/1.1\nHost: a\n\n", "bare-lf"},
		{"fields: bare LF", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "bare-lf"},
		{"end: bare LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", "bare-lf"},
		{"end: CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "bad-field-name"},
		{"line: CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "bad-request-line"},
		{"line: bare CR", "GET / HTTP/1.1\rHost: a\r\n\r\n", "bad-request-line"},
		{"line: LF as separator", "GET\n/ HTTP/1.1\r\nHost: a\r\n\r\n", "bare-lf"},
		{"line: tab as separator", line("GET\t/\tHTTP/1.1"), "bad-request-line"},
		{"line: CR as separator", line("GET\r/ HTTP/1.1"), "bad-request-line"},
		{"line: VTAB as separator", line("GET\x0b/ HTTP/1.1"), "bad-request-line"},
		{"line: two spaces", line("GET  / HTTP/1.1"), "bad-target"},
		{"line: two spaces before the version", line("GET /  HTTP/1.1"), "bad-target"},
		{"line: trailing space", line("GET / HTTP/1.1 "), "bad-request-line"},
		{"line: leading space", line(" GET / HTTP/1.1"), "bad-request-line"},
		{"line: empty lines before", "\r\n" + line("GET / HTTP/1.1"), "bad-request-line"},
		{"line: bare LF before", "\n" + line("GET / HTTP/1.1"), "bare-lf"},
		{"version: 1.32", line("GET / HTTP/1.32"), "bad-request-line"},
		{"version: 1.2", line("GET / HTTP/1.2"), "version"},
		{"version: 0.9", line("GET / HTTP/0.9"), "version"},
		{"version: 2.0", line("GET / HTTP/2.0"), "version"},
		{"version: preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"},
		{"version: 01.1", line("GET / HTTP/01.1"), "bad-request-line"},
		{"version: 1,1", line("GET / HTTP/1,1"), "bad-request-line"},
		{"version: +1.1", line("GET / HTTP/+1.1"), "bad-request-line"},
		{"version: lower case", line("GET / http/1.1"), "bad-request-line"},
		{"version: CR CR", line("GET / HTTP/\r\r1.1"), "bad-request-line"},
		{"version: other protocol", line("GET / HTTQ/1.1"), "bad-request-line"},
		{"version: 1.", line("GET / HTTP/1."), "bad-request-line"},
		{"version: none, as in HTTP/0.9", "GET /\r\n", "bad-request-line"},
		{"version: none but fields", line("GET /"), "bad-request-line"},
		{"version: alone", line("HTTP/1.1"), "bad-request-line"},
		{"method: none", line("/ HTTP/1.1"), "bad-request-line"},
		{"method: space", line(" / HTTP/1.1"), "bad-request-line"},
		{"method: unknown bytes", line("GE\x01T / HTTP/1.1"), "bad-method"},
		{"method: NUL", line("\x00GET / HTTP/1.1"), "bad-method"},
		{"method: brackets", line("[GET] / HTTP/1.1"), "bad-method"},
		{"method: lower case", line("get / HTTP/1.1"), "bad-method"},
		{"method: too long", line(strings.Repeat("A", 33) + " / HTTP/1.1"), "unknown-method"},
		{"method: unheard of", line("BREW / HTTP/1.1"), ok},
		{"target: none", line("GET HTTP/1.1"), "bad-request-line"},
		{"target: space", line("GET /a b HTTP/1.1"), "bad-target"},
		{"target: fragment", line("GET /#a HTTP/1.1"), "bad-target"},
		{"target: non-ASCII", line("GET /\xff HTTP/1.1"), "bad-target"},
		{"target: UTF-8", line("GET /b\xc3\xbccher HTTP/1.1"), "bad-target"},
		{"target: NUL", line("GET /\x00 HTTP/1.1"), "bad-target"},
		{"target: CR", line("GET /\r HTTP/1.1"), "bad-target"},
		{"target: tab", line("GET /\t HTTP/1.1"), "bad-target"},
		{"target: no slash", line("GET a HTTP/1.1"), "bad-target"},
		{"target: two versions", line("GET / HTTP/1.1 HTTP/1.1"), "bad-target"},
		{"target: asterisk", line("GET * HTTP/1.1"), "bad-target"},
		{"target: asterisk of OPTIONS", line("OPTIONS * HTTP/1.1"), ok},
		{"target: absolute", line("GET http://a/b HTTP/1.1"), ok},
		{"target: absolute of another host", line("GET http://b/ HTTP/1.1"), "host-mismatch"},
		{"target: absolute with a user", line("GET http://a@b/ HTTP/1.1"), "bad-host"},
		{"target: absolute with a backslash", line("GET http://a\\b/ HTTP/1.1"), "bad-host"},
		{"target: absolute with another scheme", line("GET gopher://a/ HTTP/1.1"), "bad-target"},
		{"CONNECT", line("CONNECT a:443 HTTP/1.1"), "connect"},
		{"CONNECT with a path", line("CONNECT / HTTP/1.1"), "connect"},
		{"CONNECT in lower case", line("connect a:443 HTTP/1.1"), "bad-method"},
		{"authority of GET", line("GET a:443 HTTP/1.1"), "bad-target"},

		// Host.
		{"host: missing", "GET / HTTP/1.1\r\n\r\n", "no-host"},
		{"host: missing beside an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", "no-host"},
		{"host: missing in 1.0", "GET / HTTP/1.0\r\n\r\n", ok},
		{"host: twice the same", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "many-hosts"},
		{"host: twice", "GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", "many-hosts"},
		{"host: twice in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "many-hosts"},
		{"host: comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "bad-host"},
		{"host: empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad-host"},
		{"host: space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad-host"},
		{"host: two ports", "GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n", "bad-host"},
		{"host: port of letters", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", "bad-host"},
		{"host: slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad-host"},
		{"host: user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "bad-host"},
		{"host: fragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "bad-host"},
		{"host: UTF-8", "GET / HTTP/1.1\r\nHost: b\xc3\xbccher\r\n\r\n", "bad-host"},
		{"host: URL", "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "bad-host"},

		// Trailers.
		{"trailer: right", chunked("0\r\nX: y\r\nGrpc-Status: 0\r\n\r\n"), ok},
		{"trailer: Host", chunked("0\r\nHost: b\r\n\r\n"), "bad-trailer"},
		{"trailer: Content-Length", chunked("0\r\ncontent-length: 5\r\n\r\n"), "bad-trailer"},
		{"trailer: Content_Length", chunked("0\r\nContent_Length: 5\r\n\r\n"), "bad-trailer"},
		{"trailer: Transfer-Encoding", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "bad-trailer"},
		{"trailer: Authorization", chunked("0\r\nAuthorization: x\r\n\r\n"), "bad-trailer"},
		{"trailer: Cookie", chunked("0\r\nA: b\r\nCookie: x\r\n\r\n"), "bad-trailer"},
		{"trailer: Proxy-Anything", chunked("0\r\nProxy-Anything: x\r\n\r\n"), "bad-trailer"},
		{"trailer: X-Forwarded-For", chunked("0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"), "bad-trailer"},
		{"trailer: X-Forwarded, long", chunked("0\r\nX-Forwarded-Client-Cert-And-More-Than-32: x\r\n\r\n"), "bad-trailer"},
		{"trailer: If-Match", chunked("0\r\nIf-Match: x\r\n\r\n"), "bad-trailer"},
		{"trailer: Range", chunked("0\r\nRange: bytes=0-\r\n\r\n"), "bad-trailer"},
		{"trailer: space before colon", chunked("0\r\nX : y\r\n\r\n"), "bad-trailer-line"},
		{"trailer: no colon", chunked("0\r\nX\r\n\r\n"), "bad-trailer-line"},
		{"trailer: empty name", chunked("0\r\n: y\r\n\r\n"), "bad-trailer-line"},
		{"trailer: folded", chunked("0\r\nX: y\r\n z\r\n\r\n"), "bad-trailer-line"},
		{"trailer: leading space", chunked("0\r\n X: y\r\n\r\n"), "bad-trailer-line"},
		{"trailer: bare LF", chunked("0\r\nX: y\n\r\n"), "bad-trailer-line"},
		{"trailer: bare CR", chunked("0\r\nX: y\rz\r\n\r\n"), "bad-trailer-line"},
		{"trailer: NUL", chunked("0\r\nX: \x00\r\n\r\n"), "bad-trailer-line"},
		{"trailer: DEL", chunked("0\r\nX: \x7f\r\n\r\n"), "bad-trailer-line"},
		{"trailer: too long", chunked("0\r\nX: " + strings.Repeat("y", MaxTrailer) + "\r\n\r\n"), "long-trailer"},
		{"trailer: too many", chunked("0\r\n" + strings.Repeat("X: y\r\n", MaxTrailerFields+1) + "\r\n"), "long-trailer"},
		{"trailer: as many as may be", chunked("0\r\n" + strings.Repeat("X: y\r\n", MaxTrailerFields) + "\r\n"), ok},
		{"trailer: announced", request("Transfer-Encoding: chunked", "Trailer: X, Y") + "0\r\n\r\n", ok},
		{"trailer: Content-Length announced", request("Transfer-Encoding: chunked", "Trailer: X, content-length") + "0\r\n\r\n", "bad-trailer"},

		// Connection and Expect.
		{"connection: empty elements", request("Connection: ,close,,"), ok},
		{"connection: no token", request("Connection: a b"), "bad-connection"},
		{"connection: parameter", request("Connection: close;x"), "bad-connection"},
		{"connection: too many", request("Connection: " + strings.Repeat("a,", 32) + "a"), "bad-connection"},
		{"connection: too many in several", request("Connection: "+strings.Repeat("a,", 20)+"a", "Connection: "+strings.Repeat("a,", 20)+"a"), "bad-connection"},
		{"expect: right", request("Expect: 100-Continue", "Content-Length: 1") + "x", ok},
		{"expect: other", request("Expect: 200-ok", "Content-Length: 1") + "x", "expectation"},
		{"expect: more", request("Expect: 100-continue, x", "Content-Length: 1") + "x", "expectation"},
		{"expect: twice", request("Expect: 100-continue", "Expect: 100-continue", "Content-Length: 1") + "x", "expectation"},
		{"expect: empty", request("Expect: "), "expectation"},
		{"expect: prefix", request("Expect: 100-continue\x00"), "bad-field-value"},

		// Limits.
		{"limit: longest request line", line("GET /" + strings.Repeat("a", 8192-16) + " HTTP/1.1"), ok},
		{"limit: long request line", line("GET /" + strings.Repeat("a", 8192-15) + " HTTP/1.1"), "long-request-line"},
		{"limit: request line without end", "GET /" + strings.Repeat("a", 1<<16), "long-request-line"},
		{"limit: request line without end, one byte earlier", "GET /" + strings.Repeat("a", 8192-6), "short"},
		{"limit: request line without end, at once", "GET /" + strings.Repeat("a", 8192-5), "long-request-line"},
		{"limit: longest field", request("X: " + strings.Repeat("a", 8192-5)), ok},
		{"limit: long field", request("X: " + strings.Repeat("a", 8192-4)), "long-field"},
		{"limit: long field without end", "GET / HTTP/1.1\r\nX: " + strings.Repeat("\x00", 1<<16), "long-field"},
		{"limit: long head", request(strings.TrimSuffix(strings.Repeat("X: "+strings.Repeat("a", 4000)+"\r\n", 9), "\r\n")), "long-head"},
		{"limit: most fields", request(strings.TrimSuffix(strings.Repeat("X: a\r\n", 99), "\r\n")), ok},
		{"limit: many fields", request(strings.TrimSuffix(strings.Repeat("X: a\r\n", 100), "\r\n")), "many-fields"},

		{"nothing", "", "short"},
		{"half a line", "GET / HT", "short"},
		{"no empty line", "GET / HTTP/1.1\r\nHost: a\r\n", "short"},
	}
}

// strictResponses is the same for what servers send.
func strictResponses() []strictCase {
	const ok = ""
	response := func(lines string) string { return "HTTP/1.1 200 OK\r\n" + lines + "\r\n" }
	return []strictCase{
		{"right", response("Content-Length: 5\r\n") + "hello", ok},
		{"no reason", "HTTP/1.1 200 \r\n\r\n", ok},
		{"no reason and no space", "HTTP/1.1 200\r\n\r\n", ok},
		{"reason of bytes", "HTTP/1.1 200 \xc3\xa4\t!\r\n\r\n", ok},
		{"status of 3 digits", "HTTP/1.1 999 No\r\n\r\n", ok},
		{"status of 2", "HTTP/1.1 20 OK\r\n\r\n", "bad-status-line"},
		{"status of 4", "HTTP/1.1 2000 OK\r\n\r\n", "bad-status-line"},
		{"status with sign", "HTTP/1.1 +20 OK\r\n\r\n", "bad-status-line"},
		{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", "bad-status"},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", "bad-status-line"},
		{"tab", "HTTP/1.1\t200 OK\r\n\r\n", "bad-status-line"},
		{"control byte in reason", "HTTP/1.1 200 O\x00K\r\n\r\n", "bad-status-line"},
		{"CR in reason", "HTTP/1.1 200 O\rK\r\n\r\n", "bad-status-line"},
		{"version 2", "HTTP/2.0 200 OK\r\n\r\n", "version"},
		{"version 1.2", "HTTP/1.2 200 OK\r\n\r\n", "version"},
		{"other protocol", "ICY 200 OK and more\r\n\r\n", "bad-status-line"},
		{"lower case", "http/1.1 200 OK\r\n\r\n", "bad-status-line"},
		{"nothing but body", "<html>hello</html>\r\n", "bad-status-line"},
		{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "bad-status-line"},
		{"bare LF", "HTTP/1.1 200 OK\nA: b\n\n", "bare-lf"},
		{"folded", response("A: b\r\n c\r\n"), "folded-field"},
		{"space before colon", response("Content-Length : 5\r\n") + "hello", "bad-field-name"},
		{"length and chunks", response("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", "length-and-coding"},
		{"two equal lengths", response("Content-Length: 5\r\nContent-Length: 5\r\n") + "hello", "many-lengths"},
		{"length of a list", response("Content-Length: 5, 5\r\n") + "hello", "bad-length"},
		{"negative length", response("Content-Length: -5\r\n") + "hello", "bad-length"},
		{"coding that is not known", response("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n", "unknown-coding"},
		{"identity", response("Transfer-Encoding: identity\r\n") + "hello", "bad-coding"},
		{"chunks in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding-in-1.0"},
		{"wrong length of a 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n", "bad-length"},
		{"underscore", response("Content_Length: 5\r\n"), ok}, // no rule looks at it
		{"long status line", "HTTP/1.1 200 " + strings.Repeat("a", 8192), "long-request-line"},
		{"bad chunk", response("Transfer-Encoding: chunked\r\n") + "0x5\r\nhello\r\n0\r\n\r\n", "bad-chunk-size"},
		{"truncated", response("Content-Length: 5\r\n") + "hell", "short"},
	}
}
