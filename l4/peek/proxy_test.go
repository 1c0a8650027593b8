package peek

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"
	"pgregory.net/rapid"
)

// v2 builds a version 2 header with an honest length.
func v2(command, family byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	b := append([]byte(proxyV2Mark), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

func tlv(kind byte, value ...byte) []byte {
	return append([]byte{kind, byte(len(value) >> 8), byte(len(value))}, value...)
}

// summed puts the right checksum into the last TLV of a header, which must be
// an empty one for it.
func summed(header []byte) []byte {
	sum := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(header[len(header)-4:], sum)
	return header
}

var (
	body4   = []byte{10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0x01, 0xbb}
	addr6   = netip.MustParseAddr("2001:db8::1").As16()
	body6   = slices.Concat(addr6[:], addr6[:], []byte{0x30, 0x39, 0x01, 0xbb})
	mapped  = netip.MustParseAddr("::ffff:10.0.0.1").As16()
	bodyMap = slices.Concat(mapped[:], addr6[:], []byte{0x30, 0x39, 0x01, 0xbb})
	unix    = make([]byte, proxyUnix)
	noSum   = tlv(3, 0, 0, 0, 0)
)

func header(version int, source, destination string) ProxyHeader {
	return ProxyHeader{
		Version: version, Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort(destination),
	}
}

func TestParseProxy(t *testing.T) {
	four := header(2, "10.0.0.1:12345", "10.0.0.2:443")
	datagram := four
	datagram.Datagram = true
	for _, tt := range []struct {
		name string
		in   []byte
		want ProxyHeader
	}{
		{"v1 IPv4", []byte("PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n"), header(1, "10.0.0.1:12345", "10.0.0.2:443")},
		{"v1 IPv6", []byte("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), header(1, "[2001:db8::1]:0", "[::1]:65535")},
		{"v1 mapped", []byte("PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n"), header(1, "10.0.0.1:1", "[::1]:2")},
		{"v1 unknown", []byte("PROXY UNKNOWN\r\n"), ProxyHeader{Version: 1}},
		{"v1 unknown with addresses", []byte("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), ProxyHeader{Version: 1}},
		{"v1 longest", []byte("PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n"), ProxyHeader{Version: 1}},
		{"v2 IPv4", v2(0x21, 0x11, body4), four},
		{"v2 UDP", v2(0x21, 0x12, body4), datagram},
		{"v2 IPv6", v2(0x21, 0x21, body6), header(2, "[2001:db8::1]:12345", "[2001:db8::1]:443")},
		{"v2 mapped", v2(0x21, 0x21, bodyMap), header(2, "10.0.0.1:12345", "[2001:db8::1]:443")},
		{"v2 Unix", v2(0x21, 0x31, unix), ProxyHeader{Version: 2}},
		{"v2 unspecified", v2(0x21, 0x00), ProxyHeader{Version: 2}},
		{"v2 unspecified with TLV", v2(0x21, 0x00, tlv(4, 0)), ProxyHeader{Version: 2}},
		{"v2 LOCAL", v2(0x20, 0x00), ProxyHeader{Version: 2}},
		{"v2 LOCAL with addresses", v2(0x20, 0x11, body4), ProxyHeader{Version: 2}},
		{"v2 LOCAL with too few of them", v2(0x20, 0x11, body4[:3]), ProxyHeader{Version: 2}},
		{"v2 LOCAL with garbage", v2(0x20, 0xff, []byte("garbage")), ProxyHeader{Version: 2}},
		{"v2 TLVs", v2(0x21, 0x11, body4, tlv(1, 'h', '2'), tlv(4), tlv(0xee, 1, 2, 3)), four},
		{"v2 checksum", summed(v2(0x21, 0x11, body4, tlv(1, 'h', '2'), noSum)), four},
		{"v2 unspecified checksum", summed(v2(0x21, 0x00, noSum)), ProxyHeader{Version: 2}},
		{"v2 longest", v2(0x21, 0x11, body4, tlv(4, make([]byte, 4096-12-3)...)), four},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := range tt.in {
				if _, _, err := ParseProxy(tt.in[:n]); err != ErrShort {
					t.Fatalf("after %d of %d bytes: %v", n, len(tt.in), err)
				}
			}
			for _, more := range []string{"", "\r\n", "PROXY TCP4", "\x16\x03\x01"} {
				got, n, err := ParseProxy(slices.Concat(tt.in, []byte(more)))
				if err != nil || n != len(tt.in) {
					t.Fatalf("with %q behind it: length %d of %d, %v", more, n, len(tt.in), err)
				}
				if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
					t.Errorf("with %q behind it (-want +got):\n%s", more, diff)
				}
			}
		})
	}
}

func TestParseProxyError(t *testing.T) {
	line := func(s string) []byte { return []byte(s + "\r\n") }
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrShort},
		{"first byte of another", []byte("G"), ErrNotProxy},
		{"third byte of another", []byte("PRI"), ErrNotProxy},
		{"no space", []byte("PROXYT"), ErrNotProxy},
		{"lower case", []byte("proxy TCP4 "), ErrNotProxy},
		{"empty lines and a request", []byte("\r\n\r\nG"), ErrNotProxy},
		{"TLS", []byte{22}, ErrNotProxy},
		{"signature with wrong end", []byte("\r\n\r\n\x00\r\nQUIT\r"), ErrNotProxy},

		{"v1 LF alone", []byte("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n"), ErrProxy},
		{"v1 still open", []byte("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r"), ErrShort},
		{"v1 107 bytes without end", []byte("PROXY UNKNOWN " + strings.Repeat("x", 107-14)), errProxyLine},
		{"v1 108 bytes", line("PROXY UNKNOWN " + strings.Repeat("x", 107-15)), errProxyLine},
		{"v1 109 bytes", line("PROXY UNKNOWN " + strings.Repeat("x", 107-14)), errProxyLine},
		{"v1 nothing", line("PROXY "), ErrProxy},
		{"v1 protocol", line("PROXY TCP5 10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 protocol in lower case", line("PROXY tcp4 10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 UDP", line("PROXY UDP4 10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 unknown with a tail", line("PROXY UNKNOWNX"), ErrProxy},
		{"v1 two spaces", line("PROXY  TCP4 10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 two spaces inside", line("PROXY TCP4 10.0.0.1  10.0.0.2 1 2"), ErrProxy},
		{"v1 trailing space", line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2 "), ErrProxy},
		{"v1 tab", line("PROXY TCP4\t10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 CR inside", line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r"), ErrProxy},
		{"v1 NUL inside", line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\x00"), ErrProxy},
		{"v1 no destination port", line("PROXY TCP4 10.0.0.1 10.0.0.2 1"), ErrProxy},
		{"v1 extra field", line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3"), ErrProxy},
		{"v1 name", line("PROXY TCP4 localhost 10.0.0.2 1 2"), ErrProxy},
		{"v1 leading zero in the address", line("PROXY TCP4 010.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 three parts", line("PROXY TCP4 10.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 IPv6 as TCP4", line("PROXY TCP4 ::1 ::1 1 2"), ErrProxy},
		{"v1 IPv4 as TCP6", line("PROXY TCP6 10.0.0.1 10.0.0.2 1 2"), ErrProxy},
		{"v1 zone", line("PROXY TCP6 fe80::1%eth0 ::1 1 2"), ErrProxy},
		{"v1 port 65536", line("PROXY TCP4 10.0.0.1 10.0.0.2 65536 2"), ErrProxy},
		{"v1 leading zero in the port", line("PROXY TCP4 10.0.0.1 10.0.0.2 01 2"), ErrProxy},
		{"v1 negative port", line("PROXY TCP4 10.0.0.1 10.0.0.2 -1 2"), ErrProxy},
		{"v1 signed port", line("PROXY TCP4 10.0.0.1 10.0.0.2 1 +2"), ErrProxy},
		{"v1 empty port", line("PROXY TCP4 10.0.0.1 10.0.0.2  2"), ErrProxy},

		{"v2 version 1", append([]byte(proxyV2Mark), 0x11), errProxyVersion},
		{"v2 version 3", append([]byte(proxyV2Mark), 0x31), errProxyVersion},
		{"v2 command 2", append([]byte(proxyV2Mark), 0x22), errProxyVersion},
		{"v2 family 4", append([]byte(proxyV2Mark), 0x21, 0x41), errProxyFamily},
		{"v2 transport 3", append([]byte(proxyV2Mark), 0x21, 0x13), errProxyFamily},
		{"v2 transport without family", append([]byte(proxyV2Mark), 0x21, 0x01), errProxyFamily},
		{"v2 family without transport", append([]byte(proxyV2Mark), 0x21, 0x10), errProxyFamily},
		{"v2 too short for IPv4", append([]byte(proxyV2Mark), 0x21, 0x11, 0, 11), errProxyLength},
		{"v2 nothing for IPv4", append([]byte(proxyV2Mark), 0x21, 0x11, 0, 0), errProxyLength},
		{"v2 too short for IPv6", append([]byte(proxyV2Mark), 0x21, 0x21, 0, 35), errProxyLength},
		{"v2 too short for Unix", append([]byte(proxyV2Mark), 0x21, 0x31, 0, 215), errProxyLength},
		{"v2 4097", append([]byte(proxyV2Mark), 0x21, 0x11, 0x10, 1), errProxyTooLong},
		{"v2 LOCAL 4097", append([]byte(proxyV2Mark), 0x20, 0x00, 0x10, 1), errProxyTooLong},
		{"v2 65535", append([]byte(proxyV2Mark), 0x21, 0x11, 0xff, 0xff), errProxyTooLong},
		{"v2 one byte of a TLV", v2(0x21, 0x11, body4, []byte{1}), errProxyTLV},
		{"v2 two bytes of a TLV", v2(0x21, 0x11, body4, []byte{1, 0}), errProxyTLV},
		{"v2 TLV overruns", v2(0x21, 0x11, body4, []byte{1, 0, 2, 'h'}), errProxyTLV},
		{"v2 TLV overruns by much", v2(0x21, 0x11, body4, []byte{1, 0xff, 0xff, 'h'}), errProxyTLV},
		{"v2 second TLV overruns", v2(0x21, 0x11, body4, tlv(1, 'a'), []byte{4, 0, 1}), errProxyTLV},
		{"v2 TLV overruns, unspecified", v2(0x21, 0x00, []byte{1, 0, 2, 'h'}), errProxyTLV},
		{"v2 TLV overruns, Unix", v2(0x21, 0x31, unix, []byte{1}), errProxyTLV},
		{"v2 checksum wrong", v2(0x21, 0x11, body4, noSum), errProxyChecksum},
		{"v2 checksum of another header", append(summed(v2(0x21, 0x11, body4, noSum))[:27], append([]byte{0xbc}, summed(v2(0x21, 0x11, body4, noSum))[28:]...)...), errProxyChecksum},
		{"v2 checksum short", v2(0x21, 0x11, body4, tlv(3, 0, 0, 0)), errProxyChecksum},
		{"v2 checksum twice", summed(v2(0x21, 0x11, body4, noSum, noSum)), errProxyChecksum},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := ParseProxy(tt.in)
			if !errors.Is(err, tt.want) || n != 0 || h != (ProxyHeader{}) {
				t.Fatalf("got %+v, %d, %v; want %v", h, n, err, tt.want)
			}
			if err == ErrShort {
				return
			}
			if errors.Is(err, ErrProxy) == errors.Is(err, ErrNotProxy) {
				t.Errorf("%v is not one of ErrProxy and ErrNotProxy", err)
			}
			if _, _, again := ParseProxy(slices.Concat(tt.in, make([]byte, 5000))); !errors.Is(again, tt.want) {
				t.Errorf("with more bytes: %v", again)
			}
		})
	}
}

func TestAppendProxy(t *testing.T) {
	for _, tt := range []struct {
		name                string
		source, destination string // empty for the zero AddrPort
		local               bool
		v1                  string
		v2                  []byte
	}{
		{"IPv4", "10.0.0.1:12345", "10.0.0.2:443", false, "PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n", v2(0x21, 0x11, body4)},
		{"mapped IPv4", "[::ffff:10.0.0.1]:12345", "[::ffff:10.0.0.2]:443", false, "PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n", v2(0x21, 0x11, body4)},
		{"IPv6", "[2001:db8::1]:12345", "[2001:db8::1]:443", false, "PROXY TCP6 2001:db8::1 2001:db8::1 12345 443\r\n", v2(0x21, 0x21, body6)},
		{"mixed", "10.0.0.1:12345", "[2001:db8::1]:443", false, "PROXY TCP6 ::ffff:10.0.0.1 2001:db8::1 12345 443\r\n", v2(0x21, 0x21, bodyMap)},
		{"zone", "[2001:db8::1%eth0]:12345", "[2001:db8::1%1]:443", false, "PROXY TCP6 2001:db8::1 2001:db8::1 12345 443\r\n", v2(0x21, 0x21, body6)},
		{"no source", "", "10.0.0.2:443", false, "PROXY UNKNOWN\r\n", v2(0x20, 0x00)},
		{"no destination", "10.0.0.1:12345", "", false, "PROXY UNKNOWN\r\n", v2(0x20, 0x00)},
		{"local", "10.0.0.1:12345", "10.0.0.2:443", true, "PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n", v2(0x20, 0x00)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var source, destination netip.AddrPort
			if tt.source != "" {
				source = netip.MustParseAddrPort(tt.source)
			}
			if tt.destination != "" {
				destination = netip.MustParseAddrPort(tt.destination)
			}
			if got := string(AppendProxyV1([]byte("x"), source, destination)); got != "x"+tt.v1 {
				t.Errorf("v1: %q, want %q", got, tt.v1)
			}
			if got := AppendProxyV2([]byte("x"), source, destination, tt.local); !bytes.Equal(got[1:], tt.v2) {
				t.Errorf("v2: %x, want %x", got[1:], tt.v2)
			}
		})
	}
}

var anyAddrPort = rapid.Custom(func(t *rapid.T) netip.AddrPort {
	port := rapid.Uint16().Draw(t, "port")
	if rapid.Bool().Draw(t, "IPv4") {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))), port)
})

// What we append is what go-proxyproto writes, and comes back through
// ParseProxy.
func TestAppendProxyIsTheLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, destination := anyAddrPort.Draw(t, "source"), anyAddrPort.Draw(t, "destination")
		for version, got := range map[byte][]byte{
			1: AppendProxyV1(nil, source, destination),
			2: AppendProxyV2(nil, source, destination, false),
		} {
			want, err := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(source), net.TCPAddrFromAddrPort(destination)).Format()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, got) || len(got) > MaxProxyHeader {
				t.Fatalf("version %d: got %q, want %q", version, got, want)
			}
			h, n, err := ParseProxy(got)
			if err != nil || n != len(got) || h.Source != unmap(source) || h.Destination != unmap(destination) {
				t.Fatalf("%q reads back as %+v, %d, %v", got, h, n, err)
			}
		}
	})
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// checkWithLibrary holds a verdict to that of go-proxyproto on the same bytes, but for what this reader has rules of its
// own for: headers of version 2 without addresses, long ones, TLVs and checksums.
func checkWithLibrary(t rapid.TB, b []byte, h ProxyHeader, n int, err error) {
	t.Helper()
	in := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16) // whole at once, or a line is taken for a broken one
	want, wantErr := proxyproto.Read(in)
	switch err {
	case ErrShort, errProxyTooLong, errProxyTLV, errProxyChecksum, errProxyVersion, errProxyFamily:
		return
	case nil:
		if h.Version == 2 && !h.Source.IsValid() {
			return
		}
	default:
		if wantErr == nil {
			t.Fatalf("%q: %v, go-proxyproto takes it: %+v", b, err, want)
		}
		return
	}
	if wantErr != nil {
		t.Fatalf("%q: taken as %+v, go-proxyproto says: %v", b, h, wantErr)
	}
	if length := len(b) - in.Buffered(); length != n || h.Version != int(want.Version) {
		t.Fatalf("%q: version %d, %d bytes; go-proxyproto: %d, %d bytes", b, h.Version, n, want.Version, length)
	}
	wanted := ProxyHeader{Version: h.Version}
	if source, destination, ok := want.TCPAddrs(); ok {
		wanted.Source, wanted.Destination = unmap(source.AddrPort()), unmap(destination.AddrPort())
	}
	if source, destination, ok := want.UDPAddrs(); ok {
		wanted.Source, wanted.Destination, wanted.Datagram = unmap(source.AddrPort()), unmap(destination.AddrPort()), true
	}
	if h != wanted {
		t.Fatalf("%q: %+v, go-proxyproto: %+v", b, h, wanted)
	}
}

// TestParseProxyTextIsTheLibrarys makes lines of version 1 of what is right and, one time in ten each, of what is nearly so.
func TestParseProxyTextIsTheLibrarys(t *testing.T) {
	addresses := map[string][]string{"TCP4": {"10.0.0.1", "255.255.255.255"}, "TCP6": {"::1", "2001:db8::1", "::ffff:1.2.3.4"}}
	oddAddresses := []string{"10.0.0.1", "::1", "fe80::1%1", "10.0.0", "10.0.0.01", "1:2", ""}
	ports, oddPorts := []string{"0", "1", "443", "65535"}, []string{"65536", "01", "+1", "-1", " 1", "1_0", "0x1", ""}
	spaces, oddSpaces := []string{" "}, []string{"  ", "\t", ""}
	good := 0
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string, right, odd []string) string {
			if rapid.IntRange(0, 9).Draw(t, label+" is odd") == 0 {
				right = odd
			}
			return rapid.SampledFrom(right).Draw(t, label)
		}
		protocol := draw("protocol", []string{"TCP4", "TCP6"}, []string{"UNKNOWN", "TCP5", "tcp4", ""})
		line := "PROXY " + protocol
		for _, field := range []string{"source", "destination"} {
			line += draw("space", spaces, oddSpaces) + draw(field, append(addresses[protocol], "::"), oddAddresses)
		}
		for _, field := range []string{"source port", "destination port"} {
			line += draw("space", spaces, oddSpaces) + draw(field, ports, oddPorts)
		}
		line += draw("end", []string{"\r\n"}, []string{"\n", "\r\r\n", " \r\n", " 1\r\n"})
		h, n, err := ParseProxy([]byte(line))
		checkWithLibrary(t, []byte(line), h, n, err)
		if h.Source.IsValid() {
			good++
		}
	})
	if good == 0 {
		t.Error("no line was right")
	}
}

