package peek

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
	"unsafe"

	"github.com/pires/go-proxyproto"
)

// Bounds on a PROXY header, in bytes.
const (
	maxProxyV1  = 107                // the longest line of version 1, CRLF included
	proxyV2Head = 16                 // signature, version and command, family, length
	maxProxyV2  = proxyV2Head + 4096 // the specification allows 64 KiB, nobody needs them

	// Addresses and ports of version 2.
	proxyV4   = 12
	proxyV6   = 36
	proxyUnix = 216
)

// What headers start with.
const (
	proxyV1Mark = "PROXY "
	proxyV2Mark = "\r\n\r\n\x00\r\nQUIT\n"
)

// ProxyHeader is what a PROXY header says about the connection behind it.
type ProxyHeader struct {
	Version int // 1 or 2
	// Source and Destination are the addresses of the client and the one it
	// called, IPv4 ones always as IPv4. Both are invalid, and the real peer
	// counts, if the header gives no addresses that mean anything here: for
	// the command LOCAL, the protocol UNKNOWN, an unspecified family, or Unix
	// sockets.
	Source, Destination netip.AddrPort
	// Datagram says that the header speaks of UDP.
	Datagram bool
}

// ParseProxy reads the PROXY header, of version 1 or 2, at the start of b and
// returns its length n in bytes. The errors are ErrShort, ErrNotProxy, and
// those that are ErrProxy. At most 4112 bytes are needed for a verdict.
//
// Whoever is asked must trust the sender: the header is its word. The rules are
// those of HAProxy's proxy-protocol.txt; where they leave a choice, this reader
// takes the strict side for addresses and keeps to the real peer where there
// are none.
func ParseProxy(b []byte) (h ProxyHeader, n int, err error) {
	switch {
	case hasMark(b, proxyV1Mark):
		return parseProxyV1(b)
	case hasMark(b, proxyV2Mark):
		return parseProxyV2(b)
	case beginsMark(b, proxyV1Mark) || beginsMark(b, proxyV2Mark):
		return ProxyHeader{}, 0, ErrShort
	}
	return ProxyHeader{}, 0, ErrNotProxy
}

func hasMark(b []byte, mark string) bool    { return len(b) >= len(mark) && string(b[:len(mark)]) == mark }
func beginsMark(b []byte, mark string) bool { return len(b) < len(mark) && string(b) == mark[:len(b)] }

func malformedProxy(reason error) error { return fmt.Errorf("%w: %w", ErrProxy, reason) }

var (
	errProxyLine     = malformedProxy(errors.New("no end of line within 107 bytes"))
	errProxyText     = malformedProxy(errors.New("neither TCP4 or TCP6 with two addresses and two ports, nor UNKNOWN"))
	errProxyVersion  = malformedProxy(errors.New("version or command does not exist"))
	errProxyFamily   = malformedProxy(errors.New("address family or transport does not exist"))
	errProxyLength   = malformedProxy(errors.New("length does not fit the family"))
	errProxyTooLong  = malformedProxy(errors.New("longer than 4096 bytes"))
	errProxyTLV      = malformedProxy(errors.New("TLV overruns the header"))
	errProxyChecksum = malformedProxy(errors.New("checksum is wrong"))
)

func parseProxyV1(b []byte) (h ProxyHeader, n int, err error) {
	line := b[:min(len(b), maxProxyV1)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end < 0 && len(line) == maxProxyV1:
		return ProxyHeader{}, 0, errProxyLine
	case end < 0:
		return ProxyHeader{}, 0, ErrShort
	case line[end-1] != '\r':
		return ProxyHeader{}, 0, errProxyText
	}
	text := line[len(proxyV1Mark) : end-1]
	source, destination, ok := parseProxyText(unsafe.String(unsafe.SliceData(text), len(text))) // nothing keeps it
	if !ok {
		return ProxyHeader{}, 0, errProxyText
	}
	return ProxyHeader{Version: 1, Source: source, Destination: destination}, end + 1, nil
}

