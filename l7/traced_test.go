package l7

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weirlb/weir/internal/accesslog"
	"github.com/weirlb/weir/internal/trace"
	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	theirSpan  = "b7ad6b7169203331"
)

// spanTold is a span, as far as tests look at it.
type spanTold struct {
	*otlp.Span
	id, parent, trace string
	attributes        map[string]string
}

// spans waits for n spans and returns them by their names, those of one name in the order in which they ended.
func (b *bed) spans(n int) map[string][]spanTold {
	b.t.Helper()
	all, count := map[string][]spanTold{}, 0
	weirtest.Eventually(b.t, patience, func() bool {
		b.server.each(func(w *worker) { w.spans.Flush() })
		for len(b.server.options.Spans.Next()) > 0 {
			chunk := <-b.server.options.Spans.Next()
			var s otlp.ScopeSpans
			if err := proto.Unmarshal(chunk.Spans, &s); err != nil {
				b.t.Fatal(err)
			}
			for _, s := range s.Spans {
				x := spanTold{s, hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), hex.EncodeToString(s.TraceId), map[string]string{}}
				for _, a := range s.Attributes {
					switch v := a.Value; {
					case v.GetArrayValue() != nil:
						var items []string
						for _, item := range v.GetArrayValue().Values {
							items = append(items, item.GetStringValue())
						}
						x.attributes[a.Key] = strings.Join(items, "|")
					case v.GetStringValue() != "":
						x.attributes[a.Key] = v.GetStringValue()
					default:
						x.attributes[a.Key] = fmt.Sprint(v.GetIntValue())
					}
				}
				all[s.Name] = append(all[s.Name], x)
				count++
			}
		}
		return count >= n
	}, fmt.Sprintf("%d spans come", n))
	if count != n {
		b.t.Fatalf("%d spans, not %d: %v", count, n, slices.Collect(maps.Keys(all)))
	}
	return all
}

// parentSeen is what a server is spanTold of a trace.
type parentSeen struct{ trace, span, flags, state string }

func parentSeenIn(t *testing.T, h http.Header) parentSeen {
	parents := h["Traceparent"]
	if len(parents) == 0 {
		return parentSeen{state: strings.Join(h["Tracestate"], "|")}
	}
	if _, ok := trace.ParseParent([]byte(parents[0])); !ok || len(parents) > 1 {
		t.Errorf("the server gets %q", parents)
		return parentSeen{}
	}
	parts := strings.Split(parents[0], "-")
	return parentSeen{parts[1], parts[2], parts[3], strings.Join(h["Tracestate"], "|")}
}

