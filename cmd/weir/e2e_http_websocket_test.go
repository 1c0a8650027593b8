package main_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// The frames of RFC 6455 that the tests use, section 5.2; none is split.
const (
	textFrame   = 1
	binaryFrame = 2
	closeFrame  = 8
)

// acceptKey is what a server answers to a client's key (section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// writeFrame sends a frame, masked as clients do, or not as servers do.
func writeFrame(w io.Writer, kind byte, payload []byte, masked bool) error {
	var mask byte
	if masked {
		mask = 0x80
	}
	b := []byte{0x80 | kind}
	switch n := len(payload); {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !masked {
		_, err := w.Write(append(b, payload...))
		return err
	}
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	_, err := w.Write(b)
	return err
}

// readFrame reads a frame and takes the mask off.
func readFrame(r io.Reader) (kind byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, nil, err
	}
	kind, masked, n := b[0]&0x0f, b[1]&0x80 != 0, uint64(b[1]&0x7f)
	switch n {
	case 126:
		_, err = io.ReadFull(r, b[:2])
		n = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		_, err = io.ReadFull(r, b[:8])
		n = binary.BigEndian.Uint64(b[:8])
	}
	if err == nil && n > 1<<24 {
		err = fmt.Errorf("a frame of %d bytes", n)
	}
	var key [4]byte
	if err == nil && masked {
		_, err = io.ReadFull(r, key[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return kind, payload, err
}

// goWebSocket echoes frames.
func goWebSocket(t *testing.T) string {
	t.Helper()
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "this wants to be upgraded", http.StatusUpgradeRequired)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			acceptKey(r.Header.Get("Sec-WebSocket-Key")))
		for {
			kind, payload, err := readFrame(rw)
			if err != nil || writeFrame(conn, kind, payload, false) != nil || kind == closeFrame {
				return
			}
		}
	})
}

// nodeWebSocket is the same in Node.
const nodeWebSocket = `
const http = require('http'), crypto = require('crypto');
const [host, port] = process.argv[2].split(':');
function frame(kind, payload) {
  const n = payload.length;
  let head;
  if (n < 126) head = Buffer.from([0x80 | kind, n]);
  else if (n < 65536) { head = Buffer.alloc(4); head[0] = 0x80 | kind; head[1] = 126; head.writeUInt16BE(n, 2); }
  else { head = Buffer.alloc(10); head[0] = 0x80 | kind; head[1] = 127; head.writeBigUInt64BE(BigInt(n), 2); }
  return Buffer.concat([head, payload]);
}
function parse(b) {
  if (b.length < 2) return null;
  let n = b[1] & 0x7f, at = 2;
  if (n === 126) { if (b.length < 4) return null; n = b.readUInt16BE(2); at = 4; }
  else if (n === 127) { if (b.length < 10) return null; n = Number(b.readBigUInt64BE(2)); at = 10; }
  if (b.length < at + 4 + n) return null;
  const key = b.subarray(at, at + 4), payload = Buffer.from(b.subarray(at + 4, at + 4 + n));
  for (let i = 0; i < n; i++) payload[i] ^= key[i % 4];
  return { kind: b[0] & 0x0f, payload, rest: b.subarray(at + 4 + n) };
}
const server = http.createServer((req, res) => { res.statusCode = 426; res.end('this wants to be upgraded\n'); });
server.on('upgrade', (req, socket, first) => {
  const accept = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  let held = first;
  const go = () => {
    for (let f; (f = parse(held)); held = f.rest) {
      socket.write(frame(f.kind, f.payload));
      if (f.kind === 8) return socket.end();
    }
  };
  socket.on('data', (b) => { held = Buffer.concat([held, b]); go(); });
  socket.on('error', () => {});
  go();
});
server.listen(port, host);
`

