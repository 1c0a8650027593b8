package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
	"github.com/weirlb/weir/l7/head"
)

func TestContentType(t *testing.T) {
	const html = "<!DOCTYPE html><p>hello"
	for _, tt := range []struct {
		name, head, body string
		want             string // empty = none
	}{
		{"length", fmt.Sprintf("Content-Length: %d\r\n", len(html)), html, "text/html; charset=utf-8"},
		{"chunks", "Transfer-Encoding: chunked\r\n", chunk(html) + "0\r\n\r\n", "text/html; charset=utf-8"},
		{"small chunks", "Transfer-Encoding: chunked\r\n", chunk("<!DOC") + chunk("TYPE html") + chunk(">") + "0\r\n\r\n", "text/html; charset=utf-8"},
		{"until the end", "Connection: close\r\n", "\x89PNG\x0d\x0a\x1a\x0a", "image/png"},
		{"unknown", "Content-Length: 2\r\n", "\x00\x01", "application/octet-stream"},
		{"it is said", "Content-Length: 2\r\nContent-Type: x/y\r\n", "ab", "x/y"},
		{"nothing is said", "Content-Length: 2\r\nContent-Type:\r\n", "ab", "-"},
		{"encoded", fmt.Sprintf("Content-Encoding: x\r\nContent-Length: %d\r\n", len(html)), html, ""},
		{"no body", "Content-Length: 0\r\n", "", ""},
		{"no chunks", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""},
		{"an end", "Connection: close\r\n", "", ""},
	} {
		for _, split := range []string{"at once", "head first", "byte by byte"} {
			t.Run(tt.name+", "+split, func(t *testing.T) {
				goOn := make(chan struct{})
				release := sync.OnceFunc(func() { close(goOn) })
				addr := raw(t, func(c net.Conn) {
					defer c.Close()
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
					text := "HTTP/1.1 200 OK\r\n" + tt.head + "\r\n"
					switch split {
					case "at once":
						text += tt.body
					case "head first":
						_, _ = io.WriteString(c, text)
						<-goOn
						text = tt.body
					default:
						for _, b := range []byte(text + tt.body) {
							_, _ = c.Write([]byte{b})
						}
						text = ""
					}
					_, _ = io.WriteString(c, text)
				})
				t.Cleanup(release) // before the server waits for it
				b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{ContentType("type")}})
				k := b.talk()
				k.say(oneGet)
				if split == "head first" && !strings.HasPrefix(tt.name, "no") && tt.want != "x/y" && tt.name != "encoded" {
					weirtest.Eventually(t, patience, func() bool {
						came := false
						b.server.each(func(w *worker) {
							came = came || w.first != nil && w.first.x != nil && w.first.x.sniffing
						})
						return came
					}, "the head has come")
				}
				release()
				text := strings.Replace(k.rest(), "Content-Type: \r\n", "Content-Type:\r\n", 1) // as HTTP/2 has it
				top, body, _ := strings.Cut(text, "\r\n\r\n")
				if want := seenBody(tt.head, tt.body); body != want {
					t.Errorf("body %q, want %q", body, want)
				}
				_, got, _ := strings.Cut(top+"\r\n", "\r\nContent-Type:")
				got, _, there := strings.Cut(got, "\r\n")
				if tt.want == "-" && (!there || strings.TrimSpace(got) != "") || tt.want != "-" && strings.TrimSpace(got) != tt.want {
					t.Errorf("type %q, want %q in %s", got, tt.want, top)
				}
			})
		}
	}
}

// A response of which only the head comes is not kept from the client for long, and other questions have no say.
func TestContentTypeDoesNotWaitForLong(t *testing.T) {
	goOn := make(chan struct{})
	addr := raw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5")
			<-goOn
			_, _ = io.WriteString(c, "\r\nhello\r\n0\r\n\r\n")
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{ContentType("type")}})
	c := b.dial()
	send(t, c, oneGet)
	if top := readUntil(t, c, "\r\n\r\n"); strings.Contains(top, "Content-Type") || !strings.HasPrefix(top, "HTTP/1.1 200 ") {
		t.Errorf("%q", top)
	}
	close(goOn)
	has(t, rest(t, c, false), "hello")
	b.ended(1, 200, "weir", "done")
}

// The wait for the first of a body is not the server's: balancers and circuit breakers are told when the head was here.
func TestContentTypeWaitIsNobodysLatency(t *testing.T) {
	goOn := make(chan struct{})
	addr := raw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			<-goOn
			_, _ = io.WriteString(c, "hello")
		}
	})
	var latency time.Duration
	watch := &Middleware{Outcome: func(x *Exchange, _ int) bool { latency = x.latency(time.Now()); return false }}
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{watch, ContentType("type")}})
	c := b.dial()
	send(t, c, oneGet)
	var sinceSent, sinceRouted time.Duration
	weirtest.Eventually(t, patience, func() (waits bool) {
		b.server.each(func(w *worker) {
			w.forEach(func(c *conn) {
				if x := c.x; x != nil && x.sniffing {
					waits, sinceSent, sinceRouted = true, time.Since(x.sentAt), time.Since(x.attempted())
				}
			})
		})
		return waits
	}, "the head waits")
	close(goOn) // whatever is measured from here on is more than that
	has(t, rest(t, c, false), "hello")
	if got := b.pool.Backends()[0].Stats().FirstByte; got <= 0 || got > sinceSent {
		t.Errorf("the balancer was told %v; the head was here after %v", got, sinceSent)
	}
	b.server.each(func(*worker) {
		if latency <= 0 || latency > sinceRouted {
			t.Errorf("breakers were told %v; the head was here after %v", latency, sinceRouted)
		}
	})
}

// What has come of a body by then must do.
func TestContentTypeOfWhatIsHere(t *testing.T) {
	goOn := make(chan struct{})
	addr := raw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<!DOCTYPE html>")
			<-goOn
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{addr}, middlewares: []*Middleware{ContentType("type")}})
	c := b.dial()
	send(t, c, oneGet)
	has(t, readUntil(t, c, "\r\n\r\n"), "Content-Type: text/html; charset=utf-8\r\n")
	close(goOn)
}

func FuzzBegun(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("5;x=y\r"))
	f.Fuzz(func(t *testing.T, rest []byte) {
		var res head.Head
		for _, framing := range []head.Framing{{Kind: head.Chunked}, {Kind: head.UntilClose}, {Kind: head.Length, Length: 3}} {
			res.Reset()
			if err := res.SetStatus(200, ""); err != nil {
				t.Fatal(err)
			}
			res.SetFraming(framing)
			if got, _ := begun(&res, rest); len(got) > sniffBytes || framing.Kind == head.Length && len(got) > 3 || framing.Kind == head.UntilClose && len(got) != min(len(rest), sniffBytes) {
				t.Errorf("%d bytes of %q", len(got), rest)
			}
		}
	})
}
