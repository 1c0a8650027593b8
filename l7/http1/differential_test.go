package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/l7/head"
)

// failer is what rapid's and testing's T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// likeNetHTTP gives a request to the codec and to net/http. What net/http
// refuses must be refused; what the codec accepts must mean the same to both.
// It reports whether the codec accepted it.
func likeNetHTTP(t failer, in []byte) bool {
	t.Helper()
	p := Parser{Underscores: KeepUnderscores, Limits: Limits{Fields: 1000}}
	var h head.Head
	n, err := p.Request(in, &h)
	if err != nil {
		return false
	}
	body, trailer, err := contents(in[n:], h.Framing())
	if err != nil {
		return false
	}
	req, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(in), 64<<10))
	if err != nil {
		t.Fatalf("accepted, but net/http says %v: %q", err, in)
	}
	theirs, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatalf("accepted, but net/http says %v of the body: %q", err, in)
	}
	if string(theirs) != body {
		t.Fatalf("body is %q here and %q there: %q", body, theirs, in)
	}
	if req.Method != string(h.Method()) || req.RequestURI != string(h.Asked()) || req.Close != !h.KeepAlive {
		t.Fatalf("%s %s close %v there: %q", req.Method, req.RequestURI, req.Close, in)
	}
	path, err := url.PathUnescape(string(h.Path()))
	if err != nil || req.URL.RawQuery != query(&h) || path != req.URL.Path && req.URL.Path != "" {
		t.Fatalf("path %q, %v, query %q here, %q there: %q", h.Path(), err, query(&h), req.URL, in)
	}
	if req.Host != string(h.Host()) {
		t.Fatalf("host %q here, %q there: %q", h.Host(), req.Host, in)
	}
	sameFraming(t, h.Framing(), req.ContentLength, req.TransferEncoding, in)
	sameFields(t, &h, req.Header, trailer, req.Trailer, in)
	return true
}

func query(h *head.Head) string {
	q, _ := h.Query()
	return string(q)
}

// contents walks through a body.
func contents(in []byte, f head.Framing) (data, trailer string, err error) {
	var body Body
	body.Begin(f)
	for len(in) > 0 && !body.Done() {
		n, piece, err := body.Next(in)
		if err != nil {
			return "", "", err
		}
		switch piece {
		case Data:
			data += string(in[:n])
		case Trailer:
			trailer += string(in[:n])
		}
		in = in[n:]
	}
	return data, trailer, body.End()
}

func sameFraming(t failer, f head.Framing, length int64, codings []string, in []byte) {
	t.Helper()
	chunked := len(codings) == 1 && codings[0] == "chunked"
	ok := false
	switch f.Kind {
	case head.None:
		ok = !chunked && length == 0
	case head.Length:
		ok = !chunked && length == f.Length
	case head.Chunked:
		ok = chunked
	case head.UntilClose:
		ok = !chunked && length == -1
	}
	if !ok {
		t.Fatalf("framing is %v here; length %d, coding %v there: %q", f, length, codings, in)
	}
}

// sameFields compares fields, but those that net/http takes out of them or puts
// in, and those that the codec drops on purpose.
func sameFields(t failer, h *head.Head, theirs http.Header, trailer string, theirTrailer http.Header, in []byte) {
	t.Helper()
	ours := make(http.Header)
	for name, value := range h.All() {
		ours.Add(string(name), string(value))
	}
	apart := []string{"Host", "Transfer-Encoding", "Trailer", "Expect"}
	if ours.Get("Pragma") != "" {
		apart = append(apart, "Cache-Control")
	}
	if h.Status() > 0 {
		apart = append(apart, "Connection")
	}
	if status := h.Status(); status == 204 || status >= 100 && status < 200 {
		apart = append(apart, "Content-Length")
	}
	for _, name := range apart {
		ours.Del(name)
		theirs.Del(name)
	}
	if diff := cmp.Diff(ours, theirs, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("fields (-here +there):\n%s%q", diff, in)
	}
	if trailer == "" || trailer == "\r\n" {
		return
	}
	fields := make(http.Header)
	for line := range strings.Lines(strings.TrimSuffix(trailer, "\r\n")) {
		name, value, _ := strings.Cut(line, ":")
		fields.Add(name, strings.Trim(value, " \t\r\n"))
	}
	for name := range theirTrailer {
		if theirTrailer[name] == nil {
			delete(theirTrailer, name) // announced, not sent
		}
	}
	if diff := cmp.Diff(fields, theirTrailer); diff != "" {
		t.Fatalf("trailers (-here +there):\n%s%q", diff, in)
	}
}

