package l7

import (
	"github.com/weirlb/weir/l7/head"
	"github.com/weirlb/weir/l7/http1"
)

const (
	filterRead   = 16 << 10 // read at once of a body that is filtered
	filterBudget = 32 << 10 // bytes of one that are filtered before others on the loop get their turn: it costs more than moving them
)

// Filter changes the content of a response on its way to the client. It appends to dst what comes of content and returns
// that. It may hold any of it back until step says otherwise. content is good until it returns. A Filter belongs to one
// exchange and is called on its loop; its last call, and none but that, has the step End or Dropped.
type Filter func(dst, content []byte, step Step) []byte

// Step says what follows the content that a filter is given.
type Step uint8

const (
	More    Step = iota // further content
	Pause               // nothing for now: all that came so far is to be given out, for the client waits
	End                 // nothing: the body is complete
	Dropped             // nothing: the exchange has ended before its body; what the filter holds is to be given back
)

// Filter has f change the body of the response, behind the filters that are there. It is for Response hooks; those that see
// the response first, which are nearest to the backend, also filter first. The response leaves without a length: chunked,
// up to the end of the stream over HTTP/2, or up to that of the connection for a client of HTTP/1.0. It returns false, and calls nothing, where there is no body
// to filter: weir's own answers have none that is worth it.
//
// A filter is fed only while the client takes what comes of it, and no more of the body is read ahead than one read.
// Exchanges without a filter do not pass any of this: their bodies are moved as they are, by splice where that pays.
func (x *Exchange) Filter(f Filter) bool {
	if x.replied || x.phase != waiting && x.phase != collecting || !x.res.Framing().HasBody() || string(x.req.Method()) == "HEAD" || x.filters.n == len(x.filters.of) {
		return false
	}
	x.filters.add(f)
	return true
}

// frameFiltered gives a response with filters the framing it leaves in.
func (x *Exchange) frameFiltered() {
	keep := x.res.KeepAlive
	f := head.Framing{Kind: head.Chunked}
	if x.req.Version() == head.HTTP10 || x.conn.lane != nil {
		f.Kind = head.UntilClose
	}
	x.steady = x.res.Framing().Kind == head.Length
	x.res.SetFraming(f)
	x.res.KeepAlive = keep // that is about the server's connection
	x.filtered = true
}

// appendFiltered appends what comes of the body that rest holds, and returns how much of rest that took.
func (x *Exchange) appendFiltered(out, rest []byte) ([]byte, int, error) {
	n := 0
	for n < len(rest) && !x.resBody.Done() {
		m, piece, err := x.resBody.Next(rest[n:])
		switch {
		case piece == http1.Data:
			out = x.appendOutput(out, rest[n:n+m], More)
			x.behind = true
		case piece == http1.Trailer && x.conn.lane != nil:
			x.conn.lane.trailers = append(x.conn.lane.trailers, rest[n:n+m]...)
		case piece == http1.Trailer:
			x.trailer = append(x.trailer, rest[n:n+m]...) // http1.MaxTrailer at most
		}
		n += m
		if err != nil {
			return out, n, err
		}
	}
	if x.resBody.Done() {
		out = x.seal(out)
	}
	return out, n, nil
}

// appendOutput leads content through the filters and appends what comes out of the last one, in its framing.
func (x *Exchange) appendOutput(out, content []byte, step Step) []byte {
	for i, f := range x.filters.of[:x.filters.n] {
		dst := f(x.worker.outputs[i][:0], content, step)
		if cap(dst) <= scratchKept {
			x.worker.outputs[i] = dst
		}
		content = dst
	}
	x.given += int64(len(content))
	before := len(out)
	if x.res.Framing().Kind == head.Chunked {
		out = http1.AppendChunk(out, content)
	} else {
		out = append(out, content...)
	}
	x.bodyOut += int64(len(out) - before)
	return out
}

// seal ends the body of a response with filters.
func (x *Exchange) seal(out []byte) []byte {
	out = x.appendOutput(out, nil, End)
	x.filters = few[Filter]{}
	x.behind = false
	if x.res.Framing().Kind == head.Chunked {
		before := len(out)
		if len(x.trailer) > 0 {
			out = append(append(out, "0\r\n"...), x.trailer...) // it ends with the empty line
		} else {
			out = http1.AppendLastChunk(out)
		}
		x.bodyOut += int64(len(out) - before)
	}
	return out
}

// filterPiece leads one piece of the response's body through the filters.
func (x *Exchange) filterPiece() (int, error) {
	l := x.link
	b, err := l.stream.Receive(filterRead)
	out, n := x.worker.scratch(), 0
	if len(b) == 0 {
		if err = ended(&x.resBody, err); x.resBody.Done() {
			out = x.seal(out)
		}
	} else {
		out, n, err = x.appendFiltered(out, b)
	}
	if len(out) > 0 {
		_ = x.conn.stream.Write(out) // an error stays with the stream
	}
	if len(b) > 0 {
		l.stream.Hold(b[n:])
	}
	x.worker.sent(out)
	return n, err
}

// catchUp gives the client all that the filters hold back, because nothing more comes for now. A body of a known length
// is not worth that: it is on its way.
func (x *Exchange) catchUp() {
	if !x.behind || x.steady {
		return
	}
	x.behind = false
	out := x.appendOutput(x.worker.scratch(), nil, Pause)
	if len(out) > 0 {
		_ = x.conn.stream.Write(out) // an error stays with the stream
	}
	x.worker.sent(out)
}

// dropFilters has the filters give back what they hold.
func (x *Exchange) dropFilters() {
	for _, f := range x.filters.of[:x.filters.n] {
		_ = f(nil, nil, Dropped)
	}
	x.filters = few[Filter]{}
}