// TestWebSocket has frames of all sizes echoed through weir, over HTTP/1.1 and as a stream of HTTP/2.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	servers := map[string]string{"go": goWebSocket(t), "node": weirtest.Node(t, nodeWebSocket).Addr}
	for _, tt := range []struct {
		proto, server string
		status        int
		open          func(t *testing.T, conn net.Conn, target string) io.ReadWriteCloser
	}{
		{"HTTP/1.1", "go", 101, upgrade}, {"HTTP/1.1", "node", 101, upgrade},
		{"HTTP/2.0", "go", 200, connectStream}, {"HTTP/2.0", "node", 200, connectStream},
	} {
		t.Run(tt.proto+" to "+tt.server, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "access.log")
			w := weirtest.Weir(t, "accessLog: { path: "+log+" }\n"+site("", "", servers[tt.server]))
			addr := addressOf(t, w, "web")
			if status, body := fetch(t, browser(t), "http://"+addr+"/plain"); status != 426 || !strings.Contains(body, "upgraded") {
				t.Errorf("without an upgrade: status %d, %q", status, body)
			}
			conn := tt.open(t, dial(t, addr), "/socket")
			sent := 0
			for _, size := range []int{0, 5, 125, 126, 65535, 65536, 1 << 20} {
				load := make([]byte, size)
				_, _ = rand.Read(load) // never fails
				for _, kind := range []byte{textFrame, binaryFrame} {
					go func() { _ = writeFrame(conn, kind, load, true) }()
					got, back, err := readFrame(conn)
					if err != nil || got != kind || !bytes.Equal(back, load) {
						t.Fatalf("a frame of kind %d and %d bytes comes back as %d and %d, %v", kind, size, got, len(back), err)
					}
					sent += size
				}
			}
			if err := writeFrame(conn, closeFrame, []byte{3, 232}, true); err != nil {
				t.Fatal(err)
			}
			if kind, code, err := readFrame(conn); err != nil || kind != closeFrame || !bytes.Equal(code, []byte{3, 232}) {
				t.Errorf("the farewell is %d, %v, %v", kind, code, err)
			}
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("the connection ends with %q, %v", rest, err)
			}
			conn.Close()
			r := awaitRequest(t, log, "/socket")
			if r.DownstreamStatus != tt.status || r.OriginStatus != 101 || r.RequestProtocol != tt.proto || r.RequestMethod != "GET" || r.Reason != "done" ||
				r.RequestContentSize < int64(sent) || r.DownstreamContentSize < int64(sent) {
				t.Errorf("of %d bytes the log says %+v", sent, r)
			}
		})
	}
}

// socket is a connection of which a part was read ahead.
type socket struct {
	net.Conn
	in *bufio.Reader
}

func (s socket) Read(p []byte) (int, error) { return s.in.Read(p) }

// upgrade makes a connection one of WebSocket. The first frame, of one byte, goes out before the server has agreed.
func upgrade(t *testing.T, conn net.Conn, target string) io.ReadWriteCloser {
	t.Helper()
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	send(t, conn, "GET "+target+" HTTP/1.1\r\nHost: chat.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+key+"\r\n\r\n")
	if err := writeFrame(conn, textFrame, []byte("!"), true); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header; resp.StatusCode != 101 || got.Get("Upgrade") != "websocket" || got.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		t.Fatalf("status %d, %v", resp.StatusCode, got)
	}
	if kind, payload, err := readFrame(in); err != nil || kind != textFrame || string(payload) != "!" {
		t.Fatalf("the frame sent ahead comes back as %d %q, %v", kind, payload, err)
	}
	return socket{conn, in}
}

// connectStream opens a stream for WebSocket on a connection of HTTP/2 (RFC 8441), in the same way.
func connectStream(t *testing.T, conn net.Conn, target string) io.ReadWriteCloser {
	t.Helper()
	f := newFrames(t, conn)
	s := f.stream(1)
	f.ask(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "chat.test", ":path", target,
		"sec-websocket-version", "13")
	if err := writeFrame(s, textFrame, []byte("!"), true); err != nil {
		t.Fatal(err)
	}
	if kind, payload, err := readFrame(s); err != nil || kind != textFrame || string(payload) != "!" || s.status != "200" {
		t.Fatalf("status %s, the frame sent ahead comes back as %d %q, %v", s.status, kind, payload, err)
	}
	return s
}
