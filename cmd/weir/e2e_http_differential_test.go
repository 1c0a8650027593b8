package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// drawn is a request made by chance, as it goes over the wire.
type drawn struct {
	text   string
	method string
}

// drawRequest makes a request, most of them good, many of them odd. All end their connection, so that the answer is all that
// comes until its end.
func drawRequest(r *rand.Rand) drawn {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	rarely := func(n int, odd ...string) string { // one of odd in one of n cases
		if r.IntN(n) == 0 {
			return pick(odd...)
		}
		return ""
	}
	method := pick("GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE")
	if odd := rarely(25, "get", "G ET", "GET\t", "", "G@T", "GET\x00"); odd != "" {
		method = odd
	}
	target := "/" + pick("", "a", "a/b", "a?b=c", "a?b?c", "a%20b", "%41", "a;b=c", "a/%2e%2e/b", "a//b", "~a", "a+b", "a?%00",
		"a?x=%", "\xc3\xa9", "a|b")
	if odd := rarely(20, "", "*", "a", "http://b.test/x", "//b.test/x", "/a b", "/a#b", "/%", "/%zz", "/\x7f",
		"/a\x00", "/..", "/\\", "http://", "https://user@b.test/"); odd != "" {
		target = odd
	}
	version := "HTTP/1.1"
	if odd := rarely(20, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/11", ""); odd != "" {
		version = odd
	}
	var fields []string
	if r.IntN(30) > 0 {
		fields = append(fields, "Host: "+pick("a.test", "a.test", "A.test:8080", "127.0.0.1", "[::1]:80"))
	}
	if odd := rarely(20, "Host: b.test", "Host:", "Host: a b", "Host: a/b", "Host: a\x00"); odd != "" {
		fields = append(fields, odd)
	}
	fields = append(fields, "X-Test: "+pick("", "plain", "with space", "a, b", "\xc3\xa9", "q=\"x\"", "tab\there"))
	if odd := rarely(12, "X-Bad : 1", "X Bad: 1", ": 1", "X-Bad", "X-Bad: a\x00b", "X-Bad: a\rb", " folded: 1",
		"X-B\xe9d: 1", "X-Bad: a\x7fb", "X_Under: 1", "\tX: 1"); odd != "" {
		fields = append(fields, odd)
	}
	body := ""
	content := pick("", "x", "hello", strings.Repeat("long ", 300))
	switch framing := r.IntN(12); {
	case framing < 4 && method != "GET" && method != "HEAD":
		fields, body = append(fields, fmt.Sprint("Content-Length: ", len(content))), content
	case framing < 6 && method != "GET" && method != "HEAD":
		fields, body = append(fields, "Transfer-Encoding: "+pick("chunked", "chunked", "Chunked")), chunked(r, content)
	case framing == 6:
		fields = append(fields, pick("Content-Length: 0", "Content-Length: -1", "Content-Length: +1", "Content-Length: 1a", "Content-Length:",
			"Content-Length: 0, 0", "Content-Length: 99999999999999999999", "Content-Length: 0\r\nContent-Length: 1",
			"Content-Length: 0\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity",
			"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding:", "Transfer-Encoding: \x0bchunked"))
		body = pick("", "0\r\n\r\n", "x")
	}
	fields = append(fields, "Connection: close")
	end := "\r\n"
	if odd := rarely(40, "\n", "\r", "\r\r\n"); odd != "" {
		end = odd
	}
	return drawn{rarely(60, "\r\n", " ", "\n") + method + " " + target + " " + version + end + strings.Join(fields, end) + end + end + body, method}
}

// chunked cuts content into chunks, now and then not quite as it should be.
func chunked(r *rand.Rand, content string) string {
	var b strings.Builder
	for len(content) > 0 {
		n := 1 + r.IntN(len(content))
		fmt.Fprintf(&b, "%x%s\r\n%s\r\n", n, []string{"", "", ";ext", "; a=\"b\""}[r.IntN(4)], content[:n])
		content = content[n:]
	}
	b.WriteString([]string{"0\r\n\r\n", "0\r\n\r\n", "0\r\n\r\n", "000\r\n\r\n", "0\r\nX-Trailer: 1\r\n\r\n", "0\n\n", "g\r\n\r\n", "-0\r\n\r\n"}[r.IntN(8)])
	return b.String()
}

// accepted is whether net/http reads a request to its end.
func (d drawn) accepted() bool {
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(d.text)))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// reply is what a server answered.
type reply struct {
	status int
	body   string
}

