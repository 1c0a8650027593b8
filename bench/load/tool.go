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

// ServerTool runs a Server for the ServerSpec given in JSON, reports on out,
// and ends when in does.
func ServerTool(text string, in io.Reader, out io.Writer) error {
	var spec ServerSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the server: %w", err)
	}
	s, err := NewServer(spec)
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

// ClientTool runs a Client for the ClientSpec given in JSON, reports on out,
// and keeps its connections open until in ends.
func ClientTool(text string, in io.Reader, out io.Writer) error {
	var spec ClientSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the client: %w", err)
	}
	report := json.NewEncoder(out)
	stop, ended := untilEnd(in)
	if spec.Hold {
		c, err := NewClient(spec)
		if err != nil {
			return err
		}
		defer c.Close()
		return hold(c, stop, report)
	}
	c, err := newLoop(spec)
	if err != nil {
		return err
	}
	defer c.Close()
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

// EchoSpec says what a UDP backend does.
type EchoSpec struct {
	Datagrams Datagrams
	Addr      netip.Addr // where it listens, on a free port
}

// EchoTool runs an Echo for the EchoSpec given in JSON, reports on out, and
// ends when in does.
func EchoTool(text string, in io.Reader, out io.Writer) error {
	var spec EchoSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the backend: %w", err)
	}
	e, err := NewEcho(spec.Datagrams, spec.Addr)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := json.NewEncoder(out).Encode(Event{Kind: Listening, Addrs: []string{e.Addr().String()}}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	stop, _ := untilEnd(in)
	return e.Serve(stop)
}

// FlowsTool runs Flows for the FlowSpec given in JSON, reports on out, and
// keeps its sockets open until in ends.
func FlowsTool(text string, in io.Reader, out io.Writer) error {
	var spec FlowSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the client: %w", err)
	}
	c, err := NewFlows(spec)
	if err != nil {
		return err
	}
	defer c.Close()
	report := json.NewEncoder(out)
	stop, ended := untilEnd(in)
	if spec.Hold {
		return hold(c, stop, report)
	}
	return drive(c, stop, ended, report)
}

// StreamsTool runs Streams for the StreamSpec given in JSON, and reports on
// out.
func StreamsTool(text string, in io.Reader, out io.Writer) error {
	var spec StreamSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the client: %w", err)
	}
	c, err := NewStreams(spec)
	if err != nil {
		return err
	}
	defer c.Close()
	stop, ended := untilEnd(in)
	return drive(c, stop, ended, json.NewEncoder(out))
}

// OutsideTool runs Outside for the OutsideSpec given in JSON, and reports on
// out.
func OutsideTool(text string, in io.Reader, out io.Writer) error {
	var spec OutsideSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the client: %w", err)
	}
	c, err := NewOutside(spec)
	if err != nil {
		return err
	}
	defer c.Close()
	stop, ended := untilEnd(in)
	return drive(c, stop, ended, json.NewEncoder(out))
}

// Iperf3ServerTool runs an Iperf3Server for the Iperf3ServerSpec given in
// JSON, reports on out, and ends when in does.
func Iperf3ServerTool(text string, in io.Reader, out io.Writer) error {
	var spec Iperf3ServerSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return fmt.Errorf("specification of the backend: %w", err)
	}
	s, err := NewIperf3Server(spec)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := json.NewEncoder(out).Encode(Event{Kind: Listening, Addrs: []string{s.Addr()}}); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	stop, _ := untilEnd(in)
	return s.Serve(stop)
}

// loop is a client under load. Run is called once, from any goroutine, and
// Close after it.
type loop interface {
	Run(stop *atomic.Bool, measuring func()) (Result, error)
	Close()
}

func newLoop(spec ClientSpec) (loop, error) {
	if spec.TLS != nil {
		return NewSecure(spec)
	}
	return NewClient(spec)
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
