package span

import (
	"testing"
	"time"

	"github.com/weirlb/weir/internal/trace"
)

// BenchmarkAdd is what a loop does for the two spans of a usual request.
func BenchmarkAdd(b *testing.B) {
	q := NewQueue()
	buffer := q.NewBuffer()
	now := time.Now()
	s := Span{Context: trace.Context{Trace: trace.ID{1}, Span: trace.SpanID{2}}, Parent: trace.SpanID{3}, Kind: Server, Name: "GET shop", Start: now, End: now}
	b.ReportAllocs()
	for b.Loop() {
		for range 2 {
			for _, key := range []string{"http.request.method", "url.scheme", "url.path", "server.address", "client.address", "user_agent.original", "http.route", "weir.router"} {
				buffer.Text(key, "some value")
			}
			buffer.Int("http.response.status_code", 200)
			buffer.Int("server.port", 8080)
			buffer.Add(&s)
		}
		if len(q.Next()) > 0 {
			q.Recycle(<-q.Next())
		}
	}
}