func TestParseProxyDoesNotAllocate(t *testing.T) {
	for _, in := range [][]byte{[]byte("PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n"), summed(v2(0x21, 0x11, body4, noSum)), v2(0x21, 0x21, body6)} {
		got := testing.AllocsPerRun(100, func() {
			if h, _, err := ParseProxy(in); err != nil || !h.Source.IsValid() {
				t.Fatalf("%q: %+v, %v", in, h, err)
			}
		})
		if got != 0 {
			t.Errorf("%v allocations for %q", got, in)
		}
	}
}

func TestAppendProxyDoesNotAllocate(t *testing.T) {
	source, destination := netip.MustParseAddrPort("10.0.0.1:12345"), netip.MustParseAddrPort("[2001:db8::1]:443")
	var size int
	got := testing.AllocsPerRun(100, func() {
		var room [MaxProxyHeader]byte
		size = len(AppendProxyV1(room[:0], source, destination)) + len(AppendProxyV2(room[:0], source, destination, false))
	})
	if got != 0 || size == 0 {
		t.Errorf("%v allocations for %d bytes", got, size)
	}
}

func FuzzParseProxy(f *testing.F) {
	for _, seed := range [][]byte{
		[]byte("PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\nGET /"), []byte("PROXY TCP6 ::1 ::ffff:1.2.3.4 1 2\r\n"),
		[]byte("PROXY UNKNOWN x\r\n"), v2(0x21, 0x11, body4, tlv(1, 'h', '2')), v2(0x21, 0x22, body6), v2(0x20, 0x77, []byte{1}),
		summed(v2(0x21, 0x11, body4, noSum)), v2(0x21, 0x31, unix), v2(0x21, 0x00, tlv(4)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseProxy(b)
		checkWithLibrary(t, b, h, n, err)
		switch {
		case err == nil && (n <= 0 || n > len(b) || n > maxProxyV2):
			t.Fatalf("length %d of %d bytes", n, len(b))
		case err == nil && h.Source.IsValid() != h.Destination.IsValid():
			t.Fatalf("half an answer: %+v", h)
		case err == nil && (h.Source.Addr().Is4In6() || h.Destination.Addr().Is4In6()):
			t.Fatalf("mapped address: %+v", h)
		case err == ErrShort && len(b) >= maxProxyV2:
			t.Fatalf("undecided after %d bytes", len(b))
		case err != nil && (n != 0 || h != ProxyHeader{}):
			t.Fatalf("%+v and %d beside %v", h, n, err)
		}
		if len(b) == 0 {
			return
		}
		cut := rand.IntN(len(b))
		early, earlyN, earlyErr := ParseProxy(b[:cut])
		if earlyErr == ErrShort {
			return
		}
		if early != h || earlyN != n || (earlyErr == nil) != (err == nil) || earlyErr != nil && earlyErr.Error() != err.Error() {
			t.Fatalf("after %d bytes %+v %d %v, after all %+v %d %v", cut, early, earlyN, earlyErr, h, n, err)
		}
	})
}

func BenchmarkParseProxy(b *testing.B) {
	for _, bb := range []struct {
		name string
		in   []byte
	}{
		{"v1", []byte("PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n")},
		{"v2", v2(0x21, 0x11, body4)},
		{"v2 checksum", summed(v2(0x21, 0x11, body4, noSum))},
		{"LOCAL", v2(0x20, 0x00)},
		{"none", []byte{22, 3, 1, 0, 100}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ParseProxy(bb.in); err != nil && err != ErrNotProxy {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendProxy(b *testing.B) {
	source, destination := netip.MustParseAddrPort("10.0.0.1:12345"), netip.MustParseAddrPort("10.0.0.2:443")
	for _, bb := range []struct {
		name   string
		append func(dst []byte) []byte
	}{
		{"v1", func(dst []byte) []byte { return AppendProxyV1(dst, source, destination) }},
		{"v2", func(dst []byte) []byte { return AppendProxyV2(dst, source, destination, false) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			room := make([]byte, 0, MaxProxyHeader)
			for b.Loop() {
				bb.append(room)
			}
		})
	}
}
