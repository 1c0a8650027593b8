package main_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weirlb/weir/internal/weirtest"
)

// caller is a server of gRPC whose methods have no schema: each gets what it is sent as a stream.
type caller struct {
	*grpc.Server
	name   string
	addr   string
	health *health.Server
	calls  atomic.Int64
	began  chan string // calls of Wait
	ended  chan error  // and how they ended
}

func serveGRPC(t *testing.T, name string, o ...grpc.ServerOption) *caller {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &caller{name: name, addr: l.Addr().String(), health: health.NewServer(), began: make(chan string, 100), ended: make(chan error, 100)}
	s.Server = grpc.NewServer(append(o, grpc.UnknownServiceHandler(s.serve))...)
	healthpb.RegisterHealthServer(s.Server, s.health)
	s.health.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return s
}

func (s *caller) serve(_ any, stream grpc.ServerStream) error {
	s.calls.Add(1)
	method, _ := grpc.MethodFromServerStream(stream)
	in, _ := metadata.FromIncomingContext(stream.Context())
	first := new(wrapperspb.BytesValue)
	if err := stream.RecvMsg(first); err != nil {
		return err
	}
	if method == "/t/Down" && s.name == string(first.Value) {
		return status.Error(codes.Unavailable, "not now")
	}
	_ = stream.SetHeader(metadata.Pairs("x-server", s.name, "x-echo", strings.Join(in.Get("x-said"), ","), "bin-bin", "\x00\xff"))
	stream.SetTrailer(metadata.Pairs("x-after", s.name))
	switch method {
	case "/t/Echo":
		return stream.SendMsg(first)
	case "/t/Sum":
		sum := len(first.Value)
		for {
			more := new(wrapperspb.BytesValue)
			if err := stream.RecvMsg(more); err == io.EOF {
				return stream.SendMsg(wrapperspb.Bytes(fmt.Append(nil, sum)))
			} else if err != nil {
				return err
			}
			sum += len(more.Value)
		}
	case "/t/Count":
		n, _ := strconv.Atoi(string(first.Value))
		for i := range n {
			if err := stream.SendMsg(wrapperspb.Bytes(fmt.Append(nil, i))); err != nil {
				return err
			}
		}
		return nil
	case "/t/Bulk":
		n, _ := strconv.Atoi(string(first.Value))
		m := wrapperspb.Bytes(make([]byte, 1<<20))
		for range n {
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
		return nil
	case "/t/Chat":
		for m := first; ; {
			if err := stream.SendMsg(m); err != nil {
				return err
			}
			m = new(wrapperspb.BytesValue)
			if err := stream.RecvMsg(m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	case "/t/Wait":
		if len(first.Value) > 0 { // after a message of its own
			_ = stream.SendMsg(first)
		}
		s.began <- s.name
		<-stream.Context().Done()
		s.ended <- stream.Context().Err()
		return status.FromContextError(stream.Context().Err()).Err()
	case "/t/Down":
		return stream.SendMsg(first)
	}
	return status.Error(codes.NotFound, "nothing is here: möglich, 100%")
}

// dialGRPC is a client's one connection to weir.
func dialGRPC(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// invoke makes a call with one message each way.
func invoke(ctx context.Context, c *grpc.ClientConn, method, say string, o ...grpc.CallOption) (string, error) {
	out := new(wrapperspb.BytesValue)
	err := c.Invoke(ctx, method, wrapperspb.Bytes([]byte(say)), out, o...)
	return string(out.Value), err
}

// open makes a call with streams of messages.
func open(t *testing.T, ctx context.Context, c *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t *testing.T, s grpc.ClientStream, text string) {
	t.Helper()
	if err := s.SendMsg(wrapperspb.Bytes([]byte(text))); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next message, or how the call ended.
func hear(s grpc.ClientStream) (string, error) {
	m := new(wrapperspb.BytesValue)
	err := s.RecvMsg(m)
	return string(m.Value), err
}

// callSite is a configuration with servers of gRPC.
func callSite(balancer string, log string, servers ...*caller) string {
	var list []string
	for _, s := range servers {
		list = append(list, fmt.Sprintf(`{ url: "h2c://%s" }`, s.addr))
	}
	return fmt.Sprintf(`
accessLog: { path: %[4]s }
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    calls: { rule: "PathPrefix(%[1]s/t/%[1]s)", service: calls }
    again: { rule: "PathPrefix(%[1]s/t/Down%[1]s)", service: calls, middlewares: [ again ] }
  middlewares: { again: { retry: { attempts: 3 } } }
  services: { calls: { loadBalancer: { slowStart: 0s, servers: [ %[2]s ] %[3]s } } }
`, "`", strings.Join(list, ", "), balancer, log)
}

// TestGRPC has a client and servers of Google's library call each other through weir.
func TestGRPC(t *testing.T) {
	t.Parallel()
	a, b := serveGRPC(t, "a"), serveGRPC(t, "b")
	log := filepath.Join(t.TempDir(), "access.log")
	w := weirtest.Weir(t, callSite(", healthCheck: { type: grpc, service: shop, interval: 100ms }", log, a, b))
	awaitHealth(t, w, a.addr, "up")
	awaitHealth(t, w, b.addr, "up")
	c := dialGRPC(t, addressOf(t, w, "web"))
	ctx := t.Context()

	t.Run("unary", func(t *testing.T) {
		var head, trailer metadata.MD
		got, err := invoke(metadata.AppendToOutgoingContext(ctx, "x-said", "hello"), c, "/t/Echo", "text", grpc.Header(&head), grpc.Trailer(&trailer))
		if err != nil || got != "text" || head.Get("x-echo")[0] != "hello" || head.Get("bin-bin")[0] != "\x00\xff" || len(trailer.Get("x-after")) != 1 {
			t.Errorf("%q, %v, %v, %v", got, err, head, trailer)
		}
		big := strings.Repeat("x", 3<<20)
		if got, err := invoke(ctx, c, "/t/Echo", big); err != nil || got != big {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if got, err := invoke(ctx, c, "/t/Echo", ""); err != nil || got != "" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("balancing", func(t *testing.T) {
		byServer := map[string]int{}
		for range 20 {
			var head metadata.MD
			if _, err := invoke(ctx, c, "/t/Echo", "x", grpc.Header(&head)); err != nil {
				t.Fatal(err)
			}
			byServer[head.Get("x-server")[0]]++
		}
		if byServer["a"] != 10 || byServer["b"] != 10 {
			t.Errorf("calls on one connection went to %v", byServer)
		}
	})
	t.Run("streams", func(t *testing.T) {
		sum := open(t, ctx, c, "/t/Sum")
		for range 100 {
			say(t, sum, "12345")
		}
		_ = sum.CloseSend()
		if got, err := hear(sum); err != nil || got != "500" {
			t.Errorf("client stream: %q, %v", got, err)
		}
		count := open(t, ctx, c, "/t/Count")
		say(t, count, "1000")
		_ = count.CloseSend()
		n := 0
		for ; ; n++ {
			if got, err := hear(count); err == io.EOF {
				break
			} else if err != nil || got != strconv.Itoa(n) {
				t.Fatalf("server stream: %q, %v", got, err)
			}
		}
		if n != 1000 || count.Trailer().Get("x-after") == nil {
			t.Errorf("server stream: %d messages, %v", n, count.Trailer())
		}
		chat := open(t, ctx, c, "/t/Chat")
		for i := range 200 {
			say(t, chat, strconv.Itoa(i))
			if got, err := hear(chat); err != nil || got != strconv.Itoa(i) {
				t.Fatalf("both: %q, %v", got, err)
			}
		}
		_ = chat.CloseSend()
		if _, err := hear(chat); err != io.EOF {
			t.Errorf("both: ends by %v", err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		_, err := invoke(ctx, c, "/t/Nothing", "x")
		if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "nothing is here: möglich, 100%" {
			t.Errorf("%v", err)
		}
		if _, err := invoke(ctx, c, "/other/Method", "x"); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "no-route") {
			t.Errorf("%v", err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		s := open(t, ctx, c, "/t/Wait")
		say(t, s, "")
		on := a
		if waits(t, a, b) == "b" {
			on = b
		}
		cancel()
		if err := within(t, on.ended, "the server is told of the cancellation"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := invoke(ctx, c, "/t/Wait", ""); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
		waits(t, a, b)
	})
	for target, want := range map[string]int{"/t/Nothing": 5, "/other/Method": 12, "/t/Count": 0} {
		if r := awaitRequest(t, log, target); r.GRPCStatus == nil || *r.GRPCStatus != want || r.DownstreamStatus != 200 {
			t.Errorf("%s: the log says %+v", target, r)
		}
	}
}

// waits waits until one of two servers has a call of Wait, and says which.
func waits(t *testing.T, a, b *caller) string {
	t.Helper()
	select {
	case name := <-a.began:
		return name
	case name := <-b.began:
		return name
	case <-time.After(soon):
		t.Fatal("the call does not come")
	}
	return ""
}

// message is one of gRPC as it stands in a body.
func message(text string) []byte {
	payload := append([]byte{0x0a, byte(len(text))}, text...)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload))), payload...)
}

// TestGRPCDeadline has clients that do not look at the time themselves: it is weir that ends their calls.
func TestGRPCDeadline(t *testing.T) {
	t.Parallel()
	a := serveGRPC(t, "a")
	w := weirtest.Weir(t, callSite("", filepath.Join(t.TempDir(), "access.log"), a))
	url := "http://" + addressOf(t, w, "web") + "/t/Wait"
	for _, first := range []string{"", "begun"} {
		req, _ := http.NewRequest("POST", url, bytes.NewReader(message(first)))
		for name, value := range map[string]string{"Content-Type": "application/grpc+proto", "Te": "trailers", "grpc-timeout": "500m"} {
			req.Header.Set(name, value)
		}
		resp, err := plain2(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		// The server, which knows the deadline, may be the first to say that it has passed.
		said := func(name string) string { return cmp.Or(resp.Header.Get(name), resp.Trailer.Get(name)) }
		if resp.StatusCode != 200 || err != nil || said("grpc-status") != "4" || said("grpc-message") == "" || (len(body) > 0) != (first != "") {
			t.Errorf("%q: %d, %q, %v, %v, %v", first, resp.StatusCode, body, err, resp.Header, resp.Trailer)
		}
		within(t, a.ended, "the server is told")
	}
}

// TestGRPCServerDown has servers answer that they are not available, stop, and go for good.
func TestGRPCServerDown(t *testing.T) {
	t.Parallel()
	a, b := serveGRPC(t, "a"), serveGRPC(t, "b")
	w := weirtest.Weir(t, callSite(", passiveHealthCheck: { maxFailedAttempts: 20, ejectionTime: 1m, maxEjectionPercent: 100 }", filepath.Join(t.TempDir(), "access.log"), a, b))
	addr := addressOf(t, w, "web")
	c := dialGRPC(t, addr)
	ctx := t.Context()
	for range 10 { // a says that it is not available
		var head metadata.MD
		if _, err := invoke(ctx, c, "/t/Down", "a", grpc.Header(&head)); err != nil || head.Get("x-server")[0] != "b" {
			t.Fatalf("%v, %v", err, head)
		}
	}
	// Calls go on while a server stops as gRPC has it, and when it is gone.
	var load sync.WaitGroup
	stop := make(chan struct{})
	var done atomic.Int64
	for range 4 {
		c := dialGRPC(t, addr)
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := invoke(ctx, c, "/t/Echo", "text"); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	more := func() {
		n := done.Load()
		weirtest.Eventually(t, time.Minute, func() bool { return done.Load() > n+200 }, "calls are not answered")
	}
	more()
	a.GracefulStop()
	more()
	close(stop)
	load.Wait()
	b.Stop()
	if _, err := invoke(ctx, c, "/t/Echo", "text"); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "502 Bad Gateway (") {
		t.Errorf("%v", err)
	}
}

// TestGRPCPassiveHealth takes a server out that answers UNAVAILABLE, in the head of its answer or behind it.
func TestGRPCPassiveHealth(t *testing.T) {
	t.Parallel()
	a, b := serveGRPC(t, "a"), serveGRPC(t, "b")
	w := weirtest.Weir(t, strings.Replace(callSite(", passiveHealthCheck: { maxFailedAttempts: 3, ejectionTime: 1m }", filepath.Join(t.TempDir(), "access.log"), a, b), "middlewares: [ again ]", "", 1))
	c := dialGRPC(t, addressOf(t, w, "web"))
	for a.calls.Load() < 3 {
		_, _ = invoke(t.Context(), c, "/t/Down", "a")
	}
	weirtest.Eventually(t, soon, func() bool { return !backendAt(t, w, a.addr).EjectedUntil.IsZero() }, "the server that is not available is ejected")
	for range 40 {
		if _, err := invoke(t.Context(), c, "/t/Down", "a"); err != nil {
			t.Error(err)
		}
	}
	if n := a.calls.Load(); n != 3 {
		t.Errorf("a server that is not available got %d calls, want 3", n)
	}
}

// TestGRPCBulk moves a gigabyte on one call without the process growing by it.
func TestGRPCBulk(t *testing.T) {
	t.Parallel()
	a := serveGRPC(t, "a")
	w := weirtest.Weir(t, callSite("", filepath.Join(t.TempDir(), "access.log"), a))
	c := dialGRPC(t, addressOf(t, w, "web"))
	if _, err := invoke(t.Context(), c, "/t/Echo", "warm"); err != nil {
		t.Fatal(err)
	}
	before := residentKiB(t, w.PID())
	s := open(t, t.Context(), c, "/t/Bulk")
	say(t, s, "1024")
	_ = s.CloseSend()
	n, most := 0, 0
	for ; ; n++ {
		if n%64 == 0 {
			most = max(most, residentKiB(t, w.PID()))
		}
		if _, err := hear(s); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n != 1024 || most-before > 32<<10 {
		t.Errorf("%d messages; the process grew from %d to %d KiB", n, before, most)
	}
}

// TestGRPCOverTLS has TLS on both sides, and a health check that asks as calls do.
func TestGRPCOverTLS(t *testing.T) {
	t.Parallel()
	ca := weirtest.CA(t)
	back, front := ca.Server("app.test"), ca.Server("shop.test")
	pair, err := tls.LoadX509KeyPair(back.CertFile, back.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	a := serveGRPC(t, "a", grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints: { secure: { address: "127.0.0.1:0" } }
http:
  routers:  { all: { rule: "PathPrefix(%[1]s/%[1]s)", tls: {}, service: calls } }
  services: { calls: { loadBalancer: { servers: [ { url: "https://%[2]s" } ], healthCheck: { type: grpc, service: shop, interval: 100ms },
    serversTransport: { serverName: app.test, rootCAs: [ %[3]s ] } } } }
tls: { certificates: [ { certFile: %[4]s, keyFile: %[5]s } ] }
`, "`", a.addr, ca.File, front.CertFile, front.KeyFile))
	awaitHealth(t, w, a.addr, "up")
	c, err := grpc.NewClient("passthrough:///"+addressOf(t, w, "secure"), grpc.WithTransportCredentials(credentials.NewTLS(trusting(ca, "shop.test"))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if got, err := invoke(t.Context(), c, "/t/Echo", "text"); err != nil || got != "text" {
		t.Errorf("%q, %v", got, err)
	}
	a.health.SetServingStatus("shop", healthpb.HealthCheckResponse_NOT_SERVING)
	awaitHealth(t, w, a.addr, "down")
}
