//go:build !notracing

package otlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/weirlb/weir/internal/span"
	"github.com/weirlb/weir/internal/trace"
	"github.com/weirlb/weir/internal/weirtest"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// got is what a collector has got.
type got struct {
	mu      sync.Mutex
	all     []*collector.ExportTraceServiceRequest
	headers []http.Header
}

func (g *got) take(r *collector.ExportTraceServiceRequest, h http.Header) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all, g.headers = append(g.all, r), append(g.headers, h)
	return len(g.all)
}

func (g *got) requests() []*collector.ExportTraceServiceRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}

// answer is what a collector makes of the n-th request, counted from 1: how many spans it rejects, or an error of gRPC.
type answer func(n int) (rejected int64, err error)

func good(int) (int64, error) { return 0, nil }

// overHTTP is a collector that is spoken to by HTTP, whose statuses are those that gRPC's errors stand for.
func overHTTP(t *testing.T, g *got, a answer, secure bool) (url string, config *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var req collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil || r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s with %s: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		rejected, failed := a(g.take(&req, r.Header))
		if failed != nil {
			w.WriteHeader(map[codes.Code]int{codes.Unavailable: 503, codes.InvalidArgument: 400}[status.Code(failed)])
			return
		}
		out, _ := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: "too old"}})
		_, _ = w.Write(out)
	}))
	if secure {
		s.StartTLS()
		config = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		config.NextProtos = nil
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.URL + "/v1/traces", config
}

// service is a collector of grpc-go.
type service struct {
	collector.UnimplementedTraceServiceServer
	got    *got
	answer answer
}

func (s *service) Export(ctx context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	h := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		h[http.CanonicalHeaderKey(name)] = values
	}
	rejected, err := s.answer(s.got.take(r, h))
	if err != nil {
		return nil, err
	}
	return &collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: rejected}}, nil
}

func overGRPC(t *testing.T, g *got, a answer, secure bool) (url string, config *tls.Config) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var o []grpc.ServerOption
	scheme := "http://"
	if secure {
		ca := weirtest.CA(t)
		scheme, config = "https://", &tls.Config{RootCAs: ca.Pool(), ServerName: "collector.test"}
		o = append(o, grpc.Creds(credentials.NewServerTLSFromCert(&ca.Server("collector.test").TLS)))
	}
	s := grpc.NewServer(o...)
	collector.RegisterTraceServiceServer(s, &service{got: g, answer: a})
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-served })
	return scheme + ln.Addr().String(), config
}

// log takes the program's log.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fill puts spans into a queue.
func fill(q *span.Queue, n int) {
	b := q.NewBuffer()
	for i := range n {
		b.Int("number", i)
		b.Add(&span.Span{Context: trace.Context{Trace: trace.ID{1}, Span: trace.SpanID{2}, Flags: trace.Sampled}, Kind: span.Server, Name: "GET"})
	}
	b.Flush()
}

// collectors are both kinds.
var collectors = map[string]func(*testing.T, *got, answer, bool) (string, *tls.Config){"http": overHTTP, "grpc": overGRPC}

func start(t *testing.T, kind, url string, config *tls.Config, q *span.Queue, l io.Writer) *Exporter {
	t.Helper()
	return Start(Options{
		URL: url, GRPC: kind == "grpc", TLS: config, Headers: map[string]string{"Authorization": "Bearer x"}, Version: "1.2.3",
		Resource: map[string]string{"service.name": "weir", "a": "b"},
	}, q, slog.New(slog.NewTextHandler(l, nil)))
}

func finish(ctx context.Context, e *Exporter) {
	e.Finish()
	e.Wait(ctx)
}

func expire(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), after)
	t.Cleanup(cancel)
	return ctx
}

