package eventloop

import (
	"io"

	"golang.org/x/sys/unix"
)

const (
	bulkReads   = 3        // full reads in a row after which a flow is moved by splice
	spliceChunk = 1 << 20  // asked of one splice; the pipe bounds what is moved
	spliceSmall = 16 << 10 // spliced chunks below this are cheaper to copy
)

// Flow moves bytes from one stream to another on the same loop: by copying them through the loop's shared buffer, or, once
// the flow has shown itself bulky and both sides are plain, by splice. Its owner decides when to move, and closes it. Its
// zero value is ready for Open.
type Flow struct {
	src, dst *Stream
	pipe     *pipe // holds bytes between src and dst; nil while copying
	full     uint8 // full reads in a row
}

// Open makes the flow lead from src to dst.
func (f *Flow) Open(src, dst *Stream) { *f = Flow{src: src, dst: dst} }

// Held reports whether bytes are between the streams: read from the source and not yet counted by Move.
func (f *Flow) Held() bool { return f.pipe != nil }

// Close drops bytes that are between the streams. Closing twice is fine.
func (f *Flow) Close() {
	if f.pipe != nil {
		f.src.loop.pipes.put(f.pipe)
		f.pipe = nil
	}
}

// Move moves one chunk of at most limit bytes, bytes that the source holds first, and returns how many have gone to the
// destination. ErrAgain says that the source has nothing now, or that the destination takes nothing now (HasRoom tells);
// io.EOF that the source has ended. An error of the destination is not returned: it stays with that stream (Failed). No
// byte beyond the limit is taken from the source.
func (f *Flow) Move(limit int64) (int, error) {
	switch {
	case f.pipe != nil:
		return f.drainPipe()
	case len(f.src.in) > 0:
		n := int(min(int64(len(f.src.in)), limit))
		err := f.dst.Write(f.src.in[:n])
		f.src.Consume(n)
		return n, f.blame(err)
	case f.full >= bulkReads && limit >= spliceSmall && f.src.spliceable() && f.dst.spliceable():
		return f.fillPipe(limit)
	}
	return f.copyChunk(limit)
}

// spliceable reports whether bytes can move without being seen: between plain sockets.
func (s *Stream) spliceable() bool { return s.tls == nil && s.peer == nil }

// blame keeps an error of writing that the destination has kept already from being taken for one of the source.
func (f *Flow) blame(err error) error {
	if err != nil && f.dst.failed == nil {
		return err
	}
	return nil
}

// copyChunk moves one read through the loop's shared buffer.
func (f *Flow) copyChunk(limit int64) (int, error) {
	buf := f.src.loop.buf
	n, err := f.src.receive(buf[:min(int64(len(buf)), limit)])
	if n == 0 {
		return 0, err
	}
	if n == len(buf) {
		f.full++
	} else {
		f.full = 0
	}
	return n, f.blame(f.dst.Write(buf[:n]))
}

// fillPipe moves bytes from the source into a pipe, without copying them.
func (f *Flow) fillPipe(limit int64) (int, error) {
	if !f.src.readable {
		return 0, f.src.again()
	}
	p := f.src.loop.pipes.get()
	if p == nil {
		f.full = 0 // no descriptors left: go on copying
		return 0, nil
	}
	n, err := p.fill(int(f.src.fd), int(min(spliceChunk, limit)))
	if n > 0 {
		f.pipe = p
		if n < spliceSmall {
			f.full = 0 // the flow is not bulky any more
		}
		return f.drainPipe()
	}
	f.src.loop.pipes.put(p)
	switch {
	case err == unix.EAGAIN:
		f.src.readable = false
		return 0, f.src.again()
	case err != nil:
		return 0, err
	}
	f.src.end()
	return 0, io.EOF
}

// drainPipe moves what the pipe holds into the destination, and gives the pipe back when it is empty.
func (f *Flow) drainPipe() (int, error) {
	if !f.dst.writable {
		return 0, ErrAgain
	}
	f.dst.beforeWrite()
	n, err := f.pipe.drain(int(f.dst.fd))
	if err == unix.EAGAIN {
		f.dst.full()
		return n, ErrAgain
	}
	if err != nil {
		f.dst.fail(err)
		return n, nil
	}
	if f.pipe.held == 0 {
		f.Close()
	}
	return n, nil
}
