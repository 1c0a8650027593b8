package http1

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/l7/head"
)

// outcome is all that becomes of one message.
type outcome struct {
	Err       string // empty, "short" or the reason of the refusal
	Head      int    // bytes
	Start     string // method, path, query or status, reason
	Host      string
	Version   string
	Framing   head.Framing
	KeepAlive bool
	Expect    bool
	Upgrade   string
	Written   string // what is sent on, hop-by-hop fields included
	Body      string // the content alone
	Trailer   string
	Total     int // bytes of the message
}

func reason(err error) string {
	switch err {
	case nil:
		return ""
	case ErrShort:
		return "short"
	}
	_, word := head.Refusal(err)
	return word
}

// cut splits in at every n bytes, or not at all for 0.
func cut(in string, n int) (parts []string) {
	for n > 0 && len(in) > n {
		parts = append(parts, in[:n])
		in = in[n:]
	}
	return append(parts, in)
}

// read gives a message to the codec in parts, as they would arrive: the bytes
// lie somewhere else each time. method is that of the request a response
// answers; empty for requests.
func read(t testing.TB, p Parser, method string, parts []string) (o outcome) {
	t.Helper()
	var (
		h    head.Head
		have string
		n    int
		err  error
	)
	for len(parts) > 0 {
		have += parts[0]
		parts = parts[1:]
		b := []byte(have)
		if method == "" {
			n, err = p.Request(b, &h)
		} else {
			n, err = p.Response(b, &h, []byte(method))
		}
		if err == nil {
			h.Keep()
			clear(b)
		}
		if err != ErrShort {
			break
		}
	}
	if o.Err = reason(err); err != nil {
		if n != 0 {
			t.Fatalf("%d bytes beside %v", n, err)
		}
		return o
	}
	o.Head = n
	describe(&o, &h, method)
	readBody(t, &o, h.Framing(), have[n:], parts)
	return o
}

func describe(o *outcome, h *head.Head, method string) {
	query, has := h.Query()
	o.Start = string(h.Method()) + " " + string(h.Path())
	if has {
		o.Start += "?" + string(query)
	}
	o.Host, o.Version, o.Framing = string(h.Host()), h.Version().String(), h.Framing()
	o.KeepAlive, o.Expect, o.Upgrade = h.KeepAlive, h.ExpectContinue, string(h.Upgrade())
	if method == "" {
		o.Written = string(h.AppendRequest(nil))
		return
	}
	o.Start = string(h.Reason())
	o.Written = string(h.AppendResponse(nil))
}

// readBody walks through the body by Scan and by Next, which must agree.
func readBody(t testing.TB, o *outcome, f head.Framing, rest string, parts []string) {
	t.Helper()
	var scan, next Body
	scan.Begin(f)
	next.Begin(f)
	scanned, walked := 0, 0
	var scanErr, nextErr error
	for parts = append([]string{rest}, parts...); len(parts) > 0; parts = parts[1:] {
		b := []byte(parts[0])
		if scanErr == nil {
			n, err := scan.Scan(b)
			scanned, scanErr = scanned+n, err
			if n < len(b) && err == nil && !scan.Done() {
				t.Fatalf("Scan stops after %d of %d bytes", n, len(b))
			}
		}
		for len(b) > 0 && nextErr == nil && !next.Done() {
			left := next.Left()
			n, piece, err := next.Next(b)
			if n == 0 && err == nil {
				t.Fatal("Next stands still")
			}
			if (left > 0) != (piece == Data && n > 0) || int64(n) > left && left > 0 {
				t.Fatalf("Left says %d, Next %d bytes of %d", left, n, piece)
			}
			switch piece {
			case Data:
				o.Body += string(b[:n])
			case Trailer:
				o.Trailer += string(b[:n])
			}
			nextErr = err
			walked += n
			b = b[n:]
		}
		if next.Done() || nextErr != nil {
			break
		}
	}
	if scanErr != nextErr || scan.Done() != next.Done() || scanned != walked {
		t.Fatalf("Scan: %d bytes, %v, %v; Next: %d bytes, %v, %v", scanned, scan.Done(), scanErr, walked, next.Done(), nextErr)
	}
	if nextErr == nil {
		if nextErr = next.End(); nextErr == ErrTruncated {
			o.Err = "short"
			return
		}
	}
	o.Err = reason(nextErr)
	if nextErr == nil {
		o.Total = o.Head + walked
	}
}

// readAll reads a message whole, cut at every place, and in equal parts, and
// wants the same each time.
func readAll(t testing.TB, p Parser, method, in string) outcome {
	t.Helper()
	want := read(t, p, method, []string{in})
	check := func(name string, parts []string) {
		t.Helper()
		if got := read(t, p, method, parts); got != want {
			t.Fatalf("%q cut %s (-whole +cut):\n%s", in, name, cmp.Diff(want, got))
		}
	}
	step := 1 + len(in)/150 // large messages only at some places
	for _, n := range []int{step, 2 * step, 7 * step} {
		check("into equal parts", cut(in, n))
	}
	for i := 1; i < len(in); i += step {
		check("in two", []string{in[:i], in[i:]})
	}
	return want
}

// fields makes a request of the given lines behind the request line and Host.
func request(lines ...string) string {
	return "POST /x HTTP/1.1\r\nHost: a\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// chunkedRequest makes a request with a body.
func chunkedRequest(body string) string {
	return request("Transfer-Encoding: chunked") + body
}

func TestHarnessSeesTheBody(t *testing.T) {
	got := readAll(t, Parser{}, "", chunkedRequest("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\nNEXT"))
	if got.Err != "" || got.Body != "abcde" || got.Trailer != "A: b\r\n\r\n" || got.Framing.Kind != head.Chunked {
		t.Errorf("got %+v", got)
	}
	if !bytes.HasSuffix([]byte(got.Written), []byte("\r\n\r\n")) {
		t.Errorf("written %q", got.Written)
	}
}
