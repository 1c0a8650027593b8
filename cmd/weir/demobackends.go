package main

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// demoBackends are the servers behind the demo.
type demoBackends struct {
	mu     sync.Mutex
	open   map[io.Closer]struct{} // listeners and connections
	closed bool
	wg     sync.WaitGroup
	addr   string // to listen at; empty = any
}

func newDemoBackends() *demoBackends { return &demoBackends{open: make(map[io.Closer]struct{})} }

// close ends all backends and their connections and waits for them.
func (b *demoBackends) close() {
	b.mu.Lock()
	b.closed = true
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

// keep notes what close will close; false means that it is too late.
func (b *demoBackends) keep(c io.Closer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = c.Close()
		return false
	}
	b.open[c] = struct{}{}
	return true
}

func (b *demoBackends) forget(c io.Closer) {
	_ = c.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
}

// serve gives every connection to talk, on a goroutine of its own.
func (b *demoBackends) serve(talk func(net.Conn)) (addr string, err error) {
	ln, err := b.listen()
	if err != nil {
		return "", err
	}
	b.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil || !b.keep(conn) {
				continue
			}
			b.wg.Go(func() {
				defer b.forget(conn)
				talk(conn)
			})
		}
	})
	return ln.Addr().String(), nil
}

func (b *demoBackends) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", cmp.Or(b.addr, "127.0.0.1:0"))
	if err == nil && !b.keep(ln) {
		return nil, net.ErrClosed
	}
	return ln, err
}

// echo answers each line with its name before it.
func (b *demoBackends) echo(name string) (addr string, err error) {
	return b.serve(func(conn net.Conn) {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if _, err := fmt.Fprintf(conn, "%s: %s\n", name, lines.Text()); err != nil {
				return
			}
		}
	})
}

// datagrams answers each datagram with its name before it.
func (b *demoBackends) datagrams(name string) (addr string, err error) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	if !b.keep(conn) {
		return "", net.ErrClosed
	}
	b.wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteToUDPAddrPort(append([]byte(name+": "), buf[:n]...), from) // a client that is gone is no loss
			}
		}
	})
	return conn.LocalAddr().String(), nil
}

// greet speaks first, and goes when the client does.
func (b *demoBackends) greet(text string) (addr string, err error) {
	return b.serve(func(conn net.Conn) {
		if _, err := io.WriteString(conn, text); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

// http serves plain HTTP.
func (b *demoBackends) http(name string) (addr string, err error) { return b.web(name, nil) }

// https serves HTTPS under <name>.weir.test.
func (b *demoBackends) https(name string, a *demoAuthority) (addr string, err error) {
	cert, err := a.issue(name + ".weir.test")
	if err != nil {
		return "", err
	}
	return b.web(name, &tls.Config{Certificates: []tls.Certificate{*cert}})
}

func (b *demoBackends) web(name string, secure *tls.Config) (addr string, err error) {
	ln, err := b.listen()
	if err != nil {
		return "", err
	}
	s := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // health checks hang up after the handshake, and it would say so
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s was asked %s\n", name, howAsked(r))
		}),
	}
	if !b.keep(s) {
		return "", net.ErrClosed
	}
	addr = ln.Addr().String()
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	b.wg.Go(func() { _ = s.Serve(ln) }) // ends with close
	return addr, nil
}

// howAsked says what a backend can tell about the way a request came: an HTTP balancer says who asked and how, one that
// passes bytes on does not.
func howAsked(r *http.Request) string {
	switch scheme := r.Header.Get("X-Forwarded-Proto"); {
	case r.TLS != nil:
		return "over TLS, as " + r.TLS.ServerName
	case scheme != "":
		return fmt.Sprintf("for %s by %s over %s", r.URL.Path, r.Header.Get("X-Forwarded-For"), scheme)
	}
	return "without TLS"
}
