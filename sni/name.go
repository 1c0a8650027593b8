package sni

import (
	"bytes"
	"net/netip"
)

// Bounds of RFC 1035 section 2.3.4, without the root's dot.
const (
	maxName  = 253
	maxLabel = 63
)

// canonical checks a server name from the wire and returns it in lower case
// and without trailing dot; nil for an IP address. It copies only names with
// capitals.
func canonical(name []byte) ([]byte, error) {
	name = bytes.TrimSuffix(name, []byte("."))
	if isAddress(name) {
		return nil, nil
	}
	if !isHostName(name) {
		return nil, errName
	}
	if hasCapital(name) {
		return bytes.ToLower(name), nil
	}
	return name, nil
}

// isHostName reports whether name is a host name without trailing dot.
// Underscores are allowed because people use them.
func isHostName[S ~string | ~[]byte](name S) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			if n := i - start; n == 0 || n > maxLabel {
				return false
			}
			start = i + 1
		} else if !isLabelByte(name[i]) {
			return false
		}
	}
	return true
}

func isLabelByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// isAddress reports whether name is the text of an IP address. Only names that
// end in a digit or hold a colon can be one, which spares all others the
// conversion.
func isAddress(name []byte) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	if last := name[len(name)-1]; (last < '0' || last > '9') && bytes.IndexByte(name, ':') < 0 {
		return false
	}
	_, err := netip.ParseAddr(string(name))
	return err == nil
}

func hasCapital[S ~string | ~[]byte](s S) bool {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}
