package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// network carries packets and streams between the nodes of a test inside a bubble of virtual time. It loses and delays
// packets, and can be cut into parts. What it does to each packet follows from the seed.
type network struct {
	t *testing.T

	mu    sync.Mutex
	r     *rand.Rand
	ends  map[netip.AddrPort]*wireEnd
	parts map[netip.AddrPort]int // which part of a partition an address is in
	mute  map[oneWay]bool        // ways on which nothing arrives; true: only packets are lost
	hosts int
	loss  float64       // of packets
	delay time.Duration // of a packet: from this to twice that
	worst int           // bytes of the largest packet
}

// oneWay is the way from one address to another.
type oneWay struct{ from, to netip.AddrPort }

func newNetwork(t *testing.T, seed uint64) *network {
	return &network{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), delay: 500 * time.Microsecond,
		ends: map[netip.AddrPort]*wireEnd{}, parts: map[netip.AddrPort]int{}, mute: map[oneWay]bool{},
	}
}

// address returns one that nobody has.
func (n *network) address() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n.hosts >> 8), byte(n.hosts)}), DefaultPort)
}

// attach connects an address, in place of whoever had it before.
func (n *network) attach(addr netip.AddrPort) *wireEnd {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := &wireEnd{
		network: n, addr: addr, gone: make(chan struct{}),
		packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64),
	}
	n.ends[addr] = e
	return e
}

// cut puts addresses into a part of their own.
func (n *network) cut(part int, addrs ...netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, addr := range addrs {
		n.parts[addr] = part
	}
}

// silence closes the way from one address to another: for everything, which a stream needs both ways, or for packets only.
func (n *network) silence(from, to netip.AddrPort, packets bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute[oneWay{from, to}] = packets
}

// hear opens the way from one address to another again.
func (n *network) hear(from, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.mute, oneWay{from, to})
}

// heal opens all ways and ends all partitions and loss.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.parts)
	clear(n.mute)
	n.loss = 0
}

// lose makes the network lose a share of the packets.
func (n *network) lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// reach returns who is at an address, if the way there is open.
func (n *network) reach(from netip.AddrPort, to string, stream bool) *wireEnd {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		n.t.Errorf("sent to %q: %v", to, err)
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.parts[from] != n.parts[addr] || n.muted(from, addr, stream) {
		return nil
	}
	return n.ends[addr]
}

// muted reports whether a way is closed. The lock is held.
func (n *network) muted(from, to netip.AddrPort, stream bool) bool {
	packets, there := n.mute[oneWay{from, to}]
	if !stream {
		return there
	}
	only, back := n.mute[oneWay{to, from}]
	return there && !packets || back && !only
}

// fate returns how long a packet takes, and whether it arrives at all.
func (n *network) fate(size int) (time.Duration, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.worst = max(n.worst, size)
	return n.delay + time.Duration(n.r.Int64N(int64(n.delay)+1)), n.r.Float64() >= n.loss
}

// wireEnd is where one node is attached. It implements memberlist.NodeAwareTransport.
type wireEnd struct {
	network *network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	gone    chan struct{}
	once    sync.Once
}

func (e *wireEnd) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.Addr().AsSlice(), int(e.addr.Port()), nil
}

func (e *wireEnd) PacketCh() <-chan *memberlist.Packet { return e.packets }
func (e *wireEnd) StreamCh() <-chan net.Conn           { return e.streams }

func (e *wireEnd) WriteTo(b []byte, to string) (time.Time, error) {
	return e.WriteToAddress(b, memberlist.Address{Addr: to})
}

func (e *wireEnd) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	now := time.Now()
	delay, arrives := e.network.fate(len(b))
	if !arrives {
		return now, nil
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(e.addr)}
	time.AfterFunc(delay, func() {
		other := e.network.reach(e.addr, to.Addr, false)
		if other == nil {
			return
		}
		p.Timestamp = time.Now()
		select {
		case <-other.gone:
		case other.packets <- p:
		default: // its socket is full
		}
	})
	return now, nil
}

func (e *wireEnd) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return e.DialAddressTimeout(memberlist.Address{Addr: to}, timeout)
}

func (e *wireEnd) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	other := e.network.reach(e.addr, to.Addr, true)
	if other == nil {
		select {
		case <-time.After(timeout):
		case <-e.gone:
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no answer")}
	}
	here, there := net.Pipe()
	select {
	case <-other.gone:
	case other.streams <- there:
		return here, nil
	default:
	}
	return nil, errors.Join(fmt.Errorf("%s refuses connections", to.Addr), here.Close(), there.Close())
}

func (e *wireEnd) Shutdown() error {
	e.once.Do(func() {
		close(e.gone)
		e.network.mu.Lock()
		defer e.network.mu.Unlock()
		if e.network.ends[e.addr] == e {
			delete(e.network.ends, e.addr)
		}
	})
	for {
		select {
		case conn := <-e.streams:
			_ = conn.Close()
		default:
			return nil
		}
	}
}