// likeNetHTTPResponse is likeNetHTTP for the answer to a request.
func likeNetHTTPResponse(t failer, method string, in []byte) bool {
	t.Helper()
	p := Parser{Limits: Limits{Fields: 1000}}
	var h head.Head
	n, err := p.Response(in, &h, []byte(method))
	if err != nil {
		return false
	}
	body, trailer, err := contents(in[n:], h.Framing())
	if err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(in), 64<<10), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("accepted, but net/http says %v: %q", err, in)
	}
	theirs, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("accepted, but net/http says %v of the body: %q", err, in)
	}
	if string(theirs) != body {
		t.Fatalf("body is %q here and %q there: %q", body, theirs, in)
	}
	if resp.StatusCode != h.Status() || resp.Close && h.KeepAlive {
		t.Fatalf("status %d, keep-alive %v here; %d, close %v there: %q", h.Status(), h.KeepAlive, resp.StatusCode, resp.Close, in)
	}
	if f := h.Framing(); f.Kind != head.None {
		sameFraming(t, f, resp.ContentLength, resp.TransferEncoding, in)
	}
	sameFields(t, &h, resp.Header, trailer, resp.Trailer, in)
	return true
}

// The generators make messages that are nearly right: parts that servers differ
// about, put together and then damaged.
var (
	methods  = rapid.SampledFrom([]string{"GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "PATCH", "CONNECT", "get", "G ET", ""})
	targets  = rapid.SampledFrom([]string{"/", "/", "/a/b?c=d", "/%41", "/%zz", "*", "http://a/", "http://a:80/x", "HTTP://A", "http://b/", "//x", "/a b", "/#", "a", "", "/?", "http://a?x", "https://a/", "/\x80", "/;", "http://[::1]/"})
	versions = rapid.SampledFrom([]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/1.11", "http/1.1", "HTTP/1.1 ", "HTTP/0.9", ""})
	hosts    = rapid.SampledFrom([]string{"Host: a", "Host: a", "Host: a", "host:a", "Host: a:80", "HOST: A\t", "Host: ", "Host: a\r\nHost: a", "Host : a", "Host: [::1]", "X: y"})
	lines    = rapid.SampledFrom([]string{
		"A: b", "a:", "X-Y:  z\t", "X_Y: z", "Accept: */*", "Pragma: no-cache", "Cache-Control: x", "Cookie: a=b; c", "X: \xc3\xa4", "X: a\tb",
		"Connection: close", "Connection: keep-alive", "Connection: Upgrade", "Connection: a, close", "Connection: ,", "Connection: a b", "Upgrade: websocket",
		"Expect: 100-continue", "Expect: x", "TE: trailers", "Trailer: X", "Trailer: Content-Length", "Trailer: X, Y", "Keep-Alive: 5",
		"Content-Length: 0", "Content-Length: 4", "content-length:4", "Content-Length: 4 ", "Content-Length: 04", "Content-Length: +4", "Content-Length: 4,4", "Content-Length:", "Content-Length: 99999999999999999999",
		"Transfer-Encoding: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding: chunked\t", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\xa0", "Transfer_Encoding: chunked",
		" folded", "\tfolded", ": no name", "no colon", "X : y", "X\x00: y", "X: a\x00", "X: a\rb", "X: \x7f", "\xe4: y", "(a): b", "",
	})
	bodies = rapid.SampledFrom([]string{
		"", "", "body", "body and more", "bod", "4\r\nbody\r\n0\r\n\r\n", "4\r\nbody\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\r\n", "4;a=b\r\nbody\r\n0;c\r\n\r\n",
		"4;a=\"b;c\"\r\nbody\r\n0\r\n\r\n", "4\r\nbody\r\n0\r\nX: y\r\n\r\n", "4\r\nbody\r\n0\r\nX: y\r\nX: z\r\nA-B:\t c \r\n\r\n", "4\r\nbody\r\n0\r\nContent-Length: 5\r\n\r\n", "2\r\nbo\r\n2\r\ndy\r\n000\r\n\r\n",
		"0\r\n\r\n", "0\r\n", "4\nbody\n0\n\n", "0x4\r\nbody\r\n0\r\n\r\n", "4 \r\nbody\r\n0\r\n\r\n", "4\r\nbodyXX0\r\n\r\n", "4; a\r\nbody\r\n0\r\n\r\n", "ffffffffffffffff\r\nbody\r\n0\r\n\r\n", "4\r\nbody\r\n0\r\n X: y\r\n\r\n",
	})
	endings  = rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"})
	statuses = rapid.SampledFrom([]string{"200 OK", "200 OK", "200", "200 ", "404 Not Found", "204 No Content", "304 Not Modified", "100 Continue", "101 Switching Protocols", "205 Reset", "999 x", "099 x", "20", "2000 OK", " 200 OK", "200 a\x01"})
	noise    = rapid.SampledFrom([]string{"\r", "\n", "\r\n", " ", "\t", "\x00", ":", ";", ",", "_", "0", "1", "a", "\xa0", "\x0b", "%", "\"", "\\", "#", "?", "chunked", "Content-Length: 4\r\n"})
)

// drawMessage draws the rest of a message behind its first line.
func drawMessage(t *rapid.T, first, host string) []byte {
	ending := func() string {
		if rapid.IntRange(0, 9).Draw(t, "odd ending") > 0 {
			return "\r\n"
		}
		return endings.Draw(t, "ending")
	}
	var b strings.Builder
	b.WriteString(first + ending())
	if host != "" {
		b.WriteString(host + ending())
	}
	for range rapid.IntRange(0, 3).Draw(t, "lines") {
		b.WriteString(lines.Draw(t, "line") + ending())
	}
	b.WriteString(ending())
	b.WriteString(bodies.Draw(t, "body"))
	in := b.String()
	for range max(0, rapid.IntRange(-4, 2).Draw(t, "damages")) {
		at := rapid.IntRange(0, len(in)).Draw(t, "at")
		end := min(len(in), at+rapid.IntRange(0, 2).Draw(t, "cut"))
		in = in[:at] + noise.Draw(t, "noise") + in[end:]
	}
	return []byte(in)
}

func drawRequest(t *rapid.T) []byte {
	first := methods.Draw(t, "method") + " " + targets.Draw(t, "target") + " " + versions.Draw(t, "version")
	return drawMessage(t, first, hosts.Draw(t, "host"))
}

func drawResponse(t *rapid.T) []byte {
	return drawMessage(t, versions.Draw(t, "version")+" "+statuses.Draw(t, "status"), "")
}

// TestDifferentialRequests holds the codec to net/http with thousands of
// messages.
func TestDifferentialRequests(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 60 {
			if likeNetHTTP(t, drawRequest(t)) {
				accepted++
			}
		}
	})
	if accepted < 100 {
		t.Errorf("only %d messages were accepted: the test sees nothing", accepted)
	}
}

func TestDifferentialResponses(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 60 {
			if likeNetHTTPResponse(t, rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method"), drawResponse(t)) {
				accepted++
			}
		}
	})
	if accepted < 100 {
		t.Errorf("only %d messages were accepted: the test sees nothing", accepted)
	}
}

