package grpcweb

import (
	"bytes"
	"encoding/binary"
)

// trailersFlag is the first byte of the frame that holds trailers; those of messages have 0 or 1.
const trailersFlag = 0x80

// AppendTrailers appends the frame for a trailer section, which is given as HTTP/1 has it, with or without the empty line
// behind it, and was checked. Names are in lower case in it, as gRPC has them. Where there is no field, there is no frame.
func AppendTrailers(dst, section []byte) []byte {
	start := len(dst)
	dst = append(dst, trailersFlag, 0, 0, 0, 0)
	for line := range bytes.SplitSeq(section, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue // the empty line
		}
		for _, b := range name {
			if 'A' <= b && b <= 'Z' {
				b |= 0x20
			}
			dst = append(dst, b)
		}
		dst = append(dst, ": "...)
		dst = append(dst, bytes.Trim(value, " \t")...)
		dst = append(dst, "\r\n"...)
	}
	content := dst[start+5:]
	if len(content) == 0 {
		return dst[:start]
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(content)))
	return dst
}
