package l7

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/upstream"
)

const okText = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// passive makes failures of backends visible as a streak, without an ejection.
var passive = upstream.Options{Passive: upstream.PassiveOptions{MaxFailedAttempts: 1000}}

// Bodies of requests arrive as they were framed, chunks with their extensions and trailers.
func TestRequestFraming(t *testing.T) {
	for _, tt := range []struct{ name, in, body string }{
		{"none", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		{"length 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", ""},
		{"chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"},
		{"extensions and trailers", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b c\"\r\nx\r\n0;z\r\nX-Sum: 1\r\n\r\n",
			"1;a=\"b c\"\r\nx\r\n0;z\r\nX-Sum: 1\r\n\r\n"},
		{"GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"1.0 with a body", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, answers(okText, okText))
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			text := b.exchange(tt.in + "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if n := strings.Count(text, "\r\n\r\nok"); n != 2 {
				t.Fatalf("%d answers: %q", n, text)
			}
			first, _, _ := strings.Cut(o.all()[0], "GET /next")
			head, body, _ := strings.Cut(first, "\r\n\r\n")
			if body != tt.body {
				t.Errorf("the server got %q, want %q", body, tt.body)
			}
			has(t, head, " HTTP/1.1\r\n", "\r\nHost: ") // whatever the client speaks
			if n := o.Accepted(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// Bodies of responses arrive as they were framed, and the connection to the server is kept exactly where it may be.
func TestResponseFraming(t *testing.T) {
	const old, current = "GET / HTTP/1.0\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"
	const keep = "Connection: keep-alive\r\n"
	for _, tt := range []struct {
		name, request, response string
		want                    string // what the client gets behind the end of the head
		kept                    bool   // the connection to the server
		open                    bool   // the client's
	}{
		{"length", current, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, true},
		{"length 0", current, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true, true},
		{"chunks", current, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
			"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", true, true},
		{"to the end", current, "HTTP/1.1 200 OK\r\n\r\nhello", "hello", false, false},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", true, true},
		{"HEAD of chunks", "HEAD / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true, true},
		{"204", current, "HTTP/1.1 204 No Content\r\n\r\n", "", true, true},
		{"304", current, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", true, true},
		{"interim", current, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okText, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, true},
		{"close", current, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false, true},
		{"server of 1.0", current, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false, true},
		{"server of 1.0 that keeps", current, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", true, true},
		{"client of 1.0", old, okText, "ok", true, false},
		{"client of 1.0 that keeps", old + keep, okText, "ok", true, true},
		{"client of 1.0, interim", old, "HTTP/1.1 103 Early Hints\r\n\r\n" + okText, "ok", true, false},
		{"client of 1.0, chunks", old + keep, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n",
			"hello!", true, false},
		{"client of 1.0, to the end", old + keep, "HTTP/1.1 200 OK\r\n\r\nhello", "hello", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					return
				}
				_, _ = io.WriteString(c, tt.response)
				if tt.kept { // and where not, the connection ends here, before which a client of it does not know the end
					_, _ = io.Copy(io.Discard, c)
				}
			})
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
			c := b.dial()
			send(t, c, tt.request+"\r\n")
			text := ""
			if tt.open {
				text = untilIdle(t, b, c)
				send(t, c, "GARBAGE\r\n\r\n") // to which a connection that is at its beginning answers
				has(t, rest(t, c, false), "HTTP/1.1 400 ")
			} else {
				text = rest(t, c, false)
			}
			head, body, _ := strings.Cut(text, "\r\n\r\n")
			if body != tt.want {
				t.Errorf("the client got %q, want %q", body, tt.want)
			}
			if closes := strings.Contains(head, "Connection: close"); closes == tt.open {
				t.Errorf("the client was told of its connection: %q", head)
			}
			kept := int64(0)
			if tt.kept {
				kept = 1
			}
			if n := b.server.Idle(b.pool.Backends()[0]); n != kept {
				t.Errorf("%d connections are kept, want %d", n, kept)
			}
		})
	}
}

// untilIdle reads what comes until the connection is between requests.
func untilIdle(t testing.TB, b *bed, c net.Conn) string {
	t.Helper()
	weirtest.Eventually(t, patience, func() bool {
		yes := false
		b.server.each(func(w *worker) { yes = yes || w.first != nil && w.first.state == idle && w.first.count > 0 })
		return yes
	}, "the connection is between requests")
	var got []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if b.unsent() == 0 && !pending(t, c) {
			return string(got)
		}
	}
}

// A server that lies about its framing: the client is told, or cut off where it was told otherwise already, and the
// connection serves nobody again.
func TestServersThatLie(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, tt := range []struct {
		name, response string
		status         int    // in the log
		reason, detail string // likewise
		reset          bool   // the client's connection
		want           string // the client gets this among other things
	}{
		{"garbage", "<html>hello</html>\r\n", 502, "bad-response", "bad-status-line", false, "HTTP/1.1 502 Bad Gateway\r\n"},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 502, "bad-response", "bare-lf", false, "502 Bad Gateway"},
		{"length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "bad-response", "length-and-coding", false, "502 Bad Gateway"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 502, "bad-response", "many-lengths", false, "502 Bad Gateway"},
		{"length of a list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 502, "bad-response", "bad-length", false, "502 Bad Gateway"},
		{"coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "bad-response", "coding-in-1.0", false, "502 Bad Gateway"},
		{"folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok", 502, "bad-response", "folded-field", false, "502 Bad Gateway"},
		{"long head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("b", 4000)+"\r\n", 20), 502, "bad-response", "long-head", false, "502 Bad Gateway"},
		{"many interim", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), 502, "bad-response", "many-interim", false, "HTTP/1.1 502 Bad Gateway"},
		{"101 unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 502, "bad-response", "unasked-101", false, "502 Bad Gateway"},
		{"too short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 200, "backend-abort", "", true, ""},
		{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 200, "backend-abort", "", true, ""},
		{"no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, "backend-abort", "", true, ""},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n", 200, "bad-response", "bad-chunk-size", true, ""},
		{"nothing", "", 502, "backend-abort", "", false, "502 Bad Gateway"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-", 502, "backend-abort", "", false, "502 Bad Gateway"},
		{"only interim", "HTTP/1.1 103 Early Hints\r\n\r\n", 502, "backend-abort", "", false, "502 Bad Gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrigin(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, tt.response)
				}
			})
			options := passive
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: options})
			c := b.dial()
			send(t, c, get+"Connection: close\r\n\r\n")
			has(t, rest(t, c, tt.reset), tt.want)
			if e := b.ended(1, tt.status, "backend", tt.reason); e.Detail != tt.detail {
				t.Errorf("detail %q, want %q", e.Detail, tt.detail)
			}
			backend := b.pool.Backends()[0]
			if n := backend.Stats().FailureStreak; n == 0 {
				t.Error("no failure was counted")
			}
			if n := b.server.Idle(backend); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
}

// A server that sends more than its framing says: the client has its answer, but the rest, which the next client would
// take for an answer to another question, ends the connection and counts as a failure.
func TestServersThatSendMore(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	large := string(pattern(300_000))
	for _, tt := range []struct{ name, method, response string }{
		{"another response", "GET", okText + evil},
		{"bytes behind a length", "GET", okText + "more"},
		{"bytes behind chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore"},
		{"body of HEAD", "HEAD", okText},
		{"body of 204", "GET", "HTTP/1.1 204 No Content\r\n\r\nbody"},
		{"body of 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody"},
		{"response behind a large one", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + large + evil},
	} {
		for _, secure := range []bool{false, true} {
			name := tt.name
			if secure {
				name += ", TLS"
			}
			t.Run(name, func(t *testing.T) {
				b, o := lyingBed(t, secure, tt.response)
				for i := range 3 {
					c := b.dial()
					send(t, c, tt.method+" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
					if text := rest(t, c, false); strings.Contains(text, "evil") || strings.Contains(text, "more") || strings.Contains(text, "body") {
						t.Fatalf("request %d got what was not for it: %q", i, text[max(0, len(text)-100):])
					}
					if e := b.entries(i + 1)[i]; e.Detail != "extra-bytes" || e.UpstreamReused {
						t.Errorf("record %+v", e)
					}
				}
				if n := o.Accepted(); n != 3 {
					t.Errorf("%d connections for 3 requests", n)
				}
				if n := b.pool.Backends()[0].Stats().FailureStreak; n == 0 {
					t.Error("no failure was counted")
				}
			})
		}
	}
}

// lyingBed has a server that answers every request of a connection with text, and the first with all of it in one write.
func lyingBed(t *testing.T, secure bool, text string) (*bed, *weirtest.Backend) {
	t.Helper()
	serve := func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
		}
	}
	if !secure {
		o := weirtest.Serve(t, serve)
		return newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: passive}), o
	}
	ca := weirtest.CA(t)
	o := weirtest.ServeTLS(t, ca.Server("127.0.0.1"), serve)
	return newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, pool: passive, transport: Transport{TLS: trusting(ca)}}), o
}
