package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// TestForwarded: what an untrusted peer says about who the client is does not reach the server, what a trusted one says is
// added to.
func TestForwarded(t *testing.T) {
	servers := []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{
			"X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server",
			"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "Forwarded",
		} {
			fmt.Fprintf(w, "%s=%s\n", name, strings.Join(r.Header[name], "|"))
		}
	})}
	lies := "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 192.0.2.3\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\n" +
		"X-Forwarded-Proto: https\r\nX-Forwarded-Server: s\r\nX-Forwarded-Prefix: /p\r\nX-Forwarded-Uri: /u\r\nX-Forwarded-Method: M\r\nForwarded: for=192.0.2.1\r\n"
	for _, tt := range []struct {
		name    string
		trusted []netip.Prefix
		sent    string
		want    string
	}{
		{"nothing said", nil, "",
			"X-Forwarded-For=127.0.0.1\nX-Real-Ip=127.0.0.1\nX-Forwarded-Host=a.test:81\nX-Forwarded-Port=81\nX-Forwarded-Proto=http\n" +
				"X-Forwarded-Server=weir-1\nX-Forwarded-Prefix=\nX-Forwarded-Uri=\nX-Forwarded-Method=\nForwarded=\n"},
		{"by anyone", nil, lies,
			"X-Forwarded-For=127.0.0.1\nX-Real-Ip=127.0.0.1\nX-Forwarded-Host=a.test:81\nX-Forwarded-Port=81\nX-Forwarded-Proto=http\n" +
				"X-Forwarded-Server=weir-1\nX-Forwarded-Prefix=\nX-Forwarded-Uri=\nX-Forwarded-Method=\nForwarded=\n"},
		{"by somebody trusted", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, lies,
			"X-Forwarded-For=192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1\nX-Real-Ip=192.0.2.1\nX-Forwarded-Host=h\nX-Forwarded-Port=1\nX-Forwarded-Proto=https\n" +
				"X-Forwarded-Server=s\nX-Forwarded-Prefix=/p\nX-Forwarded-Uri=/u\nX-Forwarded-Method=M\nForwarded=for=192.0.2.1\n"},
		{"by others than those trusted", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "X-Forwarded-For: 192.0.2.1\r\n",
			"X-Forwarded-For=127.0.0.1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: servers, front: FrontOptions{Trusted: tt.trusted}})
			has(t, b.exchange("GET / HTTP/1.1\r\nHost: a.test:81\r\nConnection: close\r\n"+tt.sent+"\r\n"), tt.want)
		})
	}
}
