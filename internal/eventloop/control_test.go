package eventloop

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// message is a control message with padding, as the kernel writes it.
func message(level, kind uint32, data ...byte) []byte {
	b := make([]byte, controlAlign(controlHeader+len(data)))
	copy(putControl(b, level, kind, len(data)), data)
	return b
}

func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func TestParseControl(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	six := v6.As16()
	mapped, multicast := netip.AddrFrom16(v4.As16()).As16(), netip.MustParseAddr("ff02::1").As16()
	index := number(3)
	info6 := func(ip [16]byte) []byte {
		return message(unix.SOL_IPV6, unix.IPV6_PKTINFO, slices.Concat(ip[:], index)...)
	}
	info4 := message(unix.SOL_IP, unix.IP_PKTINFO, 3, 0, 0, 0, 192, 0, 2, 1, 192, 0, 2, 255)
	gro := message(unix.SOL_UDP, unix.UDP_GRO, number(1200)...)
	lying := slices.Clone(gro)
	binary.NativeEndian.PutUint64(lying, 1<<40)
	tiny := slices.Clone(gro)
	binary.NativeEndian.PutUint64(tiny, 3)
	for _, tt := range []struct {
		name string
		in   []byte
		want control
	}{
		{"nothing", nil, control{}},
		{"IPv4", info4, control{local: v4}},
		{"IPv6", info6(six), control{local: v6}},
		{"IPv4 on an IPv6 socket", info6(mapped), control{local: v4}},
		{"multicast", info6(multicast), control{}},
		{"overflow", message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, number(7)...), control{overflow: 7, overflown: true}},
		{"several", slices.Concat(message(99, 99, 1), info4, gro), control{local: v4, segment: 1200}},
		{"a negative segment", message(unix.SOL_UDP, unix.UDP_GRO, number(1<<31)...), control{}},
		{"short data", message(unix.SOL_IP, unix.IP_PKTINFO, 1, 2, 3), control{}},
		{"cut in the header", slices.Concat(gro, info4[:10]), control{segment: 1200}},
		{"cut in the data", slices.Concat(gro, info4[:20]), control{segment: 1200}},
		{"without the last padding", info4[:28], control{local: v4}},
		{"larger than all", slices.Concat(lying, info4), control{}},
		{"smaller than its header", slices.Concat(tiny, info4), control{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseControl(tt.in); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(message(unix.SOL_IP, unix.IP_PKTINFO, make([]byte, 12)...))
	f.Add(slices.Concat(message(unix.SOL_UDP, unix.UDP_GRO, number(1)...), message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, number(9)...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := slices.Clone(b)
		c := parseControl(b)
		if c.segment < 0 || c.local.IsValid() && c.local.Is4In6() || c.overflow != 0 && !c.overflown {
			t.Errorf("parsed %+v", c)
		}
		if !slices.Equal(b, whole) {
			t.Error("the input was changed")
		}
		again := slices.Concat(message(99, 99), whole) // what comes before must not matter
		if got := parseControl(again); got != c {
			t.Errorf("behind another message: %+v, alone %+v", got, c)
		}
	})
}
