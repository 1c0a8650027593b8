package load

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// keyPair makes a certificate.
func keyPair(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asked := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, asked, asked, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// terminate takes TLS off in front of origin and returns its address.
func terminate(t *testing.T, config *tls.Config, origin string) string {
	t.Helper()
	return misbehave(t, func(c net.Conn) {
		secure := tls.Server(c, config)
		// It closes as a balancer does, with an alert.
		defer secure.Close()
		plain, err := net.Dial("tcp", origin)
		if err != nil {
			return
		}
		defer plain.Close()
		go func() {
			io.Copy(plain, secure)
			plain.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(secure, plain)
	})
}

func secureRun(t *testing.T, spec ClientSpec, stop *atomic.Bool) Result {
	t.Helper()
	s, err := NewSecure(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	measured := 0
	res, err := s.Run(stop, func() { measured++ })
	if err != nil && !errors.Is(err, ErrTooManyErrors) {
		t.Fatal(err)
	}
	if measured > 1 || err == nil && measured != 1 {
		t.Errorf("measurement announced %d times", measured)
	}
	return res
}

func TestSecure(t *testing.T) {
	pair := keyPair(t)
	tests := []struct {
		name          string
		close, resume bool
	}{
		{name: "lasting connections"},
		{name: "a handshake each", close: true},
		{name: "a resumed session each", close: true, resume: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind := Exchange{Answer: 128, HTTP: true, Close: tt.close}
			var resumed, full atomic.Int64
			config := &tls.Config{Certificates: []tls.Certificate{pair}, VerifyConnection: func(s tls.ConnectionState) error {
				if s.DidResume {
					resumed.Add(1)
				} else {
					full.Add(1)
				}
				if s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519 || s.ServerName != "www.bench.test" {
					return errors.New("another handshake than is measured")
				}
				return nil
			}}
			res := secureRun(t, ClientSpec{
				Addr: terminate(t, config, serve(t, kind)), Exchange: kind, Connections: 3,
				TLS:  &TLS{Name: "www.bench.test", Certificate: pair.Certificate[0], Resume: tt.resume},
				Warm: 100 * time.Millisecond, Duration: 300 * time.Millisecond,
			}, new(atomic.Bool))
			if res.Errors != 0 || res.Stalled != 0 || res.Exchanges < 3 {
				t.Errorf("%d exchanges, %d errors (%s), %d stalled", res.Exchanges, res.Errors, res.LastError, res.Stalled)
			}
			if res.Bytes != int64(128*res.Exchanges) || res.Elapsed < 300*time.Millisecond || res.P50 <= 0 || res.P99 < res.P50 {
				t.Errorf("%d bytes, %v elapsed, p50 %v, p99 %v", res.Bytes, res.Elapsed, res.P50, res.P99)
			}
			switch {
			case !tt.close && full.Load() != 3, tt.resume && full.Load() != 3, !tt.resume && resumed.Load() != 0:
				t.Errorf("%d full handshakes, %d resumed ones", full.Load(), resumed.Load())
			case tt.close && int(full.Load()+resumed.Load()) < res.Exchanges:
				t.Errorf("%d handshakes for %d exchanges", full.Load()+resumed.Load(), res.Exchanges)
			}
		})
	}
}

func TestSecureCountsErrors(t *testing.T) {
	pair, other := keyPair(t), keyPair(t)
	kind := Exchange{Answer: 128, HTTP: true, Close: true}
	tests := []struct {
		name, want string
		config     *tls.Config
		answer     string // empty means the right one
		wrong      bool
	}{
		{name: "another certificate", want: "another certificate", wrong: true,
			config: &tls.Config{Certificates: []tls.Certificate{other}}},
		{name: "no ticket", want: "no session ticket", wrong: true,
			config: &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}},
		{name: "TLS 1.2", want: "protocol version",
			config: &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}},
		{name: "status", want: "503", wrong: true, answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
			config: &tls.Config{Certificates: []tls.Certificate{pair}}},
		{name: "cut short", want: "EOF after 3 of 128 bytes", wrong: true, answer: string(answerHead(128)) + "abc",
			config: &tls.Config{Certificates: []tls.Certificate{pair}}},
		{name: "other bytes", want: "wrong answer", wrong: true, answer: string(answerHead(128)) + strings.Repeat("x", 128),
			config: &tls.Config{Certificates: []tls.Certificate{pair}}},
		{name: "too many bytes", want: "1 bytes too many", wrong: true, answer: string(answerHead(128)) + string(pattern(129)),
			config: &tls.Config{Certificates: []tls.Certificate{pair}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			origin := ""
			if tt.answer == "" {
				origin = serve(t, kind)
			} else {
				origin = misbehave(t, func(c net.Conn) {
					c.Read(make([]byte, small))
					io.WriteString(c, tt.answer)
				})
			}
			// The client comes again when it has counted why the last
			// connection was no good. What it counted before the measurement
			// began is forgotten, so once is not enough.
			var stop atomic.Bool
			var came atomic.Int64
			tt.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				stop.Store(came.Add(1) > 10)
				return nil, nil
			}
			res := secureRun(t, ClientSpec{
				Addr: terminate(t, tt.config, origin), Exchange: kind, Connections: 1,
				TLS:      &TLS{Name: "www.bench.test", Certificate: pair.Certificate[0], Resume: true},
				Duration: time.Minute,
			}, &stop)
			if res.Errors == 0 || !strings.Contains(res.LastError, tt.want) {
				t.Errorf("%d errors, the last %q; want %q", res.Errors, res.LastError, tt.want)
			}
			if tt.wrong != (res.Wrong > 0) {
				t.Errorf("%d of %d errors are wrong answers", res.Wrong, res.Errors)
			}
		})
	}
}

func TestSecureChecksItsSpec(t *testing.T) {
	good := ClientSpec{Addr: "127.0.0.1:1", Connections: 1, Exchange: Exchange{Answer: 1, HTTP: true}, TLS: &TLS{}}
	tests := []struct {
		name  string
		spoil func(*ClientSpec)
	}{
		{name: "no TLS", spoil: func(s *ClientSpec) { s.TLS = nil }},
		{name: "no HTTP", spoil: func(s *ClientSpec) { s.Exchange = Exchange{Request: 1, Answer: 1} }},
		{name: "long answers", spoil: func(s *ClientSpec) { s.Exchange.Answer = small + 1 }},
		{name: "holding", spoil: func(s *ClientSpec) { s.Hold = true }},
		{name: "no connections", spoil: func(s *ClientSpec) { s.Connections = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := good
			tt.spoil(&spec)
			if _, err := NewSecure(spec); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := NewSecure(good); err != nil {
		t.Error(err)
	}
}

// Only what happens between begin and end counts.
func TestTally(t *testing.T) {
	ty := newTally(2)
	ty.count(0, time.Hour, 1000)
	ty.fault(errWrong)
	ty.begin()
	if !ty.count(1, time.Millisecond, 7) {
		t.Error("no need for more in the middle of it")
	}
	ty.fault(errors.New("bad luck"))
	res := ty.end()
	if ty.count(1, time.Hour, 1000) {
		t.Error("more is wanted after the end")
	}
	ty.fault(errWrong)
	if res.Exchanges != 1 || res.Bytes != 7 || res.P99 > 2*time.Millisecond {
		t.Errorf("%+v", res)
	}
	if res.Errors != 1 || res.Wrong != 0 || res.Stalled != 1 {
		t.Errorf("%+v", res)
	}
	if again := ty.end(); again.Exchanges != 1 || again.Errors != 1 {
		t.Errorf("after the end: %+v", again)
	}
}
