package head

import "net/netip"

// maxHost is the longest name of the DNS as it is written, with its final dot.
const maxHost = 254

// Host is the host with its port, if any, that the request is for: that of the
// target if it names one, else of the field. It is empty for an HTTP/1.0 request
// that names none.
func (h *Head) Host() []byte { return h.bytes(h.host) }

// Hostname is Host without port. An IPv6 address keeps its brackets.
func (h *Head) Hostname() []byte {
	name, _ := cutPort(h.Host())
	return name
}

// CheckHost finds the host of a request once all fields are there. RFC 9112
// section 3.2 wants exactly one Host in HTTP/1.1, even beside a target that
// names the host; weir wants that host to be the same. The errors are
// ErrHostMissing, ErrHostRepeated, ErrHost and ErrHostMismatch.
func (h *Head) CheckHost() error {
	switch {
	case h.twice.has(Host):
		return ErrHostRepeated
	case h.have.has(Host):
	case h.version == HTTP11 || h.version == HTTP2 && !h.named:
		return ErrHostMissing
	default:
		return nil
	}
	value := h.Value(Host)
	switch {
	case !isHost(value):
		return ErrHost
	case !h.named:
		h.host = h.fields[h.first[Host]].value
	case !sameHost(value, h.Host(), h.Scheme()):
		return ErrHostMismatch
	}
	return nil
}

// SetHost changes the host a request is sent on for. The errors are ErrHost and
// ErrFull.
func (h *Head) SetHost(host string) error { return setHost(h, host) }

func setHost[T ~string | ~[]byte](h *Head, host T) error {
	switch {
	case !isHost(host):
		return ErrHost
	case len(h.fields) >= maxFields || len(h.edits)+len(host) > maxEdits:
		return ErrFull
	}
	put(h, Host, names[Host], host)
	h.host, h.named = h.fields[h.first[Host]].value, false
	return nil
}

// isHost reports whether b is a host with or without a port: a name of letters,
// digits, hyphens, dots, underscores and tildes without empty labels but for a
// final dot, an IPv4 address, or an IPv6 address in brackets. RFC 3986 allows
// escapes and some punctuation in names too; nothing that serves a name needs
// them.
func isHost[T ~string | ~[]byte](b T) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] == '[' {
		return isBracketed(b)
	}
	i := 0
	for dot := true; i < len(b) && b[i] != ':'; i++ {
		if classes[b[i]]&classHost == 0 || b[i] == '.' && dot {
			return false
		}
		dot = b[i] == '.'
	}
	return i > 0 && i <= maxHost && isPort(b[i:])
}

func isBracketed[T ~string | ~[]byte](b T) bool {
	end := 0
	for end < len(b) && b[end] != ']' {
		end++
	}
	if end == len(b) || end > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return false
	}
	addr, err := netip.ParseAddr(string(b[1:end]))
	return err == nil && addr.Is6() && addr.Zone() == "" && isPort(b[end+1:])
}

// isPort reports whether b is nothing, or a colon and a port.
func isPort[T ~string | ~[]byte](b T) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) == 1 || len(b) > len(":65535") {
		return false
	}
	n := 0
	for i := 1; i < len(b); i++ {
		if b[i] < '0' || b[i] > '9' {
			return false
		}
		n = n*10 + int(b[i]-'0')
	}
	return n <= 65535
}

// cutPort splits a host that isHost has seen.
func cutPort(b []byte) (name []byte, port int) {
	for i := len(b) - 1; i >= 0 && b[i] != ']'; i-- {
		if b[i] != ':' {
			continue
		}
		for _, c := range b[i+1:] {
			port = port*10 + int(c-'0')
		}
		return b[:i], port
	}
	return b, -1
}

// sameHost reports whether two hosts are the same but for case and for naming
// the usual port of the scheme.
func sameHost(a, b, scheme []byte) bool {
	aName, aPort := cutPort(a)
	bName, bPort := cutPort(b)
	usual := 80
	if EqualFold(scheme, "https") {
		usual = 443
	}
	if aPort < 0 {
		aPort = usual
	}
	if bPort < 0 {
		bPort = usual
	}
	return aPort == bPort && EqualFold(aName, bName)
}
