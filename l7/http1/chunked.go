package http1

import "github.com/weirlb/weir/l7/head"

// Bounds on what stands between the data of a chunked body.
const (
	MaxChunkLine     = 256     // bytes of the line of a chunk size, without CRLF
	MaxChunkExcess   = 8 << 10 // bytes of such lines beyond 16 a chunk and twice its data
	MaxTrailer       = 8 << 10 // bytes of the trailer section
	MaxTrailerFields = 64      // fields of it
	maxChunkDigits   = 16      // of a chunk size
)

// Piece says what a range of bytes of a message body is.
type Piece uint8

const (
	Data    Piece = iota // content
	Framing              // sizes of chunks and the ends of lines around them
	Trailer              // the trailer section with the empty line that ends it
)

type chunkState uint8

const (
	chunkSize      chunkState = iota // before the first digit of a size
	chunkDigits                      // behind it
	chunkExtension                   // behind ;
	chunkExtName
	chunkExtEqual // behind =
	chunkExtToken
	chunkExtQuoted
	chunkExtEscape
	chunkExtQuoteEnd
	chunkLF // behind the CR of a size
	chunkData
	chunkDataCR // behind the data
	chunkDataLF
	trailerLine // at the start of a line
	trailerName
	trailerValue
	trailerLF
	trailerEnd // behind the CR of the empty line
	chunkedDone
	chunkedFailed
)

// Chunked walks through a body in the chunked coding (RFC 9112 section 7.1) as it
// arrives. Its zero value is at the start of one.
//
// It wants sizes without space or sign around them, extensions without space
// outside of quotes, CRLF at the end of every line, and trailer fields as strict
// as those of a head. A trailer field that frames the message, routes it or says
// who sent it is refused, not dropped: the bytes are passed on as they come.
type Chunked struct {
	state  chunkState
	digits uint8 // of the size so far
	name   [maxName]byte
	named  uint8 // bytes of the name of a trailer field so far; more than maxName counts as one more
	line   uint16
	fields uint16
	bytes  uint16 // of the trailer section
	left   int64  // of the data of this chunk
	excess int64
	err    error
}

// Reset goes back to the start of a body.
func (c *Chunked) Reset() { *c = Chunked{} }

// Done reports whether the body, with its trailer section, is complete.
func (c *Chunked) Done() bool { return c.state == chunkedDone }

// Next says what the next n bytes of b are. It returns 0 bytes only if b is
// empty, if the body is Done, and with an error: then the byte behind the n is
// wrong, and the error stays. However b is cut, the pieces add up to the same.
func (c *Chunked) Next(b []byte) (n int, piece Piece, err error) {
	switch {
	case c.state == chunkedFailed:
		return 0, Framing, c.err
	case c.state == chunkData:
		n = int(min(int64(len(b)), c.left))
		c.advance(int64(n))
		return n, Data, nil
	case c.state >= trailerLine:
		piece = Trailer
	default:
		piece = Framing
	}
	for n < len(b) && c.state != chunkData && c.state != chunkedDone {
		if piece == Framing && c.state == trailerLine {
			break
		}
		if err := c.step(b[n]); err != nil {
			c.state, c.err = chunkedFailed, err
			return n, piece, err
		}
		n++
	}
	return n, piece, nil
}

// advance counts n bytes of data.
func (c *Chunked) advance(n int64) {
	if c.left -= n; c.left == 0 {
		c.state = chunkDataCR
	}
}

// step takes one byte that is not data.
func (c *Chunked) step(b byte) error {
	switch {
	case c.state >= trailerLine:
		return c.stepTrailer(b)
	case c.state == chunkDataCR:
		return c.expect(b, '\r', chunkDataLF, ErrChunkEnd)
	case c.state == chunkDataLF:
		return c.expect(b, '\n', chunkSize, ErrChunkEnd)
	case c.state == chunkLF:
		if b != '\n' {
			return ErrChunkLine
		}
		return c.beginChunk()
	}
	if b != '\r' {
		if c.line++; c.line > MaxChunkLine {
			return ErrChunkLength
		}
	}
	if c.state <= chunkDigits {
		return c.stepSize(b)
	}
	return c.stepExtension(b)
}

func (c *Chunked) expect(b, want byte, next chunkState, err error) error {
	if b != want {
		return err
	}
	c.state = next
	return nil
}

// stepSize takes a byte of a size or the one that ends it.
func (c *Chunked) stepSize(b byte) error {
	switch {
	case '0' <= b && b <= '9':
		return c.digit(b - '0')
	case 'a' <= b && b <= 'f':
		return c.digit(b - 'a' + 10)
	case 'A' <= b && b <= 'F':
		return c.digit(b - 'A' + 10)
	case c.state == chunkSize:
		return ErrChunkSize
	case b == ';':
		c.state = chunkExtension
	case b == '\r':
		c.state = chunkLF
	default:
		return ErrChunkSize
	}
	return nil
}

func (c *Chunked) digit(d byte) error {
	if c.digits++; c.digits > maxChunkDigits || c.left>>59 != 0 {
		return ErrChunkSize
	}
	c.left = c.left<<4 | int64(d)
	c.state = chunkDigits
	return nil
}

