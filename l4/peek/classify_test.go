package peek

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weirlb/weir/sni"
)

func startup(size, code uint32, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, size)
	return string(binary.BigEndian.AppendUint32(b, code)) + rest
}

const parameters = "user\x00me\x00database\x00mine\x00\x00"

var (
	sslRequest = startup(8, 80877103, "")
	gssRequest = startup(8, 80877104, "")
	cancel     = startup(16, 80877102, "\x00\x00\x00\x01\x00\x00\x00\x02")
	start      = startup(8+uint32(len(parameters)), 196608, parameters)
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    string
		want  Kind
		bytes int // how many the verdict takes
	}{
		{"TLS", "\x16\x03\x01\x02\x00\x01", TLS, 2},
		{"TLS 1.3 record version", "\x16\x03\x03", TLS, 2},
		{"handshake of no TLS", "\x16\x02\x00", Unknown, 2},
		{"TLS alert", "\x15\x03\x03\x00\x02", Unknown, 1},
		{"SSL 2.0", "\x80\x2e\x01\x03\x01", Unknown, 1},

		{"SSLRequest", sslRequest, PostgresSSL, 8},
		{"SSLRequest and more", sslRequest + "\x16\x03\x01", PostgresSSL, 8},
		{"GSSENCRequest", gssRequest, PostgresGSS, 8},
		{"CancelRequest", cancel, PostgresCancel, 8},
		{"CancelRequest with a long key", startup(268, 80877102, ""), PostgresCancel, 8},
		{"CancelRequest without key", startup(12, 80877102, ""), Unknown, 8},
		{"CancelRequest with too long a key", startup(269, 80877102, ""), Unknown, 8},
		{"StartupMessage", start, PostgresStart, 8},
		{"StartupMessage 3.2", startup(9, 196610, "\x00"), PostgresStart, 8},
		{"StartupMessage of 10000", startup(10000, 196608, ""), PostgresStart, 8},
		{"StartupMessage of 10001", startup(10001, 196608, ""), Unknown, 4},
		{"StartupMessage of 8", startup(8, 196608, ""), Unknown, 8},
		{"StartupMessage 2.0", startup(296, 2<<16, ""), Unknown, 6},
		{"SSLRequest of 9", startup(9, 80877103, ""), Unknown, 8},
		{"GSSENCRequest of 16", startup(16, 80877104, ""), Unknown, 8},
		{"length 7", startup(7, 196608, ""), Unknown, 4},
		{"length 0", "\x00\x00\x00\x00", Unknown, 4},
		{"length of 16 MiB", "\x01", Unknown, 1},
		{"length of 64 KiB", "\x00\x01", Unknown, 2},
		{"length of 40 KiB", "\x00\x00\xa0", Unknown, 3},
		{"code of another protocol", "\x00\x00\x00\x20\x00\x12\x00\x03", Unknown, 6},
		{"first byte of another code", "\x00\x00\x00\x20\x01", Unknown, 5},
		{"other request code", startup(8, 80877105, ""), Unknown, 8},

		{"GET", "GET / HTTP/1.1\r\n", HTTP, 5},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\n", HTTP, 9},
		{"absolute target", "GET http://x/ HTTP/1.1\r\n", HTTP, 11},
		{"absolute target in capitals", "GET HTTPS://x/", HTTP, 12},
		{"CONNECT", "CONNECT x:443 HTTP/1.1\r\n", HTTP, 9},
		{"CONNECT IPv6", "CONNECT [::1]:443 HTTP/1.1\r\n", HTTP, 9},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP, 5},
		{"WebDAV", "VERSION-CONTROL /x", HTTP, 17},
		{"unheard-of method", "FOO_BAR /x", HTTP, 9},
		{"longest method", strings.Repeat("A", 32) + " /", HTTP, 34},
		{"too long a method", strings.Repeat("A", 33), Unknown, 33},
		{"lower case", "get / HTTP/1.1", Unknown, 1},
		{"mixed case", "GEt /", Unknown, 3},
		{"no method", " / HTTP/1.1", Unknown, 1},
		{"empty line first", "\r\nGET /", Unknown, 1},
		{"two spaces", "GET  /", Unknown, 5},
		{"SMTP", "EHLO mail.example.com\r\n", Unknown, 6},
		{"FTP", "USER anonymous\r\n", Unknown, 6},
		{"target almost http", "GET httpd", Unknown, 9},
		{"NATS", "CONNECT {\"verbose\":false}\r\n", Unknown, 9},
		{"STOMP", "CONNECT\naccept-version:1.2\n", Unknown, 8},
		{"Redis", "*1\r\n$4\r\nPING\r\n", Unknown, 1},
		{"Redis inline", "PING\r\n", Unknown, 5},
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", Unknown, 5},
		{"MQTT", "\x10\x10\x00\x04MQTT", Unknown, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := range len(tt.in) + 1 {
				got, err := Classify([]byte(tt.in[:n]))
				if n < tt.bytes && err != ErrShort {
					t.Fatalf("after %d bytes: %v, %v", n, got, err)
				}
				if n >= tt.bytes && (got != tt.want || err != nil) {
					t.Fatalf("after %d bytes: %v, %v; want %v", n, got, err, tt.want)
				}
			}
		})
	}
}

