package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// grpcProber calls grpc.health.v1.Health/Check (github.com/grpc/grpc/blob/master/doc/health-checking.md) over HTTP/2, in the clear with
// prior knowledge (RFC 9113, section 3.3) or inside TLS. The conversation is one stream on a connection of its own, so it is written and read
// in order on the caller's goroutine; a client that serves many streams would need one of its own to read.
type grpcProber struct {
	target target
	host   string // empty: the address asked
	scheme string
	call   []byte // the request's message with its prefix
}

const (
	grpcPath        = "/grpc.health.v1.Health/Check"
	grpcStream      = 1        // the first a client opens
	grpcFrameLimit  = 16 << 10 // of a frame's payload: the smallest that HTTP/2 lets an endpoint demand (RFC 9113, section 6.5.2)
	grpcHeaderLimit = 16 << 10 // of the fields of one header block, as SETTINGS_MAX_HEADER_LIST_SIZE counts them
	grpcBodyLimit   = 4 << 10  // a response has two bytes and a prefix of five
	grpcNameLimit   = 1 << 10  // of a service's name, in bytes
)

func newGRPC(t target, p Params) (Prober, error) {
	o := p.GRPC
	if len(o.Service) > grpcNameLimit {
		return nil, fmt.Errorf("service name is longer than %d bytes", grpcNameLimit)
	}
	if err := validHost(o.Host); err != nil {
		return nil, err
	}
	g := grpcProber{target: t, host: o.Host, scheme: "http", call: grpcRequest(o.Service)}
	if t.tls != nil {
		g.scheme = "https"
		t.tls.NextProtos = []string{http2.NextProtoTLS}
		if t.tls.ServerName == "" {
			t.tls.ServerName = hostname(o.Host)
		}
	}
	return g, nil
}

func (p grpcProber) Probe(ctx context.Context, addr netip.AddrPort) error {
	host := p.host
	if host == "" {
		host = p.target.asked(addr).String()
	}
	return p.target.visit(ctx, addr, func(conn net.Conn) error { return p.talk(conn, host) })
}

func (p grpcProber) talk(conn net.Conn, host string) error {
	if secure, ok := conn.(encrypted); ok && secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return errors.New("the server did not agree to HTTP/2 in the TLS handshake")
	}
	request, err := p.request(host)
	if err != nil {
		return err
	}
	if err := write(conn, "the request", request); err != nil {
		return err
	}
	answer, err := hear(conn)
	if err != nil {
		return err
	}
	if err := answer.judge(); err != nil {
		return err
	}
	var goodbye bytes.Buffer
	_ = http2.NewFramer(&goodbye, nil).WriteGoAway(0, http2.ErrCodeNo, nil)
	if _, err := conn.Write(goodbye.Bytes()); err == nil { // it has answered: whether it hears this does not matter
		drain(conn)
	}
	return nil
}

// request returns all that the client says: the preface, its settings and the call. Nothing the server might say first could change it: what
// its settings bound by default is far above the size of a call.
func (p grpcProber) request(host string) ([]byte, error) {
	var block, out bytes.Buffer
	fields := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: p.scheme},
		{Name: ":path", Value: grpcPath},
		{Name: ":authority", Value: host},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "weir"},
	} {
		if err := fields.WriteField(f); err != nil {
			return nil, err
		}
	}
	out.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&out, nil)
	err := errors.Join(
		fr.WriteSettings(
			http2.Setting{ID: http2.SettingEnablePush, Val: 0},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: grpcHeaderLimit}),
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: grpcStream, BlockFragment: block.Bytes(), EndHeaders: true}),
		fr.WriteData(grpcStream, true, p.call),
	)
	return out.Bytes(), err
}

