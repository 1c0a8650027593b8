package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// FlowSpec says what a UDP client does.
type FlowSpec struct {
	Addr      string // IPv4 address and port of the balancer
	Flows     int    // clients, each with an address or a port of its own
	InFlight  int    // datagrams of each flow under way; a multiple of a train
	Datagrams Datagrams
	// Window is how many datagrams are under way altogether, the flows in turn;
	// 0 is InFlight of each flow. It goes with InFlight 1.
	Window int
	// Sockets is how many share the flows; 0 means one for each flow. With
	// fewer than flows each flow has an address of its own instead, of those
	// of loopback, which makes one system call serve many of them.
	Sockets int
	// Renew makes a flow go on from another address after so many datagrams,
	// so that the balancer takes it for a new one; 0 never. On loopback only.
	Renew int
	// Open sends as fast as it goes, whatever comes back. InFlight is how
	// many of each flow are remembered then.
	Open bool
	// Rate sends so many datagrams in a second, the flows in turn, whatever comes
	// back; latencies count from when a datagram was to be sent. 0 is a closed
	// loop.
	Rate float64
	// Counter is the address at which the backend reports what it gets,
	// where nothing is answered.
	Counter  string
	Patience time.Duration // after which a datagram is given up as lost
	Warm     time.Duration // load before the measurement
	Duration time.Duration // of the measurement
	// Hold makes the client stop at one answer for each flow. Warm and
	// Duration mean nothing then.
	Hold bool
}

// Bounds of a FlowSpec.
const (
	maxFlows    = 65_536
	maxSockets  = 1024
	MaxInFlight = 65_536
)

// InFlightAt is how many datagrams of each flow may be under way at a rate, so that
// all that may be lost at once is remembered, with room for flows that are
// not divided evenly among clients.
func InFlightAt(rate float64, patience time.Duration, flows int) int {
	return int(2*rate*longestLoss*patience.Seconds()/float64(flows*remembered)) + 1
}

// longestLoss is after how many times the patience a datagram is given up at
// the latest: lost ones are looked for four times meanwhile.
const longestLoss = 1.25

// check reports a spec that makes no sense.
func (s FlowSpec) check() error {
	switch {
	case s.Flows <= 0 || s.Flows > maxFlows:
		return fmt.Errorf("%d flows: give 1 to %d", s.Flows, maxFlows)
	case s.sockets() > min(s.Flows, maxSockets) || s.Sockets < 0:
		return fmt.Errorf("%d sockets for %d flows: give 1 to %d", s.sockets(), s.Flows, min(s.Flows, maxSockets))
	case s.InFlight <= 0 || s.InFlight > MaxInFlight || s.InFlight%s.Datagrams.train() != 0:
		return fmt.Errorf("%d datagrams in flight: give 1 to %d, whole trains of %d", s.InFlight, MaxInFlight, s.Datagrams.train())
	case s.Window < 0 || s.Window > s.Flows || s.Window > 0 && (s.InFlight != 1 || s.Datagrams.train() > 1 || s.Hold || s.Open || s.Rate > 0):
		return fmt.Errorf("%d datagrams under way altogether: give up to one for each of %d flows, in a closed loop", s.Window, s.Flows)
	case s.Renew < 0:
		return fmt.Errorf("another address after %d datagrams", s.Renew)
	case s.Datagrams.OneWay != (s.Counter != ""):
		return errors.New("a counter is for datagrams that are not answered, which need one")
	case s.Patience <= 0 && !s.Open:
		return errors.New("no patience: say after what time a datagram is lost")
	case s.Datagrams.OneWay && (s.Open || s.Hold), s.Open && s.Hold:
		return errors.New("two ways to send at once")
	case s.Rate > 0 && (s.Datagrams.OneWay || s.Open || s.Hold || s.Datagrams.Train > 1):
		return errors.New("a rate is for single datagrams that are answered")
	case s.Rate*longestLoss*s.Patience.Seconds() > float64(s.Flows*s.InFlight*remembered):
		return fmt.Errorf("%.0f datagrams a second: %d flows with %d under way each do not hold what may be lost at once", s.Rate, s.Flows, s.InFlight)
	}
	if err := checkRate(s.Rate); err != nil {
		return err
	}
	return s.Datagrams.check()
}

func (s FlowSpec) sockets() int {
	if s.Sockets == 0 {
		return s.Flows
	}
	return s.Sockets
}

// spread reports that flows differ by their addresses.
func (s FlowSpec) spread() bool { return s.sockets() < s.Flows || s.Renew > 0 }

// The addresses of flows on loopback: 127.64.0.0/10.
const (
	firstSource = 127<<24 | 64<<16
	sources     = 1 << 22
)

// source is the address that a datagram of a flow comes from.
func (s FlowSpec) source(flow, number uint32) netip.Addr {
	place := flow
	if s.Renew > 0 {
		place += number / uint32(s.Renew) * uint32(s.Flows)
	}
	a := uint32(firstSource) + place%sources
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}