// TestTraceContext: what a client says of a trace is passed on where all of it is good, with weir as the parent; else a trace begins.
func TestTraceContext(t *testing.T) {
	got := make(chan http.Header, 1)
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })}})
	const good = "00-" + theirTrace + "-" + theirSpan
	tests := []struct {
		name   string
		rate   float64 // negative = requests are not traced
		fields []string
		want   parentSeen // trace "new", span "new": one that was not there before
	}{
		{"off", -1, []string{"traceparent: " + good + "-01", "tracestate: a=1"}, parentSeen{theirTrace, theirSpan, "01", "a=1"}},
		{"off, and none", -1, nil, parentSeen{}},
		{"sampled", 0, []string{"traceparent: " + good + "-01", "tracestate: a=1"}, parentSeen{theirTrace, "new", "01", "a=1"}},
		{"not sampled", 1, []string{"Traceparent: " + good + "-00", "Tracestate: a=1"}, parentSeen{theirTrace, "new", "00", "a=1"}},
		{"random", 1, []string{"traceparent: " + good + "-03"}, parentSeen{theirTrace, "new", "03", ""}},
		{"a later version", 0, []string{"traceparent: 42-" + theirTrace + "-" + theirSpan + "-01-more"}, parentSeen{theirTrace, "new", "01", ""}},
		{"none, and all are taken", 1, nil, parentSeen{"new", "new", "03", ""}},
		{"none, and none is taken", 0, nil, parentSeen{"new", "new", "02", ""}},
		{"state without a parent", 1, []string{"tracestate: a=1"}, parentSeen{"new", "new", "03", ""}},
		{"malformed", 1, []string{"traceparent: 00-" + theirTrace, "tracestate: a=1"}, parentSeen{"new", "new", "03", ""}},
		{"malformed, and none is taken", 0, []string{"traceparent: ff" + good[2:] + "-01", "tracestate: a=1"}, parentSeen{"new", "new", "02", ""}},
		{"two parents", 0, []string{"traceparent: " + good + "-01", "traceparent: " + good + "-01"}, parentSeen{"new", "new", "02", ""}},
		{"two states", 0, []string{"traceparent: " + good + "-01", "tracestate: a=1, b=2", "tracestate: c=3"}, parentSeen{theirTrace, "new", "01", "a=1,b=2,c=3"}},
		{"a bad state", 0, []string{"traceparent: " + good + "-01", "tracestate: a=1,A=2"}, parentSeen{theirTrace, "new", "01", ""}},
		{"a bad state in the second field", 0, []string{"traceparent: " + good + "-01", "tracestate: a=1", "tracestate: a=1"}, parentSeen{theirTrace, "new", "01", ""}},
		{"an empty state", 0, []string{"traceparent: " + good + "-01", "tracestate: ,"}, parentSeen{theirTrace, "new", "01", ""}},
		{"a long state", 0, []string{"traceparent: " + good + "-01", "tracestate: a=1,b=" + strings.Repeat("b", 200) + ",c=" + strings.Repeat("c", 200) + ",d=" + strings.Repeat("d", 200)},
			parentSeen{theirTrace, "new", "01", "a=1,b=" + strings.Repeat("b", 200) + ",c=" + strings.Repeat("c", 200)}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.server.SetTracing(nil)
			if tt.rate >= 0 {
				b.server.SetTracing(NewTracing(TracingOptions{Rate: tt.rate}))
			}
			b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + strings.Join(append(tt.fields, ""), "\r\n") + "\r\n")
			s := parentSeenIn(t, <-got)
			var line struct {
				Trace string `json:"trace_id"`
				Span  string `json:"span_id"`
			}
			if err := json.Unmarshal([]byte(b.records(i + 1)[i]), &line); err != nil {
				t.Fatal(err)
			}
			if line.Trace != s.trace || tt.rate < 0 && line.Span != "" || tt.rate >= 0 && (len(line.Span) != 16 || line.Span == theirSpan) {
				t.Errorf("the log names trace %q and span %q, the server sees %v", line.Trace, line.Span, s)
			}
			recorded := tt.rate >= 0 && (tt.want.flags == "01" || tt.want.flags == "03")
			if tt.want.span == "new" && (line.Span == s.span) == recorded {
				t.Errorf("the log names the span %q, the server sees %v, recorded %v", line.Span, s, recorded)
			}
			if tt.want.trace == "new" && s.trace != theirTrace {
				s.trace = "new"
			}
			if tt.want.span == "new" && s.span != theirSpan {
				s.span = "new"
			}
			if s != tt.want {
				t.Errorf("the server sees %+v, want %+v", s, tt.want)
			}
			if recorded {
				b.spans(2)
			}
		})
	}
	b.spans(0)
}

