package accesslog

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// retryAfter is how long the writer waits before it tries a failed write again.
const retryAfter = time.Second

// output is what the writer goroutine, and nobody else, knows: the sink, and the chunk it is writing.
type output struct {
	w       *Writer
	to      io.WriteCloser // nil while there is none
	current chunk
	taken   int // bytes of current.lines that are in the sink
	counted int // records of current that are counted as written
	failing bool
}

// step waits for the next thing to do and does it. It reports false when the Writer was closed.
func (o *output) step() bool {
	if o.failing {
		return o.stepFailing()
	}
	select {
	case c := <-o.w.queue:
		o.write(c)
	case s := <-o.w.next:
		o.catchUp()
		o.swap(s)
	case <-o.w.quit:
		return false
	}
	return true
}

// stepFailing waits for a new sink, or for a while, and tries the unwritten rest again. The loops' buffers queue up
// meanwhile, then the loops drop records.
func (o *output) stepFailing() bool {
	timer := time.NewTimer(retryAfter)
	defer timer.Stop()
	select {
	case s := <-o.w.next:
		o.swap(s)
	case <-timer.C:
	case <-o.w.quit:
		return false
	}
	o.push()
	return true
}

// catchUp writes what was handed over so far, so that the old sink gets what happened before a swap.
func (o *output) catchUp() {
	for range len(o.w.queue) {
		if o.failing || o.to == nil {
			return
		}
		o.write(<-o.w.queue)
	}
}

func (o *output) write(c chunk) {
	o.current, o.taken, o.counted = c, 0, 0
	o.push()
}

// push writes the rest of the current chunk.
func (o *output) push() {
	if o.to == nil && !o.firstSink() {
		o.drop()
		return
	}
	n, err := o.to.Write(o.current.lines[o.taken:])
	o.taken += n
	if err != nil {
		o.w.errors.Add(1)
		if !o.failing {
			o.w.onError(fmt.Errorf("access log: write: %w", err))
		}
		o.failing = true
		o.count(bytes.Count(o.current.lines[:o.taken], []byte{'\n'}))
		return
	}
	o.failing = false
	o.count(o.current.records)
	o.release()
}

// firstSink takes the sink that was configured before the current chunk was handed over, although the select in step
// saw the chunk first. It reports false when there is none.
func (o *output) firstSink() bool {
	select {
	case o.to = <-o.w.next:
		return o.to != nil
	default:
		return false
	}
}

// count notes that the first n records of the current chunk are in the sink.
func (o *output) count(n int) {
	o.w.written.Add(uint64(n - o.counted))
	o.counted = n
}

// drop gives up on the rest of the current chunk.
func (o *output) drop() {
	o.w.dropped.Add(uint64(o.current.records - o.counted))
	o.failing = false
	o.release()
}

func (o *output) release() {
	o.w.recycle(o.current.lines)
	o.current, o.taken, o.counted = chunk{}, 0, 0
}

// swap makes s the sink. A line of which the old sink took only the beginning is written to s from its start.
func (o *output) swap(s io.WriteCloser) {
	o.close()
	o.to = s
	o.taken = bytes.LastIndexByte(o.current.lines[:o.taken], '\n') + 1
}

// finish writes all that is left, tries no write twice, and closes the sink.
func (o *output) finish() {
	select {
	case s := <-o.w.next:
		if !o.failing {
			o.catchUp()
		}
		o.swap(s)
	default:
	}
	if o.failing {
		o.push()
	}
	for !o.failing {
		select {
		case c := <-o.w.queue:
			o.write(c)
			continue
		default:
		}
		break
	}
	o.dropQueue()
	o.close()
}

// dropQueue counts what no sink will take any more.
func (o *output) dropQueue() {
	if o.failing {
		o.drop()
	}
	for {
		select {
		case c := <-o.w.queue:
			o.w.dropped.Add(uint64(c.records))
		default:
			return
		}
	}
}

func (o *output) close() {
	if o.to == nil {
		return
	}
	if err := o.to.Close(); err != nil {
		o.w.errors.Add(1)
		o.w.onError(fmt.Errorf("access log: close: %w", err))
	}
	o.to = nil
}
