package cluster

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxInbound is how many connections to this node are open at a time. Those beyond are closed at once.
	maxInbound = 64
	// maxUnread bounds what all of them have sent that has not been authenticated yet, in bytes: a message is read as a whole
	// before its key is known.
	maxUnread = 4 * MaxMessage
)

var errUnread = errors.New("too much has been sent over all connections of the cluster at once")

// tap is between the membership layer and the network. It counts, bounds what strangers can occupy, and gives each stream
// that this node opens a deadline, which the membership layer forgets for messages of its user.
type tap struct {
	memberlist.NodeAwareTransport
	timeout time.Duration
	packets chan *memberlist.Packet
	streams chan net.Conn
	closing chan struct{} // closed first: what still comes in is for nobody
	stop    chan struct{}
	pump    sync.WaitGroup
	once    sync.Once

	inbound  atomic.Int64
	unread   atomic.Int64
	turned   atomic.Uint64 // connections that were closed at once
	sent     traffic
	received traffic
}

// traffic is counted in one direction.
type traffic struct{ packets, packetBytes, streams, streamBytes atomic.Uint64 }

// listen opens the sockets of a node.
func listen(bind netip.AddrPort, logger *log.Logger) (*memberlist.NetTransport, error) {
	config := &memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().Unmap().String()}, BindPort: int(bind.Port()), Logger: logger,
	}
	// A port that is free for TCP need not be free for UDP, so a random one is tried more than once.
	tries := 1
	if bind.Port() == 0 {
		tries = 10
	}
	var err error
	for range tries {
		var t *memberlist.NetTransport
		if t, err = memberlist.NewNetTransport(config); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("cluster: %w", err)
}

func newTap(inner memberlist.NodeAwareTransport, timeout time.Duration) *tap {
	t := &tap{
		NodeAwareTransport: inner,
		timeout:            timeout,
		packets:            make(chan *memberlist.Packet),
		streams:            make(chan net.Conn),
		closing:            make(chan struct{}),
		stop:               make(chan struct{}),
	}
	t.pump.Go(t.run)
	return t
}

// run passes on what comes in. It goes on while the transport below shuts down, which waits until its last packet is taken.
func (t *tap) run() {
	for {
		select {
		case p := <-t.NodeAwareTransport.PacketCh():
			t.received.packets.Add(1)
			t.received.packetBytes.Add(uint64(len(p.Buf)))
			select {
			case t.packets <- p:
			case <-t.closing:
			}
		case conn := <-t.NodeAwareTransport.StreamCh():
			t.accept(conn)
		case <-t.stop:
			return
		}
	}
}

// accept passes a connection on, if there is room.
func (t *tap) accept(conn net.Conn) {
	if t.inbound.Load() >= maxInbound {
		t.turned.Add(1)
		_ = conn.Close()
		return
	}
	t.inbound.Add(1)
	t.received.streams.Add(1)
	counted := &inboundConn{Conn: conn, tap: t}
	select {
	case t.streams <- counted:
	case <-t.closing:
		_ = counted.Close()
	}
}

// PacketCh implements memberlist.Transport.
func (t *tap) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *tap) StreamCh() <-chan net.Conn { return t.streams }

// WriteTo implements memberlist.Transport.
func (t *tap) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *tap) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	t.sent.packets.Add(1)
	t.sent.packetBytes.Add(uint64(len(b)))
	return t.NodeAwareTransport.WriteToAddress(b, to)
}

// DialTimeout implements memberlist.Transport.
func (t *tap) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *tap) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := t.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(t.timeout)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	t.sent.streams.Add(1)
	return &outboundConn{Conn: conn, tap: t}, nil
}

// Shutdown implements memberlist.Transport.
func (t *tap) Shutdown() (err error) {
	t.once.Do(func() {
		close(t.closing)
		err = t.NodeAwareTransport.Shutdown()
		close(t.stop)
		t.pump.Wait()
	})
	return err
}

// inboundConn is a connection from another node, or from anybody.
type inboundConn struct {
	net.Conn
	tap  *tap
	held atomic.Int64
	once sync.Once
}

// Read implements net.Conn.
func (c *inboundConn) Read(b []byte) (int, error) {
	if c.tap.unread.Load() >= maxUnread {
		return 0, errUnread
	}
	n, err := c.Conn.Read(b)
	c.held.Add(int64(n))
	c.tap.unread.Add(int64(n))
	c.tap.received.streamBytes.Add(uint64(n))
	return n, err
}

// Write implements net.Conn.
func (c *inboundConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.tap.sent.streamBytes.Add(uint64(n))
	return n, err
}

// Close implements net.Conn.
func (c *inboundConn) Close() error {
	c.once.Do(func() {
		c.tap.unread.Add(-c.held.Load())
		c.tap.inbound.Add(-1)
	})
	return c.Conn.Close()
}

// outboundConn is a connection to another node.
type outboundConn struct {
	net.Conn
	tap *tap
}

// Read implements net.Conn.
func (c *outboundConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.received.streamBytes.Add(uint64(n))
	return n, err
}

// Write implements net.Conn.
func (c *outboundConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.tap.sent.streamBytes.Add(uint64(n))
	return n, err
}
