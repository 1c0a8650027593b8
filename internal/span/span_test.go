package span

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/weirlb/weir/internal/trace"
)

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}

func number(n int64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
}

func list(items ...string) *common.AnyValue {
	var values []*common.AnyValue
	for _, s := range items {
		values = append(values, text(s))
	}
	return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
}

func pair(key string, value *common.AnyValue) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: value}
}

// decoded reads a chunk by OpenTelemetry's own types.
func decoded(t *testing.T, c Chunk) []*trace1.Span {
	t.Helper()
	var s trace1.ScopeSpans
	if err := proto.Unmarshal(c.Spans, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Spans) != c.Count || len(s.ProtoReflect().GetUnknown()) > 0 {
		t.Fatalf("a chunk of %d spans has %d, and %x", c.Count, len(s.Spans), s.ProtoReflect().GetUnknown())
	}
	return s.Spans
}

// TestSpansAreWhatOTLPSays holds the encoder against the protocol's own types.
func TestSpansAreWhatOTLPSays(t *testing.T) {
	q := NewQueue()
	b := q.NewBuffer()
	start := time.Date(2026, 11, 23, 5, 7, 8, 9, time.UTC)
	b.Text("url.path", "/a")
	b.Int("http.response.status_code", 200)
	b.Int("negative", -1)
	b.Number("error.type", 503)
	b.Item("x")
	b.Item("")
	b.List("http.request.header.a")
	b.List("http.request.header.none")
	b.Text("bytes", "\xffa\xc3\x28é")
	b.Text("long", strings.Repeat("é", 1024)+"x")
	b.Text("cut", "x"+strings.Repeat("é", 1024))
	b.Add(&Span{
		Context: trace.Context{Trace: trace.ID{1}, Span: trace.SpanID{2}, Flags: trace.Sampled | trace.Random},
		Parent:  trace.SpanID{3}, Remote: true, State: "a=1", Kind: Server, Name: "GET shop", Start: start, End: start.Add(time.Second), Failed: true,
	})
	b.Add(&Span{Context: trace.Context{Trace: trace.ID{1}, Span: trace.SpanID{4}, Flags: trace.Sampled}, Kind: Client, Name: "GET", Start: start, End: start})
	if !b.Flush() {
		t.Fatal("nothing is handed over")
	}
	id := func(first byte, size int) []byte { return append([]byte{first}, make([]byte, size-1)...) }
	want := []*trace1.Span{
		{
			TraceId: id(1, 16), SpanId: id(2, 8), ParentSpanId: id(3, 8), TraceState: "a=1", Name: "GET shop", Kind: trace1.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.UnixNano() + 1e9),
			Attributes: []*common.KeyValue{
				pair("url.path", text("/a")), pair("http.response.status_code", number(200)), pair("negative", number(-1)), pair("error.type", text("503")),
				pair("http.request.header.a", list("x", "")), pair("bytes", text("\ufffda\ufffd(é")),
				pair("long", text(strings.Repeat("é", 1024))), pair("cut", text("x"+strings.Repeat("é", 1023)+"\ufffd")),
			},
			Status: &trace1.Status{Code: trace1.Status_STATUS_CODE_ERROR},
			Flags:  0x303,
		},
		{
			TraceId: id(1, 16), SpanId: id(4, 8), Name: "GET", Kind: trace1.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.UnixNano()), Flags: 0x101,
		},
	}
	if diff := cmp.Diff(want, decoded(t, <-q.Next()), protocmp.Transform()); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

// TestOneSpanIsBounded: whatever is captured of a request, its span does not grow without end, and what is in it is whole.
func TestOneSpanIsBounded(t *testing.T) {
	q := NewQueue()
	b := q.NewBuffer()
	for range 100 {
		for range 100 {
			b.Item(strings.Repeat("i", 3000))
		}
		b.List("list")
		b.Text("text", strings.Repeat("t", 3000))
	}
	b.Add(&Span{Name: strings.Repeat("n", 3000), State: strings.Repeat("s", 3000)})
	b.Flush()
	c := <-q.Next()
	if s := decoded(t, c)[0]; len(c.Spans) > maxAttributes+1<<10 || len(s.Attributes) < 2 {
		t.Errorf("%d attributes in %d bytes", len(s.Attributes), len(c.Spans))
	}
}

// TestSpansThatNobodyTakesAreDropped: the buffer never waits, keeps no more than it may, and every span is in a chunk or counted.
func TestSpansThatNobodyTakesAreDropped(t *testing.T) {
	q := NewQueue()
	b := q.NewBuffer()
	const spans = 20000
	for range spans {
		b.Text("url.path", strings.Repeat("p", 500))
		b.Add(&Span{Name: "GET"})
	}
	if b.Flush() {
		t.Error("what nobody takes is handed over")
	}
	dropped := q.Stats().Dropped
	if len(b.open.Spans) > fullAt+maxAttributes || dropped == 0 {
		t.Errorf("the buffer holds %d bytes, %d are dropped", len(b.open.Spans), dropped)
	}
	taken := 0
	for !b.Flush() {
		c := <-q.Next()
		taken += len(decoded(t, c))
		q.Recycle(c)
	}
	for len(q.Next()) > 0 {
		taken += len(decoded(t, <-q.Next()))
	}
	if taken+int(dropped) != spans {
		t.Errorf("%d spans taken and %d dropped, of %d", taken, dropped, spans)
	}
}

// TestNoAllocationForEachSpan: chunks go round.
func TestNoAllocationForEachSpan(t *testing.T) {
	q := NewQueue()
	b := q.NewBuffer()
	s := Span{Name: "GET", Start: time.Now(), End: time.Now()}
	if n := testing.AllocsPerRun(5000, func() {
		b.Text("url.path", "/some/path")
		b.Item("\xff")
		b.List("http.request.header.a")
		b.Number("error.type", 500)
		b.Add(&s)
		if len(q.Next()) > 0 {
			q.Recycle(<-q.Next())
		}
	}); n > 0 {
		t.Errorf("%v allocations a span", n)
	}
}

// FuzzText: what anybody sends leaves a span that OpenTelemetry's own types read.
func FuzzText(f *testing.F) {
	f.Add("\xff\xfe", "a")
	f.Add(strings.Repeat("é", 2000), "")
	f.Fuzz(func(t *testing.T, a, b string) {
		q := NewQueue()
		buffer := q.NewBuffer()
		buffer.Text("a", a)
		buffer.Item(b)
		buffer.List("b")
		buffer.Add(&Span{State: b, Name: a})
		buffer.Flush()
		s := decoded(t, <-q.Next())[0]
		if got, want := s.Attributes[0].Value.GetStringValue(), string([]rune(a[:min(len(a), maxText)])); got != want {
			t.Errorf("%q became %q, want %q", a, got, want)
		}
	})
}
