package grpcweb

import (
	"bytes"
	"encoding/base64"
	"errors"
)

// ErrText is returned for a text that is not base64.
var ErrText = errors.New("grpcweb: the text is not base64")

// Decode is what a text stands for. Padding may stand anywhere between groups of four: clients encode a message at a time.
func Decode(src []byte) ([]byte, error) {
	if len(src)%4 != 0 || bytes.ContainsAny(src, "\r\n") { // line ends, which the decoder would pass over
		return nil, ErrText
	}
	dst := make([]byte, 0, len(src)/4*3)
	for len(src) > 0 {
		end := len(src)
		if i := bytes.IndexByte(src, '='); i >= 0 {
			end = i - i%4 + 4
		}
		var err error
		if dst, err = base64.StdEncoding.AppendDecode(dst, src[:end]); err != nil {
			return nil, ErrText
		}
		src = src[end:]
	}
	return dst, nil
}

// Encoder makes a text of content that comes piece by piece. Its zero value is ready.
type Encoder struct {
	held [3]byte // content that is still no group
	n    int
}

// Append appends the text of content, but for the one or two bytes at its end that would need padding.
func (e *Encoder) Append(dst, content []byte) []byte {
	if e.n > 0 {
		m := copy(e.held[e.n:], content)
		e.n += m
		content = content[m:]
		if e.n < len(e.held) {
			return dst
		}
		dst = base64.StdEncoding.AppendEncode(dst, e.held[:])
	}
	whole := len(content) - len(content)%3
	e.n = copy(e.held[:], content[whole:])
	return base64.StdEncoding.AppendEncode(dst, content[:whole])
}

// Flush appends what is held, padded: all that was given can be read then.
func (e *Encoder) Flush(dst []byte) []byte {
	n := e.n
	e.n = 0
	return base64.StdEncoding.AppendEncode(dst, e.held[:n])
}
