package l7

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// entry is a line of the access log, as far as tests look at it.
type entry struct {
	Reason, Detail, EndedBy, TerminationState string
	RequestMethod, RequestPath                string
	DownstreamStatus, OriginStatus            int
	RequestContentSize, DownstreamContentSize int64
	RequestCount, RetryAttempts               int
	UpstreamReused                            bool
	TLSMode, SNI                              string
}

// with is the bed for a subtest.
func (b *bed) with(t testing.TB) *bed {
	c := *b
	c.t = t
	return &c
}

// entries waits for n lines of the access log and wants no more of them.
func (b *bed) entries(n int) []entry {
	b.t.Helper()
	lines := b.records(n)
	if len(lines) != n {
		b.t.Fatalf("%d records, want %d; the last is\n%s", len(lines), n, lines[len(lines)-1])
	}
	all := make([]entry, n)
	for i, line := range lines {
		if err := json.Unmarshal([]byte(line), &all[i]); err != nil {
			b.t.Fatalf("%v: %s", err, line)
		}
	}
	return all
}

// ended wants the last of n records to end so.
func (b *bed) ended(n, status int, by, reason string) entry {
	b.t.Helper()
	e := b.entries(n)[n-1]
	if e.DownstreamStatus != status || e.EndedBy != by || e.Reason != reason {
		b.t.Errorf("record says %d, %s by %s (%s), want %d, %s by %s", e.DownstreamStatus, e.Reason, e.EndedBy, e.Detail, status, reason, by)
	}
	return e
}

// origin is a server that keeps all bytes it was sent, connection by connection, and answers as it is told.
type origin struct {
	*weirtest.Backend
	mu    sync.Mutex
	heard [][]byte
}

// newOrigin starts one. serve gets the connection, of which every byte that is read is kept.
func newOrigin(t testing.TB, serve func(net.Conn)) *origin {
	t.Helper()
	o := new(origin)
	o.Backend = weirtest.Serve(t, func(c net.Conn) {
		o.mu.Lock()
		o.heard = append(o.heard, nil)
		at := len(o.heard) - 1
		o.mu.Unlock()
		serve(&heardConn{Conn: c, o: o, at: at})
	})
	return o
}

// all is everything that the origin was sent, by connection.
func (o *origin) all() (texts []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.heard {
		texts = append(texts, string(b))
	}
	return slices.Clip(texts)
}

// heads is how many requests with a method were begun.
func (o *origin) heads(method string) (n int) {
	for _, text := range o.all() {
		n += strings.Count(text, method+" /")
	}
	return n
}

type heardConn struct {
	net.Conn
	o  *origin
	at int
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.o.mu.Lock()
	c.o.heard[c.at] = append(c.o.heard[c.at], p[:n]...)
	c.o.mu.Unlock()
	return n, err
}

// send writes text or fails the test.
func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// rest reads to the end of a connection, which it wants to be a clean one or a reset.
func rest(t testing.TB, c io.Reader, reset bool) string {
	t.Helper()
	all, err := io.ReadAll(c)
	if reset != (err != nil) || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("read to the end: %v, want a reset: %v; got %q", err, reset, all)
	}
	return string(all)
}

// open is how many connections and exchanges the server has at work.
func (b *bed) open() (n int) {
	b.server.each(func(w *worker) { w.forEach(func(*conn) { n++ }) })
	return n
}

// unsent is how many bytes for clients wait in the server.
func (b *bed) unsent() (n int) {
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if c.stream != nil {
				n += c.stream.Buffered()
			}
		})
	})
	return n
}

// pending reports whether bytes wait in the kernel to be read.
func pending(t testing.TB, c net.Conn) (yes bool) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		yes = n > 0 && err == nil
	})
	return yes
}

// trusting is TLS to servers of an authority.
func trusting(ca *weirtest.Authority) *tls.Config { return &tls.Config{RootCAs: ca.Pool()} }

// chunk is text as one chunk of a body.
func chunk(text string) string {
	return strconv.FormatInt(int64(len(text)), 16) + "\r\n" + text + "\r\n"
}

// readUntil reads up to the end of a text.
func readUntil(t testing.TB, c net.Conn, end string) string {
	t.Helper()
	var got []byte
	var b [1]byte
	for !strings.HasSuffix(string(got), end) {
		if _, err := io.ReadFull(c, b[:]); err != nil {
			t.Fatalf("%v before %q; got %q", err, end, got)
		}
		got = append(got, b[0])
	}
	return string(got)
}

// idle waits until as many connections are open as wanted.
func (b *bed) idle(want int) {
	b.t.Helper()
	weirtest.Eventually(b.t, patience, func() bool { return b.open() == want }, "connections are closed")
}

// inState counts the connections that are at something.
func (b *bed) inState(s state) (n int) {
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if c.state == s {
				n++
			}
		})
	})
	return n
}

// inPhase counts the exchanges that are at something.
func (b *bed) inPhase(p phase) (n int) {
	b.server.each(func(w *worker) {
		w.forEach(func(c *conn) {
			if c.x != nil && c.x.phase == p {
				n++
			}
		})
	})
	return n
}

// limit lets each backend have no more than n requests at a time.
func (b *bed) limit(n int) {
	for _, backend := range b.pool.Backends() {
		e := backend.Endpoint()
		e.MaxConnections = n
		backend.SetEndpoint(e)
	}
	b.pool.Update(b.pool.Options(), b.pool.Backends(), time.Now())
}
