package health

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weirlb/weir/internal/weirtest"
)

// healthService is a gRPC server with nothing but the health service: what it says of each service it knows.
type healthService map[string]byte

func (s healthService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Te") != "trailers" || len(body) < grpcPrefix {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/grpc+proto")
	fail := func(code, message string) {
		w.Header().Set("Grpc-Status", code)
		w.Header().Set("Grpc-Message", message)
	}
	if r.URL.Path != "/grpc.health.v1.Health/Check" {
		fail("12", "unknown method")
		return
	}
	name := ""
	if message := body[grpcPrefix:]; len(message) > 2 { // field 1, a length below 128
		name = string(message[2:])
	}
	if name == "authority" {
		fail("7", r.Host)
		return
	}
	status, ok := s[name]
	if !ok {
		fail("5", "unknown service")
		return
	}
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, status})
	w.Header().Set("Grpc-Status", "0")
}

// serveHTTP2 runs a server that speaks HTTP/2 alone, in the clear unless it has a TLS configuration, and returns its address.
func serveHTTP2(t *testing.T, h http.Handler, encrypt *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	quiet := log.New(io.Discard, "", 0) // some clients are meant to fail
	server := &http.Server{Handler: h, Protocols: protocols, TLSConfig: encrypt, ErrorLog: quiet}
	done := make(chan error, 1)
	go func() {
		if encrypt != nil {
			done <- server.ServeTLS(listener, "", "")
			return
		}
		done <- server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return listener.Addr().String()
}

func TestGRPC(t *testing.T) {
	addr := serveHTTP2(t, healthService{"": 1, "orders": 1, "stock": 2, "new": 0, "gone": 3, "odd": 9}, nil)
	other := serveHTTP2(t, http.NotFoundHandler(), nil)
	html := serveHTTP2(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), nil)
	tests := []struct {
		name, addr string
		o          GRPC
		want       string
	}{
		{"the server", addr, GRPC{}, ""},
		{"a service", addr, GRPC{Service: "orders"}, ""},
		{"not serving", addr, GRPC{Service: "stock"}, "NOT_SERVING"},
		{"unknown state", addr, GRPC{Service: "new"}, "the service is UNKNOWN"},
		{"service unknown", addr, GRPC{Service: "gone"}, "SERVICE_UNKNOWN"},
		{"a state of the future", addr, GRPC{Service: "odd"}, "unknown state 9"},
		{"not found", addr, GRPC{Service: "nothing"}, `5 (NOT_FOUND: no such service): "unknown service"`},
		{"authority is the address", addr, GRPC{Service: "authority"}, addr},
		{"authority", addr, GRPC{Service: "authority", Host: "shop.test:443"}, `"shop.test:443"`},
		{"another server", other, GRPC{}, `status "404"`},
		{"a page", html, GRPC{}, "not gRPC: content type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "grpc", Params{GRPC: tt.o}), tt.addr), tt.want)
		})
	}
}

func TestGRPCOverTLS(t *testing.T) {
	ca, stranger := weirtest.CA(t), weirtest.CA(t)
	serving := healthService{"": 1}
	cert := []tls.Certificate{ca.Server("shop.test").TLS}
	addr := serveHTTP2(t, serving, &tls.Config{Certificates: cert})
	mutual := serveHTTP2(t, serving, &tls.Config{Certificates: cert, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})
	old := weirtest.ServeTLS(t, ca.Server("shop.test"), weirtest.Silent)
	plain := serveHTTP2(t, serving, nil)
	tests := []struct {
		name, addr string
		p          Params
		want       string
	}{
		{"not verified", addr, Params{TLS: &TLS{}}, ""},
		{"verified", addr, Params{TLS: &TLS{ServerName: "shop.test", RootCAs: ca.Pool()}}, ""},
		{"the host is the name", addr, Params{TLS: &TLS{RootCAs: ca.Pool()}, GRPC: GRPC{Host: "shop.test:443"}}, ""},
		{"wrong name", addr, Params{TLS: &TLS{ServerName: "other.test", RootCAs: ca.Pool()}}, "other.test"},
		{"wrong authority", addr, Params{TLS: &TLS{ServerName: "shop.test", RootCAs: stranger.Pool()}}, "unknown authority"},
		{"with a certificate", mutual, Params{TLS: &TLS{Certificates: []tls.Certificate{ca.Client("weir").TLS}}}, ""},
		{"without a certificate", mutual, Params{TLS: &TLS{}}, "certificate required"},
		{"server without ALPN", old.Addr, Params{TLS: &TLS{}}, "did not agree to HTTP/2"},
		{"plain server", plain, Params{TLS: &TLS{}}, "tls handshake"},
		{"plain probe", addr, Params{}, "read the response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "grpc", tt.p), tt.addr), tt.want)
		})
	}
}

// A reply is what a server says after it has read a call, frame by frame.
type reply func(fr *http2.Framer)

// fields returns a header block.
func fields(pairs ...string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return block.Bytes()
}