// TestSpansOfARequest: what the spans of one request say, and that they stand above each other.
func TestSpansOfARequest(t *testing.T) {
	var at parentSeen
	server := backend(t, func(w http.ResponseWriter, r *http.Request) {
		at = parentSeenIn(t, r.Header)
		w.Header()["X-Answer"] = []string{"1", "2"}
		w.WriteHeader(404)
	})
	b := newBed(t, setup{backends: []netip.AddrPort{server}, middlewares: []*Middleware{AddPrefix("add", "/v1")}})
	b.routes[0].Value.Rule = "PathPrefix(`/`)"
	b.server.SetTracing(NewTracing(TracingOptions{
		Rate: 1, SafeQuery: []string{"page"}, RequestHeaders: []string{"X-Many", "X-None"}, ResponseHeaders: []string{"x-answer", "X-None"},
	}))
	b.exchange("GET /a?page=2&token=secret&bare HTTP/1.1\r\nHost: shop.test:8443\r\nUser-Agent: \xfftester\r\nX-Many: a\r\nX-Many: b\r\nConnection: close\r\n" +
		"traceparent: 00-" + theirTrace + "-" + theirSpan + "-01\r\ntracestate: a=1\r\n\r\n")
	spans := b.spans(2)
	if len(spans["GET main"]) != 1 || len(spans["GET svc"]) != 1 {
		t.Fatalf("spans %v", slices.Collect(maps.Keys(spans)))
	}
	s, c := spans["GET main"][0], spans["GET svc"][0]
	if s.trace != theirTrace || s.parent != theirSpan || c.trace != theirTrace || c.parent != s.id || at.span != c.id || s.TraceState != "a=1" {
		t.Errorf("client %s, then %s under %s, then %s under %s, then %s; state %q", theirSpan, s.id, s.parent, c.id, c.parent, at.span, s.TraceState)
	}
	if s.Kind != otlp.Span_SPAN_KIND_SERVER || c.Kind != otlp.Span_SPAN_KIND_CLIENT || s.Flags != 0x301 || c.Flags != 0x101 {
		t.Errorf("kinds %v and %v, flags %x and %x", s.Kind, c.Kind, s.Flags, c.Flags)
	}
	if s.StartTimeUnixNano > c.StartTimeUnixNano || c.StartTimeUnixNano > c.EndTimeUnixNano || c.EndTimeUnixNano > s.EndTimeUnixNano {
		t.Errorf("the server's span lasts from %d to %d, the client's from %d to %d", s.StartTimeUnixNano, s.EndTimeUnixNano, c.StartTimeUnixNano, c.EndTimeUnixNano)
	}
	protocol := "1.1"
	if overHTTP2 {
		protocol = "2"
	}
	delete(s.attributes, "client.port")
	if diff := cmp.Diff(map[string]string{
		"http.request.method": "GET", "url.scheme": "http", "url.path": "/a", "url.query": "page=2&token=REDACTED&bare", "server.address": "shop.test",
		"server.port": "8443", "client.address": "127.0.0.1", "user_agent.original": "\ufffdtester", "network.protocol.version": protocol, "http.route": "PathPrefix(`/`)",
		"http.response.status_code": "404", "http.request.header.x-many": "a|b", "http.response.header.x-answer": "1|2",
		"weir.entrypoint": "web", "weir.router": "main", "weir.service": "svc", "weir.reason": "done",
	}, s.attributes); diff != "" {
		t.Errorf("the server's span (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{
		"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": fmt.Sprint(server.Port()), "weir.service": "svc",
		"network.protocol.version": "1.1", "url.full": "http://" + server.String() + "/v1/a?page=2&token=REDACTED&bare", "http.response.status_code": "404", "error.type": "404",
	}, c.attributes); diff != "" {
		t.Errorf("the client's span (-want +got):\n%s", diff)
	}
	if s.Status != nil || c.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("a 404 makes %v of the server's span and %v of the client's", s.Status, c.Status)
	}
}

// TestAttemptsAreSpans: each attempt at a backend is a span of its own, which says how it ended, and whose parent is the request's.
func TestAttemptsAreSpans(t *testing.T) {
	var at []parentSeen
	dead := netip.MustParseAddrPort(weirtest.Refused(t))
	flaky := 0
	server := backend(t, func(w http.ResponseWriter, r *http.Request) {
		at = append(at, parentSeenIn(t, r.Header))
		if flaky++; flaky == 1 {
			w.WriteHeader(503)
		}
	})
	var again Statuses
	again.Add(503, 503)
	b := newBed(t, setup{middlewares: []*Middleware{Retry("retry", RetryOptions{Attempts: 3, Statuses: again, AnyMethod: true})}})
	b.server.SetTracing(NewTracing(TracingOptions{Rate: 1}))
	b.svc.Set(&Failover{Main: b.service("main", dead), Fallback: b.service("fallback", server), Errors: &Errors{Statuses: func() (s Statuses) { s.Add(502, 502); return s }()}})
	b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	spans := b.spans(5)
	s := spans["GET main"]
	if len(s) != 3 || len(spans["GET fallback"]) != 2 { // the router, and two attempts at the service main
		t.Fatalf("spans %v", spans)
	}
	slices.SortStableFunc(s, func(a, b spanTold) int { return int(a.Kind) - int(b.Kind) })
	if len(s[0].ParentSpanId) != 0 || s[0].Flags != 0x103 || s[0].attributes["http.response.status_code"] != "200" || s[0].Status != nil {
		t.Errorf("the request's own: %v", s[0])
	}
	for i, want := range []struct {
		span         spanTold
		resend       string
		status, kind string
	}{
		{s[1], "", "", "refused"}, {spans["GET fallback"][0], "1", "503", "503"}, {s[2], "2", "", "refused"}, {spans["GET fallback"][1], "3", "200", ""},
	} {
		a := want.span.attributes
		if a["http.request.resend_count"] != want.resend || a["http.response.status_code"] != want.status || a["error.type"] != want.kind ||
			want.span.parent != s[0].id || want.span.trace != s[0].trace || (want.span.Status != nil) != (want.kind != "") {
			t.Errorf("attempt %d: %v under %s, which is not %s; %v", i, a, want.span.parent, s[0].id, want.span.Status)
		}
	}
	if len(at) != 2 || at[0].span != spans["GET fallback"][0].id || at[1].span != spans["GET fallback"][1].id {
		t.Errorf("the server sees %v", at)
	}
}

