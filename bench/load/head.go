package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// heading finds the end of an HTTP head in what is read from a connection.
// The zero value is at the beginning of a message.
type heading struct {
	part []byte // of a head that did not come in one piece
}

// errHead is returned for a head that no balancer here has reason to send.
var errHead = errors.New("an HTTP head that has no end")

// take adds b. It returns the head once it is complete, with what of the
// bytes follows it, and is at the beginning again; until then a nil head.
// Both may be parts of b.
func (h *heading) take(b []byte) (head, rest []byte, err error) {
	if len(h.part) > 0 {
		h.part = append(h.part, b...)
		b = h.part
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	switch {
	case end >= 0:
		h.part = nil
		return b[:end+4], b[end+4:], nil
	case len(b) > small:
		return nil, nil, errHead
	case len(h.part) == 0:
		h.part = append(h.part, b...)
	}
	return nil, nil, nil
}

// field returns the value of the first header field of a name, which is
// compared without regard to case (RFC 9110, 5.1); nil if there is none.
func field(head []byte, name string) []byte {
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

// checkLength reports a head whose body has not the given length. A missing
// Content-Length means 0.
func checkLength(head []byte, want int) error {
	if coding := field(head, "transfer-encoding"); coding != nil {
		return fmt.Errorf("transfer coding %q instead of %d bytes", coding, want)
	}
	length := field(head, "content-length")
	if length == nil && want == 0 {
		return nil
	}
	if n, err := strconv.Atoi(string(length)); err != nil || n != want {
		return fmt.Errorf("content length %q instead of %d", length, want)
	}
	return nil
}

// checkAnswer reports a response head that is not 200 with a body of the
// given length.
func checkAnswer(head []byte, length int) error {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	if failing(line) {
		return fmt.Errorf("%w: %w: status line %q", errWrong, errFailing, line)
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("%w: status line %q", errWrong, line)
	}
	if err := checkLength(head, length); err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	return nil
}

// failing reports a status line that tells of a backend that is gone, or late (RFC 9110, 15.6.3 to 15.6.5).
func failing(line []byte) bool {
	for _, status := range []string{"502", "503", "504"} {
		if bytes.HasPrefix(line, []byte("HTTP/1.1 "+status)) {
			return true
		}
	}
	return false
}

// answerHead is the head of the server's answer with a body of n bytes.
func answerHead(n int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", n)
}

// requestHead is the head of a request for a target: a GET, or a POST where
// the exchange has bytes to send.
func requestHead(host, path string, e Exchange) []byte {
	method := "GET"
	if e.Request > 0 {
		method = "POST"
	}
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n", method, path, host)
	if e.Request > 0 {
		head = fmt.Appendf(head, "Content-Type: text/plain\r\nContent-Length: %d\r\n", e.Request)
	}
	if e.Close {
		head = append(head, "Connection: close\r\n"...)
	}
	return append(head, "\r\n"...)
}