// respond writes a head, body and trailers.
func respond(fr *http2.Framer, body []byte, trailers ...string) {
	headers(fr, 1, false, ":status", "200", "content-type", "application/grpc")
	_ = fr.WriteData(1, false, body)
	headers(fr, 1, true, trailers...)
}

func headers(fr *http2.Framer, stream uint32, end bool, pairs ...string) {
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields(pairs...), EndHeaders: true, EndStream: end})
}

// play returns a server that reads a call up to its end, gives the reply, and then reads what the client has left to say.
func play(heard func(frames []http2.FrameHeader), say reply) weirtest.Behaviour {
	return func(conn net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil {
			return
		}
		out := bufio.NewWriter(conn)
		fr := http2.NewFramer(out, conn)
		fr.AllowIllegalWrites = true
		var frames []http2.FrameHeader
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				break
			}
			frames = append(frames, f.Header())
			if _, isData := f.(*http2.DataFrame); isData {
				say(fr)
				if out.Flush() != nil {
					break
				}
			}
		}
		if heard != nil {
			heard(frames)
		}
	}
}

func TestGRPCAnswers(t *testing.T) {
	serving := []byte{0, 0, 0, 0, 2, 8, 1}
	ok := []string{"grpc-status", "0"}
	tests := []struct {
		name string
		say  reply
		want string
	}{
		{"plain answer", func(fr *http2.Framer) { respond(fr, serving, ok...) }, ""},
		{"settings and pings first", func(fr *http2.Framer) {
			_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			_ = fr.WriteSettingsAck()
			_ = fr.WritePing(false, [8]byte{1})
			_ = fr.WriteWindowUpdate(0, 1000)
			respond(fr, serving, ok...)
		}, ""},
		{"interim head", func(fr *http2.Framer) {
			headers(fr, 1, false, ":status", "103")
			respond(fr, serving, ok...)
		}, ""},
		{"goes away after the call", func(fr *http2.Framer) {
			_ = fr.WriteGoAway(1, http2.ErrCodeNo, nil)
			respond(fr, serving, ok...)
		}, ""},
		{"body in pieces, other fields", func(fr *http2.Framer) {
			headers(fr, 1, false, ":status", "200", "content-type", "application/grpc")
			_ = fr.WriteData(1, false, []byte{0, 0, 0, 0, 5})
			_ = fr.WriteData(1, false, []byte{0x12, 1, 'x', 8})
			_ = fr.WriteData(1, false, []byte{1})
			headers(fr, 1, true, ok...)
		}, ""},
		{"goes away before the call", func(fr *http2.Framer) { _ = fr.WriteGoAway(0, http2.ErrCodeNo, []byte("max\nage")) }, `went away: NO_ERROR "max\nage"`},
		{"goes away in anger", func(fr *http2.Framer) { _ = fr.WriteGoAway(1, http2.ErrCodeEnhanceYourCalm, nil) }, "ENHANCE_YOUR_CALM"},
		{"resets", func(fr *http2.Framer) { _ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, "REFUSED_STREAM"},
		{"pushes", func(fr *http2.Framer) {
			_ = fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: fields(":path", "/"), EndHeaders: true})
		}, "pushes"},
		{"answers another stream", func(fr *http2.Framer) { headers(fr, 3, true, ":status", "200") }, "stream 3"},
		{"data of another stream", func(fr *http2.Framer) { _ = fr.WriteData(5, true, serving) }, "stream 5"},
		{"data without a head", func(fr *http2.Framer) { _ = fr.WriteData(1, true, serving) }, "before the response's head"},
		{"trailers alone", func(fr *http2.Framer) {
			headers(fr, 1, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "14", "grpc-message", "later")
		}, `14 (UNAVAILABLE): "later"`},
		{"success without a message", func(fr *http2.Framer) {
			headers(fr, 1, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "0")
		}, "not a health check's"},
		{"no grpc-status", func(fr *http2.Framer) { respond(fr, serving, "x", "y") }, "no grpc-status"},
		{"ends in data", func(fr *http2.Framer) {
			headers(fr, 1, false, ":status", "200", "content-type", "application/grpc")
			_ = fr.WriteData(1, true, serving)
		}, "no grpc-status"},
		{"error after a good message", func(fr *http2.Framer) { respond(fr, serving, "grpc-status", "13") }, "13 (INTERNAL)"},
		{"a code out of the blue", func(fr *http2.Framer) { respond(fr, serving, "grpc-status", "0\t0") }, `"0\t0"`},
		{"interim and end", func(fr *http2.Framer) { headers(fr, 1, true, ":status", "100") }, `status "100"`},
		{"interim for ever", func(fr *http2.Framer) {
			for range 20000 {
				headers(fr, 1, false, ":status", "103")
			}
		}, "over 65536 bytes"},
		{"no status", func(fr *http2.Framer) { headers(fr, 1, true, "content-type", "application/grpc") }, "without a proper status"},
		{"fields beyond the limit", func(fr *http2.Framer) {
			headers(fr, 1, true, ":status", "200", "x", strings.Repeat("\x7f", 9000), "y", strings.Repeat("~", 9000))
		}, "read the response"},
		{"body beyond the limit", func(fr *http2.Framer) {
			respond(fr, make([]byte, grpcBodyLimit+1), ok...)
		}, "longer than 4096 bytes"},
		{"frame beyond the limit", func(fr *http2.Framer) { _ = fr.WriteData(1, true, make([]byte, grpcFrameLimit+1)) }, "frame too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "grpc", Params{}), weirtest.Serve(t, play(nil, tt.say)).Addr), tt.want)
		})
	}
}

