package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"
)

// Kinds of Event.
const (
	Listening = "listening" // the server's Addrs are set
	Measuring = "measuring" // the client's warm-up is over
	Holding   = "holding"   // every connection of a holding client is open and silent
	Finished  = "finished"  // the client's Result is set
	Failed    = "failed"    // Error is set; Result as far as it goes
)

// Event is what a tool reports, one JSON object a line.
type Event struct {
	Kind   string
	Addrs  []string `json:",omitempty"`
	Result *Result  `json:",omitempty"`
	Error  string   `json:",omitempty"`
}

// holdLimit is how long a holding client may take to open its connections.
const holdLimit = time.Minute

// The tools below take their specification in JSON and report on out. A
// server ends when in does; a client keeps its connections, or sockets, open
// until then.

// ServerTool runs a Server for a ServerSpec.
func ServerTool(text string, in io.Reader, out io.Writer) error {
	return runServer(text, in, out, NewServer)
}

// EchoSpec says what a UDP backend does.
type EchoSpec struct {
	Datagrams Datagrams
	Addr      netip.Addr // where it listens, on a free port
}

// EchoTool runs an Echo for an EchoSpec.
func EchoTool(text string, in io.Reader, out io.Writer) error {
	return runServer(text, in, out, func(spec EchoSpec) (*Echo, error) { return NewEcho(spec.Datagrams, spec.Addr) })
}

// Iperf3ServerTool runs an Iperf3Server for an Iperf3ServerSpec.
func Iperf3ServerTool(text string, in io.Reader, out io.Writer) error {
	return runServer(text, in, out, NewIperf3Server)
}

// ClientTool runs a Client, or over TLS a Secure, for a ClientSpec.
func ClientTool(text string, in io.Reader, out io.Writer) error {
	return runClient(text, in, out, func(spec ClientSpec) (loop, bool, error) {
		if spec.TLS != nil && !spec.Hold {
			c, err := NewSecure(spec)
			return c, false, err
		}
		c, err := NewClient(spec)
		return c, spec.Hold, err
	})
}

// FlowsTool runs Flows for a FlowSpec.
func FlowsTool(text string, in io.Reader, out io.Writer) error {
	return runClient(text, in, out, func(spec FlowSpec) (loop, bool, error) {
		c, err := NewFlows(spec)
		return c, spec.Hold, err
	})
}

// StreamsTool runs Streams for a StreamSpec.
func StreamsTool(text string, in io.Reader, out io.Writer) error {
	return runClient(text, in, out, func(spec StreamSpec) (loop, bool, error) {
		c, err := NewStreams(spec)
		return c, false, err
	})
}

// OutsideTool runs Outside for an OutsideSpec.
func OutsideTool(text string, in io.Reader, out io.Writer) error {
	return runClient(text, in, out, func(spec OutsideSpec) (loop, bool, error) {
		c, err := NewOutside(spec)
		return c, false, err
	})
}

// server is a backend. Serve answers until stop is set.
type server interface {
	Addrs() []string
	Serve(stop *atomic.Bool) error
	Close()
}

// runServer runs the server that open makes of a specification.
func runServer[Spec any, S server](text string, in io.Reader, out io.Writer, open func(Spec) (S, error)) error {
	var spec Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the backend: %w", err)
	}
	s, err := open(spec)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := json.NewEncoder(out).Encode(Event{Kind: Listening, Addrs: s.Addrs()}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	stop, _ := untilEnd(in)
	return s.Serve(stop)
}

// runClient runs the client that open makes of a specification, or has it hold its
// connections silent.
func runClient[Spec any](text string, in io.Reader, out io.Writer, open func(Spec) (c loop, holds bool, err error)) error {
	var spec Spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the client: %w", err)
	}
	c, holds, err := open(spec)
	if err != nil {
		return err
	}
	defer c.Close()
	stop, ended := untilEnd(in)
	report := json.NewEncoder(out)
	if holds {
		return hold(c.(holder), stop, report)
	}
	return drive(c, stop, ended, report)
}

// drive runs a client under load.
func drive(c loop, stop *atomic.Bool, ended <-chan struct{}, report *json.Encoder) error {
	res, err := c.Run(stop, func() { report.Encode(Event{Kind: Measuring}) })
	if err != nil {
		report.Encode(Event{Kind: Failed, Error: err.Error(), Result: &res})
		return err
	}
	report.Encode(Event{Kind: Finished, Result: &res})
	<-ended
	return nil
}

// loop is a client under load. Run is called once, from any goroutine, and
// Close after it.
type loop interface {
	Run(stop *atomic.Bool, measuring func()) (Result, error)
	Close()
}

// holder is a client that keeps its connections, or flows, open and silent.
type holder interface {
	Hold(stop *atomic.Bool, limit time.Duration, holding func()) error
}

func hold(c holder, stop *atomic.Bool, report *json.Encoder) error {
	err := c.Hold(stop, holdLimit, func() { report.Encode(Event{Kind: Holding}) })
	if err != nil {
		report.Encode(Event{Kind: Failed, Error: err.Error()})
	}
	return err
}

// untilEnd returns a flag that is set, and then a channel that is closed, when
// in ends, which it does when the caller closes its end or dies.
func untilEnd(in io.Reader) (*atomic.Bool, <-chan struct{}) {
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		stop.Store(true)
		close(ended)
	}()
	return &stop, ended
}
