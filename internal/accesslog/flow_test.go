package accesslog

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// resolved is a flow of DNS that fell silent. What a flow does not have is set, to see that it is not written.
func resolved(t testing.TB) Record {
	t.Helper()
	return Record{
		Start:        time.Date(2026, 11, 23, 6, 7, 8, 9_000_000, time.FixedZone("CET", 3600)),
		Protocol:     UDP,
		Reason:       IdleTimeout,
		Client:       addr(t, "203.0.113.7:51234"),
		Local:        addr(t, "192.0.2.1:53"),
		Backend:      addr(t, "10.0.0.53:53"),
		Entrypoint:   "dns",
		Router:       "dns",
		Service:      "resolvers",
		ServerName:   "not.of.a.flow",
		ALPN:         "h3",
		TLS:          Terminated,
		TLSVersion:   0x0304,
		TLSCipher:    0x1301,
		In:           64,
		Out:          512,
		DatagramsIn:  2,
		DatagramsOut: 3,
		Moves:        1,
		Route:        NotReached,
		Queue:        NotReached,
		Connect:      time.Millisecond,
		Total:        60_250 * time.Millisecond,
		Retries:      7,
	}
}

// unserved is a flow that was denied before it had a backend.
func unserved(t testing.TB) Record {
	t.Helper()
	return Record{
		Start: time.Date(2026, 11, 23, 5, 7, 8, 0, time.UTC), Protocol: UDP, Reason: Denied, Detail: "office",
		Client: addr(t, "[2001:db8::7]:51234"), Local: addr(t, "[::ffff:192.0.2.1]:53"), Entrypoint: "dns", Total: -7,
	}
}

func TestAppendJSONFlow(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "resolved",
			r:    resolved(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.009000000Z","Protocol":"udp","entryPointName":"dns",` +
				`"ClientAddr":"203.0.113.7:51234","ClientHost":"203.0.113.7","ClientPort":"51234","LocalAddr":"192.0.2.1:53",` +
				`"RouterName":"dns","ServiceName":"resolvers","ServiceAddr":"10.0.0.53:53","BytesIn":64,"BytesOut":512,` +
				`"DatagramsIn":2,"DatagramsOut":3,"Moves":1,"Duration":60250000000,` +
				`"EndedBy":"weir","Reason":"idle-timeout","TerminationState":"--"}` + "\n",
		},
		{
			name: "denied",
			r:    unserved(t),
			want: `{"StartUTC":"2026-11-23T05:07:08.000000000Z","Protocol":"udp","entryPointName":"dns",` +
				`"ClientAddr":"[2001:db8::7]:51234","ClientHost":"2001:db8::7","ClientPort":"51234","LocalAddr":"192.0.2.1:53",` +
				`"BytesIn":0,"BytesOut":0,"DatagramsIn":0,"DatagramsOut":0,"Moves":0,"Duration":-1,` +
				`"EndedBy":"weir","Reason":"denied","Detail":"office","TerminationState":"PR"}` + "\n",
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

func TestAppendCommonFlow(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want string
	}{
		{
			name: "resolved",
			r:    resolved(t),
			want: "203.0.113.7:51234 [2026-11-23T05:07:08.009000000Z] dns dns resolvers/10.0.0.53:53 60250 " +
				"64 512 -- weir idle-timeout 1 2 3\n",
		},
		{
			name: "denied",
			r:    unserved(t),
			want: "[2001:db8::7]:51234 [2026-11-23T05:07:08.000000000Z] dns - -/- -1 0 0 PR weir denied 0 0 0\n",
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

func FuzzEncodeFlow(f *testing.F) {
	f.Add("dns", "eth0", uint8(Done), int64(0))
	f.Add("a\nb \"\\\u2028", "\xff %", uint8(200), int64(-7))
	f.Fuzz(func(t *testing.T, name, zone string, reason uint8, n int64) {
		r := resolved(t)
		r.Entrypoint, r.Router, r.Service, r.Detail = name, name, name, name
		r.ServerName, r.ALPN = name, name
		r.Client = netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 1)
		r.Reason = Reason(reason)
		r.In, r.Out, r.DatagramsIn, r.DatagramsOut, r.Moves, r.Total = n, -n, n, -n, int(n), time.Duration(n)
		checkLines(t, &r)
	})
}

func TestEncodingFlowsDoesNotAllocate(t *testing.T) {
	r := resolved(t)
	buf := make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], &r) }); n != 0 {
		t.Errorf("AppendJSON allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { buf = AppendCommon(buf[:0], &r) }); n != 0 {
		t.Errorf("AppendCommon allocates %v times", n)
	}
}

func BenchmarkAppendJSONFlow(b *testing.B) {
	r := resolved(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], &r)
	}
}

func BenchmarkAppendCommonFlow(b *testing.B) {
	r := resolved(b)
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCommon(buf[:0], &r)
	}
}