// stepExtension takes a byte of *( ";" name [ "=" ( token / quoted-string ) ] )
// or the one that ends it. The space RFC 9112 lets recipients accept there for
// the sake of the past is refused.
func (c *Chunked) stepExtension(b byte) error {
	token := head.IsTokenByte(b)
	switch c.state {
	case chunkExtension:
		if token {
			c.state = chunkExtName
			return nil
		}
	case chunkExtName:
		switch {
		case token:
			return nil
		case b == '=':
			c.state = chunkExtEqual
			return nil
		}
		return c.endExtension(b)
	case chunkExtEqual:
		switch {
		case token:
			c.state = chunkExtToken
			return nil
		case b == '"':
			c.state = chunkExtQuoted
			return nil
		}
	case chunkExtToken:
		if token {
			return nil
		}
		return c.endExtension(b)
	case chunkExtQuoted:
		switch {
		case b == '"':
			c.state = chunkExtQuoteEnd
			return nil
		case b == '\\':
			c.state = chunkExtEscape
			return nil
		case isText(b):
			return nil
		}
	case chunkExtEscape:
		if isText(b) {
			c.state = chunkExtQuoted
			return nil
		}
	case chunkExtQuoteEnd:
		return c.endExtension(b)
	}
	return ErrChunkLine
}

func (c *Chunked) endExtension(b byte) error {
	switch b {
	case ';':
		c.state = chunkExtension
		return nil
	case '\r':
		c.state = chunkLF
		return nil
	}
	return ErrChunkLine
}

func isText(b byte) bool { return b >= ' ' && b != 0x7f || b == '\t' }

// beginChunk is at the end of the line of a size. A sender may put a byte into
// each chunk, but not hide among many bytes of extensions that it sends nothing.
func (c *Chunked) beginChunk() error {
	c.excess = max(0, c.excess+int64(c.line)+2*int64(len("\r\n"))-16-2*min(c.left, 1<<40))
	if c.excess > MaxChunkExcess {
		return ErrChunkExcess
	}
	c.line, c.digits = 0, 0
	c.state = chunkData
	if c.left == 0 {
		c.state = trailerLine
	}
	return nil
}

// stepTrailer takes a byte of the trailer section.
func (c *Chunked) stepTrailer(b byte) error {
	if c.bytes++; c.bytes > MaxTrailer {
		return ErrTrailerBytes
	}
	switch c.state {
	case trailerLine:
		switch {
		case b == '\r':
			c.state = trailerEnd
			return nil
		case head.IsTokenByte(b):
			if c.fields++; c.fields > MaxTrailerFields {
				return ErrTrailerBytes
			}
			c.named = 0
			c.state = trailerName
			c.keepName(b)
			return nil
		}
	case trailerName:
		switch {
		case b == ':':
			c.state = trailerValue
			return c.checkName()
		case head.IsTokenByte(b):
			c.keepName(b)
			return nil
		}
	case trailerValue:
		switch {
		case b == '\r':
			c.state = trailerLF
			return nil
		case isText(b):
			return nil
		}
	case trailerLF:
		return c.expect(b, '\n', trailerLine, ErrTrailer)
	case trailerEnd:
		return c.expect(b, '\n', chunkedDone, ErrTrailer)
	}
	return ErrTrailer
}

// keepName remembers the name of a trailer field, with - for _, as much as it
// takes to know it.
func (c *Chunked) keepName(b byte) {
	if b == '_' {
		b = '-'
	}
	if int(c.named) < maxName {
		c.name[c.named] = b
	}
	c.named = min(c.named+1, maxName+1)
}

func (c *Chunked) checkName() error {
	if c.named > maxName {
		return checkTrailerPrefix(c.name[:])
	}
	return checkTrailerName(c.name[:c.named])
}

// CheckTrailerName refuses a name of a trailer field that frames the message, routes it or says who sent it, with - or _
// in it.
func CheckTrailerName(name []byte) error {
	var buf [maxName]byte
	dashed := buf[:copy(buf[:], name)]
	for i, b := range dashed {
		if b == '_' {
			dashed[i] = '-'
		}
	}
	if len(name) > maxName {
		return checkTrailerPrefix(dashed)
	}
	return checkTrailerName(dashed)
}

func checkTrailerPrefix(name []byte) error {
	for _, prefix := range [...]string{"if-", "proxy-", "x-forwarded-"} {
		if hasPrefixFold(name, prefix) {
			return ErrTrailerName
		}
	}
	return nil
}

func checkTrailerName(name []byte) error {
	if err := checkTrailerPrefix(name); err != nil {
		return err
	}
	if head.Lookup(name) != head.Other {
		return ErrTrailerName
	}
	for _, bad := range forbiddenTrailers {
		if head.EqualFold(name, bad) {
			return ErrTrailerName
		}
	}
	return nil
}

// forbiddenTrailers are fields that must not stand in trailers (RFC 9110 section
// 6.5.1), beside those that package head knows, all of which must not.
var forbiddenTrailers = [...]string{"content-range", "max-forwards", "pragma", "range", "www-authenticate", "realm", "location"}
