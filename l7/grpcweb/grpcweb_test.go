package grpcweb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"
)

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		media   string
		kind    Kind
		request string // to the server
	}{
		{"application/grpc-web", Binary, "application/grpc"},
		{"application/grpc-web+proto", Binary, "application/grpc+proto"},
		{"Application/gRPC-Web+json", Binary, "application/grpc+json"},
		{"application/grpc-web; charset=utf-8", Binary, "application/grpc; charset=utf-8"},
		{"application/grpc-web-text", Text, "application/grpc"},
		{"application/grpc-web-text+proto", Text, "application/grpc+proto"},
		{"application/grpc", None, "application/grpc"},
		{"application/grpc+proto", None, "application/grpc+proto"},
		{"application/grpc-website", None, "application/grpc-website"},
		{"application/grpc-web-texts", None, "application/grpc-web-texts"},
		{"application/grpc-we", None, "application/grpc-we"},
		{"application/json", None, "application/json"},
		{"", None, ""},
	} {
		if got := KindOf([]byte(tt.media)); got != tt.kind {
			t.Errorf("%q is of kind %d, want %d", tt.media, got, tt.kind)
		}
		if got := string(Request([]byte(tt.media))); got != tt.request {
			t.Errorf("%q becomes %q, want %q", tt.media, got, tt.request)
		}
	}
}

func TestResponse(t *testing.T) {
	for _, tt := range []struct {
		kind     Kind
		from, to string // "" = not gRPC
	}{
		{Binary, "application/grpc", "application/grpc-web+proto"},
		{Text, "application/grpc", "application/grpc-web-text+proto"},
		{Binary, "application/grpc+proto", "application/grpc-web+proto"},
		{Text, "application/grpc+json", "application/grpc-web-text+json"},
		{Binary, "application/grpc-web+proto", ""}, // the server speaks it itself
		{Binary, "text/html", ""},
		{Binary, "", ""},
		{None, "application/grpc", ""},
	} {
		got, ok := tt.kind.Response([]byte(tt.from))
		if string(got) != tt.to || ok != (tt.to != "") {
			t.Errorf("%d, %q becomes %q, %v, want %q", tt.kind, tt.from, got, ok, tt.to)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		bad        bool
	}{
		{"", "", false}, {"YWJj", "abc", false}, {"YQ==", "a", false}, {"YWI=", "ab", false},
		{"YQ==YWI=YWJj", "aababc", false}, {"YWJjYQ==YQ==", "abcaa", false},
		{"YQ", "", true}, {"YQ=", "", true}, {"YWJjY", "", true}, {"====", "", true}, {"Y===", "", true}, {"=YQ=", "", true}, {"Y=Q=", "", true},
		{"YW-_", "", true}, {"YW\r\nJj", "", true}, {"YW\nJjYQ=", "", true}, {"YWJ ", "", true}, {"YW\x00j", "", true},
	} {
		got, err := Decode([]byte(tt.text))
		if string(got) != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
	}
}

func TestTrailers(t *testing.T) {
	for _, tt := range []struct{ name, section, want string }{
		{"none", "", ""},
		{"an empty line", "\r\n", ""},
		{"usual", "Grpc-Status: 0\r\nGrpc-Message: all is well\r\n\r\n", "\x80\x00\x00\x00\x2bgrpc-status: 0\r\ngrpc-message: all is well\r\n"},
		{"without the empty line", "grpc-status:5\r\n", "\x80\x00\x00\x00\x10grpc-status: 5\r\n"},
		{"a colon in the value", "X-A: b:c \r\n\r\n", "\x80\x00\x00\x00\x0ax-a: b:c\r\n"},
		{"no value", "x-a:\r\n\r\n", "\x80\x00\x00\x00\x07x-a: \r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := AppendTrailers([]byte("before"), []byte(tt.section)); string(got) != "before"+tt.want {
				t.Errorf("%q, want %q behind what was there", got, tt.want)
			}
		})
	}
}

// FuzzText: what is encoded in any pieces, with a flush behind any of them, is decoded to what it was.
func FuzzText(f *testing.F) {
	f.Add([]byte("hello, world"), uint16(3), uint16(5))
	f.Add([]byte{}, uint16(0), uint16(1))
	f.Fuzz(func(t *testing.T, content []byte, size, flush uint16) {
		var e Encoder
		var text []byte
		for i, rest := 0, content; len(rest) > 0; i++ {
			n := min(int(size)%7+1, len(rest))
			text = e.Append(text, rest[:n])
			rest = rest[n:]
			if flush>>(i%16)&1 == 1 {
				text = e.Flush(text)
				if got, err := Decode(text); err != nil || !bytes.HasPrefix(content, got) || len(got) != len(content)-len(rest) {
					t.Fatalf("after a flush %q stands for %q, %v", text, got, err)
				}
			}
		}
		text = e.Flush(text)
		if got, err := Decode(text); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q, %v; want %q", got, err, content)
		}
	})
}

// FuzzDecode: what is decoded is what the standard library makes of it where that knows no more than one padding.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("YQ==YWI=YWJj"))
	f.Add([]byte("=\r\n="))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Decode(text)
		want, bad := base64.StdEncoding.DecodeString(string(text))
		if bad == nil && !bytes.ContainsAny(text, "\r\n") && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		if err == nil && len(got) > len(text)/4*3 {
			t.Errorf("%d bytes from %d", len(got), len(text))
		}
	})
}

// FuzzTrailers: the frame is as long as it says, and has a line for each field.
func FuzzTrailers(f *testing.F) {
	f.Add([]byte("Grpc-Status: 0\r\n\r\n"))
	f.Add([]byte(": \r\n:\r\n"))
	f.Fuzz(func(t *testing.T, section []byte) {
		got := AppendTrailers(nil, section)
		if len(got) == 0 {
			return
		}
		if got[0] != trailersFlag || int(binary.BigEndian.Uint32(got[1:])) != len(got)-5 || !bytes.HasSuffix(got, []byte("\r\n")) {
			t.Errorf("%q", got)
		}
		if bytes.Count(got[5:], []byte("\r\n")) > bytes.Count(section, []byte("\r\n"))+1 {
			t.Errorf("%q has more lines than %q", got, section)
		}
	})
}
