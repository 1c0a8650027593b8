package sni

import (
	"encoding/binary"
	"iter"
)

// Bounds on a hello. Hellos with post-quantum key shares have about 1.8 KiB,
// those with large session tickets a few more.
const (
	MaxHello   = 32 << 10 // bytes of the handshake message, without record headers
	MaxRecords = 256      // TLS records it may be spread over
	MaxStream  = MaxHello + MaxRecords*recordHeader
)

const (
	recordAlert     = 21
	recordHandshake = 22
	recordHeader    = 5
	maxRecord       = 16384 // RFC 8446 section 5.1

	messageHeader      = 4
	messageClientHello = 1

	extensionServerName = 0
	extensionALPN       = 16
	extensionVersions   = 43
	extensionECH        = 0xfe0d // RFC 9849
)

// Hello is what a ClientHello says about where its connection wants to go. It
// aliases the bytes it was parsed from and is good for as long as they are.
type Hello struct {
	// ServerName is the host name the client asks for: at most 253 bytes,
	// lower-case letters, digits, hyphens, underscores and dots, without
	// trailing dot. It is nil if the client names none, or an IP address,
	// which RFC 6066 section 3 does not allow.
	ServerName []byte
	// ECH says that the hello carries Encrypted Client Hello: the server name
	// is then the public name of the client-facing server, or GREASE.
	ECH bool

	legacyVersion uint16
	versions      []byte // 2 bytes each; nil without the extension
	protocols     []byte // names with a length byte each; nil without the extension
}

