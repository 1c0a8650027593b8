package l7

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Tables of middlewares and services are written in HTTP/1. Over HTTP/2 a bed says the same in frames, and writes down what
// comes back as HTTP/1.

// overHTTP2 has beds speak HTTP/2, and spoken counts how often one was asked to, so that no test is in the table in vain.
var (
	overHTTP2 bool
	spoken    int
)

// inChunks is a body whose length is not known beforehand, as a client sees it: HTTP/2 has no chunks.
func inChunks(parts ...string) string {
	if overHTTP2 {
		return strings.Join(parts, "")
	}
	text := ""
	for _, p := range parts {
		text += chunk(p)
	}
	return text + "0\r\n\r\n"
}

// seenBody is what a client sees of a body that a server sends as it is there.
func seenBody(head, body string) string {
	if !overHTTP2 || !strings.Contains(head, "chunked") {
		return body
	}
	s := new(said)
	s.readChunks(body)
	return strings.Join(s.pieces, "")
}

// said is a request that was written in HTTP/1.
type said struct {
	fields   []string // names and values
	pieces   []string // of its body
	trailers []string
	whole    bool // all of it is there
	left     int  // bytes of its body that are not
}

// readSaid takes the first request of a text. One that is broken, or not complete, ends the text.
func readSaid(t testing.TB, text string) (s *said, rest string) {
	t.Helper()
	head, rest, ok := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if !ok || len(words) != 3 {
		t.Fatalf("HTTP/2 cannot say %q", text)
	}
	s = &said{whole: true}
	host, length, chunked := "a", 0, false
	var fields []string
	dropped := map[string]bool{"host": true, "connection": true, "keep-alive": true, "transfer-encoding": true, "upgrade": true}
	upgrade := false
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		switch name {
		case "host":
			host = value
		case "content-length":
			length, _ = strconv.Atoi(value)
		case "transfer-encoding":
			chunked = true
		case "upgrade":
			upgrade = true
		case "connection": // what it names concerns a connection of HTTP/1
			for _, option := range strings.Split(value, ",") {
				dropped[strings.ToLower(strings.TrimSpace(option))] = true
			}
		}
		fields = append(fields, name, value)
	}
	s.fields = []string{":method", words[0], ":scheme", "http", ":authority", host, ":path", words[1]}
	if upgrade {
		s.fields[1] = "CONNECT"
		s.fields = append(s.fields, ":protocol", "websocket")
	}
	for i := 0; i < len(fields); i += 2 {
		if !dropped[fields[i]] {
			s.fields = append(s.fields, fields[i], fields[i+1])
		}
	}
	if chunked {
		return s, s.readChunks(rest)
	}
	if s.whole = length <= len(rest); !s.whole {
		length, s.left = len(rest), length-len(rest)
	}
	if length > 0 {
		s.pieces = []string{rest[:length]}
	}
	return s, rest[length:]
}

func (s *said) readChunks(text string) (rest string) {
	for {
		size, after, _ := strings.Cut(text, "\r\n")
		n, err := strconv.ParseInt(size, 16, 32)
		if s.whole = err == nil && len(after) >= int(n)+2; !s.whole {
			return ""
		}
		if n == 0 {
			trailers, rest, _ := strings.Cut(text[len(size):], "\r\n\r\n")
			for _, l := range strings.Split(strings.TrimPrefix(trailers, "\r\n"), "\r\n") {
				if name, value, ok := strings.Cut(l, ":"); ok {
					s.trailers = append(s.trailers, strings.ToLower(name), strings.TrimSpace(value))
				}
			}
			return rest
		}
		s.pieces = append(s.pieces, after[:n])
		text = after[n+2:]
	}
}

// say sends a request, as far as it is there.
func (w *wire) say(id uint32, s *said) {
	w.t.Helper()
	ends := s.whole && len(s.trailers) == 0
	_ = w.ask(id, ends && len(s.pieces) == 0, s.fields...)
	for i, p := range s.pieces {
		w.content(id, []byte(p), ends && i == len(s.pieces)-1)
	}
	if len(s.trailers) > 0 {
		_ = w.ask(id, true, s.trailers...)
	}
}