// parseProxyText reads what a line of version 1 says; the addresses are invalid if it says nothing.
func parseProxyText(text string) (source, destination netip.AddrPort, ok bool) {
	protocol, text, more := strings.Cut(text, " ")
	if protocol == "UNKNOWN" {
		return source, destination, true // whatever stands behind it
	}
	var fields [4]string
	for i := range fields {
		if !more {
			return source, destination, false
		}
		fields[i], text, more = strings.Cut(text, " ")
	}
	from, err1 := netip.ParseAddr(fields[0])
	to, err2 := netip.ParseAddr(fields[1])
	fromPort, ok1 := parsePort(fields[2])
	toPort, ok2 := parsePort(fields[3])
	if more || err1 != nil || err2 != nil || !ok1 || !ok2 || !protocolFits(protocol, from) || !protocolFits(protocol, to) {
		return source, destination, false
	}
	return netip.AddrPortFrom(from.Unmap(), fromPort), netip.AddrPortFrom(to.Unmap(), toPort), true
}

// protocolFits reports whether an address is of the family that a line of version 1 names.
func protocolFits(protocol string, a netip.Addr) bool {
	return protocol == "TCP4" && a.Is4() || protocol == "TCP6" && a.Is6() && a.Zone() == ""
}

// parsePort reads a decimal number without leading zeros.
func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && (s[0] != '0' || len(s) == 1)
}

func parseProxyV2(b []byte) (h ProxyHeader, n int, err error) {
	const (
		local = 0x20
		proxy = 0x21
	)
	if len(b) > 12 && b[12] != local && b[12] != proxy {
		return ProxyHeader{}, 0, errProxyVersion
	}
	// The family of a LOCAL header is to be ignored, whatever it is.
	addresses, known := 0, true
	if len(b) > 13 && b[12] == proxy {
		if addresses, known = proxyAddresses(proxyproto.AddressFamilyAndProtocol(b[13])); !known {
			return ProxyHeader{}, 0, errProxyFamily
		}
	}
	if len(b) < proxyV2Head {
		return ProxyHeader{}, 0, ErrShort
	}
	n = proxyV2Head + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case n > maxProxyV2:
		return ProxyHeader{}, 0, errProxyTooLong
	case n < proxyV2Head+addresses:
		return ProxyHeader{}, 0, errProxyLength
	case len(b) < n:
		return ProxyHeader{}, 0, ErrShort
	}
	h.Version = 2
	if b[12] == local {
		return h, n, nil
	}
	if err := checkTLVs(b[:n], proxyV2Head+addresses); err != nil {
		return ProxyHeader{}, 0, err
	}
	h.Datagram = proxyproto.AddressFamilyAndProtocol(b[13]).IsDatagram()
	h.Source, h.Destination = readAddresses(b[proxyV2Head : proxyV2Head+addresses])
	return h, n, nil
}

// readAddresses reads the two addresses and ports of a version 2 header. They are invalid where there are none, or
// those of Unix sockets.
func readAddresses(b []byte) (source, destination netip.AddrPort) {
	var from, to netip.Addr
	switch len(b) {
	case proxyV4:
		from, to = netip.AddrFrom4([4]byte(b)), netip.AddrFrom4([4]byte(b[4:]))
	case proxyV6:
		from, to = netip.AddrFrom16([16]byte(b)).Unmap(), netip.AddrFrom16([16]byte(b[16:])).Unmap()
	default:
		return source, destination
	}
	ports := b[len(b)-4:]
	return netip.AddrPortFrom(from, binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:]))
}

// proxyAddresses returns the length of the addresses of a family, in bytes; ok
// is false for a family that does not exist.
func proxyAddresses(family proxyproto.AddressFamilyAndProtocol) (size int, ok bool) {
	switch family {
	case proxyproto.UNSPEC:
		return 0, true
	case proxyproto.TCPv4, proxyproto.UDPv4:
		return proxyV4, true
	case proxyproto.TCPv6, proxyproto.UDPv6:
		return proxyV6, true
	case proxyproto.UnixStream, proxyproto.UnixDatagram:
		return proxyUnix, true
	}
	return 0, false
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [4]byte
)

