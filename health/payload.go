package health

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// ParsePayload reads the bytes of a send or expect setting. Text stands for itself with the escapes \r \n \t \0 \\ \" and \xHH;
// text that begins with "hex:" is pairs of hexadecimal digits, blanks between them ignored. "\hex:" begins text that begins with "hex:".
func ParsePayload(s string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(s, "hex:"); ok {
		b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		return b, nil
	}
	if strings.HasPrefix(s, `\hex:`) {
		s = s[1:]
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			out = append(out, s[i])
			i++
			continue
		}
		b, n := unescape(s[i:])
		if n == 0 {
			return nil, fmt.Errorf(`%q: unknown escape at byte %d; there are \r \n \t \0 \\ \" and \xHH`, s, i)
		}
		out = append(out, b)
		i += n
	}
	return out, nil
}

// unescape returns the byte that the escape at the start of s stands for and the escape's length, 0 if it is none.
func unescape(s string) (b byte, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case 'r':
		return '\r', 2
	case 'n':
		return '\n', 2
	case 't':
		return '\t', 2
	case '0':
		return 0, 2
	case '\\', '"':
		return s[1], 2
	case 'x':
		if len(s) < 4 {
			return 0, 0
		}
		v, err := strconv.ParseUint(s[2:4], 16, 8)
		if err != nil {
			return 0, 0
		}
		return byte(v), 4
	}
	return 0, 0
}
