package l7

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/sni"
)

// secureTable has a Security for each name.
func secureTable(t testing.TB, of map[string]*Security) *sni.Table[*Security] {
	t.Helper()
	b := sni.NewBuilder[*Security]()
	for name, security := range of {
		if err := b.Add(sni.Exact, name, security); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

// speaking is a Security of HTTP/2 with a certificate.
func speaking(name string, c *weirtest.Certificate) *Security {
	s := secured(name, c)
	s.Config.NextProtos = []string{"h2", "http/1.1"}
	return s
}

// secureWire is a wire over TLS, to a server of the given name.
func (b *bed) secureWire(ca *weirtest.Authority, name string) *wire {
	b.t.Helper()
	c := tls.Client(b.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: name, NextProtos: []string{"h2"}})
	if err := c.Handshake(); err != nil {
		b.t.Fatal(err)
	}
	return newWire(b.t, c)
}

// leaves wants a GOAWAY that names no last stream, then, after another request, one that names that.
func (w *wire) leaves(next uint32) {
	w.t.Helper()
	for w.gone == nil {
		if err := w.read(true); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.gone.LastStreamID != 1<<31-1 || w.gone.ErrCode != xhttp2.ErrCodeNo {
		w.t.Errorf("first %v", w.gone)
	}
	w.get(next, "/") // it was on its way
	for w.gone.LastStreamID != next {
		if err := w.read(true); err != nil {
			w.t.Fatalf("%v; last %v", err, w.gone)
		}
	}
	if w.gone.ErrCode != xhttp2.ErrCodeNo {
		w.t.Errorf("last %v", w.gone)
	}
}

// Whatever ends a connection from weir's side is announced, what is under way or on its way is answered, and then it ends.
func TestHTTP2Leaves(t *testing.T) {
	ca := weirtest.CA(t)
	security := speaking("default", ca.Server("a.test"))
	for _, tt := range []struct {
		name  string
		word  string
		leave func(b *bed)
	}{
		{"drain", "shutdown", func(b *bed) { b.server.Drain() }},
		{"the entrypoint's end", "entrypoint", func(b *bed) { b.front.Retire() }},
		{"another certificate", "certificate", func(b *bed) { b.front.Renew(func(name string) bool { return name == "a.test" }) }},
		{"other settings", "certificate", func(b *bed) {
			set := b.set
			set.Security = secureTable(b.t, map[string]*Security{"a.test": speaking("default", ca.Server("a.test"))})
			b.front.Set(set)
			b.front.Renew(func(string) bool { return false })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release := make(chan struct{})
			b := newBed(t, setup{security: security, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				<-release
				_, _ = io.WriteString(w, "done")
			})}})
			b.set.Security = secureTable(t, map[string]*Security{"a.test": security})
			b.front.Set(b.set)
			w := b.secureWire(ca, "a.test")
			w.get(1, "/")
			weirtest.Eventually(t, patience, func() bool { return b.inPhase(waiting) == 1 }, "the request is at the server")
			tt.leave(b)
			w.leaves(3)
			w.get(5, "/") // this one is too late: nobody looks at it
			close(release)
			w.wants(1, "200", "done")
			w.wants(3, "200", "done")
			if err := w.end(); err != io.EOF {
				t.Error(err)
			}
			if r := w.got[5]; r != nil {
				t.Errorf("a request behind the last one is answered: %+v", r)
			}
			b.counted(SessionStats{Begun: 1, Streams: 2}, map[string]int64{"late": 1}, map[string]int64{tt.word: 1})
		})
	}
}

// Who does not answer the first word is told the second one all the same.
func TestHTTP2LeavesTheDeaf(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{silent(t)}})
	w := b.plain()
	w.get(1, "/fine")
	w.wants(1, "200", "fine")
	w.mute = true
	b.front.Retire()
	if err := w.end(); err != io.EOF || w.gone == nil || w.gone.LastStreamID != 1 || w.gone.ErrCode != xhttp2.ErrCodeNo {
		t.Error(err, w.gone)
	}
}

// A session whose certificate and settings are those in force goes on, and so do connections without TLS or with HTTP/1.
func TestHTTP2RenewLeavesOthersAlone(t *testing.T) {
	ca := weirtest.CA(t)
	security := speaking("default", ca.Server("a.test", "b.test"))
	b := newBed(t, setup{security: security, backends: []netip.AddrPort{silent(t)}})
	b.set.Security = secureTable(t, map[string]*Security{"a.test": security, "b.test": security})
	b.front.Set(b.set)
	kept, ended := b.secureWire(ca, "b.test"), b.secureWire(ca, "a.test")
	old := b.dialTLS(ca, "a.test")
	for _, w := range []*wire{kept, ended} {
		w.get(1, "/fine")
		w.wants(1, "200", "fine")
	}
	fine := func() {
		t.Helper()
		send(t, old, "GET /fine HTTP/1.1\r\nHost: a.test\r\n\r\n")
		readUntil(t, old, "\r\n\r\nfine")
	}
	fine()
	b.front.Renew(func(name string) bool { return name == "a.test" })
	if err := ended.end(); err != io.EOF {
		t.Error(err)
	}
	kept.get(3, "/fine")
	kept.wants(3, "200", "fine")
	fine()

	// One that is no longer for anybody is not one for which something else is in force.
	b.set.Security = secureTable(t, nil)
	b.front.Set(b.set)
	b.front.Renew(func(string) bool { return false })
	kept.get(5, "/fine")
	kept.wants(5, "200", "fine")
	if kept.gone != nil {
		t.Errorf("it is sent away: %v", kept.gone)
	}
}

// A handshake that is under way may have been shown the old certificate: the session that comes of it ends too.
func TestHTTP2RenewInHandshake(t *testing.T) {
	ca := weirtest.CA(t)
	shown, goOn := make(chan struct{}), make(chan struct{})
	security := speaking("default", ca.Server("a.test"))
	certificate := security.Config.Certificates[0]
	security.Config.Certificates = nil
	security.Config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		close(shown)
		<-goOn
		return &certificate, nil
	}
	b := newBed(t, setup{security: security, backends: []netip.AddrPort{silent(t)}})
	c := tls.Client(b.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test", NextProtos: []string{"h2"}})
	secure := make(chan error, 1)
	go func() { secure <- c.Handshake() }()
	<-shown
	b.front.Renew(func(string) bool { return false })
	close(goOn)
	if err := <-secure; err != nil {
		t.Fatal(err)
	}
	w := newWire(t, c)
	w.get(1, "/fine")
	w.wants(1, "200", "fine")
	if err := w.end(); err != io.EOF || w.gone == nil || w.gone.LastStreamID != 1 {
		t.Error(err, w.gone)
	}
}
