package l7

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "100m": 100 * time.Millisecond, "5u": 5 * time.Microsecond, "99999999n": 99999999,
		"0S": 0, "00000001S": time.Second, "99999999H": 1 << 62,
		"": -1, "S": -1, "1": -1, "1s": -1, "1h": -1, "-1S": -1, "+1S": -1, "1.5S": -1, " 1S": -1, "123456789S": -1, "1SS": -1, "0x1S": -1,
	} {
		got, ok := grpcTimeout([]byte(text))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func fieldOf(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// How a call ends that comes to nothing: what is said in the one head of the answer, or behind what has come of it.
func TestCallsThatFail(t *testing.T) {
	begun := func(then func(f *far, id uint32)) func(f *far, id uint32) {
		return func(f *far, id uint32) {
			f.respond(id, false, ":status", "200", "content-type", "application/grpc")
			_ = f.WriteData(id, false, []byte("\x00\x00\x00\x00\x00"))
			then(f, id)
		}
	}
	reset := func(code xhttp2.ErrCode) func(f *far, id uint32) {
		return func(f *far, id uint32) { _ = f.WriteRSTStream(id, code) }
	}
	for _, tt := range []struct {
		name, path string
		serve      func(f *far, id uint32)
		inHead     bool
		want       string // grpc-status
		failed     int    // failures counted against the server
		retried    bool
	}{
		{"ok", "/", begun(func(f *far, id uint32) { f.respond(id, true, "grpc-status", "0") }), false, "0", 0, false},
		{"not found", "/", func(f *far, id uint32) {
			f.respond(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "5")
		}, true, "5", 0, false},
		{"unavailable", "/", func(f *far, id uint32) {
			f.respond(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14")
		}, true, "14", 3, true},
		{"internal", "/", func(f *far, id uint32) {
			f.respond(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "13")
		}, true, "13", 1, false},
		{"deadline of the server's own", "/", func(f *far, id uint32) {
			f.respond(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "4")
		}, true, "4", 1, false},
		{"deadline of the call", "/", func(f *far, id uint32) {
			f.respond(id, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "4")
		}, true, "4", 0, false},
		{"unavailable behind content", "/", begun(func(f *far, id uint32) { f.respond(id, true, "grpc-status", "14") }), false, "14", 1, false},
		{"odd status", "/", begun(func(f *far, id uint32) { f.respond(id, true, "grpc-status", "x") }), false, "x", 0, false},
		{"no route", "/other", nil, true, "12", 0, false},
		{"end before the answer", "/", func(f *far, id uint32) { f.conn.Close() }, true, "14", 1, false},
		{"end in the answer", "/", begun(func(f *far, id uint32) { f.conn.Close() }), false, "14", 1, false},
		{"reset", "/", begun(reset(xhttp2.ErrCodeInternal)), false, "13", 1, false},
		{"cancelled", "/", begun(reset(xhttp2.ErrCodeCancel)), false, "1", 1, false},
		{"calm", "/", begun(reset(xhttp2.ErrCodeEnhanceYourCalm)), false, "8", 1, false},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			requests := make(chan int, 10)
			addr := farServer(t, func(n int, f *far) {
				for id := f.request(); id != 0; id = f.request() {
					requests <- n
					tt.serve(f, id)
				}
			})
			b := newBed(t, setup{backends: []netip.AddrPort{addr}, transport: Transport{HTTP2: OnlyHTTP2}, rule: "Path(`/`)",
				middlewares: []*Middleware{Retry("again", RetryOptions{Attempts: 3, MaxBody: -1, IgnoreNetworkErrors: false})}})
			lb := *b.lb
			lb.CountErrors = true
			b.svc.Set(&lb)
			b.server.SetTracing(NewTracing(TracingOptions{Rate: 1}))
			w := b.plain()
			timeout := "1H"
			if tt.name == "deadline of the call" {
				timeout = "40m"
			}
			w.ask(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", tt.path, "content-type", "application/grpc+proto", "te", "trailers", "grpc-timeout", timeout)
			_ = w.WriteData(1, true, []byte("\x00\x00\x00\x00\x00"))
			a := w.answer(1)
			fields := a.trailers
			if tt.inHead {
				fields = a.fields
			}
			if got := fieldOf(fields, "grpc-status"); got != tt.want || a.status != "200" || tt.inHead != (a.body.Len() == 0) || a.code != nil && *a.code != xhttp2.ErrCodeNo {
				t.Errorf("%s: %+v, want grpc-status %s", got, a, tt.want)
			}
			if n := b.pool.Sight(b.pool.Backends()[0]).Failures; n != tt.failed {
				t.Errorf("%d failures are counted, want %d", n, tt.failed)
			}
			if n := len(requests); (n == 3) != tt.retried {
				t.Errorf("the server got %d requests", n)
			}
			attempts, name := len(requests), "none"
			if code, err := strconv.Atoi(tt.want); err == nil {
				name = grpcNames[code]
				has(t, b.records(1)[0], fmt.Sprintf(`"GRPCStatus":%d,`, code))
			}
			spans := b.spans(1 + attempts)
			own := spans["POST main"]
			if tt.path != "/" {
				own = spans["POST"]
			}
			if calls := b.svc.Stats().Calls; calls[name] != int64(attempts) || (calls == nil) != (attempts == 0) {
				t.Errorf("%d calls of the service are counted as %s: %v", attempts, name, calls)
			}
			bad := attempts > 0 && (tt.failed > 0 || name == "DEADLINE_EXCEEDED")
			if len(own) == 0 {
				t.Errorf("spans %v", spans)
			}
			for _, s := range own {
				a := s.attributes
				if s.Kind == otlp.Span_SPAN_KIND_SERVER && name != "none" && a["rpc.grpc.status_code"] != tt.want || a["rpc.system"] != "grpc" || (a["error.type"] != "") != bad || (s.Status != nil) != bad {
					t.Errorf("span: %v, %v", s.Kind, a)
				}
			}
		})
	}
}

// A client that does not say all it has announced is not the server's fault: nobody may have a server ejected by silence. A
// browser owes what it has begun; in a call of its own kind gRPC may be silent for the idle timeout.
func TestSilentCallers(t *testing.T) {
	for _, tt := range []struct {
		name, media string
		front       FrontOptions
		middlewares []*Middleware
		status      string // of gRPC
		by, reason  string
	}{
		{"gRPC", "application/grpc", FrontOptions{ReadTimeout: patience, IdleTimeout: short}, nil, "14", "weir", "idle-timeout"},
		{"gRPC-Web", "application/grpc-web+proto", FrontOptions{ReadTimeout: short, IdleTimeout: patience}, []*Middleware{GRPCWeb("web", nil)}, "2", "client", "request-timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan bool, 1)
			server := backend(t, func(_ http.ResponseWriter, r *http.Request) {
				asked <- true
				_, _ = io.Copy(io.Discard, r.Body)
			})
			b := newBed(t, setup{backends: []netip.AddrPort{server}, front: tt.front, middlewares: tt.middlewares, pool: passive})
			w := b.plain()
			w.ask(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-type", tt.media)
			_ = w.WriteData(1, false, []byte("\x00\x00\x00"))
			<-asked
			if got := fieldOf(w.answer(1).fields, "grpc-status"); got != tt.status {
				t.Errorf("grpc-status %q, want %s", got, tt.status)
			}
			b.ended(1, 200, tt.by, tt.reason)
			if n := b.pool.Backends()[0].Stats().FailureStreak; n != 0 {
				t.Errorf("%d failures are counted against the server", n)
			}
		})
	}
}
