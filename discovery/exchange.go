package discovery

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxStrays is how many messages that do not answer it a query bears on its socket. More is an attempt to guess the reply: only a
// connection is safe then.
const maxStrays = 64

// An exchanger asks one server one question. It holds nothing between two of them but TLS sessions: each query has a socket of its
// own, so that its port is another thing to guess.
type exchanger struct {
	transport Transport
	timeout   time.Duration // of one message and its reply, the connection included
	tls       *tls.Config   // for TLS
}

// exchange asks s. Over UDP it asks again over TCP when the reply is cut off or cannot be trusted; with reliable it asks over TCP
// at once. It asks again without EDNS a server that does not know it. The answer's server is set, also beside an error, if s has
// replied at all.
func (x *exchanger) exchange(ctx context.Context, s *nameserver, q question, reliable bool) (answer, error) {
	var last error
	for _, edns := range []bool{true, false} {
		r, err := x.ask(ctx, s, q, edns, reliable || x.transport != UDP)
		if errors.Is(err, errOldServer) {
			last = err
			continue
		}
		if err != nil {
			return answer{}, err
		}
		s.learn(r)
		a, err := readAnswer(r.msg, q)
		a.server = s.addr
		return a, err
	}
	return answer{server: s.addr}, last
}

// ask asks over UDP unless stream is set, and over a connection if it is or must be.
func (x *exchanger) ask(ctx context.Context, s *nameserver, q question, edns, stream bool) (reply, error) {
	known := s.traits()
	query := newQuery(q, !known.folds)
	query.edns, query.cookie, query.server, query.echoes = edns, s.cookie, known.serverCookie, known.echoes
	if !stream {
		r, err := x.overUDP(ctx, s, query)
		if !errors.Is(err, errTruncated) && !errors.Is(err, errSuspect) {
			return r, err
		}
		query = query.again()
	}
	return x.overStream(ctx, s, query)
}

// again is the same query with another id.
func (q query) again() query {
	q.id = newQuery(q.question, false).id
	return q
}

// deadline sets the end of one message and its reply on conn, and ends it early with ctx. The caller calls the function returned.
func deadline(ctx context.Context, conn net.Conn) (func() bool, error) {
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return nil, err
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

// overUDP asks over UDP and reads until the reply is there or time is up, whatever else arrives. If nothing but messages came that
// are not to be trusted, the error says so rather than that time is up.
func (x *exchanger) overUDP(ctx context.Context, s *nameserver, q query) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	packed, err := q.pack()
	if err != nil {
		return reply{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", s.addr.String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	stop, err := deadline(ctx, conn)
	if err != nil {
		return reply{}, err
	}
	defer stop()
	if _, err := conn.Write(packed); err != nil {
		return reply{}, err
	}
	return q.awaitDatagram(conn)
}

// awaitDatagram reads datagrams until one is the reply.
func (q query) awaitDatagram(conn net.Conn) (reply, error) {
	var suspect error
	buf := make([]byte, 4096) // servers should keep to ednsSize; what is cut here fails to decode
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			if suspect != nil {
				return reply{}, suspect
			}
			return reply{}, err
		}
		r, err := q.read(buf[:n], false)
		switch {
		case errors.Is(err, errNotOurs):
		case errors.Is(err, errSuspect):
			suspect = err
		default:
			return r, err
		}
	}
	return reply{}, fmt.Errorf("%w: %d messages came that do not answer the query", errSuspect, maxStrays)
}

// overStream asks over a connection of its own. The first message on it is the reply or the query has failed.
func (x *exchanger) overStream(ctx context.Context, s *nameserver, q query) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	packed, err := q.pack()
	if err != nil {
		return reply{}, err
	}
	conn, err := x.dial(ctx, s)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	stop, err := deadline(ctx, conn)
	if err != nil {
		return reply{}, err
	}
	defer stop()
	// Length and message in one write: some servers read them as one segment.
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(packed)), uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return reply{}, err
	}
	b, err := readFramed(conn)
	if err != nil {
		return reply{}, err
	}
	r, err := q.read(b, true)
	if errors.Is(err, errTruncated) {
		return reply{}, fmt.Errorf("%w, even over TCP: the name has more records than a message can hold; spread them over several names", err)
	}
	return r, err
}

func (x *exchanger) dial(ctx context.Context, s *nameserver) (net.Conn, error) {
	if x.transport != TLS {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.addr.String())
	}
	config := x.tls.Clone()
	if config.ServerName == "" {
		config.ServerName = s.addr.Addr().WithZone("").String()
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.addr.String())
}

// readFramed reads one message with its length before it (RFC 1035, section 4.2.2).
func readFramed(conn io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, fmt.Errorf("read the length of the reply: %w", err)
	}
	b := make([]byte, binary.BigEndian.Uint16(length[:]))
	if n, err := io.ReadFull(conn, b); err != nil {
		return nil, fmt.Errorf("read the reply, %d of %d bytes: %w", n, len(b), err)
	}
	return b, nil
}