func TestKindString(t *testing.T) {
	seen := make(map[string]bool)
	for k := Unknown; k <= HTTP; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
}

func TestPostgres(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want Kind
		n    int
		err  error
	}{
		{"SSLRequest", sslRequest, PostgresSSL, 8, nil},
		{"SSLRequest and more", sslRequest + "\x16\x03\x01", PostgresSSL, 8, nil},
		{"the request we send", string(PostgresSSLRequest), PostgresSSL, PostgresRequestSize, nil},
		{"GSSENCRequest", gssRequest, PostgresGSS, 8, nil},
		{"CancelRequest", cancel, PostgresCancel, 16, nil},
		{"CancelRequest in pieces", cancel[:15], Unknown, 0, ErrShort},
		{"StartupMessage", start, PostgresStart, len(start), nil},
		{"StartupMessage and more", start + "p", PostgresStart, len(start), nil},
		{"StartupMessage in pieces", start[:len(start)-1], Unknown, 0, ErrShort},
		{"StartupMessage without end", startup(13, 196608, "user\x01"), Unknown, 0, errPostgresEnd},
		{"nothing", "", Unknown, 0, ErrShort},
		{"HTTP", "GET /", Unknown, 0, ErrNotPostgres},
		{"TLS", "\x16\x03", Unknown, 0, ErrNotPostgres},
		{"too long", startup(10001, 196608, ""), Unknown, 0, ErrNotPostgres},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, n, err := Postgres([]byte(tt.in))
			if kind != tt.want || n != tt.n || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %d, %v; want %v, %d, %v", kind, n, err, tt.want, tt.n, tt.err)
			}
		})
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"TLS", "\x16\x03\x01"},
		{"PostgreSQL", sslRequest},
		{"HTTP", "GET / HTTP/1.1"},
		{"text", "EHLO x"},
		{"binary", "\x10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := []byte(tt.in)
			var kind Kind
			if got := testing.AllocsPerRun(100, func() { kind, _ = Classify(in) }); got != 0 {
				t.Errorf("%v allocations to find out that it is %v", got, kind)
			}
		})
	}
}

var seeds = []string{
	"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", sslRequest, gssRequest, cancel, start, "GET / HTTP/1.1\r\n", "CONNECT x:1 ",
	"GET https://x/", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EHLO x\r\n", "\x80\x2e\x01\x03\x01",
}

func FuzzClassify(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := Classify(b)
		if err != nil && (err != ErrShort || kind != Unknown || len(b) > 41) {
			t.Fatalf("%v, %v after %d bytes", kind, err, len(b))
		}
		for n := range min(len(b), 64) {
			if early, earlyErr := Classify(b[:n]); earlyErr == nil && (early != kind || err != nil) {
				t.Fatalf("%v after %d bytes, %v, %v after all", early, n, kind, err)
			}
		}
		_, tlsErr := sni.Parse(b)
		isTLS := tlsErr != sni.ErrNotTLS && tlsErr != sni.ErrSSLv2
		if kind == TLS && !isTLS || err == nil && kind != TLS && tlsErr != sni.ErrShort && isTLS {
			t.Fatalf("Classify says %v, sni.Parse %v", kind, tlsErr)
		}
		_, _, postgresErr := Postgres(b)
		isPostgres := slices.Contains([]Kind{PostgresSSL, PostgresGSS, PostgresCancel, PostgresStart}, kind)
		if isPostgres && postgresErr != nil && postgresErr != ErrShort && postgresErr != errPostgresEnd || !isPostgres && postgresErr == nil {
			t.Fatalf("Classify says %v, Postgres %v", kind, postgresErr)
		}
	})
}

func FuzzPostgres(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, n, err := Postgres(b)
		switch {
		case err == nil && (kind == Unknown || n < minPostgres || n > len(b) || n > maxPostgres):
			t.Fatalf("%v, length %d of %d bytes", kind, n, len(b))
		case err != nil && (kind != Unknown || n != 0):
			t.Fatalf("%v and %d beside %v", kind, n, err)
		case err == ErrShort && len(b) >= maxPostgres:
			t.Fatalf("undecided after %d bytes", len(b))
		}
		for cut := range min(len(b), 64) {
			early, earlyN, earlyErr := Postgres(b[:cut])
			if earlyErr != ErrShort && (early != kind || earlyN != n || earlyErr != err) {
				t.Fatalf("after %d bytes %v %d %v, after all %v %d %v", cut, early, earlyN, earlyErr, kind, n, err)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, bb := range []struct{ name, in string }{
		{"TLS", "\x16\x03\x01\x02\x00\x01"},
		{"PostgreSQL", sslRequest},
		{"HTTP", "GET / HTTP/1.1\r\n"},
		{"unknown", "*1\r\n$4\r\nPING\r\n"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			in := []byte(bb.in)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Classify(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