// A connection that ends before the answer does is a failure, at every byte of it.
func TestGRPCAnswerCutOff(t *testing.T) {
	var whole bytes.Buffer
	respond(http2.NewFramer(&whole, nil), []byte{0, 0, 0, 0, 2, 8, 1}, "grpc-status", "0")
	for n := range whole.Len() {
		s := weirtest.Serve(t, func(conn net.Conn) {
			call := bufio.NewReader(conn)
			_, _ = call.Discard(len(http2.ClientPreface))
			fr := http2.NewFramer(nil, call)
			for range 3 { // settings, head, message
				if _, err := fr.ReadFrame(); err != nil {
					return
				}
			}
			_, _ = conn.Write(whole.Bytes()[:n])
		})
		check(t, probe(t, newProber(t, "grpc", Params{}), s.Addr), "before the answer was complete")
	}
}

// The server sees one call and an orderly end: settings, head and message, what it asked for, and a goodbye.
func TestGRPCLeavesInOrder(t *testing.T) {
	frames := make(chan []http2.FrameHeader, 1)
	s := weirtest.Serve(t, play(func(f []http2.FrameHeader) { frames <- f }, func(fr *http2.Framer) {
		_ = fr.WriteSettings()
		_ = fr.WritePing(false, [8]byte{7})
		_ = fr.WritePing(true, [8]byte{8}) // answers nothing, wants nothing
		respond(fr, []byte{0, 0, 0, 0, 2, 8, 1}, "grpc-status", "0")
	}))
	if err := probe(t, newProber(t, "grpc", Params{}), s.Addr); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range <-frames {
		got = append(got, f.Type.String())
	}
	want := []string{"SETTINGS", "HEADERS", "DATA", "SETTINGS", "PING", "GOAWAY"}
	if !slices.Equal(got, want) {
		t.Errorf("the server read %v, want %v", got, want)
	}
}

func TestGRPCRequest(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, service string
		want          []byte
	}{
		{"the server", "", []byte{0, 0, 0, 0, 0}},
		{"a service", "ab", []byte{0, 0, 0, 0, 4, 0x0a, 2, 'a', 'b'}},
		{"a length of two bytes", long, append([]byte{0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2}, long...)},
	}
	for _, tt := range tests {
		if got := grpcRequest(tt.service); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: % x, want % x", tt.name, got, tt.want)
		}
	}
}

func TestParseGRPCResponse(t *testing.T) {
	tests := []struct {
		name    string
		message []byte
		want    uint64
		wantErr bool
	}{
		{"empty is zero", nil, 0, false},
		{"serving", []byte{8, 1}, 1, false},
		{"the last one counts", []byte{8, 1, 8, 2}, 2, false},
		{"other fields of every kind", []byte{0x10, 0x80, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 2, 8, 2, 0x2d, 1, 2, 3, 4, 8, 1}, 1, false},
		{"no value", []byte{8}, 0, true},
		{"value cut off", []byte{8, 0x80}, 0, true},
		{"value too long", append([]byte{8}, bytes.Repeat([]byte{0xff}, 11)...), 0, true},
		{"tag cut off", []byte{8, 1, 0x80}, 0, true},
		{"bytes beyond the end", []byte{0x12, 5, 'x'}, 0, true},
		{"bytes beyond all numbers", []byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 0, true},
		{"fixed cut off", []byte{0x19, 1, 2, 3}, 0, true},
		{"a group", []byte{0x13, 0x14}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(tt.message)))
			got, err := parseGRPCResponse(append(b, tt.message...))
			if (err != nil) != tt.wantErr || got != tt.want {
				t.Errorf("status %d, %v, want %d, error: %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "prefix cut off": {0, 0, 0, 0}, "compressed": {1, 0, 0, 0, 2, 8, 1},
		"two messages": {0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 0}, "message cut off": {0, 0, 0, 0, 3, 8, 1},
	} {
		if status, err := parseGRPCResponse(b); err == nil {
			t.Errorf("%s: taken for status %d", name, status)
		}
	}
}

func FuzzParseGRPCResponse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 5, 0x12, 1, 'x', 8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := parseGRPCResponse(b)
		if err != nil {
			if status != 0 {
				t.Fatalf("status %d beside the error %v", status, err)
			}
			return
		}
		// The last value counts, whatever came before it.
		longer := append(bytes.Clone(b), 8, 77)
		binary.BigEndian.PutUint32(longer[1:], uint32(len(longer)-grpcPrefix))
		if status, err := parseGRPCResponse(longer); err != nil || status != 77 {
			t.Fatalf("status %d, %v, after one more value", status, err)
		}
	})
}