// tryRequest sends a request and returns the answer. One that has no end, such as that of half a request, is over when the
// client has said all: it ends its side.
func (d drawn) tryRequest(addr string) (reply, error) {
	conn, err := net.DialTimeout("tcp", addr, soon)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return reply{}, err
	}
	_, _ = io.WriteString(conn, d.text) // who has been answered already need not have read it all
	all, err := io.ReadAll(conn)
	if isTimeout(err) {
		return reply{}, err
	}
	// A reset behind the answer is none of the answer's business.
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), &http.Request{Method: d.method})
	if err != nil {
		return reply{}, errors.Join(errNoAnswer, err)
	}
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(body)}, err
}

var errNoAnswer = errors.New("no answer")

// TestDifferential sends thousands of requests to an nginx that says what it has seen, directly and through weir.
// What weir lets through has the same meaning behind it; and what net/http refuses to read, weir refuses.
func TestDifferential(t *testing.T) {
	t.Parallel()
	const count = 4000
	addr := weirtest.FreeAddr(t)
	weirtest.Nginx(t, weirtest.NginxOptions{Listen: []string{addr}, HTTP: fmt.Sprintf(`
client_body_timeout 3s; client_header_timeout 3s; merge_slashes off; underscores_in_headers on;
server { listen %s; location / { return 200 "$request_method~~$request_uri~~$content_length~~$http_transfer_encoding~~$http_x_test~~$http_host"; } }`, addr)})
	w := weirtest.Weir(t, site(`, transport: { respondingTimeouts: { readTimeout: 1s } }, http: { underscoreHeadersStrategy: keep }`, "", addr))
	through := addressOf(t, w, "web")

	requests := make(chan drawn)
	go func() {
		defer close(requests)
		r := rand.New(rand.NewPCG(7, 11))
		for range count {
			requests <- drawRequest(r)
		}
	}()
	type tally struct{ passed, refused, ours int }
	counts := make(chan tally)
	const workers = 8
	for range workers {
		go func() {
			var n tally
			for d := range requests {
				directly, errDirectly := d.tryRequest(addr)
				got, err := d.tryRequest(through)
				switch {
				case err != nil:
					t.Errorf("weir does not answer: %v\n%q", err, d.text)
				case got.status == 200:
					n.passed++
					d.check(t, got, directly, errDirectly)
				case got.status >= 500 && got.status != 501 && got.status != 505:
					t.Errorf("weir answers %d, nginx %d %q, %v\n%q", got.status, directly.status, directly.body, errDirectly, d.text)
				default:
					n.refused++
					if d.accepted() {
						n.ours++ // stricter than net/http, which it may be
					}
				}
			}
			counts <- n
		}()
	}
	var sum tally
	for range workers {
		n := <-counts
		sum = tally{sum.passed + n.passed, sum.refused + n.refused, sum.ours + n.ours}
	}
	t.Logf("%d requests: %d passed, %d refused, of which net/http takes %d", count, sum.passed, sum.refused, sum.ours)
	if sum.passed < count/3 || sum.refused < count/10 || sum.passed+sum.refused != count {
		t.Errorf("of %d requests %d passed and %d were refused", count, sum.passed, sum.refused)
	}
}

// check compares what was seen behind weir with what is seen without it.
func (d drawn) check(t *testing.T, got, directly reply, errDirectly error) {
	if !d.accepted() {
		t.Errorf("net/http refuses what weir passes on:\n%q", d.text)
	}
	if directly.status == 400 && strings.Contains(d.text, " /.. ") {
		return // a ".." stops at the root (RFC 3986 section 5.2.4), where nginx refuses it
	}
	if errDirectly != nil || directly.status != 200 {
		t.Errorf("nginx takes from weir what it does not take directly: %d, %v\n%q", directly.status, errDirectly, d.text)
		return
	}
	want := directly.body
	if got.body == want || d.method == "HEAD" && got.body == "" {
		return
	}
	// Paths are brought into one form on the way, which is a change in spelling only.
	mine, theirs := strings.Split(got.body, "~~"), strings.Split(want, "~~")
	if len(mine) != len(theirs) {
		t.Errorf("through weir %q, directly %q\n%q", got.body, want, d.text)
		return
	}
	for i := range mine {
		if i != 1 && mine[i] != theirs[i] && (i != 3 || !strings.EqualFold(mine[i], theirs[i])) { // names of codings know no case
			t.Errorf("through weir %q, directly %q\n%q", got.body, want, d.text)
			return
		}
	}
	if !samePath(mine[1], theirs[1]) {
		t.Errorf("through weir the path is %q, directly %q", mine[1], theirs[1])
	}
}

// samePath reports whether the first is what the second is in normal form, for the paths that drawRequest makes.
func samePath(normal, written string) bool {
	forms := map[string]string{
		"/%41": "/A", "/a/%2e%2e/b": "/b", "/a//b": "/a/b", "/..": "/", "/a|b": "/a%7Cb", "http://b.test/x": "/x", "//b.test/x": "/b.test/x",
	}
	return normal == written || forms[written] == normal
}
