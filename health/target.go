package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/weirlb/weir/upstream"
)

// readLimit bounds what one probe reads of a server's answer.
const readLimit = 64 << 10

// A target is what all kinds of probers do alike: reach the server, introduce the connection if it is one, and end it.
type target struct {
	port   uint16      // 0 = the backend's
	header []byte      // the PROXY header; empty = none
	tls    *tls.Config // nil = plain
	local  net.Addr    // address to connect from; nil = the kernel's choice
}

func newTarget(p Params) (target, error) {
	header, err := proxyHeader(p.ProxyProtocol)
	if err != nil {
		return target{}, err
	}
	t := target{port: p.Port, header: header}
	if p.TLS != nil {
		t.tls = p.TLS.config()
	}
	return t, nil
}

func (o *TLS) config() *tls.Config {
	return &tls.Config{
		ServerName:         o.ServerName,
		RootCAs:            o.RootCAs,
		InsecureSkipVerify: o.InsecureSkipVerify || !o.Verify && o.RootCAs == nil,
		Certificates:       o.Certificates,
		NextProtos:         o.NextProtos,
	}
}

// proxyHeader returns the PROXY header of a connection that the proxy makes for itself
// (PROXY protocol 2.1 and 2.2: receivers take UNKNOWN and LOCAL for the real end points of the connection).
func proxyHeader(version int) ([]byte, error) {
	h := proxyproto.Header{Version: byte(version), Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	switch version {
	case 0:
		return nil, nil
	case 1:
		h.Command = proxyproto.PROXY // version 1 has no LOCAL; the unspecified transport makes it UNKNOWN
	case 2:
	default:
		return nil, fmt.Errorf("PROXY protocol version %d is not 1 or 2", version)
	}
	return h.Format()
}

// asked returns the address that is asked about the backend at addr.
func (t target) asked(addr netip.AddrPort) netip.AddrPort {
	if t.port == 0 {
		return addr
	}
	return netip.AddrPortFrom(addr.Addr(), t.port)
}

// visit connects, sends the PROXY header, sets up TLS, and lets talk have the conversation, all before ctx ends.
// The connection is closed with FIN unless talk called abort; after an error it is reset, so that nothing of it lingers
// towards a server that may never acknowledge.
func (t target) visit(ctx context.Context, addr netip.AddrPort, talk func(conn net.Conn) error) error {
	addr = t.asked(addr)
	// Probes are too short for keep-alive to matter; -1 saves its system calls.
	dialer := net.Dialer{KeepAlive: -1, LocalAddr: t.local}
	network, where := "tcp", addr.String()
	if path, ok := upstream.UnixPath(addr); ok {
		network, where = "unix", path
	}
	raw, err := dialer.DialContext(ctx, network, where)
	if err != nil {
		return fmt.Errorf("connect: %w", reason(err))
	}
	defer raw.Close()
	release, err := keepTo(ctx, raw)
	if err != nil {
		return err
	}
	defer release()
	if err := t.converse(raw, addr, talk); err != nil {
		abort(raw)
		return err
	}
	return nil
}

// keepTo makes every read and write of conn fail from the end of ctx on, be that its deadline or a cancellation, until release is called.
func keepTo(ctx context.Context, conn net.Conn) (release func() bool, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil
}

func (t target) converse(raw net.Conn, addr netip.AddrPort, talk func(conn net.Conn) error) error {
	if len(t.header) > 0 {
		if err := write(raw, "the PROXY header", t.header); err != nil {
			return err
		}
	}
	if t.tls == nil {
		return talk(raw)
	}
	config := t.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = addr.Addr().WithZone("").String() // never sent: SNI has no addresses (RFC 6066, section 3)
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("tls handshake: %w", reason(err))
	}
	if err := talk(conn); err != nil {
		return err
	}
	conn.Close() // tells the server with close_notify that nothing was cut off
	return nil
}

// encrypted is what a connection inside TLS tells of its handshake.
type encrypted interface {
	ConnectionState() tls.ConnectionState
}

// abort makes the coming close of a plain connection a reset, which leaves no socket in TIME_WAIT.
// Anything not yet acknowledged is lost, so it is for when the server has answered the last thing it was sent.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// drain ends the conversation and waits for the server to end it too, at most 64 KiB of last words and until the deadline.
// The server sees an orderly end. If its end comes first, as after a goodbye or a refusal it mostly does, abort spares both sides TIME_WAIT
// with nothing left to lose.
func drain(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if _, err := io.CopyN(io.Discard, conn, readLimit); err == io.EOF {
		abort(conn)
	}
}

// reason strips the addresses and call names that the standard library puts around an error: who logs it names the backend anyway.
func reason(err error) error {
	for {
		switch e := err.(type) {
		case *net.OpError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		default:
			return err
		}
	}
}

// write sends b, naming what it is in an error.
func write(conn net.Conn, what string, b []byte) error {
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("send %s: %w", what, reason(err))
	}
	return nil
}

// quoted returns what a server said for use in an error: escaped, and no more of it than a log line bears.
func quoted[T string | []byte](said T) string {
	const most = 128
	if len(said) > most {
		return fmt.Sprintf("%q...", said[:most])
	}
	return fmt.Sprintf("%q", said)
}
