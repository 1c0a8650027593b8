package l7

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/weirlb/weir/internal/weirtest"
)

// healthServer is a server of gRPC with the service of health checks, of its library.
func healthServer(t *testing.T) (netip.AddrPort, *health.Server) {
	t.Helper()
	h, s := health.NewServer(), grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
	return ln.Addr().(*net.TCPAddr).AddrPort(), h
}

// webStream reads the frames of an answer.
type webStream struct {
	t testing.TB
	r io.Reader
}

// next is the next frame: a message, or trailers.
func (s *webStream) next() (message []byte, trailers string) {
	s.t.Helper()
	var start [5]byte
	if _, err := io.ReadFull(s.r, start[:]); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(start[1:]))
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.t.Fatal(err)
	}
	if start[0] == 0x80 {
		return nil, string(b)
	}
	return b, ""
}

// status wants the next frame to be a message with a status of health.
func (s *webStream) status(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
	s.t.Helper()
	b, trailers := s.next()
	var m grpc_health_v1.HealthCheckResponse
	if err := proto.Unmarshal(b, &m); err != nil || trailers != "" || m.Status != want {
		s.t.Errorf("%v, %v, %q; want %v", m.Status, err, trailers, want)
	}
}

// untexted decodes as browsers' libraries do: group by group, of which any may be padded.
type untexted struct {
	r    io.Reader
	left []byte
}

func (u *untexted) Read(b []byte) (int, error) {
	if len(u.left) == 0 {
		var group [4]byte
		if _, err := io.ReadFull(u.r, group[:]); err != nil {
			return 0, err
		}
		var err error
		if u.left, err = base64.StdEncoding.DecodeString(string(group[:])); err != nil {
			return 0, err
		}
	}
	n := copy(b, u.left)
	u.left = u.left[n:]
	return n, nil
}

// webCallTo calls a method of the service of health checks as a browser does.
func (b *bed) webCallTo(method, media, service string) (*http.Response, *webStream) {
	b.t.Helper()
	m, err := proto.Marshal(&grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		b.t.Fatal(err)
	}
	body := message(string(m))
	if strings.Contains(media, "text") {
		body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", "http://"+b.addr+"/grpc.health.v1.Health/"+method, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("X-Grpc-Web", "1")
	tr := &http.Transport{DisableCompression: true}
	b.t.Cleanup(tr.CloseIdleConnections)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { resp.Body.Close() })
	s := &webStream{b.t, resp.Body}
	if strings.Contains(media, "text") {
		s.r = &untexted{r: resp.Body}
	}
	return resp, s
}

// TestGRPCWebServer has a server of gRPC answer: a call, a call that fails, and a stream that lasts until the client leaves.
func TestGRPCWebServer(t *testing.T) {
	const serving, not = grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING
	for _, media := range []string{"application/grpc-web+proto", "application/grpc-web-text+proto"} {
		t.Run(media, func(t *testing.T) {
			addr, h := healthServer(t)
			b := newBed(t, setup{transport: Transport{HTTP2: OnlyHTTP2}, backends: []netip.AddrPort{addr}, middlewares: []*Middleware{GRPCWeb("web", nil)}})
			h.SetServingStatus("shop", serving)

			resp, s := b.webCallTo("Check", media, "shop")
			if got := resp.Header.Get("Content-Type"); got != media {
				t.Errorf("answered in %q", got)
			}
			s.status(serving)
			if _, trailers := s.next(); !strings.Contains(trailers, "grpc-status: 0\r\n") {
				t.Errorf("trailers %q", trailers)
			}
			if _, err := s.r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the trailers: %v", err)
			}

			// A call that fails has its status in the head or in trailers, as the server likes it.
			resp, s = b.webCallTo("Check", media, "nothing")
			status := "grpc-status: " + resp.Header.Get("Grpc-Status")
			if resp.Header.Get("Grpc-Status") == "" {
				_, status = s.next()
			}
			if !strings.Contains(status, "grpc-status: 5") {
				t.Errorf("status %q", status)
			}

			resp, s = b.webCallTo("Watch", media, "shop")
			s.status(serving)
			h.SetServingStatus("shop", not)
			s.status(not)
			resp.Body.Close()
			weirtest.Eventually(t, patience, func() bool { return b.pool.Backends()[0].Active() == 0 }, "the stream ends with its client")
		})
	}
}
