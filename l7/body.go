package l7

import (
	"errors"
	"io"

	"github.com/weirlb/weir/internal/eventloop"
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	turnBudget = 256 << 10 // bytes one direction may move before others on the loop get their turn
	bodyRead   = 64 << 10  // read at once of a body whose framing has to be looked at
)

// move passes one piece of a body on as it comes. Content of a known length goes without being looked at, by splice where
// that pays; between chunks every byte is. The errors are those of the source, where its end in the middle of the body is
// http1.ErrTruncated, and those of the framing; what is wrong with the destination stays with it.
func (w *worker) move(f *eventloop.Flow, body *http1.Body, kind head.FramingKind, src, dst *eventloop.Stream) (int, error) {
	if left := body.Left(); kind != head.Chunked || f.Held() || left >= bodyRead {
		n, err := f.Move(left)
		body.Skip(int64(n))
		return n, ended(body, err)
	}
	b, err := src.Receive(bodyRead)
	if len(b) == 0 {
		return 0, ended(body, err)
	}
	n, bad := body.Scan(b)
	_ = dst.Write(b[:n])
	src.Hold(b[n:])
	return n, bad
}

// ended turns the end of a source into the end of the body, if the body may end so. A TLS connection that ends without
// close_notify may have been cut by anybody on the way: what lasts to the end of it is not complete (RFC 9112 section 9.8).
func ended(body *http1.Body, err error) error {
	switch {
	case err == io.EOF:
		return body.End()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return http1.ErrTruncated
	}
	return err
}

// isRefusal tells an error of the message from one of the connection.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*head.Error](err)
	return ok && err != http1.ErrTruncated
}
