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

// answered is a request that a backend has answered.
func answered(t testing.TB) Record {
	t.Helper()
	r := served(t)
	r.Protocol, r.By = HTTP, Backend
	r.Entrypoint, r.Router, r.Service = "secure", "shop", "shop"
	r.ServerName, r.ALPN, r.TLS, r.TLSVersion = "shop.example.com", "http/1.1", Terminated, tls.VersionTLS13
	r.TLSCipher = tls.TLS_AES_128_GCM_SHA256
	r.Method, r.Host, r.Target, r.Proto, r.Scheme = "POST", "shop.example.com:8443", "/cart?id=7", "HTTP/1.1", "https"
	r.RequestID = "id-7"
	r.TraceID, r.SpanID = [16]byte{0x0a, 15: 0xf0}, [8]byte{7: 1}
	r.User, r.Status, r.OriginStatus, r.GRPC = "alice", 201, 201, 5+1
	r.RequestSize, r.ResponseSize, r.OriginSize, r.RequestCount = 12, 3456, 7890, 3
	r.FirstByte, r.Origin, r.Reused = 4*time.Millisecond, 5*time.Millisecond, true
	return r
}

// refusedBody is a request whose body turned out too large while the backend was getting it.
func refusedBody(t testing.TB) Record {
	t.Helper()
	r := answered(t)
	r.By, r.Reason, r.Detail = Weir, BodyTooLarge, "chunked"
	r.Peer = addr(t, "192.0.2.9:4711")
	r.Status, r.OriginStatus, r.OriginSize, r.FirstByte, r.Origin, r.Reused = 413, 0, 0, NotReached, -7, false
	return r
}

// notRequest is what came where a request was expected.
func notRequest(t testing.TB) Record {
	t.Helper()
	r := refusedEarly(t)
	r.Protocol, r.Reason, r.Detail = HTTP, BadRequest, "bad-method"
	r.FirstByte, r.Origin = NotReached, NotReached
	return r
}

