package load

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// Hello returns what a Go client sends first to the named TLS server: one
// record with its ClientHello.
//
// A balancer that passes TLS through reads this record, picks a backend and
// relays; it does not care whether the answer is TLS. So it is all that a
// measurement of passthrough needs, and leaves out the handshake, which costs
// both ends more than the balancer.
func Hello(name string) ([]byte, error) {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		// It fails when the pipe closes, after the hello has been read.
		tls.Client(client, &tls.Config{ServerName: name}).Handshake()
		client.Close()
	}()
	const header = 5 // type, version, length (RFC 8446, 5.1)
	hello := make([]byte, header)
	if _, err := io.ReadFull(server, hello); err != nil {
		return nil, fmt.Errorf("make a ClientHello: %w", err)
	}
	hello = append(hello, make([]byte, binary.BigEndian.Uint16(hello[3:]))...)
	if _, err := io.ReadFull(server, hello[header:]); err != nil {
		return nil, fmt.Errorf("make a ClientHello: %w", err)
	}
	return hello, nil
}
