package admin

import (
	"fmt"
	"strconv"
)

// udp is the protocol of what has flows instead of connections.
const udp = "udp"

// UDPStats counts the datagrams that passed something, and what became of its flows. How many flows there were and are,
// and their bytes, stand where those of connections do. Of a Service, Dropped has the datagrams whose service was known.
// Causes and reasons that are missing are 0.
type UDPStats struct {
	DatagramsIn  uint64            `json:"datagramsIn"`  // from clients, given to backends
	DatagramsOut uint64            `json:"datagramsOut"` // from backends, given to clients
	Dropped      map[string]uint64 `json:"dropped"`      // datagrams that went nowhere, both ways, by cause
	Moved        uint64            `json:"moved"`        // times that a flow went to another backend
	Ended        map[string]uint64 `json:"ended"`        // flows that ended, by reason as in the access log
}

// addUDP adds u to sum, which is made when it is first needed. A nil u counts nothing.
func addUDP(sum, u *UDPStats) *UDPStats {
	if u == nil {
		return sum
	}
	if sum == nil {
		sum = &UDPStats{Dropped: map[string]uint64{}, Ended: map[string]uint64{}}
	}
	sum.DatagramsIn += u.DatagramsIn
	sum.DatagramsOut += u.DatagramsOut
	sum.Moved += u.Moved
	for cause, n := range u.Dropped {
		sum.Dropped[cause] += n
	}
	for reason, n := range u.Ended {
		sum.Ended[reason] += n
	}
	return sum
}

// udpHeading names the cells of udpRow.
const udpHeading = "DATAGRAMS IN/OUT\tDROPPED\tMOVED"

// udpRow returns the cells of a table that tell of datagrams, and none of a nil u.
func udpRow(u *UDPStats) []string {
	if u == nil {
		return nil
	}
	return []string{
		fmt.Sprintf("%d/%d", u.DatagramsIn, u.DatagramsOut), strconv.FormatUint(totalOf(u.Dropped), 10),
		strconv.FormatUint(u.Moved, 10),
	}
}

// udpStatusRows returns what `weir status` says of UDP, nothing if no entrypoint serves it.
func udpStatusRows(s *Status) [][]string {
	if s.UDP == nil {
		return nil
	}
	rows := [][]string{
		{"flows", ofMax(s.Flows.Active, s.Flows.Max)},
		{"datagrams", fmt.Sprintf("%d in, %d out", s.UDP.DatagramsIn, s.UDP.DatagramsOut)},
	}
	rows = append(rows, reasonRows("dropped: ", s.UDP.Dropped)...)
	return append(rows, reasonRows("flows ended: ", s.UDP.Ended)...)
}
