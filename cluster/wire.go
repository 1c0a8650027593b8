package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is what all errors about bytes that are no message, or no value of a cell, are, by errors.Is.
var ErrMalformed = errors.New("malformed message of the cluster")

// reader takes values off the front of a buffer. After the first failure there is nothing but zero values, and err stays.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

// uvarint reads a number up to most. Only its shortest form is taken, so that a message has one encoding.
func (r *reader) uvarint(what string, most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	switch {
	case n <= 0:
		r.fail("%s is cut off or above 64 bits", what)
		return 0
	case n > 1 && r.rest[n-1] == 0:
		r.fail("%s is not written in its shortest form", what)
		return 0
	case v > most:
		r.fail("%s is %d, at most %d", what, v, most)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) fixed64(what string) uint64 {
	b := r.take(what, 8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (r *reader) byte(what string) byte {
	b := r.take(what, 1)
	if b == nil {
		return 0
	}
	return b[0]
}

// take returns the next n bytes, of the buffer itself.
func (r *reader) take(what string, n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail("%s of %d bytes is cut off", what, n)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// bytes reads a length, up to most, and as many bytes, of the buffer itself.
func (r *reader) bytes(what string, most int) []byte {
	return r.take(what, int(r.uvarint("the length of "+what, uint64(most))))
}

func (r *reader) name() string {
	name := string(r.bytes("an observer's name", MaxName))
	if name == "" {
		r.fail("an observer has no name")
	}
	return name
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// uvarintLen returns how many bytes the number takes.
func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func stringLen[S ~string | ~[]byte](s S) int { return uvarintLen(uint64(len(s))) + len(s) }
