package head

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readFields makes h hold text, which is a right head with lines as simple as
// they come. It returns how long the start line is.
func readFields(t *testing.T, h *Head, text string) int {
	t.Helper()
	h.Reset()
	h.Attach([]byte(text))
	start := strings.Index(text, "\r\n") + 2
	for at := start; text[at:] != "\r\n"; {
		end := at + strings.Index(text[at:], "\r\n") + 2
		name, value, ok := strings.Cut(text[at:end-2], ": ")
		if !ok {
			t.Fatalf("no field: %q", text[at:end])
		}
		from := at + len(name) + 2
		h.Append(Span{uint32(at), uint32(end)}, uint32(at+len(name)), Span{uint32(from), uint32(from + len(value))})
		at = end
	}
	return start
}

func readRequest(t *testing.T, h *Head, text string) error {
	t.Helper()
	end := readFields(t, h, text)
	method, rest, _ := strings.Cut(text[:end-2], " ")
	target, version, _ := strings.Cut(rest, " ")
	v := HTTP11
	if version == "HTTP/1.0" {
		v = HTTP10
	}
	from := len(method) + 1
	err := h.ReadRequest(Span{0, uint32(end)}, Span{0, uint32(len(method))}, Span{uint32(from), uint32(from + len(target))}, v)
	if err != nil {
		return err
	}
	return h.CheckHost()
}

func mustRequest(t *testing.T, text string) *Head {
	t.Helper()
	h := new(Head)
	if err := readRequest(t, h, text); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return h
}

func readResponse(t *testing.T, h *Head, text string) {
	t.Helper()
	end := readFields(t, h, text)
	v := HTTP11
	if strings.HasPrefix(text, "HTTP/1.0") {
		v = HTTP10
	}
	if err := h.ReadStatus(Span{0, uint32(end)}, 200, Span{13, uint32(end - 2)}, v); err != nil {
		t.Fatal(err)
	}
}

const plain = "GET /a?b=c HTTP/1.1\r\nHOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\n\r\n"

func TestUntouchedHeadIsWrittenAsItCame(t *testing.T) {
	h := mustRequest(t, plain)
	if got := string(h.AppendRequest([]byte("before"))); got != "before"+plain {
		t.Errorf("got %q", got)
	}
	const response = "HTTP/1.1 200 Fine by me\r\nsERVER: x\r\nA: b\r\n\r\n"
	readResponse(t, h, response)
	if got := string(h.AppendResponse(nil)); got != response {
		t.Errorf("got %q", got)
	}
}

func TestLookups(t *testing.T) {
	h := mustRequest(t, plain)
	for _, tt := range []struct {
		name, value string
		found       bool
	}{
		{"host", "example.com", true},
		{"Host", "example.com", true},
		{"X-ONE", "1", true},
		{"x-two", " 2 ", true},
		{"accept", "*/*", true},
		{"Accept-", "", false},
		{"connection", "", false},
		{"", "", false},
	} {
		if got, found := h.Get(tt.name); string(got) != tt.value || found != tt.found {
			t.Errorf("Get(%q) is %q, %v; want %q, %v", tt.name, got, found, tt.value, tt.found)
		}
	}
	var values []string
	for v := range h.Values("X-one") {
		values = append(values, string(v))
	}
	if diff := cmp.Diff([]string{"1", "3"}, values); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}
	if got := h.Count(); got != 5 {
		t.Errorf("%d fields", got)
	}
	if h.Has(Connection) || !h.Has(Host) || h.Repeated(Host) || h.Value(Connection) != nil {
		t.Error("known fields are wrong")
	}
}