// content sends content as there is room for it, until there is an answer that ends the stream.
func (w *wire) content(id uint32, p []byte, end bool) {
	w.t.Helper()
	for len(p) > 0 {
		if r := w.got[id]; r != nil && r.ended {
			return
		}
		n := min(len(p), 16<<10, 65535+w.room[0], 65535+w.room[id])
		if n == 0 {
			if err := w.read(true); err != nil {
				w.t.Fatalf("no room is given: %v", err)
			}
			continue
		}
		_ = w.WriteData(id, end && n == len(p), p[:n])
		w.room[0] -= n
		w.room[id] -= n
		p = p[n:]
	}
}

// talk is one request that a test makes step by step.
type talk struct {
	b    *bed
	conn net.Conn
	wire *wire // of HTTP/2
	left int   // bytes of its body that are to be said
}

func (b *bed) talk() *talk { return b.talkOver(b.dial()) }

// protocol is what a client of TLS offers.
func protocol() []string {
	if overHTTP2 {
		return []string{"h2"}
	}
	return []string{"http/1.1"}
}

func (b *bed) talkOver(c net.Conn) *talk {
	b.t.Helper()
	k := &talk{b: b, conn: c}
	if overHTTP2 {
		spoken++
		k.wire = newWire(b.t, k.conn)
	}
	return k
}

// say says the request, or more of its body.
func (k *talk) say(text string) {
	k.b.t.Helper()
	switch {
	case k.wire == nil:
		send(k.b.t, k.conn, text)
	case k.left > 0:
		k.left -= len(text)
		k.wire.content(1, []byte(text), k.left == 0)
	default:
		s, _ := readSaid(k.b.t, text)
		k.left = s.left
		k.wire.say(1, s)
	}
}

// rest is what comes back.
func (k *talk) rest() string {
	k.b.t.Helper()
	if k.wire == nil {
		return rest(k.b.t, k.conn, false)
	}
	text := k.wire.answer(1).text()
	_ = k.conn.Close()
	return text
}

// exchange2 is exchange over HTTP/2.
func (b *bed) exchange2(text string) string {
	b.t.Helper()
	spoken++
	w := b.plain()
	var out strings.Builder
	for id := uint32(1); text != ""; id += 2 {
		var s *said
		s, text = readSaid(b.t, text)
		w.say(id, s)
		out.WriteString(w.answer(id).text())
	}
	_ = w.conn.Close()
	return out.String()
}

// text is a reply as HTTP/1, but that a body whose length is not known lasts to the end of the text.
func (r *reply) text() string {
	if r.status == "" {
		return "[reset]"
	}
	code, _ := strconv.Atoi(r.status)
	text := fmt.Sprintf("HTTP/1.1 %s %s\r\n", r.status, http.StatusText(code))
	for _, f := range r.fields {
		name := http.CanonicalHeaderKey(f.Name)
		if name == "Www-Authenticate" {
			name = "WWW-Authenticate"
		}
		text += name + ": " + f.Value + "\r\n"
	}
	text += "\r\n" + r.body.String()
	if r.code != nil && *r.code != 0 {
		text += "[reset]"
	}
	return text
}