// TestCopiesAndQuestionsAreSpans: a mirror and an authentication server get parents of their own, whether they are recorded or not.
func TestCopiesAndQuestionsAreSpans(t *testing.T) {
	for _, rate := range []float64{0, 1} {
		note := func(status int) (http.HandlerFunc, chan parentSeen) {
			came := make(chan parentSeen, 1)
			return func(w http.ResponseWriter, r *http.Request) {
				came <- parentSeenIn(t, r.Header)
				w.WriteHeader(status)
			}, came
		}
		mainly, one := note(200)
		copied, two := note(500)
		asked, three := note(204)
		b := newBed(t, setup{middlewares: forwardAuthTo(ForwardAuthOptions{Address: judge(t, asked), RequestHeaders: []string{"X-None"}})})
		b.server.SetTracing(NewTracing(TracingOptions{Rate: rate}))
		b.svc.Set(&Mirror{Main: b.service("app", backend(t, mainly)), Mirrors: []Reflection{{b.service("copies", backend(t, copied)), 100}}})
		b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		got := map[string]parentSeen{"main": <-one, "copy": <-two, "auth": <-three}
		if rate == 0 {
			if m := got["main"]; m.flags != "02" || m != got["copy"] || m != got["auth"] {
				t.Errorf("not recorded: %v", got)
			}
			b.spans(0)
			continue
		}
		spans := b.spans(4)
		s := spans["GET main"][0]
		for who, name := range map[string]string{"main": "GET app", "copy": "GET copies", "auth": "GET auth"} {
			if len(spans[name]) != 1 || spans[name][0].id != got[who].span || spans[name][0].parent != s.id || got[who].trace != s.trace {
				t.Errorf("%s: sees %v, of the spans %v under %s", who, got[who], spans[name], s.id)
			}
		}
		if a := spans["GET copies"][0].attributes; a["weir.mirror"] != "copies" || a["error.type"] != "500" {
			t.Errorf("the copy: %v", a)
		}
		if a := spans["GET auth"][0].attributes; a["weir.middleware"] != "auth" || a["http.response.status_code"] != "204" || strings.Contains(a["url.full"], "a=b") {
			t.Errorf("the question: %v", a)
		}
	}
}

