package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// ask connects to a server and makes one exchange.
func ask(addr string, request []byte) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	said, err := io.ReadAll(c)
	return string(said), err
}

// A server that flaps refuses connections while it is away, ends those it has when it goes, and is the same server at the
// same address when it has come back.
func TestFlap(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128}
	addr := serveAs(t, ServerSpec{Kinds: []Exchange{kind}, Flap: 50 * time.Millisecond})
	deadline := time.Now().Add(time.Minute)
	for turn := range 3 {
		var c net.Conn
		for c == nil {
			c, _ = net.Dial("tcp", addr) // until it is back
			if time.Now().After(deadline) {
				t.Fatalf("turn %d: it does not come back", turn)
			}
		}
		c.SetDeadline(deadline)
		// It may go at any moment, and then the exchange ends with the connection.
		b := make([]byte, kind.Answer)
		_, err := c.Write(pattern(kind.Request))
		if err == nil {
			_, err = io.ReadFull(c, b)
		}
		if err == nil && !bytes.Equal(b, pattern(kind.Answer)) {
			t.Errorf("turn %d: it answers %q", turn, b)
		}
		if n, err := c.Read(b); n > 0 || err == nil || errors.Is(err, unix.ETIMEDOUT) {
			t.Errorf("turn %d: the connection goes on with %d bytes, %v", turn, n, err)
		}
		c.Close()
		for err = nil; !errors.Is(err, unix.ECONNREFUSED); {
			if c, err = net.Dial("tcp", addr); err == nil {
				c.Close()
			}
			if time.Now().After(deadline) {
				t.Fatalf("turn %d: nothing is refused: %v", turn, err)
			}
		}
	}
}

// A client that may meet errors goes on when the server is back.
func TestAFlappingServerIsErrorsToItsClient(t *testing.T) {
	for _, kind := range []Exchange{{Request: 64, Answer: 128, Close: true}, {Answer: 128, HTTP: true}} {
		addr := serveAs(t, ServerSpec{Kinds: []Exchange{kind}, Flap: 100 * time.Millisecond})
		res, err := client(t, ClientSpec{Addr: addr, Exchange: kind, Connections: 2, Lenient: true, Duration: time.Second}).Run(new(atomic.Bool), func() {})
		if err != nil {
			t.Fatal(err)
		}
		if res.Exchanges == 0 || res.Errors == 0 || res.Wrong != 0 {
			t.Errorf("%+v: %d exchanges, %d errors, %d wrong: %s", kind, res.Exchanges, res.Errors, res.Wrong, res.LastError)
		}
	}
}

// A server that listens everywhere is a backend at every address of loopback.
func TestEverywhere(t *testing.T) {
	kind := Exchange{Request: 64, Answer: 128, Close: true}
	addr := netip.MustParseAddrPort(serveAs(t, ServerSpec{Kinds: []Exchange{kind}, Everywhere: true}))
	for _, host := range []string{"127.0.0.1", "127.96.0.1", "127.96.39.16"} {
		got, err := ask(netip.AddrPortFrom(netip.MustParseAddr(host), addr.Port()).String(), pattern(kind.Request))
		if err != nil || got != string(pattern(kind.Answer)) {
			t.Errorf("%s answers %q, %v", host, got, err)
		}
	}
}

// The server takes PROXY headers of both versions, in any pieces, and tells those that the client has not sent.
func TestPROXYHeaders(t *testing.T) {
	header := func(version byte, from string) []byte {
		source := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))
		b, err := proxyproto.HeaderProxyFromAddrs(version, source, net.TCPAddrFromAddrPort(claimedAt)).Format()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tt := range map[string]struct {
		header []byte
		ok     bool
	}{
		"version 1":                 {header: header(1, "198.51.100.7:1234"), ok: true},
		"version 2":                 {header: header(2, "198.51.100.7:1234"), ok: true},
		"the balancer's own":        {header: header(2, "127.0.0.1:1234")},
		"the balancer's own, first": {header: header(1, "127.0.0.1:1234")},
		"none":                      {header: pattern(200)},
		"without an end":            {header: []byte("PROXY TCP4 " + strings.Repeat("1", 200))},
		"none of TCP":               {header: []byte("PROXY UNKNOWN\r\n")},
		"too long":                  {header: append([]byte(proxySignature), append([]byte{0x21, 0x11, 0xff, 0xff}, make([]byte, small)...)...)},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			var err error
			for end := 0; end <= len(tt.header) && n == 0 && err == nil; end++ {
				n, err = announced(tt.header[:end])
			}
			if tt.ok != (err == nil && n == len(tt.header)) || !tt.ok && !errors.Is(err, errAnnounced) {
				t.Errorf("%d of %d bytes, %v", n, len(tt.header), err)
			}
			kind := Exchange{Request: 64, Answer: 128, Close: true, Proxy: true}
			said, err := ask(serve(t, kind), append(tt.header, pattern(kind.Request)...))
			if (said == string(pattern(kind.Answer))) != tt.ok {
				t.Errorf("the server says %q, %v", said, err)
			}
		})
	}
}