// What a table says of middlewares and services holds for HTTP/2 as it does for HTTP/1.
func TestTablesOverHTTP2(t *testing.T) {
	overHTTP2 = true
	defer func() { overHTTP2 = false }()
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"prefixes", TestPrefixes}, {"stripped path", TestStrippedPathIsNoHost}, {"asterisk", TestPrefixesLeaveTheAsteriskAlone},
		{"redirectScheme", TestRedirectScheme}, {"ipAllowList", TestIPAllowListMiddleware},
		{"refused", TestRefusedGoesToAnother}, {"stale", TestStaleIdleConnectionIsReplayed},
		{"hooks", TestHooksInOrder}, {"waiting", TestWaiting}, {"hooks that panic", TestHooksThatPanic},
		{"weighted", TestWeightedEndToEnd}, {"failover", TestFailoverByStatus}, {"failover without response", TestFailoverWithoutResponse},
		{"failovers nest", TestFailoversNest}, {"failover and host", TestFailoverRestoresHost},
		{"mirror", TestMirror}, {"mirror harms nobody", TestMirrorNeverHarms},
		{"sticky", TestStickySession}, {"sticky and state", TestStickyBackendState}, {"sticky weighted", TestStickyWeighted},
		{"redirectRegex", TestRedirectRegex}, {"requestID", TestRequestID},
		{"headers", TestHeaders}, {"basicAuth", TestBasicAuth}, {"digestAuth", TestDigestAuth},
		{"path middlewares", TestPathMiddlewares}, {"path middlewares and the asterisk", TestPathMiddlewaresLeaveTheAsteriskAlone},
		{"buffered requests", TestBufferingRequests}, {"buffered responses", TestBufferingResponses},
		{"buffering and compress", TestBufferingAndCompress}, {"buffering and retries", TestBufferingRetries},
		{"forwardAuth", TestForwardAuth}, {"forwardAuth with bodies", TestForwardAuthWithBody},
		{"errors", TestErrorPages}, {"errors and headers", TestErrorPagesKeepWhatTheStatusNeeds}, {"errors that fail", TestErrorPageThatFails},
		{"headers of errors", TestHeadersOfErrorPages}, {"outcomes together", TestOutcomesTogether},
		{"outcomes", TestOutcomes}, {"outcome that panics", TestOutcomeThatPanics}, {"circuitBreaker counts", TestCircuitBreakerCounts},
		{"compress counts", TestCompressCounts}, {"compress and short bodies", TestCompressKnowsShortChunks}, {"compress what breaks off", TestCompressedBodyThatBreaksOff},
		{"compress what the client takes", TestCompressKnowsWhatTheClientTakes}, {"contentType of later attempts", TestContentTypeOfLaterAttempts},
		{"grpcWeb, long text", TestGRPCWebLongText}, {"retry budget", TestRetryBudget}, {"retry of what was not sent", TestRetryOfWhatWasNotSent},
		{"answers without a body", TestAnswersWithoutBody}, {"rateLimit", TestRateLimitMiddleware}, {"rateLimit by", TestRateLimitBy},
		{"sticky, of all without weight", TestStickyOfAllWithoutWeight}, {"sticky, forged", TestStickyForgery},
		{"failover while uploading", TestFailoverWhileUploading}, {"forwardAuth and slow bodies", TestForwardAuthWaitsForTheBody}, {"inFlightReq", TestInFlightReq}, {"seats of attempts", TestSeatsOfAttempts},
		{"passTLSClientCert", TestPassTLSClientCert}, {"jwt with a set of keys", TestJWTWithAKeySet},
		{"jwt", TestJWT}, {"grpcWeb", TestGRPCWeb}, {"grpcWeb preflight", TestGRPCWebPreflight}, {"contentType", TestContentType}, {"compress", TestCompress},
		{"retry", TestRetry}, {"circuitBreaker", TestCircuitBreaker},
		{"contentType and compress", TestContentTypeAndCompress}, {"filters", TestFiltersInOrder}, {"compressed bodies", TestCompressBodies},
		{"trace context", TestTraceContext}, {"spans", TestSpansOfARequest}, {"spans of attempts", TestAttemptsAreSpans}, {"spans of failures", TestSpansOfFailures},
		{"sticky, refused", TestStickyBackendThatRefuses}, {"queue", TestQueue}, {"unix socket", TestBackendBehindUnixSocket},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoken = 0
			if tt.test(t); spoken == 0 {
				t.Error("it does not speak HTTP/2")
			}
		})
	}
}
