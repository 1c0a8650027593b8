package l7

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// ten is ten middlewares that a request passes.
func ten(b *bed) []*Middleware {
	b.t.Helper()
	breaker, err := b.server.CircuitBreaker("breaker", CircuitBreakerOptions{Expression: "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(99) > 100000",
		CheckPeriod: 100 * time.Millisecond, FallbackDuration: time.Second, RecoveryDuration: time.Second, ResponseCode: 503}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	re := regexp.MustCompile
	return []*Middleware{
		IPAllowList("only", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 0),
		RateLimit("calm", 1e9, 1e9, time.Second, time.Now()),
		RedirectScheme("to", RedirectSchemeOptions{Scheme: "http", Port: 80}),
		ErrorPages("errors", ErrorPagesOptions{Statuses: oneOf(500), Service: b.svc}),
		breaker,
		Retry("retry", RetryOptions{Attempts: 3}),
		StripPrefix("strip", []string{"/some"}),
		AddPrefix("add", "/any"),
		StripPrefixRegex("regex", []*regexp.Regexp{re("/an[a-z]")}),
		b.server.Compress("compress", CompressOptions{MinBytes: 1024, Encodings: Codings[:]}),
	}
}

// kilobyte is a server that answers whatever is read with 1 KB.
func kilobyte(c net.Conn) {
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n%s", pattern(1024))
	buf := make([]byte, 4<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// roundTrips sends request after request on one connection. further are fields of each.
func roundTrips(b *testing.B, bed *bed, further string) {
	b.Helper()
	c := bed.dial()
	_ = c.SetDeadline(time.Time{})
	request := []byte("GET /some/path?with=query HTTP/1.1\r\nHost: example.test\r\nUser-Agent: tester\r\nAccept: */*\r\n" + further + "\r\n")
	buf := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < 1024 || bytes.Index(buf[:n], []byte("\r\n\r\n"))+4+1024 != n; {
			m, err := c.Read(buf[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
}

// BenchmarkMiddlewares compares requests for 1 KB that pass ten middlewares with such that pass none.
func BenchmarkMiddlewares(b *testing.B) {
	for _, n := range []int{0, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bed := newBed(b, setup{backends: []netip.AddrPort{weirtest.Serve(b, kilobyte).AddrPort()}})
			if n > 0 {
				bed.add(ten(bed)...)
			}
			roundTrips(b, bed, "")
		})
	}
}

// BenchmarkTracing compares requests for 1 KB that are not traced, that are part of a trace and not recorded, and that are recorded.
func BenchmarkTracing(b *testing.B) {
	for _, tt := range []struct {
		name    string
		by      *Tracing
		further string
	}{
		{"off", nil, ""},
		{"not recorded", NewTracing(TracingOptions{}), "traceparent: 00-" + theirTrace + "-" + theirSpan + "-00\r\n"},
		{"recorded", NewTracing(TracingOptions{}), "traceparent: 00-" + theirTrace + "-" + theirSpan + "-01\r\n"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			bed := newBed(b, setup{backends: []netip.AddrPort{weirtest.Serve(b, kilobyte).AddrPort()}})
			bed.server.SetTracing(tt.by)
			q := bed.server.options.Spans
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case c := <-q.Next():
						q.Recycle(c)
					case <-stop:
						return
					}
				}
			}()
			roundTrips(b, bed, tt.further)
			close(stop)
			<-done
		})
	}
}

// BenchmarkEncoders is what a loop does in one turn for one body: 32 KiB.
func BenchmarkEncoders(b *testing.B) {
	all := make([]byte, 64*filterBudget)
	for i, word := 0, 0; i < len(all); word++ { // words of a language that nobody speaks, but not always the same
		i += copy(all[i:], fmt.Sprintf("%x %s ", word*word*2654435761%1000003, pattern(word%7)))
	}
	for _, coding := range Codings {
		b.Run(coding, func(b *testing.B) {
			var e encoders
			f, out, total := e.filter(e.take(coding)), []byte(nil), 0
			b.SetBytes(filterBudget)
			for i := 0; b.Loop(); i++ {
				text := all[i%64*filterBudget:][:filterBudget]
				out = f(out[:0], text[:filterRead], More)
				total += len(out)
				out = f(out[:0], text[filterRead:], Pause)
				total += len(out)
			}
			b.ReportMetric(float64(total)/float64(b.N)/filterBudget, "ratio")
		})
	}
}