func TestLookupKnowsEveryName(t *testing.T) {
	for k := Host; k < numKnown; k++ {
		for _, name := range []string{names[k], strings.ToLower(names[k]), strings.ToUpper(names[k])} {
			if got := Lookup(name); got != k {
				t.Errorf("Lookup(%q) is %q", name, got)
			}
			if got := Lookup([]byte(name + "x")); got != Other {
				t.Errorf("Lookup(%q) is %q", name+"x", got)
			}
		}
	}
	for _, name := range []string{"", "t", "User-Agent", "Hxxt", "x-forwarded-hoxt"} {
		if got := Lookup(name); got != Other {
			t.Errorf("Lookup(%q) is %q", name, got)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(h *Head) error
		want string // what stands after the request line
	}{
		{"set what is there twice", func(h *Head) error { return h.Set("X-ONE", "new") },
			"HOST: example.com\r\nX-ONE: new\r\nx-two:  2 \r\naCCept: */*\r\n\r\n"},
		{"set what is new", func(h *Head) error { return h.Set("X-Three", "3") },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nX-Three: 3\r\n\r\n"},
		{"set twice", func(h *Head) error { return errors.Join(h.Set("Accept", "1"), h.SetBytes("ACCEPT", []byte("2"))) },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\nACCEPT: 2\r\nx-one: 3\r\n\r\n"},
		{"empty value", func(h *Head) error { return h.Set("x-two", "") },
			"HOST: example.com\r\nX-One: 1\r\nx-two: \r\naCCept: */*\r\nx-one: 3\r\n\r\n"},
		{"add", func(h *Head) error { return h.Add("x-two", "22") },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nx-two: 22\r\n\r\n"},
		{"add several", func(h *Head) error { return errors.Join(h.Add("a", "1"), h.AddBytes("a", []byte("2"))) },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\na: 1\r\na: 2\r\n\r\n"},
		{"delete all", func(h *Head) error {
			return errors.Join(h.Delete("X-one"), h.Delete("x-two"), h.Delete("accept"), h.Delete("none"))
		}, "HOST: example.com\r\n\r\n"},
		{"delete and add", func(h *Head) error { return errors.Join(h.Delete("x-one"), h.Add("x-one", "4")) },
			"HOST: example.com\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 4\r\n\r\n"},
		{"host", func(h *Head) error { return h.Set("host", "other.example:81") },
			"Host: other.example:81\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\n\r\n"},
		{"length", func(h *Head) error { h.SetFraming(Framing{Kind: Length, Length: 12}); return nil },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nContent-Length: 12\r\n\r\n"},
		{"length, then chunks", func(h *Head) error {
			h.SetFraming(Framing{Kind: Length, Length: 12})
			h.SetFraming(Framing{Kind: Chunked})
			return nil
		}, "HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"chunks, then nothing", func(h *Head) error {
			h.SetFraming(Framing{Kind: Chunked})
			h.SetFraming(Framing{})
			return nil
		}, "HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\n\r\n"},
		{"close", func(h *Head) error { h.SetHop(HopClose); return nil },
			"HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nConnection: close\r\n\r\n"},
		{"a known field, twice", func(h *Head) error {
			return errors.Join(h.Add("Forwarded", "a"), h.Add("Forwarded", "b"), h.Set("forwarded", "c"))
		}, "HOST: example.com\r\nX-One: 1\r\nx-two:  2 \r\naCCept: */*\r\nx-one: 3\r\nforwarded: c\r\n\r\n"},
		{"a value taken from the head", func(h *Head) error {
			if err := h.Set("X-One", strings.Repeat("long", 100)); err != nil {
				return err
			}
			v, _ := h.Get("x-one")
			return errors.Join(h.SetBytes("x-two", v), h.Set("X-One", "1"))
		}, "HOST: example.com\r\nX-One: 1\r\nx-two: " + strings.Repeat("long", 100) + "\r\naCCept: */*\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := mustRequest(t, plain)
			if err := tt.edit(h); err != nil {
				t.Fatal(err)
			}
			got, ok := strings.CutPrefix(string(h.AppendRequest(nil)), "GET /a?b=c HTTP/1.1\r\n")
			if diff := cmp.Diff(tt.want, got); diff != "" || !ok {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkIndex(t, h)
		})
	}
}

// checkIndex compares the index of known fields with the fields.
func checkIndex(t *testing.T, h *Head) {
	t.Helper()
	count := make(map[Known]int)
	for name := range h.All() {
		k := Lookup(name)
		if count[k]++; count[k] == 1 && k != Other && !bytes.Equal(h.nameOf(&h.fields[h.first[k]]), name) {
			t.Errorf("%s is not where the index says", name)
		}
	}
	for k := Host; k < numKnown; k++ {
		if h.Has(k) != (count[k] > 0) || h.Repeated(k) != (count[k] > 1) {
			t.Errorf("%d of %v, but Has %v, Repeated %v", count[k], k, h.Has(k), h.Repeated(k))
		}
	}
}

func TestRefusedEdits(t *testing.T) {
	for _, tt := range []struct {
		name        string
		field, text string
		want        error
	}{
		{"CR", "X-A", "a\rb", ErrValue},
		{"LF", "X-A", "a\nb", ErrValue},
		{"CRLF and a field", "X-A", "a\r\nX-B: c", ErrValue},
		{"NUL", "X-A", "a\x00b", ErrValue},
		{"DEL", "X-A", "a\x7fb", ErrValue},
		{"escape", "X-A", "\x1b[2J", ErrValue},
		{"space before", "X-A", " a", ErrValue},
		{"tab behind", "X-A", "a\t", ErrValue},
		{"empty name", "", "a", ErrName},
		{"name with space", "X A", "a", ErrName},
		{"name with colon", "X:", "a", ErrName},
		{"name with CRLF", "X\r\nY", "a", ErrName},
		{"name with umlaut", "Ä", "a", ErrName},
		{"length", "content-length", "5", ErrProtected},
		{"coding", "Transfer-Encoding", "chunked", ErrProtected},
		{"connection", "CONNECTION", "close", ErrProtected},
		{"keep-alive", "Keep-Alive", "5", ErrProtected},
		{"upgrade", "Upgrade", "h2c", ErrProtected},
		{"TE", "te", "trailers", ErrProtected},
		{"bad host", "Host", "a b", ErrHost},
		{"no host", "Host", "", ErrHost},
		{"too much", "X-A", strings.Repeat("a", maxEdits), ErrFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := mustRequest(t, plain)
			for verb, edit := range map[string]func() error{
				"Set":      func() error { return h.Set(tt.field, tt.text) },
				"SetBytes": func() error { return h.SetBytes(tt.field, []byte(tt.text)) },
				"Add":      func() error { return h.Add(tt.field, tt.text) },
				"AddBytes": func() error { return h.AddBytes(tt.field, []byte(tt.text)) },
			} {
				want := tt.want
				if strings.HasPrefix(verb, "Add") && Lookup(tt.field) == Host {
					want = ErrProtected // a second one, whatever it is
				}
				if err := edit(); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", verb, err, want)
				}
			}
			if got := string(h.AppendRequest(nil)); got != plain {
				t.Errorf("the head is changed to %q", got)
			}
		})
	}
	h := mustRequest(t, plain)
	for _, name := range []string{"Host", "content-length", "Transfer-Encoding", "connection", "upgrade"} {
		if err := h.Delete(name); !errors.Is(err, ErrProtected) {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
}

func TestSetKnownRefuses(t *testing.T) {
	h := mustRequest(t, plain)
	for _, tt := range []struct {
		known Known
		text  string
		want  error
	}{
		{Other, "a", ErrProtected},
		{Host, "a", ErrProtected},
		{ContentLength, "5", ErrProtected},
		{TE, "trailers", ErrProtected},
		{XForwardedFor, "a\r\nX-B: c", ErrValue},
		{XForwardedFor, " a", ErrValue},
		{XForwardedFor, strings.Repeat("a", maxEdits), ErrFull},
	} {
		if err := h.SetKnown(tt.known, []byte(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %.20q: %v, want %v", tt.known, tt.text, err, tt.want)
		}
	}
	if got := string(h.AppendRequest(nil)); got != plain {
		t.Errorf("the head is changed to %q", got)
	}
}

func TestEditsAreBounded(t *testing.T) {
	h := mustRequest(t, plain)
	n := 0
	for ; n <= maxFields; n++ {
		if err := h.Add("a", ""); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != maxFields-5 {
		t.Errorf("%d fields could be added", n)
	}
}

func TestStripHop(t *testing.T) {
	for _, tt := range []struct {
		name, fields, want string
		framing            Framing
	}{
		{"none", "A: 1\r\n", "A: 1\r\n", Framing{}},
		{"the list", "Connection: close\r\nKeep-Alive: 5\r\nA: 1\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: y\r\nTransfer-Encoding: chunked\r\nB: 2\r\n",
			"A: 1\r\nB: 2\r\n", Framing{}},
		{"all of several", "TE: a\r\nTE: b\r\nA: 1\r\nTE: c\r\n", "A: 1\r\n", Framing{}},
		{"chunks stay", "Transfer-Encoding: chunked\r\nTrailer: X\r\n", "Transfer-Encoding: chunked\r\nTrailer: X\r\n", Framing{Kind: Chunked}},
		{"nominated", "X-Hop: 1\r\nConnection: close, X-HOP ,, x-other\r\nX-Hop: 2\r\nX-Hopper: 3\r\n", "X-Hopper: 3\r\n", Framing{}},
		{"nominated in two fields", "Connection: a\r\nA: 1\r\nConnection: b\r\nB: 2\r\nC: 3\r\n", "C: 3\r\n", Framing{}},
		{"what may not be nominated",
			"Connection: content-length, Authorization, cookie, x-forwarded-for, X-Forwarded-Tls-Client-Cert, Forwarded, x-real-ip, via, transfer-encoding, connection, host\r\n" +
				"Content-Length: 5\r\nAuthorization: x\r\nCookie: c\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Tls-Client-Cert: pem\r\nForwarded: for=x\r\nX-Real-Ip: 1.2.3.4\r\nVia: x\r\n",
			"Content-Length: 5\r\nAuthorization: x\r\nCookie: c\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Tls-Client-Cert: pem\r\nForwarded: for=x\r\nX-Real-Ip: 1.2.3.4\r\nVia: x\r\n",
			Framing{Kind: Length, Length: 5}},
		{"chunks cannot be nominated", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", Framing{Kind: Chunked}},
		{"bounded", "Connection: " + strings.Repeat(",", MaxNominated) + "a\r\nA: 1\r\n", "A: 1\r\n", Framing{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := mustRequest(t, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.fields+"\r\n")
			h.Framed(tt.framing)
			h.StripHop()
			if diff := cmp.Diff("GET / HTTP/1.1\r\nHost: a\r\n"+tt.want+"\r\n", string(h.AppendRequest(nil))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkIndex(t, h)
		})
	}
}

func TestStripHopLeavesEdits(t *testing.T) {
	h := mustRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Auth-User\r\nX-Auth-User: root\r\nTransfer-Encoding: chunked\r\n\r\n")
	h.SetFraming(Framing{Kind: Length, Length: 3})
	if err := h.Add("X-Auth-User", "guest"); err != nil {
		t.Fatal(err)
	}
	if err := h.Set("Proxy-Authorization", "mine"); err != nil {
		t.Fatal(err)
	}
	h.StripHop()
	const want = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Auth-User: guest\r\nProxy-Authorization: mine\r\n\r\n"
	if got := string(h.AppendRequest(nil)); got != want {
		t.Errorf("got %q", got)
	}
}

func TestTrailersAreAskedFor(t *testing.T) {
	h := mustRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nTE: deflate\r\nConnection: TE\r\n\r\n")
	if h.AsksTrailers() {
		t.Error("what the client says is taken for it")
	}
	h.AskTrailers()
	h.StripHop()
	if got, want := string(h.AppendRequest(nil)), "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n"; got != want || !h.AsksTrailers() {
		t.Errorf("%q, want %q", got, want)
	}
	if h.Reset(); h.AsksTrailers() {
		t.Error("the next message asks for them")
	}
}

func TestUpgradeIsWrittenOnceWanted(t *testing.T) {
	h := mustRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	h.SetHop(HopUpgrade)
	h.StripHop()
	if got := string(h.AppendRequest(nil)); got != "GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
		t.Errorf("without an upgrade: %q", got)
	}
	h.Switch([]byte("websocket"))
	if got := string(h.AppendRequest(nil)); got != "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" {
		t.Errorf("with it: %q", got)
	}
}

func TestKeep(t *testing.T) {
	buf := []byte(plain)
	h := new(Head)
	readFields(t, h, plain)
	h.Attach(buf)
	h.Keep()
	clear(buf)
	h.Keep()
	if got, _ := h.Get("accept"); string(got) != "*/*" {
		t.Errorf("got %q", got)
	}
}

func TestResetKeepsNoLargeMemory(t *testing.T) {
	h := mustRequest(t, plain)
	h.Keep()
	if err := h.Set("a", strings.Repeat("x", 2*keepBytes)); err != nil {
		t.Fatal(err)
	}
	h.Reset()
	if h.edits != nil || cap(h.own) == 0 || cap(h.fields) == 0 {
		t.Errorf("edits %d, own %d, fields %d", cap(h.edits), cap(h.own), cap(h.fields))
	}
	if h.Count() != 0 || h.Has(Host) || h.Size() != 0 || len(h.Method()) != 0 || h.Status() != 0 {
		t.Error("something is left")
	}
}

func TestValues(t *testing.T) {
	for c := range 256 {
		good := c >= ' ' && c != 0x7f || c == '\t'
		for at := range 17 {
			b := bytes.Repeat([]byte("\xe4"), 17)
			b[at] = byte(c)
			if IsValue(b) != good || isValue(string(b)) != good {
				t.Fatalf("byte %#x at %d: %v", c, at, !good)
			}
		}
	}
	if !IsValue(nil) {
		t.Error("an empty value is none")
	}
}

func TestTokens(t *testing.T) {
	const all = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		if got, want := IsTokenByte(byte(c)), strings.IndexByte(all, byte(c)) >= 0; got != want {
			t.Errorf("IsTokenByte(%#x) is %v", c, got)
		}
	}
	if IsToken("") || IsToken("a b") || !IsToken([]byte("a-b")) {
		t.Error("IsToken is wrong")
	}
	if n, underscore := TokenLen([]byte("a_b:c")); n != 3 || !underscore {
		t.Errorf("TokenLen: %d, %v", n, underscore)
	}
	if n, underscore := TokenLen([]byte("ab:_")); n != 2 || underscore {
		t.Errorf("TokenLen: %d, %v", n, underscore)
	}
}

func TestParseLength(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"5", 5, true}, {"1048576", 1 << 20, true}, {"9223372036854775807", 1<<63 - 1, true},
		{"9223372036854775808", 0, false}, {"18446744073709551616", 0, false}, {"99999999999999999999", 0, false},
		{"", 0, false}, {"+1", 0, false}, {"-1", 0, false}, {"1_0", 0, false}, {"010", 0, false}, {"00", 0, false},
		{"1Z", 0, false}, {"0x10", 0, false}, {"5,5", 0, false}, {" 5", 0, false}, {"5.0", 0, false}, {"5\xa0", 0, false},
	} {
		if n, ok := ParseLength([]byte(tt.in)); ok != tt.ok || ok && n != tt.want {
			t.Errorf("ParseLength(%q) is %d, %v", tt.in, n, ok)
		}
	}
}

func TestList(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}}, {"a", []string{"a"}}, {"a,b", []string{"a", "b"}}, {" a ,\tb\t,, c", []string{"a", "b", "", "c"}}, {",", []string{"", ""}},
	} {
		got := []string{}
		for e := range List([]byte(tt.in)) {
			got = append(got, string(e))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("List(%q) is %q", tt.in, got)
		}
	}
}

func TestRefusal(t *testing.T) {
	if status, reason := Refusal(ErrConnect); status != 405 || reason != "connect" {
		t.Errorf("%d %s", status, reason)
	}
	if status, reason := Refusal(errors.New("?")); status != 500 || reason != "internal" {
		t.Errorf("%d %s", status, reason)
	}
}