// TestSpansTowardsHTTP2: a server that is spoken to by HTTP/2 sees the same, on a connection that many requests share.
func TestSpansTowardsHTTP2(t *testing.T) {
	got := make(chan http.Header, 2)
	server, _ := server2(t, 100, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	b := newBed(t, setup{backends: []netip.AddrPort{server}, transport: Transport{HTTP2: OnlyHTTP2}})
	b.server.SetTracing(NewTracing(TracingOptions{Rate: 1}))
	for range 2 {
		b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\ntraceparent: 00-" + theirTrace + "-" + theirSpan + "-01\r\ntracestate: a=1\r\n\r\n")
		spans := b.spans(2)
		s, c, at := spans["GET main"][0], spans["GET svc"][0], parentSeenIn(t, <-got)
		if s.parent != theirSpan || c.parent != s.id || at != (parentSeen{theirTrace, c.id, "01", "a=1"}) || c.attributes["network.protocol.version"] != "2" {
			t.Errorf("%s under %s, %s under %s, %v; %v", s.id, s.parent, c.id, c.parent, at, c.attributes)
		}
	}
}

// TestSpansOfFailures: what ends without a backend's answer, or in the middle of one, says so.
func TestSpansOfFailures(t *testing.T) {
	short := raw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{short}, rule: "Path(`/`)"})
	b.server.SetTracing(NewTracing(TracingOptions{Rate: 1}))
	for _, tt := range []struct {
		request, name string
		attributes    map[string]string
		failed        bool
		spans         int
	}{
		{"GET /other HTTP/1.1", "GET", map[string]string{"http.response.status_code": "404", "weir.reason": "no-route"}, false, 1},
		{"PROPFIND /other HTTP/1.1", "HTTP", map[string]string{"http.request.method": "_OTHER", "http.request.method_original": "PROPFIND"}, false, 1},
		{"GET / HTTP/1.1", "GET main", map[string]string{"http.response.status_code": "200", "error.type": "backend-abort"}, true, 2},
	} {
		b.exchange(tt.request + "\r\nHost: a\r\nConnection: close\r\n\r\n")
		spans := b.spans(tt.spans)[tt.name]
		if len(spans) != 1 {
			t.Fatalf("%s: no span %q", tt.request, tt.name)
		}
		for key, want := range tt.attributes {
			if got := spans[0].attributes[key]; got != want {
				t.Errorf("%s: %s is %q, want %q", tt.request, key, got, want)
			}
		}
		if got := spans[0].Status.GetCode() == otlp.Status_STATUS_CODE_ERROR; got != tt.failed {
			t.Errorf("%s: failed %v, want %v", tt.request, got, tt.failed)
		}
	}
}

func TestFaulty(t *testing.T) {
	for _, tt := range []struct {
		status int
		by     accesslog.Side
		reason accesslog.Reason
		want   bool
	}{
		{200, accesslog.Weir, accesslog.Done, false},
		{404, accesslog.Weir, accesslog.NoRoute, false},
		{500, accesslog.Weir, accesslog.Done, true},
		{499, accesslog.Client, accesslog.ClientAbort, false},
		{200, accesslog.Client, accesslog.ClientAbort, false},
		{200, accesslog.Backend, accesslog.BackendAbort, true},
		{200, accesslog.Backend, accesslog.IdleTimeout, true},
		{101, accesslog.Weir, accesslog.IdleTimeout, false},
		{101, accesslog.Weir, accesslog.Shutdown, true},
		{0, accesslog.Weir, accesslog.Internal, true},
	} {
		w := &worker{spans: NewServer(Options{}).options.Spans.NewBuffer()}
		if got := tellFault(w.spans, tt.status, 500, tt.by, tt.reason); got != tt.want {
			t.Errorf("%d by %v, %v: %v", tt.status, tt.by, tt.reason, got)
		}
	}
}

func TestAskedPath(t *testing.T) {
	for target, want := range map[string][2]string{
		"/a/b?c=d?e": {"/a/b", "c=d?e"}, "/": {"/", ""}, "*": {"*", ""}, "http://a.test/b?c": {"/b", "c"}, "http://a.test": {"/", ""}, "http://a.test?c": {"/", "c"},
		"/r://x/y": {"/r://x/y", ""},
	} {
		path, query := askedPath([]byte(target))
		if string(path) != want[0] || string(query) != want[1] {
			t.Errorf("%q: %q and %q", target, path, query)
		}
	}
}

// TestUnrecordedRequestsAllocateNothing: neither where the client says who it is, nor where a trace begins.
func TestUnrecordedRequestsAllocateNothing(t *testing.T) {
	w := &worker{server: NewServer(Options{}), names: trace.NewNames([32]byte{1})}
	x := &Exchange{worker: w}
	by := NewTracing(TracingOptions{})
	for _, fields := range []string{"", "traceparent: 00-" + theirTrace + "-" + theirSpan + "-00\r\ntracestate: a=1,b=2\r\ntracestate: c=3\r\n"} {
		request := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n")
		var p http1.Parser
		if n := testing.AllocsPerRun(100, func() {
			x.req.Reset()
			x.traced = traced{}
			if _, err := p.Request(request, &x.req); err != nil {
				t.Fatal(err)
			}
			x.join(by)
			x.traced.pass(w, &x.req)
		}); n > 0 {
			t.Errorf("%q: %v allocations", fields, n)
		}
		if c, ok := trace.ParseParent(x.req.Value(head.TraceParent)); !ok || c != x.traced.Context || x.traced.recorded() {
			t.Errorf("%q: the server gets %v of %v", fields, c, x.traced)
		}
	}
}
