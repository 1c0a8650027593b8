package health

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
)

// udpProber sends one datagram and waits for one that contains what is expected.
//
// Silence is a failure: without a connection, a server that is dead, one that is cut off and one that has nothing to say look
// alike. Where nothing listens, the machine says so with ICMP, and the probe fails at once.
type udpProber struct {
	target   target
	exchange Exchange
}

func newUDP(t target, p Params) (Prober, error) {
	t, err := newDatagramTarget(t, p.ProxyProtocol)
	if err != nil {
		return nil, err
	}
	for what, payload := range map[string][]byte{"sent": p.Exchange.Send, "expected": p.Exchange.Expect} {
		if len(payload) > datagramLimit {
			return nil, fmt.Errorf("what is %s is longer than a datagram, %d bytes", what, datagramLimit)
		}
	}
	return udpProber{target: t, exchange: p.Exchange}, nil
}

func (p udpProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	return p.target.correspond(ctx, addr, p.talk)
}

func (p udpProber) talk(conn net.Conn) error {
	if err := write(conn, "the request", p.exchange.Send); err != nil {
		return err
	}
	return awaitDatagram(conn, datagramLimit, p.accept)
}

func (p udpProber) accept(datagram []byte) error {
	if !bytes.Contains(datagram, p.exchange.Expect) {
		return fmt.Errorf("no %s in %s", quoted(p.exchange.Expect), quoted(datagram))
	}
	return nil
}
