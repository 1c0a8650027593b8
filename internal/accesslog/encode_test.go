package accesslog

import (
	"crypto/tls"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func addr(t testing.TB, s string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// served is a connection that went all the way.
func served(t testing.TB) Record {
	t.Helper()
	return Record{
		Start:      time.Date(2026, 11, 23, 6, 7, 8, 9_000_000, time.FixedZone("CET", 3600)),
		By:         Client,
		Reason:     Done,
		Client:     addr(t, "203.0.113.7:51234"),
		Local:      addr(t, "192.0.2.1:5432"),
		Backend:    addr(t, "10.0.0.1:5432"),
		Entrypoint: "postgres",
		Router:     "orders",
		Service:    "orders",
		ServerName: "orders.db.example.com",
		ALPN:       "postgresql",
		TLS:        Passthrough,
		In:         1234,
		Out:        567890,
		Route:      1500 * time.Microsecond,
		Queue:      0,
		Connect:    2 * time.Millisecond,
		Total:      5012 * time.Millisecond,
		Retries:    1,
	}
}

// refusedEarly is a connection that met no router.
func refusedEarly(t testing.TB) Record {
	t.Helper()
	return Record{
		Start:      time.Date(2026, 11, 23, 5, 7, 8, 0, time.UTC),
		Reason:     NoRoute,
		Client:     addr(t, "[2001:db8::7]:51234"),
		Local:      addr(t, "[::ffff:192.0.2.1]:443"),
		Entrypoint: "secure",
		Route:      NotReached,
		Queue:      NotReached,
		Connect:    -5,
		Total:      3 * time.Millisecond,
	}
}

// terminated is a connection behind a proxy, whose TLS weir ended.
func terminated(t testing.TB) Record {
	t.Helper()
	r := served(t)
	r.Peer = addr(t, "[fe80::1%eth0]:9")
	r.TLS, r.TLSVersion = Terminated, tls.VersionTLS13
	r.By, r.Reason = Backend, BackendAbort
	return r
}

func TestAppendJSON(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "served",
			r:    served(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.009000000Z","Protocol":"tcp","entryPointName":"postgres",` +
				`"ClientAddr":"203.0.113.7:51234","ClientHost":"203.0.113.7","ClientPort":"51234","LocalAddr":"192.0.2.1:5432",` +
				`"RouterName":"orders","ServiceName":"orders","ServiceAddr":"10.0.0.1:5432","TLSMode":"passthrough",` +
				`"SNI":"orders.db.example.com","ALPN":"postgresql","BytesIn":1234,"BytesOut":567890,"Duration":5012000000,` +
				`"RouteDuration":1500000,"QueueDuration":0,"ConnectDuration":2000000,"RetryAttempts":1,` +
				`"EndedBy":"client","Reason":"done","TerminationState":"--"}` + "\n",
		},
		{
			name: "no route, IPv6, mapped local address",
			r:    refusedEarly(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.000000000Z","Protocol":"tcp","entryPointName":"secure",` +
				`"ClientAddr":"[2001:db8::7]:51234","ClientHost":"2001:db8::7","ClientPort":"51234","LocalAddr":"192.0.2.1:443",` +
				`"BytesIn":0,"BytesOut":0,"Duration":3000000,"RouteDuration":-1,"QueueDuration":-1,"ConnectDuration":-1,` +
				`"RetryAttempts":0,"EndedBy":"weir","Reason":"no-route","TerminationState":"PR"}` + "\n",
		},
		{
			name: "terminated behind a proxy",
			r:    terminated(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.009000000Z","Protocol":"tcp","entryPointName":"postgres",` +
				`"ClientAddr":"203.0.113.7:51234","ClientHost":"203.0.113.7","ClientPort":"51234","PeerAddr":"[fe80::1%eth0]:9",` +
				`"LocalAddr":"192.0.2.1:5432",` +
				`"RouterName":"orders","ServiceName":"orders","ServiceAddr":"10.0.0.1:5432","TLSMode":"terminated","TLSVersion":"1.3",` +
				`"SNI":"orders.db.example.com","ALPN":"postgresql","BytesIn":1234,"BytesOut":567890,"Duration":5012000000,` +
				`"RouteDuration":1500000,"QueueDuration":0,"ConnectDuration":2000000,"RetryAttempts":1,` +
				`"EndedBy":"backend","Reason":"backend-abort","TerminationState":"SD"}` + "\n",
		},
		{
			name: "nothing known",
			r:    Record{},
			want: `{"StartUTC":"0001-01-01T00:00:00.000000000Z","Protocol":"tcp","BytesIn":0,"BytesOut":0,"Duration":0,` +
				`"RouteDuration":0,"QueueDuration":0,"ConnectDuration":0,"RetryAttempts":0,` +
				`"EndedBy":"weir","Reason":"unknown","TerminationState":"ID"}` + "\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(AppendJSON([]byte("before "), &tt.r))
			if diff := cmp.Diff("before "+tt.want, got); diff != "" {
				t.Errorf("AppendJSON (-want +got):\n%s", diff)
			}
			if !json.Valid([]byte(got[len("before "):])) {
				t.Error("not JSON")
			}
		})
	}
}

func TestAppendCommon(t *testing.T) {
	quoted := served(t)
	quoted.ServerName, quoted.ALPN, quoted.Router = "-", "a\"b\\\n", "main office"
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "served",
			r:    served(t),
			want: "203.0.113.7:51234 [2026-11-23T05:07:08.009000000Z] postgres orders orders/10.0.0.1:5432 1/0/2/5012 " +
				"1234 567890 -- client done 1 orders.db.example.com postgresql passthrough -\n",
		},
		{
			name: "no route",
			r:    refusedEarly(t),
			want: "[2001:db8::7]:51234 [2026-11-23T05:07:08.000000000Z] secure - -/- -1/-1/-1/3 " +
				"0 0 PR weir no-route 0 - - - -\n",
		},
		{
			name: "terminated behind a proxy",
			r:    terminated(t),
			want: "203.0.113.7:51234 [2026-11-23T05:07:08.009000000Z] postgres orders orders/10.0.0.1:5432 1/0/2/5012 " +
				"1234 567890 SD backend backend-abort 1 orders.db.example.com postgresql TLS1.3 [fe80::1%eth0]:9\n",
		},
		{
			name: "what needs quotes",
			r:    quoted,
			want: "203.0.113.7:51234 [2026-11-23T05:07:08.009000000Z] postgres \"main\\x20office\" orders/10.0.0.1:5432 " +
				"1/0/2/5012 1234 567890 -- client done 1 \"-\" \"a\\\"b\\\\\\x0a\" passthrough -\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(AppendCommon([]byte("before "), &tt.r))
			if diff := cmp.Diff("before "+tt.want, got); diff != "" {
				t.Errorf("AppendCommon (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostileNamesAreClipped(t *testing.T) {
	r := served(t)
	r.ServerName, r.ALPN = strings.Repeat("\x00", 60_000), strings.Repeat("\n", 60_000)
	if n := len(AppendJSON(nil, &r)); n > 4<<10 {
		t.Errorf("JSON line of %d bytes", n)
	}
	if n := len(AppendCommon(nil, &r)); n > 4<<10 {
		t.Errorf("common line of %d bytes", n)
	}
}

func TestJSONStringRoundTrip(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "web", "web"},
		{"blank", "a b", "a b"},
		{"quote and backslash", `a"b\c`, `a"b\c`},
		{"controls", "\x00\n\r\t\x1b[31m\x7f", "\x00\n\r\t\x1b[31m\x7f"},
		{"C1 controls and separators", "\u009b\u2028\u202e", "\u009b\u2028\u202e"},
		{"beyond the basic plane", "příliš 🐘", "příliš 🐘"},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			enc := appendJSONString(nil, tt.in)
			var got string
			if err := json.Unmarshal(enc, &got); err != nil {
				t.Fatalf("%s: %v", enc, err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// checkLines holds what no input may break: one line each, visible ASCII only, and the shape a reader relies on.
func checkLines(t *testing.T, r *Record) {
	t.Helper()
	js, common := AppendJSON(nil, r), AppendCommon(nil, r)
	for _, line := range [][]byte{js, common} {
		for i, c := range line {
			if last := i == len(line)-1; last != (c == '\n') || !last && (c < ' ' || c > '~') {
				t.Fatalf("byte %d of %q is %#x", i, line, c)
			}
		}
	}
	fields := strings.Split(strings.TrimSuffix(string(common), "\n"), " ")
	if want := map[Protocol]int{TCP: 16, UDP: 14}[r.Protocol]; len(fields) != want {
		t.Fatalf("%d fields, want %d in %q", len(fields), want, common)
	}
	if fields[10] != r.Reason.String() {
		t.Fatalf("reason %q was forged in %q", fields[10], common)
	}
	var got struct{ SNI, ALPN, RouterName, Reason string }
	if err := json.Unmarshal(js, &got); err != nil {
		t.Fatalf("%v in %s", err, js)
	}
	if got.Reason != r.Reason.String() {
		t.Fatalf("reason %q was forged, want %q", got.Reason, r.Reason)
	}
	if want := string([]rune(r.Router)); got.RouterName != want {
		t.Fatalf("router is %q, want %q", got.RouterName, want)
	}
}

func TestNoLogInjection(t *testing.T) {
	tests := []struct{ name, sent string }{
		{"new line", "a\n203.0.113.9:1 forged"},
		{"carriage return", "a\rb"},
		{"leaves the JSON string", `x","Reason":"done","SNI":"`},
		{"leaves the quotes", `x" done "`},
		{"ends in a backslash", `x\`},
		{"terminal escape", "\x1b]0;owned\x07"},
		{"C1 control", "\u009b31m"},
		{"right-to-left override", "\u202egpj.exe"},
		{"not UTF-8", "\xff\xfe\xc3"},
		{"NUL", "\x00"},
		{"blanks", " a  b "},
		{"long", strings.Repeat("é", 300)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := served(t)
			r.ServerName, r.ALPN = tt.sent, tt.sent
			r.Entrypoint, r.Router, r.Service = tt.sent, tt.sent, tt.sent
			r.Peer = netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(tt.sent), 1)
			checkLines(t, &r)
		})
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("orders.db.example.com", "h2", "router", "eth0", uint8(Done), int64(0))
	f.Add("a\nb", "\"\\", "\x00\u2028", "\xff %", uint8(200), int64(-7))
	f.Fuzz(func(t *testing.T, sni, alpn, router, zone string, reason uint8, phase int64) {
		r := served(t)
		r.ServerName, r.ALPN, r.Router, r.Entrypoint = sni, alpn, router, sni
		r.Client = netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 1)
		r.Reason = Reason(reason)
		r.Route, r.Connect = time.Duration(phase), time.Duration(-phase)
		checkLines(t, &r)
	})
}

func TestEncodingDoesNotAllocate(t *testing.T) {
	r := terminated(t)
	r.Reason = Reason(200)
	buf := make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], &r) }); n != 0 {
		t.Errorf("AppendJSON allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = AppendCommon(buf[:0], &r) }); n != 0 {
		t.Errorf("AppendCommon allocates %v times", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	r := served(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], &r)
	}
}

func BenchmarkAppendCommon(b *testing.B) {
	r := served(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCommon(buf[:0], &r)
	}
}