// TestSpansArrive: what a real receiver reads is what was told, over both protocols, plain and secure.
func TestSpansArrive(t *testing.T) {
	for kind, begin := range collectors {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, " secure ", secure), func(t *testing.T) {
				g, q, l := new(got), span.NewQueue(), new(log)
				url, config := begin(t, g, good, secure)
				e := start(t, kind, url, config, q, l)
				fill(q, 3)
				weirtest.Eventually(t, patience, func() bool { return q.Stats().Exported == 3 }, "the spans are taken\n"+l.String())
				fill(q, 3000) // some requests more
				finish(expire(t, patience), e)
				if s := q.Stats(); s != (span.Stats{Exported: 3003}) || l.String() != "" {
					t.Errorf("%+v\n%s", s, l)
				}
				spans := 0
				for i, r := range g.requests() {
					if len(r.ResourceSpans) != 1 || len(r.ResourceSpans[0].ScopeSpans) != 1 {
						t.Fatalf("request %d: %v", i, r)
					}
					rs := r.ResourceSpans[0]
					if scope := rs.ScopeSpans[0].Scope; scope.Name != "github.com/weirlb/weir" || scope.Version != "1.2.3" {
						t.Errorf("scope %v", scope)
					}
					resource := map[string]string{}
					for _, a := range rs.Resource.Attributes {
						resource[a.Key] = a.Value.GetStringValue()
					}
					if diff := cmp.Diff(map[string]string{"service.name": "weir", "a": "b"}, resource); diff != "" {
						t.Errorf("resource (-want +got):\n%s", diff)
					}
					for _, s := range rs.ScopeSpans[0].Spans {
						if s.Name != "GET" || len(s.TraceId) != 16 || len(s.Attributes) != 1 {
							t.Fatalf("span %v", s)
						}
						spans++
					}
					if h := g.headers[i]; h.Get("Authorization") != "Bearer x" || h.Get("User-Agent") != "weir/1.2.3" {
						t.Errorf("headers %v", h)
					}
				}
				if spans != 3003 {
					t.Errorf("%d spans arrive", spans)
				}
			})
		}
	}
}

// TestAnswersOfCollectors: spans are sent again where that may help, given up where it does not, and counted by what became of them.
func TestAnswersOfCollectors(t *testing.T) {
	unavailable, invalid := status.Error(codes.Unavailable, "later"), status.Error(codes.InvalidArgument, "no")
	tests := []struct {
		name     string
		answer   answer
		requests int
		want     span.Stats
		log      string // a part of it; empty = nothing is logged
	}{
		{"at the second attempt", func(n int) (int64, error) {
			if n == 1 {
				return 0, unavailable
			}
			return 0, nil
		}, 2, span.Stats{Exported: 5}, ""},
		{"never", func(int) (int64, error) { return 0, unavailable }, maxAttempts, span.Stats{Failed: 5}, "spans are lost"},
		{"refused for good", func(int) (int64, error) { return 0, invalid }, 1, span.Stats{Failed: 5}, "spans=5"},
		{"a part", func(int) (int64, error) { return 2, nil }, 1, span.Stats{Exported: 3, Failed: 2}, "a part of the spans"},
		{"a part that is more than all", func(int) (int64, error) { return 1000, nil }, 1, span.Stats{Failed: 5}, "a part of the spans"},
	}
	for kind, begin := range collectors {
		for _, tt := range tests {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				g, q, l := new(got), span.NewQueue(), new(log)
				url, config := begin(t, g, tt.answer, false)
				e := start(t, kind, url, config, q, l)
				fill(q, 5)
				weirtest.Eventually(t, patience, func() bool { s := q.Stats(); return s.Exported+s.Failed == 5 }, "the spans are taken or lost")
				finish(expire(t, patience), e)
				if s := q.Stats(); s != tt.want || len(g.requests()) != tt.requests {
					t.Errorf("%+v after %d requests, want %+v after %d", s, len(g.requests()), tt.want, tt.requests)
				}
				if text := l.String(); !strings.Contains(text, tt.log) || tt.log == "" && text != "" {
					t.Errorf("the log says %q, want %q", text, tt.log)
				}
			})
		}
	}
}