// hear reads frames until the answer is complete, at most readLimit bytes, and gives the server what it may ask for meanwhile.
func hear(conn net.Conn) (grpcAnswer, error) {
	fr := http2.NewFramer(conn, io.LimitReader(conn, readLimit))
	fr.SetMaxReadFrameSize(grpcFrameLimit)
	fr.MaxHeaderListSize = grpcHeaderLimit
	fr.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil) // the table a server may fill unless a setting says otherwise
	var answer grpcAnswer
	for !answer.complete {
		frame, err := fr.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return answer, fmt.Errorf("read the response: ended, or over %d bytes, before the answer was complete: %w", readLimit, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return answer, fmt.Errorf("read the response: %w", reason(err))
		}
		if err := acknowledge(fr, frame); err != nil {
			return answer, fmt.Errorf("acknowledge: %w", reason(err))
		}
		if err := answer.take(frame); err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// acknowledge answers the frames that a peer must answer.
func acknowledge(fr *http2.Framer, frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return fr.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return fr.WritePing(true, f.Data)
		}
	}
	return nil
}

// grpcAnswer is a response as far as it has come.
type grpcAnswer struct {
	status      string // of HTTP; empty = the head has not come
	contentType string
	body        []byte
	code        string // grpc-status
	message     string // grpc-message, escaped as it came
	complete    bool
}

// take takes one frame in. Frames that say nothing about the call are passed over.
func (a *grpcAnswer) take(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo || f.LastStreamID < grpcStream {
			return fmt.Errorf("the server went away: %v %s", f.ErrCode, quoted(f.DebugData()))
		}
	case *http2.RSTStreamFrame:
		if f.StreamID == grpcStream {
			return fmt.Errorf("the server reset the call: %v", f.ErrCode)
		}
	case *http2.PushPromiseFrame:
		return errors.New("the server pushes, which it was told not to")
	case *http2.MetaHeadersFrame:
		if f.StreamID != grpcStream {
			return fmt.Errorf("response on stream %d, which was never opened", f.StreamID)
		}
		return a.takeHeaders(f)
	case *http2.DataFrame:
		if f.StreamID != grpcStream {
			return fmt.Errorf("data on stream %d, which was never opened", f.StreamID)
		}
		if a.status == "" {
			return errors.New("data before the response's head")
		}
		if len(a.body)+len(f.Data()) > grpcBodyLimit {
			return fmt.Errorf("the response is longer than %d bytes", grpcBodyLimit)
		}
		a.body = append(a.body, f.Data()...)
		a.complete = f.StreamEnded()
	}
	return nil
}

// takeHeaders takes the head or the trailers in, or both in one where there is no message.
func (a *grpcAnswer) takeHeaders(f *http2.MetaHeadersFrame) error {
	if f.Truncated {
		return fmt.Errorf("response fields of more than %d bytes", grpcHeaderLimit)
	}
	if a.status == "" {
		status := f.PseudoValue("status")
		switch {
		case len(status) != 3:
			return fmt.Errorf("response without a proper status: %s", quoted(status))
		case status[0] == '1' && !f.StreamEnded():
			return nil // interim
		}
		a.status = status
	}
	for _, field := range f.RegularFields() {
		switch field.Name {
		case "content-type":
			a.contentType = field.Value
		case "grpc-status":
			a.code = field.Value
		case "grpc-message":
			a.message = field.Value
		}
	}
	a.complete = f.StreamEnded()
	return nil
}

// judge returns nil if the answer is that the service serves.
func (a *grpcAnswer) judge() error {
	switch {
	case a.status != "200":
		return fmt.Errorf("status %s", quoted(a.status))
	case !strings.HasPrefix(a.contentType, "application/grpc"):
		return fmt.Errorf("not gRPC: content type %s", quoted(a.contentType))
	case a.code == "":
		return errors.New("not gRPC: no grpc-status")
	case a.code != "0":
		return fmt.Errorf("gRPC status %s: %s", grpcCode(a.code), quoted(a.message))
	}
	status, err := parseGRPCResponse(a.body)
	if err != nil {
		return err
	}
	if status != grpcServing {
		return fmt.Errorf("the service is %s", servingName(status))
	}
	return nil
}
