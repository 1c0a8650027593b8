package accesslog

import (
	"net/netip"
	"time"
)

// NotReached is the duration of a phase that a connection never got to, or never finished.
const NotReached time.Duration = -1

// Protocol says what a Record describes.
type Protocol uint8

// The protocols a Record can describe: a TCP connection, a UDP flow or an HTTP request.
const (
	TCP Protocol = iota
	UDP
	HTTP
)

// String returns "tcp", "udp" or "http".
func (p Protocol) String() string {
	switch p {
	case UDP:
		return "udp"
	case HTTP:
		return "http"
	}
	return "tcp"
}

// TLSMode says what weir did with the TLS of a connection.
type TLSMode uint8

// The TLS modes. A connection that spoke no TLS, or whose TLS weir did not look at, is NoTLS.
const (
	NoTLS TLSMode = iota
	Passthrough
	Terminated
)

// String returns "passthrough", "terminated" or the empty string.
func (m TLSMode) String() string {
	switch m {
	case Passthrough:
		return "passthrough"
	case Terminated:
		return "terminated"
	}
	return ""
}

// Record is what one line says. The encoders only read it; the strings may alias memory that changes after the call.
type Record struct {
	Start    time.Time // when the connection was accepted; of a request or a flow, when its first byte or datagram came
	Protocol Protocol
	By       Side   // who ended it
	Reason   Reason // why

	Client  netip.AddrPort // the client, as the PROXY header named it where there was one
	Peer    netip.AddrPort // the other end of the socket; invalid, or equal to Client, where no PROXY header was used
	Local   netip.AddrPort // the address the client called
	Backend netip.AddrPort // the backend that served, or was tried last; invalid if none was

	Entrypoint string
	Router     string // empty if none matched
	Service    string // empty if none was reached

	// TLS, of connections and requests.

	ServerName string // SNI as the client sent it; hostile bytes. At most 255 bytes of it are written
	ALPN       string // the negotiated protocol, or with passthrough the first one offered; hostile bytes, 255 written
	TLS        TLSMode
	TLSVersion uint16 // as in crypto/tls; 0 = not known (a passthrough)
	TLSCipher  uint16 // as in crypto/tls; 0 = not known

	In  int64 // bytes from the client to the backend; not written of a request
	Out int64 // bytes from the backend to the client; not written of a request

	// What follows is of flows only.

	DatagramsIn  int64 // from the client to the backend
	DatagramsOut int64 // from the backend to the client
	Moves        int   // times it went to another backend

	// The phases. Negative (NotReached) where the connection or request did not get through that phase. A flow has but Total.
	Route   time.Duration // from Start to the routing decision: PROXY header, peeked bytes, TLS handshake, head of the request
	Queue   time.Duration // waiting for a slot on a backend; 0 where there was no wait
	Connect time.Duration // connecting to the backend, all tries together; 0 where an open connection was used again
	Total   time.Duration // from Start to the end

	Retries int // connection attempts beyond the first; of a flow see Moves

	// What follows is of HTTP requests only, but for Detail. The strings may hold whatever a client sent.

	Method    string   // 32 bytes of it are written
	Host      string   // with the port, where the client named one; 261 bytes are written, a DNS name and a port
	Target    string   // as the client sent it; 2048 bytes are written
	Proto     string   // such as "HTTP/1.1"; 32 bytes are written
	Scheme    string   // "http" or "https"; 32 bytes are written
	User      string   // who the client said and proved to be; 255 bytes are written
	RequestID string   // the name of the request; 128 bytes are written, in JSON alone
	TraceID   [16]byte // of the trace that the request is part of, as W3C Trace Context has it; in JSON alone; zero = none
	SpanID    [8]byte  // of weir's own span in it; likewise
	Detail    string   // a word that says more about Reason, such as "bad-length"; 255 bytes are written

	Status       int // sent to the client; 0 = none
	OriginStatus int // from the backend; 0 = none
	GRPC         int // status of a call of gRPC, and one; 0 = it is none, or nobody has said it

	RequestSize  int64  // content bytes from the client
	ResponseSize int64  // content bytes to the client
	OriginSize   int64  // content bytes from the backend
	OriginScheme string // how the backend is spoken to: http or https
	RequestCount int    // which request of its connection it was, the first being 1

	FirstByte time.Duration // from Start to the head of the backend's response; NotReached if none came
	Origin    time.Duration // from sending the request to the end of the backend's answer; NotReached if it never ended
	Reused    bool          // the connection to the backend had been used before
}

// Termination returns two letters in the manner of HAProxy's termination state. The first says who or what ended the
// connection: C client, S backend, c timeout on the client's side, s timeout on the backend's, P refused by weir
// (rule, limit, bad syntax), D backend went down, K stopped by the operator, I internal, - normal end. The second says in
// which phase: R before the routing decision, Q in the queue, C connecting, H waiting for the head of the backend's
// response (HTTP only), D relaying, - normal end. A flow with a backend is relaying, and to fall idle is its normal end.
func (r *Record) Termination() (who, phase byte) {
	reason := r.Reason
	if reason >= reasonEnd {
		reason = Unknown
	}
	t := reasons[reason].term
	if r.Protocol == UDP {
		return r.flowTermination(t)
	}
	if t.phase != 0 {
		return t.who, t.phase
	}
	switch {
	case r.Route < 0:
		return t.who, 'R'
	case r.Queue < 0:
		return t.who, 'Q'
	case r.Connect < 0:
		return t.who, 'C'
	case r.Protocol == HTTP && r.FirstByte < 0:
		return t.who, 'H'
	}
	return t.who, 'D'
}
