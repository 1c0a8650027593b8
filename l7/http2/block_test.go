package http2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

// What a head says goes on as HTTP/1, or is refused: nothing of it can become another line, another message or another host.
func TestHeads(t *testing.T) {
	long := strings.Repeat("a", 5000)
	crumbs := func(n int) (s []string) {
		for range n {
			s = append(s, "cookie", "a=b")
		}
		return s
	}
	many := func(n int) (s []string) {
		for i := range n {
			s = append(s, fmt.Sprintf("x-%d", i), "1")
		}
		return s
	}
	for _, tt := range []struct {
		name string
		end  bool
		head []string
		want string // as HTTP/1, but for its last line
		err  error
	}{
		{"get", true, with(get, "accept", "*/*"), "GET / HTTP/1.1\r\nHost: a\r\naccept: */*\r\n", nil},
		{"crumbs", true, with(get, "cookie", "a=b", "x", "1", "cookie", "c=d"), "GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\ncookie: a=b; c=d\r\n", nil},
		{"post", false, post, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", nil},
		{"post with length", false, with(post, "content-length", "5"), "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n", nil},
		{"post of nothing", true, post, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", nil},
		{"post of length 0", true, with(post, "content-length", "0"), "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n", nil},
		{"post that ends too early", true, with(post, "content-length", "5"), "", ErrLengthMismatch},
		{"host alone", true, []string{":method", "GET", ":scheme", "http", ":path", "/", "host", "b:80"}, "GET / HTTP/1.1\r\nhost: b:80\r\n", nil},
		{"host and authority", true, with(get, "host", "A:80"), "GET / HTTP/1.1\r\nhost: A:80\r\n", nil},
		{"host that differs", true, with(get, "host", "b"), "", head.ErrHostMismatch},
		{"two hosts", true, with(get, "host", "a", "host", "a"), "", head.ErrHostRepeated},
		{"no host", true, []string{":method", "GET", ":scheme", "http", ":path", "/"}, "", head.ErrHostMissing},
		{"empty authority", true, []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "", "host", "a"}, "", head.ErrHost},
		{"authority with a user", true, []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@a"}, "", head.ErrHost},
		{"authority of two lines", true, []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a\r\nx: 1"}, "", head.ErrHost},
		{"asterisk", true, []string{":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "a"}, "OPTIONS * HTTP/1.1\r\nHost: a\r\n", nil},
		{"asterisk of another method", true, []string{":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a"}, "", head.ErrTarget},
		{"absolute path", true, []string{":method", "GET", ":scheme", "http", ":path", "http://b/", ":authority", "a"}, "", head.ErrTarget},
		{"path of two words", true, []string{":method", "GET", ":scheme", "http", ":path", "/ HTTP/1.1\r\nx: 1", ":authority", "a"}, "", head.ErrTarget},
		{"empty path", true, []string{":method", "GET", ":scheme", "http", ":path", "", ":authority", "a"}, "", head.ErrTarget},
		{"no path", true, []string{":method", "GET", ":scheme", "http", ":authority", "a"}, "", ErrPseudo},
		{"no scheme", true, []string{":method", "GET", ":path", "/", ":authority", "a"}, "", ErrPseudo},
		{"no method", true, []string{":scheme", "http", ":path", "/", ":authority", "a"}, "", ErrPseudo},
		{"nothing", true, nil, "", ErrPseudo},
		{"other scheme", true, []string{":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a"}, "", ErrScheme},
		{"method in small letters", true, []string{":method", "get", ":scheme", "http", ":path", "/", ":authority", "a"}, "", head.ErrMethod},
		{"method of two lines", true, []string{":method", "GET / HTTP/1.1\r\n", ":scheme", "http", ":path", "/", ":authority", "a"}, "", head.ErrMethod},
		{"connect", false, []string{":method", "CONNECT", ":authority", "a:1"}, "", head.ErrConnect},
		{"extended connect", false, connect, "GET / HTTP/1.1\r\nHost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n", nil},
		{"extended connect at the end of what the client says", true, connect, "GET / HTTP/1.1\r\nHost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n", nil},
		{"extended connect in capitals", false, with(connect[:4], ":protocol", "WebSocket", ":path", "/", ":authority", "a"), "GET / HTTP/1.1\r\nHost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n", nil},
		{"extended connect with a key", false, with(connect, "sec-websocket-version", "13", "sec-websocket-key", "mine"),
			"GET / HTTP/1.1\r\nHost: a\r\nsec-websocket-version: 13\r\nconnection: Upgrade\r\nupgrade: websocket\r\n", nil},
		{"extended connect, the protocol elsewhere", false, with(connect, "upgrade", "websocket"), "", ErrConnectionField},
		{"extended connect for something else", false, with(connect[:4], ":protocol", "connect-udp", ":path", "/", ":authority", "a"), "", ErrProtocolUnknown},
		{"extended connect for nothing", false, with(connect[:4], ":protocol", "", ":path", "/", ":authority", "a"), "", ErrProtocolUnknown},
		{"extended connect without a path", false, with(connect[:6], ":authority", "a"), "", ErrPseudo},
		{"extended connect without a scheme", false, []string{":method", "CONNECT", ":protocol", "websocket", ":path", "/", ":authority", "a"}, "", ErrPseudo},
		{"extended connect without a host", false, connect[:8], "", head.ErrHostMissing},
		{"extended connect with a length", false, with(connect, "content-length", "0"), "", ErrProtocol},
		{"extended connect twice", false, with(connect, ":protocol", "websocket"), "", ErrPseudo},
		{"protocol of a GET", true, with(get, ":protocol", "websocket"), "", ErrProtocol},
		{"method twice", true, with(get, ":method", "GET"), "", ErrPseudo},
		{"unknown pseudo-header", true, with(get, ":status", "200"), "", ErrPseudo},
		{"pseudo-header of nothing", true, with(get, ":", "1"), "", ErrPseudo},
		{"pseudo-header behind", true, []string{":method", "GET", ":scheme", "http", "x", "1", ":path", "/", ":authority", "a"}, "", ErrPseudo},
		{"pseudo-header behind a dropped field", true, []string{":method", "GET", ":scheme", "http", "x_real_ip", "1", ":path", "/"}, "", ErrPseudo},
		{"capital", true, with(get, "X", "1"), "", ErrUppercase},
		{"name of nothing", true, with(get, "", "1"), "", http1.ErrFieldName},
		{"name with a blank", true, with(get, "a b", "1"), "", http1.ErrFieldName},
		{"name with a colon", true, with(get, "a:b", "1"), "", http1.ErrFieldName},
		{"name of two lines", true, with(get, "a: b\r\nc", "1"), "", http1.ErrFieldName},
		{"value with LF", true, with(get, "a", "1\nb: 2"), "", http1.ErrFieldValue},
		{"value with CR", true, with(get, "a", "1\rb"), "", http1.ErrFieldValue},
		{"value with NUL", true, with(get, "a", "1\x00"), "", http1.ErrFieldValue},
		{"value with a blank before", true, with(get, "a", " 1"), "", http1.ErrFieldValue},
		{"value with a tab behind", true, with(get, "a", "1\t"), "", http1.ErrFieldValue},
		{"value of nothing", true, with(get, "a", ""), "GET / HTTP/1.1\r\nHost: a\r\na: \r\n", nil},
		{"cookie of two lines", true, with(get, "cookie", "a=b\r\nx: 1"), "", http1.ErrFieldValue},
		{"connection", true, with(get, "connection", "close"), "", ErrConnectionField},
		{"keep-alive", true, with(get, "keep-alive", "1"), "", ErrConnectionField},
		{"proxy-connection", true, with(get, "proxy-connection", "1"), "", ErrConnectionField},
		{"transfer-encoding", false, with(post, "transfer-encoding", "chunked"), "", ErrConnectionField},
		{"upgrade", true, with(get, "upgrade", "websocket"), "", ErrConnectionField},
		{"te", true, with(get, "te", "trailers"), "GET / HTTP/1.1\r\nHost: a\r\nte: trailers\r\n", nil},
		{"te of more", true, with(get, "te", "gzip"), "", ErrTE},
		{"two lengths", false, with(post, "content-length", "1", "content-length", "1"), "", http1.ErrLengthRepeated},
		{"length with a sign", false, with(post, "content-length", "+1"), "", http1.ErrLength},
		{"length of two", false, with(post, "content-length", "1, 1"), "", http1.ErrLength},
		{"expect", false, with(post, "expect", "100-continue", "content-length", "1"), "POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n", nil},
		{"expect nothing", true, with(get, "expect", "100-continue"), "GET / HTTP/1.1\r\nHost: a\r\n", nil},
		{"expect something", false, with(post, "expect", "tea"), "", http1.ErrExpect},
		{"trailer of a length", false, with(post, "trailer", "content-length"), "", http1.ErrTrailerName},
		{"lookalike", true, with(get, "x_forwarded_for", "1", "a_b", "1"), "GET / HTTP/1.1\r\nHost: a\r\na_b: 1\r\n", nil},
		{"many fields", true, with(get, many(98)...), "GET / HTTP/1.1\r\nHost: a\r\nx-0: 1\r\n…", nil},
		{"too many fields", true, with(get, many(99)...), "", http1.ErrTooManyFields},
		{"too many crumbs", true, with(get, crumbs(150)...), "", http1.ErrTooManyFields},
		{"long field", true, with(get, "a", long+long), "", http1.ErrFieldTooLong},
		{"long cookie of crumbs", true, with(get, "cookie", long, "cookie", long), "", http1.ErrFieldTooLong},
		{"long path", true, []string{":method", "GET", ":scheme", "http", ":path", "/" + long + long, ":authority", "a"}, "", http1.ErrLineTooLong},
		{"long head", true, with(get, "a", long, "b", long, "c", long, "d", long, "e", long, "f", long, "g", long), "", http1.ErrHeadTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, Options{}).greet()
			p.ask(1, tt.end, tt.head...)
			p.ask(3, true, get...)
			p.run()
			wants(t, "events", p.events, fmt.Sprintf("1 request over=%v err=%v", tt.end, tt.err), "3 request over=true err=<nil>")
			if tt.err == nil {
				wants(t, "as HTTP/1", []string{strings.TrimSuffix(p.heads[1], "\r\n")}, tt.want)
				var h head.Head
				if n, err := new(http1.Parser).Request([]byte(p.heads[1]), &h); err != nil || n != len(p.heads[1]) {
					t.Errorf("as HTTP/1 it is not understood: %v", err)
				}
			}
		})
	}
}

// Underscores are judged as in HTTP/1.
func TestUnderscores(t *testing.T) {
	for _, tt := range []struct {
		under http1.Underscores
		want  string
		err   error
	}{
		{http1.KeepUnderscores, "x_real_ip: 1\r\na_b: 2\r\n", nil},
		{http1.DropUnderscores, "", nil},
		{http1.RejectUnderscores, "", http1.ErrUnderscore},
	} {
		p := newPeer(t, Options{Underscores: tt.under}).greet()
		p.ask(1, true, with(get, "x_real_ip", "1", "a_b", "2")...)
		p.run()
		wants(t, "events", p.events, fmt.Sprintf("1 request over=true err=%v", tt.err))
		if want := "GET / HTTP/1.1\r\nHost: a\r\n" + tt.want + "\r\n"; tt.err == nil && p.heads[1] != want {
			t.Errorf("%q, want %q", p.heads[1], want)
		}
	}
}

func TestPaddedHeadWithPriority(t *testing.T) {
	p := newPeer(t, Options{}).greet()
	block := p.encode(get...)
	payload := append([]byte{3, 0, 0, 0, 1, 9}, block...) // it depends on itself, which nobody looks at
	_ = p.WriteRawFrame(1, 0x20|8|4|1, 1, append(payload, 0, 0, 0))
	p.run()
	wants(t, "events", p.events, "1 request over=true err=<nil>")
}