// TestDeadCollectorIsLoggedOnce: batch after batch is lost, and the log says so now and then alone; that it is over, too.
func TestDeadCollectorIsLoggedOnce(t *testing.T) {
	l := new(log)
	e := &Exporter{queue: span.NewQueue(), log: slog.New(slog.NewTextHandler(l, nil))}
	for range 100 {
		e.failed(10, io.ErrUnexpectedEOF)
	}
	if n := strings.Count(l.String(), "\n"); n != 1 || !strings.Contains(l.String(), "spans=10") {
		t.Errorf("%d lines:\n%s", n, l)
	}
	e.logged = e.logged.Add(-2 * logEvery)
	e.failed(10, io.ErrUnexpectedEOF)
	if n := strings.Count(l.String(), "\n"); n != 2 || !strings.Contains(l.String(), "spans=1000") {
		t.Errorf("%d lines:\n%s", n, l)
	}
	e.delivered(10, 0)
	e.delivered(10, 0)
	e.failed(10, io.ErrUnexpectedEOF)
	if n := strings.Count(l.String(), "\n"); n != 4 || !strings.Contains(l.String(), "delivered again") {
		t.Errorf("%d lines:\n%s", n, l)
	}
	if s := e.queue.Stats(); s != (span.Stats{Exported: 20, Failed: 1020}) {
		t.Errorf("%+v", s)
	}
}

// TestCollectorThatHangs: whoever fills the queue never waits, what is too much is dropped, and the end comes when it must.
func TestCollectorThatHangs(t *testing.T) {
	for kind := range collectors {
		t.Run(kind, func(t *testing.T) {
			backend := weirtest.Serve(t, func(c net.Conn) {
				defer c.Close()
				_, _ = io.Copy(io.Discard, c) // it takes everything, and says nothing
			})
			q, l := span.NewQueue(), new(log)
			e := start(t, kind, "http://"+backend.AddrPort().String(), nil, q, l)
			const spans = 200_000
			fill(q, spans)
			dropped := q.Stats().Dropped
			if dropped == 0 {
				t.Error("nothing is dropped")
			}
			finish(expire(t, 200*time.Millisecond), e)
			if s := q.Stats(); s.Exported != 0 || s.Failed == 0 || s.Failed+s.Dropped > spans || s.Failed+s.Dropped < spans-5000 { // the buffer of fill is gone with what it held
				t.Errorf("%+v of %d", s, spans)
			}
		})
	}
}

// TestRetiredLeavesTheQueue: an exporter that another one follows takes nothing more, and that one sends what is there.
func TestRetiredLeavesTheQueue(t *testing.T) {
	first, second, q, l := new(got), new(got), span.NewQueue(), new(log)
	url, config := overHTTP(t, first, good, false)
	e := start(t, "http", url, config, q, l)
	fill(q, 1)
	weirtest.Eventually(t, patience, func() bool { return q.Stats().Exported == 1 }, "the first span is taken")
	e.Retire()
	<-e.done
	fill(q, 1)
	url, config = overGRPC(t, second, good, false)
	e = start(t, "grpc", url, config, q, l)
	finish(expire(t, patience), e)
	if a, b := len(first.requests()), len(second.requests()); a != 1 || b != 1 || q.Stats().Exported != 2 {
		t.Errorf("%d and %d requests, %+v\n%s", a, b, q.Stats(), l)
	}
}

// TestNotGRPC: what answers otherwise than gRPC does has taken nothing.
func TestNotGRPC(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	q, l := span.NewQueue(), new(log)
	e := start(t, "grpc", s.URL, nil, q, l)
	fill(q, 1)
	weirtest.Eventually(t, patience, func() bool { return q.Stats().Failed == 1 }, "the span is lost")
	finish(expire(t, patience), e)
	if !strings.Contains(l.String(), "does not answer as gRPC does") {
		t.Error(l)
	}
}

// FuzzRejected: a response is hostile, too.
func FuzzRejected(f *testing.F) {
	text, _ := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 7, ErrorMessage: "x"}})
	f.Add(text)
	f.Add([]byte("\x0a\x02\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := rejectedIn(b)
		var r collector.ExportTraceServiceResponse
		if proto.Unmarshal(b, &r) == nil && r.PartialSuccess.GetRejectedSpans() > 0 && r.PartialSuccess.GetRejectedSpans() < 1<<31 && n == 0 && len(b) < 20 && strings.Count(string(b), "\x0a") == 1 {
			t.Errorf("%x: %d, not %d", b, n, r.PartialSuccess.GetRejectedSpans())
		}
		if n < 0 {
			t.Errorf("%x: %d", b, n)
		}
	})
}
