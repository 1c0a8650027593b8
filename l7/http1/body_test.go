package http1

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/l7/head"
)

func TestBodyEnds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		framing head.Framing
		in      string
		n       int
		done    bool
		end     error
	}{
		{"none", head.Framing{}, "next", 0, true, nil},
		{"stream", head.Framing{Kind: head.Stream}, "next", 0, true, nil},
		{"length 0", head.Framing{Kind: head.Length}, "next", 0, true, nil},
		{"length", head.Framing{Kind: head.Length, Length: 4}, "bodynext", 4, true, nil},
		{"length, short", head.Framing{Kind: head.Length, Length: 5}, "body", 4, false, ErrTruncated},
		{"chunks", head.Framing{Kind: head.Chunked}, "4\r\nbody\r\n0\r\n\r\nnext", 14, true, nil},
		{"chunks, short", head.Framing{Kind: head.Chunked}, "4\r\nbody\r\n0\r\n\r", 13, false, ErrTruncated},
		{"until close", head.Framing{Kind: head.UntilClose}, "body", 4, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body Body
			body.Begin(tt.framing)
			n, err := body.Scan([]byte(tt.in))
			if n != tt.n || err != nil || body.Done() != tt.done {
				t.Errorf("Scan: %d, %v, done %v", n, err, body.Done())
			}
			if err := body.End(); err != tt.end || body.Done() != (tt.end == nil) {
				t.Errorf("End: %v, done %v", err, body.Done())
			}
		})
	}
}

func TestZeroBodyIsOver(t *testing.T) {
	var body Body
	if n, err := body.Scan([]byte("x")); n != 0 || err != nil || !body.Done() || body.Left() != 0 {
		t.Errorf("%d, %v, %v", n, err, body.Done())
	}
}

func TestSkip(t *testing.T) {
	var body Body
	body.Begin(head.Framing{Kind: head.Length, Length: 10})
	if body.Left() != 10 {
		t.Errorf("%d left", body.Left())
	}
	body.Skip(4)
	if n, _ := body.Scan([]byte("0123456789")); n != 6 || !body.Done() {
		t.Errorf("%d bytes behind Skip", n)
	}
	body.Begin(head.Framing{Kind: head.UntilClose})
	if body.Skip(1 << 40); body.Left() != math.MaxInt64 || body.Done() {
		t.Error("a body without length has one")
	}
	body.Begin(head.Framing{Kind: head.Chunked})
	if n, err := body.Scan([]byte("100000\r\n")); n != 8 || err != nil || body.Left() != 1<<20 {
		t.Fatalf("%d, %v, %d left", n, err, body.Left())
	}
	body.Skip(1<<20 - 1)
	if n, err := body.Scan([]byte("x\r\n0\r\n\r\nnext")); n != 8 || err != nil || !body.Done() {
		t.Errorf("%d bytes behind Skip, %v", n, err)
	}
}

func TestChunkErrorStays(t *testing.T) {
	var body Body
	body.Begin(head.Framing{Kind: head.Chunked})
	for range 2 {
		if _, err := body.Scan([]byte("1\r\nxy")); err != ErrChunkEnd {
			t.Errorf("got %v", err)
		}
	}
	if err := body.End(); err != ErrTruncated {
		t.Errorf("End: %v", err)
	}
}

// TestEncodedChunksAreRead writes bodies in chunks and reads them back.
func TestEncodedChunksAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []byte
		var want strings.Builder
		for _, data := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 300)).Draw(t, "chunks") {
			in = AppendChunk(in, data)
			want.Write(data)
		}
		in = AppendLastChunk(in)
		var body Body
		body.Begin(head.Framing{Kind: head.Chunked})
		var got []byte
		for step := rapid.IntRange(1, 50).Draw(t, "step"); !body.Done(); {
			n, piece, err := body.Next(in[:min(step, len(in))])
			if err != nil || n == 0 {
				t.Fatalf("%d, %v", n, err)
			}
			if piece == Data {
				got = append(got, in[:n]...)
			}
			in = in[n:]
		}
		if string(got) != want.String() || len(in) != 0 {
			t.Fatalf("got %q and %d bytes more, want %q", got, len(in), want.String())
		}
	})
}

func TestEncoders(t *testing.T) {
	b := AppendChunk([]byte("-"), nil)
	b = AppendChunkSize(b, 255)
	b = AppendChunkEnd(append(b, '.'))
	if got := string(AppendLastChunk(b)); got != "-ff\r\n.\r\n0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestEveryForbiddenTrailerHasItsName(t *testing.T) {
	for k := head.Host; k <= head.Origin; k++ {
		in := "0\r\n" + k.String() + ": x\r\n\r\n"
		var body Body
		body.Begin(head.Framing{Kind: head.Chunked})
		if _, err := body.Scan([]byte(in)); err != ErrTrailerName {
			t.Errorf("%v: %v", k, err)
		}
	}
}

// Content counts what the message says, however the body is framed and however it arrives.
func TestBodyContent(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		framing    head.Framing
		want       int64
	}{
		{"none", "", head.Framing{}, 0},
		{"length", "hello", head.Framing{Kind: head.Length, Length: 5}, 5},
		{"until close", "hello", head.Framing{Kind: head.UntilClose}, 5},
		{"chunked", "5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nX-T: v\r\n\r\n", head.Framing{Kind: head.Chunked}, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.wire)+1; size++ {
				var b Body
				b.Begin(tt.framing)
				for rest := []byte(tt.wire); len(rest) > 0; {
					n, err := b.Scan(rest[:min(size, len(rest))])
					if err != nil || n == 0 {
						t.Fatalf("%d, %v", n, err)
					}
					rest = rest[n:]
				}
				if b.Content() != tt.want {
					t.Fatalf("in pieces of %d: %d bytes of content, want %d", size, b.Content(), tt.want)
				}
			}
			var skipped Body
			skipped.Begin(tt.framing)
			if n := min(skipped.Left(), 5); n > 0 {
				skipped.Skip(n)
				if skipped.Content() != n {
					t.Errorf("%d bytes of content after %d were moved", skipped.Content(), n)
				}
			}
		})
	}
}