// TestEverySplit cuts generated messages at every place.
func TestEverySplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for range 5 {
			readAll(t, Parser{}, "", string(drawRequest(rt)))
			readAll(t, Parser{}, "GET", string(drawResponse(rt)))
		}
	})
}

// forwarded checks what a server behind weir sees of a request: the same
// message, framed the same, with nothing that was hop-by-hop.
func forwarded(t failer, in []byte) {
	t.Helper()
	var (
		p       Parser
		h, next head.Head
	)
	if _, err := p.Request(in, &h); err != nil || len(h.Host()) == 0 {
		return
	}
	h.StripHop()
	out := h.AppendRequest(nil)
	n, err := p.Request(out, &next)
	if err != nil || n != len(out) {
		t.Fatalf("%q is sent on as %q: %d, %v", in, out, n, err)
	}
	if next.Framing() != h.Framing() || !bytes.Equal(next.Method(), h.Method()) || !bytes.Equal(next.Asked(), h.Target()) || next.Count() != h.Count()+added(&h) {
		t.Fatalf("%q is sent on as %q: another message", in, out)
	}
	if next.Has(head.Connection) || next.Has(head.Upgrade) || next.Has(head.KeepAlive) || next.Has(head.TE) {
		t.Fatalf("%q is sent on as %q: with hop-by-hop fields", in, out)
	}
	if again := next.AppendRequest(nil); !bytes.Equal(again, out) {
		t.Fatalf("%q becomes %q and then %q", in, out, again)
	}
}

// added is how many fields AppendRequest adds.
func added(h *head.Head) int {
	if h.Has(head.Host) {
		return 0
	}
	return 1
}

func TestForwardedRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			forwarded(t, drawRequest(t))
		}
	})
}