// ALPN yields the protocols the client offers, its favourite first. They alias
// the hello.
func (h Hello) ALPN() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := h.protocols; len(rest) > 0; {
			end := 1 + int(rest[0])
			if !yield(rest[1:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

// HasALPN reports whether the client offers the protocol.
func (h Hello) HasALPN(protocol string) bool {
	for p := range h.ALPN() {
		if string(p) == protocol {
			return true
		}
	}
	return false
}

// Versions yields the TLS versions the client offers, such as 0x0304, its
// favourite first. GREASE values (RFC 8701) are left out. A client from before
// TLS 1.3 offers everything up to one version; only that one is yielded.
func (h Hello) Versions() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		if h.versions == nil {
			yield(h.legacyVersion)
			return
		}
		for rest := h.versions; len(rest) > 0; rest = rest[2:] {
			if v := binary.BigEndian.Uint16(rest); !isGREASE(v) && !yield(v) {
				return
			}
		}
	}
}

// MaxVersion returns the highest TLS version the client offers, 0 if none.
func (h Hello) MaxVersion() (highest uint16) {
	for v := range h.Versions() {
		highest = max(highest, v)
	}
	return highest
}

func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// Parse reads the ClientHello at the start of a TLS stream; b holds all bytes
// that have arrived, the record layer included. It returns
//   - ErrNotTLS as soon as the bytes cannot be a TLS handshake, mostly on the
//     first one,
//   - ErrShort as long as nothing is wrong but more is needed,
//   - an error that is ErrMalformed if this is TLS but broken; see AlertFor.
//
// An answer other than ErrShort never changes when more bytes arrive. MaxStream
// bytes are enough for any answer. A hello in one record, which is nearly
// every one, is parsed without allocation; one spread over several records is
// copied together once, when its last byte is there. Record versions are not
// checked beyond their first byte, as RFC 8446 section 5.1 asks.
func Parse(b []byte) (Hello, error) {
	message, err := clientHello(b)
	if err != nil {
		return Hello{}, err
	}
	return parseHello(message)
}

// clientHello returns the body of the ClientHello message at the start of b.
func clientHello(b []byte) ([]byte, error) {
	if err := checkStart(b); err != nil {
		return nil, err
	}
	var (
		header  [messageHeader]byte
		have    int           // bytes of the message in the records so far
		total   = len(header) // bytes of the message, once its header is there
		records int
	)
	for rest := b; have < total; records++ {
		if records == MaxRecords {
			return nil, ErrTooLarge
		}
		size, err := recordSize(rest)
		if err != nil {
			return nil, err
		}
		fragment := rest[recordHeader:min(len(rest), recordHeader+size)]
		if have < len(header) {
			copy(header[have:], fragment)
			if have+len(fragment) > 0 && header[0] != messageClientHello {
				return nil, errMessageType
			}
			if have+len(fragment) >= len(header) {
				total = len(header) + int(binary.BigEndian.Uint32(header[:])&0xffffff)
			}
		}
		switch {
		case total > MaxHello:
			return nil, ErrTooLarge
		case have+len(fragment) >= len(header) && have+size > total:
			return nil, errMessageEnd
		case len(fragment) < size:
			return nil, ErrShort
		}
		have += size
		rest = rest[recordHeader+size:]
	}
	if records == 1 {
		return b[recordHeader+messageHeader : recordHeader+total], nil
	}
	return reassemble(b, total)[messageHeader:], nil
}

// checkStart tells TLS from everything else on as few bytes as possible.
func checkStart(b []byte) error {
	switch {
	case len(b) == 0:
		return ErrShort
	case b[0]&0x80 != 0:
		return checkSSLv2(b)
	case b[0] != recordHandshake:
		return ErrNotTLS
	case len(b) > 1 && b[1] != 3:
		return ErrNotTLS
	}
	return nil
}

// checkSSLv2 looks for a length with its high bit set, the message type
// CLIENT-HELLO and the version 0.2 or 3.x (RFC 5246 appendix E.2).
func checkSSLv2(b []byte) error {
	switch {
	case len(b) > 2 && b[2] != 1:
		return ErrNotTLS
	case len(b) > 3 && b[3] != 0 && b[3] != 3:
		return ErrNotTLS
	case len(b) > 4 && b[3] == 0 && b[4] != 2:
		return ErrNotTLS
	case len(b) > 4:
		return ErrSSLv2
	}
	return ErrShort
}

// recordSize reads the header of the handshake record at the start of b.
func recordSize(b []byte) (int, error) {
	if len(b) > 0 && b[0] != recordHandshake {
		return 0, errRecordType
	}
	if len(b) > 1 && b[1] != 3 {
		return 0, errRecordVersion
	}
	if len(b) < recordHeader {
		return 0, ErrShort
	}
	switch size := int(binary.BigEndian.Uint16(b[3:])); {
	case size == 0:
		return 0, errRecordEmpty
	case size > maxRecord:
		return 0, errRecordLength
	default:
		return size, nil
	}
}

// reassemble copies the message of the given size out of the records of b,
// which are known to hold it.
func reassemble(b []byte, size int) []byte {
	message := make([]byte, 0, size)
	for len(message) < size {
		end := recordHeader + int(binary.BigEndian.Uint16(b[3:]))
		message = append(message, b[recordHeader:end]...)
		b = b[end:]
	}
	return message
}

// parseHello reads the body of a ClientHello (RFC 8446 section 4.1.2).
func parseHello(body []byte) (Hello, error) {
	const (
		random       = 32
		maxSessionID = 32
	)
	if len(body) < 2+random {
		return Hello{}, errLength
	}
	h := Hello{legacyVersion: binary.BigEndian.Uint16(body)}
	sessionID, rest, ok := cut8(body[2+random:])
	if !ok || len(sessionID) > maxSessionID {
		return Hello{}, errLength
	}
	suites, rest, ok := cut16(rest)
	if !ok || len(suites) == 0 || len(suites)%2 != 0 {
		return Hello{}, errLength
	}
	compressions, rest, ok := cut8(rest)
	if !ok || len(compressions) == 0 {
		return Hello{}, errLength
	}
	if len(rest) == 0 { // no extensions: TLS 1.2 and before
		return h, nil
	}
	extensions, rest, ok := cut16(rest)
	if !ok || len(rest) != 0 {
		return Hello{}, errLength
	}
	if err := h.parseExtensions(extensions); err != nil {
		return Hello{}, err
	}
	return h, nil
}

func (h *Hello) parseExtensions(rest []byte) (err error) {
	var named bool
	for len(rest) > 0 {
		if len(rest) < 4 {
			return errLength
		}
		kind := binary.BigEndian.Uint16(rest)
		data, tail, ok := cut16(rest[2:])
		if !ok {
			return errLength
		}
		rest = tail
		switch kind {
		case extensionServerName:
			if named {
				return errDuplicate
			}
			named = true
			h.ServerName, err = parseServerName(data)
		case extensionALPN:
			if h.protocols != nil {
				return errDuplicate
			}
			h.protocols, err = parseProtocols(data)
		case extensionVersions:
			if h.versions != nil {
				return errDuplicate
			}
			h.versions, err = parseVersions(data)
		case extensionECH:
			if h.ECH {
				return errDuplicate
			}
			h.ECH = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseServerName reads the one host name of a server_name extension (RFC 6066
// section 3). Names of other types are passed over, as crypto/tls does.
func parseServerName(data []byte) (name []byte, err error) {
	const hostName = 0
	list, rest, ok := cut16(data)
	if !ok || len(list) == 0 || len(rest) != 0 {
		return nil, errNameList
	}
	for len(list) > 0 {
		kind := list[0]
		var value []byte
		if value, list, ok = cut16(list[1:]); !ok || len(value) == 0 {
			return nil, errNameList
		}
		switch {
		case kind != hostName:
		case name != nil:
			return nil, errNameList
		default:
			name = value
		}
	}
	if name == nil {
		return nil, nil
	}
	return canonical(name)
}

// parseProtocols returns the checked list of an ALPN extension (RFC 7301
// section 3.1).
func parseProtocols(data []byte) ([]byte, error) {
	list, rest, ok := cut16(data)
	if !ok || len(rest) != 0 || len(list) == 0 {
		return nil, errProtocolList
	}
	for rest := list; len(rest) > 0; {
		var protocol []byte
		if protocol, rest, ok = cut8(rest); !ok || len(protocol) == 0 {
			return nil, errProtocolList
		}
	}
	return list, nil
}

// parseVersions returns the checked list of a supported_versions extension
// (RFC 8446 section 4.2.1).
func parseVersions(data []byte) ([]byte, error) {
	list, rest, ok := cut8(data)
	if !ok || len(rest) != 0 || len(list) == 0 || len(list)%2 != 0 {
		return nil, errVersionList
	}
	return list, nil
}

// cut8 splits b after a field with a length of one byte before it.
func cut8(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 1 || len(b)-1 < int(b[0]) {
		return nil, nil, false
	}
	end := 1 + int(b[0])
	return b[1:end], b[end:], true
}

// cut16 splits b after a field with a length of two bytes before it.
func cut16(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:end], b[end:], true
}