// checkTLVs walks the type-length-value fields from offset to the end of a
// version 2 header and verifies the checksum if there is one.
func checkTLVs(header []byte, offset int) error {
	const tlvHead, checksumSize = 3, 4
	checksum := 0 // offset of its value
	for offset < len(header) {
		if len(header)-offset < tlvHead {
			return errProxyTLV
		}
		kind := proxyproto.PP2Type(header[offset])
		value := offset + tlvHead
		size := int(binary.BigEndian.Uint16(header[offset+1:]))
		if size > len(header)-value {
			return errProxyTLV
		}
		if kind == proxyproto.PP2_TYPE_CRC32C {
			if size != checksumSize || checksum != 0 {
				return errProxyChecksum
			}
			checksum = value
		}
		offset = value + size
	}
	if checksum == 0 {
		return nil
	}
	// The sum covers the whole header with the field itself as zeros.
	sum := crc32.Update(0, castagnoli, header[:checksum])
	sum = crc32.Update(sum, castagnoli, zeros[:checksumSize])
	sum = crc32.Update(sum, castagnoli, header[checksum+checksumSize:])
	if sum != binary.BigEndian.Uint32(header[checksum:]) {
		return errProxyChecksum
	}
	return nil
}

// MaxProxyHeader is the length of the longest header AppendProxyV1 and
// AppendProxyV2 write, in bytes.
const MaxProxyHeader = maxProxyV1

// AppendProxyV1 appends a version 1 header for a TCP connection. If one address
// is IPv4 and the other IPv6, the former is written as mapped into IPv6. Without
// two valid addresses the header says UNKNOWN. Zones are left out.
func AppendProxyV1(dst []byte, source, destination netip.AddrPort) []byte {
	source, destination, ok := sameFamily(source, destination)
	switch {
	case !ok:
		return append(dst, "PROXY UNKNOWN\r\n"...)
	case source.Addr().Is4():
		dst = append(dst, "PROXY TCP4 "...)
	default:
		dst = append(dst, "PROXY TCP6 "...)
	}
	dst = source.Addr().AppendTo(dst)
	dst = append(dst, ' ')
	dst = destination.Addr().AppendTo(dst)
	dst = append(dst, ' ')
	dst = appendPort(dst, source.Port())
	dst = append(dst, ' ')
	dst = appendPort(dst, destination.Port())
	return append(dst, "\r\n"...)
}

// AppendProxyV2 appends a version 2 header for a TCP connection. If one address
// is IPv4 and the other IPv6, the former is written as mapped into IPv6. If
// local is true, for a connection of our own such as a health check, or without
// two valid addresses, the header says LOCAL and nothing else. Zones are left
// out.
func AppendProxyV2(dst []byte, source, destination netip.AddrPort, local bool) []byte {
	if local {
		source = netip.AddrPort{}
	}
	return appendProxyV2(dst, source, destination, proxyproto.TCPv4, proxyproto.TCPv6)
}

// AppendProxyV2Datagram appends a version 2 header for a datagram, which
// follows it. Of the addresses what AppendProxyV2 says holds.
func AppendProxyV2Datagram(dst []byte, source, destination netip.AddrPort) []byte {
	return appendProxyV2(dst, source, destination, proxyproto.UDPv4, proxyproto.UDPv6)
}

func appendProxyV2(dst []byte, source, destination netip.AddrPort, four, six proxyproto.AddressFamilyAndProtocol) []byte {
	dst = append(dst, proxyV2Mark...)
	source, destination, ok := sameFamily(source, destination)
	switch {
	case !ok:
		return append(dst, byte(proxyproto.LOCAL), byte(proxyproto.UNSPEC), 0, 0)
	case source.Addr().Is4():
		from, to := source.Addr().As4(), destination.Addr().As4()
		dst = append(dst, byte(proxyproto.PROXY), byte(four), 0, proxyV4)
		dst = append(append(dst, from[:]...), to[:]...)
	default:
		from, to := source.Addr().As16(), destination.Addr().As16()
		dst = append(dst, byte(proxyproto.PROXY), byte(six), 0, proxyV6)
		dst = append(append(dst, from[:]...), to[:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	return binary.BigEndian.AppendUint16(dst, destination.Port())
}

// sameFamily returns the addresses both as IPv4 if they are, both as IPv6
// otherwise; ok is false if one is invalid.
func sameFamily(a, b netip.AddrPort) (source, destination netip.AddrPort, ok bool) {
	if !a.IsValid() || !b.IsValid() {
		return a, b, false
	}
	from, to := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if from.Is4() != to.Is4() {
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	return netip.AddrPortFrom(from, a.Port()), netip.AddrPortFrom(to, b.Port()), true
}

func appendPort(dst []byte, port uint16) []byte { return strconv.AppendUint(dst, uint64(port), 10) }
