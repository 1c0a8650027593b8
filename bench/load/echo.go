package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Echo is the backend of a UDP measurement, on the goroutine that calls
// Serve. It sends back what comes, or counts it.
type Echo struct {
	kind     Datagrams
	fd       int
	addr     netip.AddrPort
	poll     *poller
	in, out  *batch
	script   *script
	flows    []arrivals
	counted  report
	reporter *unix.RawSockaddrInet4 // who wants reports; nil is nobody
}

// NewEcho listens on a free port of an IPv4 address, which may be the
// unspecified one.
func NewEcho(kind Datagrams, at netip.Addr) (*Echo, error) {
	if err := kind.check(); err != nil {
		return nil, err
	}
	if !at.Is4() {
		return nil, fmt.Errorf("address of the backend: %s is not IPv4", at)
	}
	fd, addr, err := listenUDP(at)
	if err != nil {
		return nil, err
	}
	poll, err := newPoller()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	room := kind.size()
	if kind.train() > 1 {
		room = maxBytes
		err = joinTrains(fd)
	}
	e := &Echo{
		kind: kind, fd: fd, addr: addr, poll: poll, in: newBatch(room + 1), out: newBatch(reportSize),
		script: newScript(kind, 0),
	}
	if err == nil {
		err = poll.add(fd, false)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// Addrs is the address where it listens.
func (e *Echo) Addrs() []string { return []string{e.addr.String()} }

// Close closes the socket.
func (e *Echo) Close() {
	unix.Close(e.fd)
	e.poll.close()
}

// Serve answers until stop is set, which it notices within 100 ms.
func (e *Echo) Serve(stop *atomic.Bool) error {
	for !stop.Load() {
		if _, err := e.poll.wait(100 * time.Millisecond); err != nil {
			return err
		}
		for n := batchSize; n == batchSize && !stop.Load(); {
			var err error
			if n, err = e.in.receive(e.fd); err != nil {
				return err
			}
			if err = e.serve(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve does what is to be done with a batch.
func (e *Echo) serve(n int) error {
	if n == 0 {
		return nil
	}
	if e.kind.OneWay {
		return e.count(n)
	}
	if e.kind.DNS {
		for i := range n {
			for b := range e.in.arrival(i).datagrams {
				answerQuery(b)
			}
		}
	}
	e.in.turnRound()
	return e.in.send(e.fd)
}

// count enters a batch and reports.
func (e *Echo) count(n int) error {
	for i := range n {
		for b := range e.in.arrival(i).datagrams {
			if bytes.Equal(b, []byte(hail)) {
				reporter := *e.in.from(i)
				e.reporter = &reporter
				continue
			}
			e.note(b)
		}
	}
	if e.reporter == nil {
		return nil
	}
	e.counted.put(e.out.add(reportSize, e.reporter, netip.Addr{}, 0))
	return e.out.send(e.fd)
}

// note enters one datagram.
func (e *Echo) note(b []byte) {
	flow, number, err := e.script.read(b)
	if err != nil || flow >= maxFlows {
		e.counted.Wrong++
		return
	}
	for int(flow) >= len(e.flows) {
		e.flows = append(e.flows, make([]arrivals, 1024)...)
	}
	switch e.flows[flow].note(number) {
	case duplicate:
		e.counted.Double++
		return
	case overtaken:
		e.counted.Overtaken++
	}
	e.counted.Good++
}

// hail is the datagram that asks a counting backend for its reports. It gets
// one at once, and one after every batch that has come.
const hail = "report"

// report is what a counting backend has got since its start.
type report struct {
	Good      uint64 // the first of each number
	Wrong     uint64 // that nobody sent
	Double    uint64 // of a number that had come already
	Overtaken uint64 // those of the good ones that came behind a later one
}

const reportSize = 4 * 8

// total is everything that has come.
func (r report) total() uint64 { return r.Good + r.Wrong + r.Double }

func (r report) put(b []byte) {
	for i, n := range []uint64{r.Good, r.Wrong, r.Double, r.Overtaken} {
		binary.BigEndian.PutUint64(b[8*i:], n)
	}
}

func readReport(b []byte) (r report, ok bool) {
	if len(b) != reportSize {
		return r, false
	}
	for i, n := range []*uint64{&r.Good, &r.Wrong, &r.Double, &r.Overtaken} {
		*n = binary.BigEndian.Uint64(b[8*i:])
	}
	return r, true
}
