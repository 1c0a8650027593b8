package accesslog

import "strconv"

// appendJSONFlow appends what a record of a UDP flow has between the backend and the reason.
func appendJSONFlow(dst []byte, r *Record) []byte {
	dst = appendJSONInt(dst, `,"BytesIn":`, r.In)
	dst = appendJSONInt(dst, `,"BytesOut":`, r.Out)
	dst = appendJSONInt(dst, `,"DatagramsIn":`, r.DatagramsIn)
	dst = appendJSONInt(dst, `,"DatagramsOut":`, r.DatagramsOut)
	dst = appendJSONInt(dst, `,"Moves":`, int64(r.Moves))
	return appendJSONInt(dst, `,"Duration":`, int64(phase(r.Total)))
}

// appendCommonFlow appends a flow as one line:
//
//	client [start] entrypoint router service/backend Tt in out state by reason moves datagramsIn datagramsOut
//
// These are 14 fields. The first twelve are in the places that they have in the line of a connection, where the moves are
// retries and Tt is the last of four timers.
func appendCommonFlow(dst []byte, r *Record) []byte {
	dst = appendCommonWhere(dst, r)
	dst = append(dst, ' ')
	dst = appendMillis(dst, r.Total)
	dst = appendCommonTraffic(dst, r)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(r.Moves), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.DatagramsIn, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.DatagramsOut, 10)
	return append(dst, '\n')
}

// flowTermination is Termination of a UDP flow, whose reason has the letters t. A flow relays from its first datagram on, so
// what has a backend ends in that phase. UDP has no other end than silence: it is a normal one, with answers or without, for
// some protocols have none.
func (r *Record) flowTermination(t letters) (who, phase byte) {
	switch {
	case r.Reason == IdleTimeout || t.who == '-':
		return '-', '-'
	case r.Backend.IsValid():
		return t.who, 'D'
	case t.phase != 0:
		return t.who, t.phase
	}
	return t.who, 'R'
}
