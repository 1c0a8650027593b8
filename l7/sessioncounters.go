package l7

import (
	"slices"
	"sync/atomic"

	"github.com/weirlb/weir/l7/http2"
)

// leaving says why weir lets a session end, beside the words of package http2 for what a client does wrong.
type leaving uint8

const (
	leavesNot     leaving = iota
	leavesStop            // weir stops
	leavesFront           // its entrypoint is closed
	leavesRenewed         // its certificate or its TLS options are not in force any more
	leavesWorn            // it is as old as it may be, or has had as many requests
	leavesIdle            // nothing came on it for too long
	numLeavings
)

var leavings = [numLeavings]string{
	leavesStop: "shutdown", leavesFront: "entrypoint", leavesRenewed: "certificate", leavesWorn: "age", leavesIdle: "idle",
}

// ending says how a stream ended before its request was answered, or before it was one.
type ending uint8

const (
	endsCancelled ending = iota // by the client
	endsMalformed               // refused, and told to be wrong
	endsBroken                  // by what the client did to it
	endsCut                     // by weir, in the middle of a response or a tunnel: the server broke off, or a timeout passed
	endsLimit                   // beyond those that a client may have open
	endsLate                    // behind the last one that the client was told of
	numEndings
)

var endings = [numEndings]string{
	endsCancelled: "cancelled", endsMalformed: "malformed", endsBroken: "broken", endsCut: "cut", endsLimit: "limit", endsLate: "late",
}

// sessionShare counts the sessions of an entrypoint on one loop. Only that loop writes; anybody reads.
type sessionShare struct {
	begun, over          atomic.Int64
	streams, streamsOver atomic.Int64
	endings              [numEndings]atomic.Int64
	leavings             [numLeavings]atomic.Int64
	errors               [len(http2.Reasons)]atomic.Int64
	_                    [64]byte // no two loops write to one cache line
}

// leave counts a GOAWAY that is no client's fault.
func (s *sessionShare) leave(why leaving) { s.leavings[why].Add(1) }

// fail counts a GOAWAY because of what a client has sent.
func (s *sessionShare) fail(word string) {
	if i := slices.Index(http2.Reasons[:], word); i >= 0 {
		s.errors[i].Add(1)
	}
}

// SessionStats are the numbers of an entrypoint's connections of HTTP/2.
type SessionStats struct {
	Begun, Active          int64
	Streams, ActiveStreams int64            // those that became requests
	Endings                map[string]int64 // streams that ended otherwise than by an answer, by how
	GoAways                map[string]int64 // connections that weir has told to end, by why
}

// SessionStats are the numbers of HTTP/2 here. Safe from any goroutine; they are read one after the other.
func (f *Front) SessionStats() SessionStats {
	t := SessionStats{Endings: make(map[string]int64), GoAways: make(map[string]int64)}
	for i := range f.sessions {
		s := &f.sessions[i]
		over, streamsOver := s.over.Load(), s.streamsOver.Load() // first, so that none is open less than not at all
		begun, streams := s.begun.Load(), s.streams.Load()
		t.Begun += begun
		t.Active += begun - over
		t.Streams += streams
		t.ActiveStreams += streams - streamsOver
		for how, word := range endings {
			t.Endings[word] += s.endings[how].Load()
		}
		for why := leavesStop; why < numLeavings; why++ {
			t.GoAways[leavings[why]] += s.leavings[why].Load()
		}
		for j, word := range http2.Reasons {
			t.GoAways[word] += s.errors[j].Load()
		}
	}
	return t
}
