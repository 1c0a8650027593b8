package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// tcpProber connects, and says and hears an Exchange if there is one.
//
// Without one it resets the connection as soon as it stands. Some servers hold that against their client: MySQL and MariaDB
// block it after max_connect_errors such visits. They want the mysql prober.
type tcpProber struct {
	target   target
	exchange Exchange
}

func newTCP(t target, p Params) (Prober, error) {
	if len(p.Exchange.Expect) > readLimit {
		return nil, fmt.Errorf("what is expected is longer than the %d bytes that are read", readLimit)
	}
	return tcpProber{target: t, exchange: p.Exchange}, nil
}

// newTLS returns a tcp prober that handshakes: a server that refuses the handshake does not serve.
func newTLS(t target, p Params) (Prober, error) {
	if t.tls == nil {
		t.tls = new(TLS).config()
	}
	return newTCP(t, p)
}

func (p tcpProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.visit(ctx, addr, p.talk)
}

func (p tcpProber) talk(conn net.Conn) error {
	if len(p.exchange.Send) > 0 {
		if err := write(conn, "the request", p.exchange.Send); err != nil {
			return err
		}
	}
	if len(p.exchange.Expect) > 0 {
		if err := expect(conn, p.exchange.Expect); err != nil {
			return err
		}
		abort(conn)
		return nil
	}
	if len(p.exchange.Send) == 0 && len(p.target.header) == 0 {
		abort(conn)
	}
	return nil // what was sent would be lost by a reset
}

// expect reads until want occurs, at most 64 KiB.
func expect(r io.Reader, want []byte) error {
	var got []byte
	chunk := make([]byte, 4096)
	for len(got) < readLimit {
		n, err := r.Read(chunk)
		// Only the end of what was searched before can be the beginning of a match now.
		from := max(0, len(got)-len(want)+1)
		got = append(got, chunk[:n]...)
		if bytes.Contains(got[from:], want) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("closed without %s, having sent %s", quoted(want), quoted(got))
		}
		if err != nil {
			return fmt.Errorf("wait for %s after %s: %w", quoted(want), quoted(got), reason(err))
		}
	}
	return fmt.Errorf("no %s in the first %d bytes, which begin with %s", quoted(want), len(got), quoted(got))
}
