package l7

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// verifier takes what is repeated over and over, with a rest at times, and looks at memory meanwhile.
type verifier struct {
	block []byte // what is repeated
	at    int64
	rests int64 // bytes between two
	peak  int64 // largest memory of the process, in bytes
}

func (v *verifier) Write(p []byte) (int, error) {
	for q := p; len(q) > 0; {
		from := int(v.at % int64(len(v.block)))
		n := min(len(q), len(v.block)-from)
		if !bytes.Equal(q[:n], v.block[from:from+n]) {
			return 0, fmt.Errorf("wrong bytes behind %d", v.at)
		}
		if v.at/v.rests != (v.at+int64(n))/v.rests {
			time.Sleep(10 * time.Millisecond) // so that everything in front fills up
			v.peak = max(v.peak, resident())
		}
		q, v.at = q[n:], v.at+int64(n)
	}
	return len(p), nil
}

// resident is how much memory of the machine the process uses, in bytes.
func resident() (n int64) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size int64
	_, _ = fmt.Sscan(string(text), &size, &n)
	return n * int64(os.Getpagesize())
}

// repeated gives block over and over, n bytes in all.
type repeated struct {
	block []byte
	n, at int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.at == r.n {
		return 0, io.EOF
	}
	from := r.at % int64(len(r.block))
	n := copy(p[:min(int64(len(p)), r.n-r.at)], r.block[from:])
	r.at += int64(n)
	return n, nil
}

// Very much for a slow reader, up and down, in every way it can go: the bytes are right, and memory does not grow with them.
func TestBulkInBoundedMemory(t *testing.T) {
	const room = 32 << 20 // what the process may grow by meanwhile, garbage included
	ca := weirtest.CA(t)
	block := pattern(1<<20 - 7)
	for _, tt := range []struct {
		name    string
		size    int64
		chunked bool
		secure  bool
	}{
		{"by splice", 256 << 20, false, false},
		{"in chunks", 64 << 20, true, false},
		{"through TLS", 64 << 20, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := &verifier{block: block, rests: tt.size / 8}
			o := weirtest.Serve(t, func(c net.Conn) {
				r := bufio.NewReader(c)
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if _, err := io.CopyBuffer(up, req.Body, make([]byte, 256<<10)); err != nil {
					t.Errorf("up: %v", err)
					return
				}
				resp := &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: tt.size,
					Body: io.NopCloser(&repeated{block: block, n: tt.size})}
				if tt.chunked {
					resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
				}
				_ = resp.Write(c)
				_, _ = io.Copy(io.Discard, c)
			})
			var security *Security
			if tt.secure {
				security = secured("default", ca.Server("a.test"))
			}
			b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}, security: security})
			c := net.Conn(b.dial())
			_ = c.SetDeadline(time.Now().Add(6 * patience))
			if tt.secure {
				c = tls.Client(c, &tls.Config{RootCAs: ca.Pool(), ServerName: "a.test"})
			}
			before := resident()
			go func() {
				req, err := http.NewRequest("POST", "http://a.test/", &repeated{block: block, n: tt.size})
				if err != nil {
					t.Error(err)
					return
				}
				if req.ContentLength = tt.size; tt.chunked {
					req.ContentLength, req.TransferEncoding = -1, []string{"chunked"}
				}
				if err := req.Write(c); err != nil {
					t.Errorf("up: %v", err)
				}
			}()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			down := &verifier{block: block, rests: tt.size / 8}
			if _, err := io.CopyBuffer(down, resp.Body, make([]byte, 256<<10)); err != nil {
				t.Fatalf("down: %v", err)
			}
			if up.at != tt.size || down.at != tt.size {
				t.Errorf("%d bytes went up and %d down", up.at, down.at)
			}
			if grown := max(up.peak, down.peak) - before; grown > room {
				t.Errorf("memory grew by %d MB", grown>>20)
			}
			e := b.ended(1, 200, "weir", "done")
			if !tt.chunked && (e.RequestContentSize != tt.size || e.DownstreamContentSize != tt.size) {
				t.Errorf("record %+v", e)
			}
			if n := b.server.Idle(b.pool.Backends()[0]); n != 1 {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
}

// Short requests get their turn on a loop that moves bulk for others.
func TestBulkDoesNotStarveShortRequests(t *testing.T) {
	stop := make(chan struct{})
	o := weirtest.Serve(t, func(c net.Conn) {
		_, req := headOf(t, c)
		if req == nil {
			return
		}
		if req.URL.Path == "/short" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for block := pattern(256 << 10); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	const bulks = 3
	moving, done := make(chan struct{}, bulks), make(chan error, bulks)
	for range bulks {
		c := b.dial()
		send(t, c, oneGet)
		go func() {
			_, err := io.CopyN(io.Discard, c, 4<<20)
			moving <- struct{}{}
			if err == nil {
				_, err = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c})
			}
			done <- err
		}()
	}
	for range bulks {
		<-moving
	}
	for range 10 {
		if status, body := b.get("/short"); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
	}
	if n := b.inPhase(answering); n != bulks {
		t.Errorf("%d bulks are on their way", n)
	}
	close(stop)
	for range bulks {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// plainServer answers every request with the same and allocates nothing for it.
func plainServer(c net.Conn) {
	response := []byte(strings.Replace(okText, "Content", "Server: x\r\nContent-Type: text/plain\r\nContent", 1))
	buf := make([]byte, 4<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

const plainGet = "GET /some/path?with=query HTTP/1.1\r\nHost: example.test\r\nUser-Agent: tester\r\nAccept: */*\r\n\r\n"

// keptAlive returns what does one request on a connection that is kept alive, as both connections are.
func keptAlive(t testing.TB) func() {
	t.Helper()
	o := weirtest.Serve(t, plainServer)
	b := newBed(t, setup{backends: []netip.AddrPort{o.AddrPort()}})
	c := b.dial()
	_ = c.SetDeadline(time.Time{})
	request, buf := []byte(plainGet), make([]byte, 4<<10)
	return func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\nok")); {
			m, err := c.Read(buf[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
	}
}

func TestKeepAliveDoesNotAllocate(t *testing.T) {
	get := keptAlive(t)
	for range 300 {
		get()
	}
	runtime.GC()                                     // what comes from a pool of the runtime is there again
	if n := testing.AllocsPerRun(300, get); n >= 1 { // the log's goroutine hands on what has been gathered now and then
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkKeepAlive(b *testing.B) {
	get := keptAlive(b)
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}
