//go:build !notracing

package otlp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

const (
	grpcMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	grpcPrefix = 5 // before each message: whether it is compressed, and its length
)

// grpcSender makes unary calls (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
type grpcSender struct {
	url     string
	headers map[string]string
	client  *http.Client
}

func newGRPCSender(o Options) *grpcSender {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true) // for http URLs alone
	s := &grpcSender{url: o.URL + grpcMethod, headers: withAgent(o, "application/grpc"), client: newClient(o, p)}
	s.headers["Te"] = "trailers"
	return s
}

func (s *grpcSender) send(ctx context.Context, body []byte) (rejected int, err error) {
	message := make([]byte, grpcPrefix, grpcPrefix+len(body))
	binary.BigEndian.PutUint32(message[1:], uint32(len(body)))
	resp, text, err := post(ctx, s.client, s.url, s.headers, append(message, body...))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, refused(resp)
	}
	if err := verdict(resp); err != nil {
		return 0, err
	}
	if len(text) < grpcPrefix || text[0] != 0 {
		return 0, nil // compressed, which nobody has asked for, or nothing: it has taken them
	}
	return rejectedIn(text[grpcPrefix:]), nil
}

// passing are the codes after which the protocol has a client try again: cancelled, deadline exceeded, resource exhausted,
// aborted, out of range, unavailable, data loss.
var passing = []int{1, 4, 8, 10, 11, 14, 15}

// verdict is what a call has come to. A call that fails at once has its status in the header.
func verdict(resp *http.Response) error {
	text := resp.Trailer.Get("Grpc-Status")
	if text == "" {
		text = resp.Header.Get("Grpc-Status")
	}
	code, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return refusal{error: fmt.Errorf("the collector does not answer as gRPC does: grpc-status %q", text), final: true}
	case code != 0:
		said := resp.Trailer.Get("Grpc-Message") + resp.Header.Get("Grpc-Message")
		return refusal{error: fmt.Errorf("the collector answers with code %d: %.200q", code, said), final: !slices.Contains(passing, code)}
	}
	return nil
}