func TestAppendJSONRequest(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "answered",
			r:    answered(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.009000000Z","Protocol":"http","entryPointName":"secure",` +
				`"ClientAddr":"203.0.113.7:51234","ClientHost":"203.0.113.7","ClientPort":"51234","LocalAddr":"192.0.2.1:5432",` +
				`"RouterName":"shop","ServiceName":"shop","ServiceAddr":"10.0.0.1:5432","TLSMode":"terminated","TLSVersion":"1.3",` +
				`"TLSCipher":"TLS_AES_128_GCM_SHA256","SNI":"shop.example.com","ALPN":"http/1.1",` +
				`"ServiceURL":"//10.0.0.1:5432","UpstreamReused":true,"ClientUsername":"alice","RequestID":"id-7",` +
				`"trace_id":"0a0000000000000000000000000000f0","span_id":"0000000000000001",` +
				`"RequestAddr":"shop.example.com:8443","RequestHost":"shop.example.com","RequestPort":"8443",` +
				`"RequestMethod":"POST","RequestPath":"/cart?id=7","RequestProtocol":"HTTP/1.1","RequestScheme":"https",` +
				`"RequestCount":3,"RequestContentSize":12,"OriginStatus":201,"OriginContentSize":7890,"OriginDuration":5000000,` +
				`"DownstreamStatus":201,"GRPCStatus":5,"DownstreamContentSize":3456,"FirstByteDuration":4000000,"Duration":5012000000,` +
				`"RouteDuration":1500000,"QueueDuration":0,"ConnectDuration":2000000,"RetryAttempts":1,` +
				`"EndedBy":"backend","Reason":"done","TerminationState":"--"}` + "\n",
		},
		{
			name: "not a request",
			r:    notRequest(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.000000000Z","Protocol":"http","entryPointName":"secure",` +
				`"ClientAddr":"[2001:db8::7]:51234","ClientHost":"2001:db8::7","ClientPort":"51234","LocalAddr":"192.0.2.1:443",` +
				`"RequestCount":0,"RequestContentSize":0,"OriginContentSize":0,"OriginDuration":-1,"DownstreamContentSize":0,` +
				`"FirstByteDuration":-1,"Duration":3000000,"RouteDuration":-1,"QueueDuration":-1,"ConnectDuration":-1,` +
				`"RetryAttempts":0,"EndedBy":"weir","Reason":"bad-request","Detail":"bad-method","TerminationState":"PR"}` + "\n",
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

func TestAppendCommonRequest(t *testing.T) {
	quoted := answered(t)
	quoted.User, quoted.Method, quoted.Target, quoted.Proto = "-", "-", `/a b"\`+"\n", "é"
	quoted.Router, quoted.Detail = "main office", "-"
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "answered",
			r:    answered(t),
			want: `203.0.113.7 - alice [23/Nov/2026:05:07:08 +0000] "POST /cart?id=7 HTTP/1.1" 201 3456 "-" "-" 3 "shop" ` +
				`"//10.0.0.1:5432" 5012ms 1/0/2/4/5012 -- backend done - 1` + "\n",
		},
		{
			name: "body too large",
			r:    refusedBody(t),
			want: `203.0.113.7 - alice [23/Nov/2026:05:07:08 +0000] "POST /cart?id=7 HTTP/1.1" 413 3456 "-" "-" 3 "shop" ` +
				`"//10.0.0.1:5432" 5012ms 1/0/2/-1/5012 PH weir body-too-large chunked 1` + "\n",
		},
		{
			name: "not a request",
			r:    notRequest(t),
			want: `2001:db8::7 - - [23/Nov/2026:05:07:08 +0000] "- - -" - 0 "-" "-" 0 "-" "-" 3ms -1/-1/-1/-1/3 ` +
				"PR weir bad-request bad-method 0\n",
		},
		{
			name: "what needs escapes",
			r:    quoted,
			want: `203.0.113.7 - "-" [23/Nov/2026:05:07:08 +0000] "\x2d /a\x20b\"\\\x0a \xc3\xa9" 201 3456 "-" "-" 3 ` +
				`"main\x20office" "//10.0.0.1:5432" 5012ms 1/0/2/4/5012 -- backend done "-" 1` + "\n",
		},
		{
			name: "nothing known",
			r:    Record{Protocol: HTTP},
			want: `- - - [01/Jan/0001:00:00:00 +0000] "- - -" - 0 "-" "-" 0 "-" "-" 0ms 0/0/0/0/0 ID weir unknown - 0` + "\n",
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

// send puts s wherever a client, a backend or the configuration may put something.
func send(r *Record, s string) {
	r.Method, r.Host, r.Target, r.Proto, r.Scheme = s, s, s, s, s
	r.User, r.Detail, r.Router, r.ServerName = s, s, s, s
}

func TestHostileRequestsAreClipped(t *testing.T) {
	for _, c := range []string{"\x00", "\"", "é", "\xff", "a"} {
		r := answered(t)
		r.Router = "shop"
		long := strings.Repeat(c, 60_000)
		r.Method, r.Host, r.Target, r.Proto, r.Scheme, r.User, r.Detail = long, long, long, long, long, long, long
		if n := len(AppendJSON(nil, &r)); n > 24<<10 {
			t.Errorf("JSON line of %d bytes for %q", n, c)
		}
		if n := len(AppendCommon(nil, &r)); n > 12<<10 {
			t.Errorf("common line of %d bytes for %q", n, c)
		}
	}
	r := answered(t)
	r.Target = "/" + strings.Repeat("a", 5000)
	var got struct{ RequestPath string }
	if err := json.Unmarshal(AppendJSON(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	if got.RequestPath != r.Target[:2048] {
		t.Errorf("%d bytes of the target are written, want the first 2048", len(got.RequestPath))
	}
}

// checkRequestLines holds what no request may break: one line each, visible ASCII only, and the shape a reader relies on.
func checkRequestLines(t *testing.T, r *Record) {
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
	if len(fields) != 22 {
		t.Fatalf("%d fields in %q", len(fields), common)
	}
	if fields[19] != r.Reason.String() {
		t.Fatalf("reason %q was forged in %q", fields[19], common)
	}
	if n := quotes(string(common)); n%2 != 0 {
		t.Fatalf("%d quotes in %q", n, common)
	}
	var got struct {
		Reason, RequestPath string
		DownstreamStatus    int
	}
	if err := json.Unmarshal(js, &got); err != nil {
		t.Fatalf("%v in %s", err, js)
	}
	if got.Reason != r.Reason.String() || got.DownstreamStatus != r.Status {
		t.Fatalf("forged: %+v", got)
	}
	if want := string([]rune(clip(r.Target, 2048))); got.RequestPath != want {
		t.Fatalf("path is %q, want %q", got.RequestPath, want)
	}
}

// quotes counts the double quotes that no backslash escapes.
func quotes(line string) int {
	n := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			n++
		}
	}
	return n
}

func TestNoLogInjectionByRequests(t *testing.T) {
	tests := []struct{ name, sent string }{
		{"new line", "/\n203.0.113.9 - - forged"},
		{"carriage return", "/\rb"},
		{"leaves the JSON string", `/x","Reason":"done","DownstreamStatus":"`},
		{"leaves the quotes", `/x HTTP/1.1" 200 1 "-" "-`},
		{"ends in a backslash", `/x\`},
		{"terminal escape", "/\x1b]0;owned\x07"},
		{"C1 control", "/\u009b31m"},
		{"right-to-left override", "/\u202egpj.exe"},
		{"not UTF-8", "\xff\xfe\xc3"},
		{"NUL", "\x00"},
		{"blanks", " a  b "},
		{"nothing", ""},
		{"what stands for nothing", "-"},
		{"a bracket left open", "[::1"},
		{"long", strings.Repeat("é", 3000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := answered(t)
			send(&r, tt.sent)
			r.Client = netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(tt.sent), 1)
			r.Backend = r.Client
			checkRequestLines(t, &r)
		})
	}
}

func FuzzEncodeRequest(f *testing.F) {
	f.Add("GET", "shop.example.com", "/", "alice", uint8(Done), 200, int64(0))
	f.Add("\x00\" -", "[::1]:\n", "/\xff%\\ \u2028", "-", uint8(BadRequest), -1, int64(-7))
	f.Fuzz(func(t *testing.T, method, host, target, user string, reason uint8, status int, n int64) {
		r := answered(t)
		r.Method, r.Host, r.Target, r.Proto, r.Scheme, r.User, r.Detail = method, host, target, method, host, user, user
		r.Reason, r.Status, r.OriginStatus = Reason(reason), status, -status
		r.RequestSize, r.ResponseSize, r.OriginSize = n, -n, n
		r.FirstByte, r.Origin = time.Duration(n), time.Duration(-n)
		checkRequestLines(t, &r)
	})
}

func TestSplitHost(t *testing.T) {
	tests := []struct{ name, in, host, port string }{
		{"name", "shop.example.com", "shop.example.com", ""},
		{"name and port", "shop.example.com:8443", "shop.example.com", "8443"},
		{"name and no port", "shop.example.com:", "shop.example.com", ""},
		{"IPv4", "192.0.2.1:80", "192.0.2.1", "80"},
		{"IPv6", "[2001:db8::1]:80", "2001:db8::1", "80"},
		{"IPv6 without a port", "[2001:db8::1]", "2001:db8::1", ""},
		{"IPv6 without brackets", "2001:db8::1", "2001:db8::1", ""},
		{"bracket left open", "[::1", "[::1", ""},
		{"something behind the bracket", "[::1]x:80", "[::1]x:80", ""},
		{"port alone", ":80", "", "80"},
		{"nothing", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if host, port := splitHost(tt.in); host != tt.host || port != tt.port {
				t.Errorf("splitHost(%q) = %q, %q, want %q, %q", tt.in, host, port, tt.host, tt.port)
			}
		})
	}
}

func TestCipherNames(t *testing.T) {
	all := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	for _, suite := range all {
		if got := cipherName(suite.ID); got != suite.Name {
			t.Errorf("suite %#04x is %q, want %q", suite.ID, got, suite.Name)
		}
	}
	if len(ciphers) != len(all) {
		t.Errorf("%d suites have a name, crypto/tls has %d", len(ciphers), len(all))
	}
	if got := cipherName(0); got != "" {
		t.Errorf("no suite is %q", got)
	}
	if got := cipherName(0xfefe); got != "unknown" {
		t.Errorf("a suite nobody knows is %q", got)
	}
}

func TestEncodingRequestsDoesNotAllocate(t *testing.T) {
	full, broken := refusedBody(t), notRequest(t)
	full.TLSCipher = 0xfefe
	send(&broken, "\x00é\" ")
	buf := make([]byte, 0, 4<<10)
	for _, r := range []*Record{&full, &broken} {
		if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], r) }); n != 0 {
			t.Errorf("AppendJSON allocates %v times", n)
		}
		if n := testing.AllocsPerRun(100, func() { buf = AppendCommon(buf[:0], r) }); n != 0 {
			t.Errorf("AppendCommon allocates %v times", n)
		}
	}
}

func BenchmarkAppendJSONRequest(b *testing.B) {
	r := answered(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], &r)
	}
}

func BenchmarkAppendCommonRequest(b *testing.B) {
	r := answered(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCommon(buf[:0], &r)
	}
}
