package health

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// capture answers one request with text and hands the request on.
func capture(text string, got chan<- *http.Request) weirtest.Behaviour {
	return func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			close(got)
			return
		}
		got <- req
		_, _ = io.WriteString(conn, text)
	}
}

func TestHTTPStatus(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		o      HTTP
		want   string
	}{
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP{}, ""},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", HTTP{}, ""},
		{"redirect is an answer", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", HTTP{}, ""},
		{"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", HTTP{}, "status 404"},
		{"503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", HTTP{}, "status 503"},
		{"expected 503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", HTTP{Status: 503}, ""},
		{"expected 200 only", "HTTP/1.1 204 No Content\r\n\r\n", HTTP{Status: 200}, "status 204"},
		{"interim first", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP{}, ""},
		{"interim for ever", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50), HTTP{}, "interim"},
		{"switching protocols is no answer", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", HTTP{}, "status 101"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nbody until the end", HTTP{}, ""},
		{"body longer than is read", "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000), HTTP{}, ""},
		{"body cut off: the status has decided", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", HTTP{}, ""},
		{"head longer than is read", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", readLimit) + "\r\n\r\n", HTTP{}, "over 65536 bytes"},
		{"head cut off", "HTTP/1.1 200 OK\r\nX: y", HTTP{}, "before the status was known"},
		{"not HTTP", "220 mail ready\r\n\r\n", HTTP{}, "malformed"},
		{"nothing", "", HTTP{}, "read the response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan *http.Request, 1)
			s := weirtest.Serve(t, capture(tt.answer, got))
			check(t, probe(t, newProber(t, "http", Params{HTTP: tt.o}), s.Addr), tt.want)
		})
	}
}

func TestHTTPRequest(t *testing.T) {
	tests := []struct {
		name string
		o    HTTP
		want string // request line, Host and one header; {addr} is the server's address
	}{
		{"defaults", HTTP{}, "GET / {addr} weir"},
		{"Patroni", HTTP{Method: "OPTIONS", Path: "/replica?lag=1MB"}, "OPTIONS /replica?lag=1MB {addr} weir"},
		{"host", HTTP{Host: "shop.example.com"}, "GET / shop.example.com weir"},
		{"host as a header", HTTP{Headers: http.Header{"host": {"shop.example.com"}}}, "GET / shop.example.com weir"},
		{"header replaces the default", HTTP{Headers: http.Header{"user-agent": {"monitor"}}}, "GET / {addr} monitor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan *http.Request, 1)
			s := weirtest.Serve(t, capture("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", got))
			if err := probe(t, newProber(t, "http", Params{HTTP: tt.o}), s.Addr); err != nil {
				t.Fatal(err)
			}
			req, ok := <-got
			if !ok {
				t.Fatal("the server could not read the request")
			}
			have := strings.Join([]string{req.Method, req.RequestURI, req.Host, req.UserAgent()}, " ")
			if want := strings.ReplaceAll(tt.want, "{addr}", s.Addr); have != want {
				t.Errorf("request is %q, want %q", have, want)
			}
			if !req.Close {
				t.Error("the request does not ask for the connection's close")
			}
		})
	}
}

func TestHTTPS(t *testing.T) {
	ca := weirtest.CA(t)
	ok := weirtest.Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	s := weirtest.ServeTLS(t, ca.Server("shop.test"), ok, "h2", "http/1.1")
	tests := []struct {
		name string
		p    Params
		want string
	}{
		{"not verified", Params{TLS: &TLS{}}, ""},
		{"the host is the name", Params{TLS: &TLS{RootCAs: ca.Pool()}, HTTP: HTTP{Host: "shop.test:8443"}}, ""},
		{"wrong name", Params{TLS: &TLS{RootCAs: ca.Pool()}, HTTP: HTTP{Host: "other.test"}}, "other.test"},
		{"plain", Params{}, "read the response"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "http", tt.p), s.Addr), tt.want)
		})
	}
}

func TestHTTPSWithClientCertificate(t *testing.T) {
	ca, stranger := weirtest.CA(t), weirtest.CA(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if name := r.TLS.PeerCertificates[0].Subject.CommonName; name != "weir" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Server("shop.test").TLS}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	client := func(from *weirtest.Authority, name string) []tls.Certificate {
		return []tls.Certificate{from.Client(name).TLS}
	}
	tests := []struct {
		name string
		tls  TLS
		want string
	}{
		{"certificate", TLS{Certificates: client(ca, "weir")}, ""},
		{"certificate, and the server's verified", TLS{Certificates: client(ca, "weir"), ServerName: "shop.test", RootCAs: ca.Pool()}, ""},
		{"certificate of somebody else", TLS{Certificates: client(ca, "guest")}, "status 403"},
		{"certificate of another authority", TLS{Certificates: client(stranger, "weir")}, "tls: "},
		{"no certificate", TLS{}, "certificate required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, probe(t, newProber(t, "http", Params{TLS: &tt.tls}), server.Listener.Addr().String()), tt.want)
		})
	}
}

func TestHTTPHostFollowsPort(t *testing.T) {
	got := make(chan *http.Request, 1)
	s := weirtest.Serve(t, capture("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", got))
	p := newProber(t, "http", Params{Port: s.AddrPort().Port()})
	if err := probe(t, p, weirtest.Refused(t)); err != nil {
		t.Fatal(err)
	}
	if req := <-got; req.Host != s.Addr {
		t.Errorf("Host is %s, want %s", req.Host, s.Addr)
	}
}

func FuzzHTTPResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		resp, err := readResponse(bufio.NewReader(bytes.NewReader(b)), http.MethodGet)
		if err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("an interim response, %d, is taken for the answer", resp.StatusCode)
		}
	})
}

// A server that speaks HTTP/2 alone is asked so, and a redirect of its followed.
func TestHTTP2(t *testing.T) {
	asked := make(chan string, 4)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Proto + " " + r.Method + " " + r.Host + r.URL.String() + " " + r.Header.Get("X-Probe")
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/there?a=b", http.StatusFound)
		case "/bad":
			w.WriteHeader(503)
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	for _, tt := range []struct {
		path, want string
		asked      []string
	}{
		{"/ok", "", []string{"HTTP/2.0 HEAD app.example/ok yes"}},
		{"/bad", "status 503", []string{"HTTP/2.0 HEAD app.example/bad yes"}},
		{"/moved", "", []string{"HTTP/2.0 HEAD app.example/moved yes", "HTTP/2.0 HEAD app.example/there?a=b yes"}},
	} {
		o := HTTP{Method: "HEAD", Path: tt.path, Host: "app.example", Headers: http.Header{"X-Probe": {"yes"}}, HTTP2: true, FollowRedirects: true}
		check(t, probe(t, newProber(t, "http", Params{HTTP: o}), s.Listener.Addr().String()), tt.want)
		for _, want := range tt.asked {
			if got := <-asked; got != want {
				t.Errorf("%s: asked %q, want %q", tt.path, got, want)
			}
		}
	}
	// One that speaks HTTP/1 alone is not healthy.
	text := weirtest.Serve(t, capture("HTTP/1.1 200 OK\r\n\r\n", make(chan *http.Request, 1)))
	check(t, probe(t, newProber(t, "http", Params{HTTP: HTTP{HTTP2: true}}), text.Addr), "HTTP/2")
}
