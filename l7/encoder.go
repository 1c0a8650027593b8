package l7

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	maxEncoding  = 64 // responses that are compressed at one time on each loop: each holds about a megabyte
	encodersKept = 8  // idle encoders of a coding that are kept on each loop
)

// Codings are the content codings that Compress knows, in the order in which they are offered where nothing else is said.
var Codings = [...]string{"gzip", "br", "zstd"}

// encoder is one of the libraries' compressors.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Levels at which a loop's work for other clients does not wait long, and not much is left to gain.
const (
	gzipLevel     = 4
	brotliQuality = 3
	brotliWindow  = 18      // as a power of two
	zstdWindow    = 1 << 18 // clients need to hold no more (RFC 9659)
)

func newEncoder(coding string) encoder {
	switch coding {
	case "gzip":
		w, _ := gzip.NewWriterLevel(nil, gzipLevel) // the level is good
		return w
	case "br":
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: brotliQuality, LGWin: brotliWindow})
	}
	// Concurrency 1 means: on the goroutine that calls.
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true)) // the options are good
	return w
}

// encoders are those of one loop.
type encoders struct {
	busy int
	idle map[string][]*coder
}

// coder compresses one body after the other. It writes where it is told.
type coder struct {
	to     []byte
	w      encoder
	coding string
}

// Write takes what the encoder gives out.
func (c *coder) Write(b []byte) (int, error) {
	c.to = append(c.to, b...)
	return len(b), nil
}

// take gives a coder, nil where too many are in use.
func (e *encoders) take(coding string) *coder {
	if e.busy == maxEncoding {
		return nil
	}
	e.busy++
	if idle := e.idle[coding]; len(idle) > 0 {
		c := idle[len(idle)-1]
		e.idle[coding] = idle[:len(idle)-1]
		c.w.Reset(c)
		return c
	}
	c := &coder{w: newEncoder(coding), coding: coding}
	c.w.Reset(c)
	return c
}

// give takes a coder back.
func (e *encoders) give(c *coder) {
	e.busy--
	c.to = nil
	if e.idle == nil {
		e.idle = make(map[string][]*coder)
	}
	if idle := e.idle[c.coding]; len(idle) < encodersKept {
		e.idle[c.coding] = append(idle, c)
	}
}

// filter is the coder as a Filter, which gives it back in the end. Its writes cannot fail, so that the encoder's do not.
func (e *encoders) filter(c *coder) Filter {
	return func(dst, content []byte, step Step) []byte {
		c.to = dst
		if len(content) > 0 {
			_, _ = c.w.Write(content)
		}
		switch step {
		case Pause:
			_ = c.w.Flush()
		case End:
			_ = c.w.Close()
		}
		dst = c.to
		if step >= End {
			e.give(c)
		}
		return dst
	}
}
