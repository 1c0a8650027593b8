package main_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// saying is what the servers answer under /said, in nginx's words.
const saying = `"$request_method|$request_uri|$http_content_length|$http_x_test|$http_host|$http_x_forwarded_for|$http_x_forwarded_proto"`

// goApp is what the servers do, in Go: /said tells what was seen; /body sends the body back as it comes; /events is a
// stream of server-sent events, each of which goes out when somebody posts to /next.
func goApp(t *testing.T) string {
	t.Helper()
	next := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/said", func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprintf(w, "%s|%s|%s|%s|%s|%s|%s", r.Method, r.RequestURI, h.Get("Content-Length"), h.Get("X-Test"), r.Host,
			h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"))
	})
	mux.HandleFunc("/body", sendBack)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; ; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.HandleFunc("/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case next <- struct{}{}:
		case <-r.Context().Done():
		}
	})
	return serveHTTP(t, mux.ServeHTTP)
}

// sendBack answers with the body it gets, as it comes.
func sendBack(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	_ = out.EnableFullDuplex()
	b := make([]byte, 1<<16)
	for {
		n, err := r.Body.Read(b)
		_, _ = w.Write(b[:n])
		_ = out.Flush()
		if err != nil {
			return
		}
	}
}

// nodeApp is the same in Node.
const nodeApp = `
const http = require('http');
const [host, port] = process.argv[2].split(':');
const streams = new Set();
http.createServer((req, res) => {
  const h = req.headers;
  switch (req.url.split('?')[0]) {
  case '/said':
    req.resume();
    req.on('end', () => res.end([req.method, req.url, h['content-length'] || '', h['x-test'] || '', h.host,
      h['x-forwarded-for'], h['x-forwarded-proto']].join('|')));
    break;
  case '/body':
    res.flushHeaders();
    req.pipe(res);
    break;
  case '/events':
    let sent = 0;
    const next = () => res.write('data: ' + sent++ + '\n\n');
    res.writeHead(200, {'Content-Type': 'text/event-stream'});
    streams.add(next);
    res.on('close', () => streams.delete(next));
    next();
    break;
  case '/next':
    for (const next of streams) next();
    res.end();
    break;
  case '/half':
    res.writeHead(200, req.url.endsWith('length') ? {'Content-Length': 1000} : {});
    res.write('half of it');
    break;
  }
}).listen(port, host);
`

// nginxApp is the same in nginx, which streams by way of another server, and keeps what is put under /files.
func nginxApp(t *testing.T, behind string) string {
	t.Helper()
	files, err := os.MkdirTemp("", "weir-e2e-")
	if err == nil {
		err = os.Chmod(files, 0o777) // its worker may be another user, who gets nowhere below t.TempDir
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(files) })
	addr := weirtest.FreeAddr(t)
	weirtest.Nginx(t, weirtest.NginxOptions{Listen: []string{addr}, HTTP: fmt.Sprintf(`
client_max_body_size 0;
server {
  listen %s;
  location /said { return 200 %s; }
  location /files { root %s; dav_methods PUT DELETE; create_full_put_path on; }
  location / { proxy_pass http://%s; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_set_header Connection ""; }
}`, addr, saying, files, behind)})
	return addr
}

// TestBackends leads the same requests through one weir to servers of three makes.
func TestBackends(t *testing.T) {
	t.Parallel()
	inGo := goApp(t)
	inNode := weirtest.Node(t, nodeApp).Addr
	inNginx := nginxApp(t, inGo)
	w := weirtest.Weir(t, fmt.Sprintf(`
entryPoints: { web: { address: "127.0.0.1:0" } }
http:
  routers:
    go:    { rule: "Host(%[1]sgo.test%[1]s)", service: go }
    node:  { rule: "Host(%[1]snode.test%[1]s)", service: node }
    nginx: { rule: "Host(%[1]snginx.test%[1]s)", service: nginx }
  services:
    go:    { loadBalancer: { servers: [ %[2]s ] } }
    node:  { loadBalancer: { servers: [ %[3]s ] } }
    nginx: { loadBalancer: { servers: [ %[4]s ] } }
`, "`", urls(inGo), urls(inNode), urls(inNginx)))
	addr := addressOf(t, w, "web")
	for _, name := range []string{"go", "node", "nginx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := name + ".test"
			t.Run("methods and headers", func(t *testing.T) { checkMethods(t, addr, host) })
			t.Run("bodies", func(t *testing.T) { checkBodies(t, addr, host, name == "nginx") })
			t.Run("events", func(t *testing.T) { checkEvents(t, addr, host) })
			if name != "nginx" { // which answers only when it has read the request
				t.Run("both ways at once", func(t *testing.T) { checkDuplex(t, addr, host) })
			}
		})
	}
	t.Cleanup(func() { // when the parallel ones are done
		for _, name := range []string{"go", "node", "nginx"} {
			if n := answered(t, w, name, "5xx"); n != 0 {
				t.Errorf("%v answers of %s were errors", n, name)
			}
		}
	})
}

// request makes a request to weir for a host that has no address of its own.
func request(t *testing.T, method, addr, host, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+target, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	return req
}

// do sends a request and returns the whole response.
func do(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(body)
}

func checkMethods(t *testing.T, addr, host string) {
	c := browser(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		var body io.Reader
		length := ""
		if method == "POST" || method == "PUT" || method == "PATCH" {
			body, length = strings.NewReader("12345"), "5"
		}
		req := request(t, method, addr, host, "/said?a=%20b&c", body)
		req.Header.Set("X-Test", "one, two")
		req.Header.Set("X-Forwarded-For", "192.0.2.7") // which nobody is to believe
		resp, got := do(t, c, req)
		want := strings.Join([]string{method, "/said?a=%20b&c", length, "one, two", host, "127.0.0.1", "http"}, "|")
		if method == "HEAD" {
			want = ""
		}
		// net/http takes Content-Length out of the header.
		if got = strings.Replace(got, "c||one", "c|"+length+"|one", 1); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: status %d, %q, want %q", method, resp.StatusCode, got, want)
		}
	}
}

// checkBodies sends bodies of many lengths, known and unknown beforehand, and wants them back.
func checkBodies(t *testing.T, addr, host string, keeps bool) {
	c := browser(t)
	for _, size := range []int{0, 1, 4096, 65535, 65537, 3 << 20} {
		load := make([]byte, size)
		_, _ = rand.Read(load) // never fails
		for name, body := range map[string]io.Reader{"length": bytes.NewReader(load), "chunked": io.MultiReader(bytes.NewReader(load))} {
			resp, got := do(t, c, request(t, "POST", addr, host, "/body", body))
			if resp.StatusCode != 200 || got != string(load) {
				t.Errorf("%s: of %d bytes come back %d, status %d", name, size, len(got), resp.StatusCode)
			}
		}
		if !keeps {
			continue
		}
		target := fmt.Sprint("/files/", size)
		if resp, body := do(t, c, request(t, "PUT", addr, host, target, bytes.NewReader(load))); resp.StatusCode/100 != 2 {
			t.Fatalf("PUT: status %d, %s", resp.StatusCode, body)
		}
		if resp, got := do(t, c, request(t, "GET", addr, host, target, nil)); resp.StatusCode != 200 || got != string(load) {
			t.Errorf("of a file of %d bytes come back %d, status %d", size, len(got), resp.StatusCode)
		}
		ranged := request(t, "GET", addr, host, target, nil)
		ranged.Header.Set("Range", "bytes=0-0")
		if resp, got := do(t, c, ranged); size > 0 && (resp.StatusCode != 206 || got != string(load[:1])) {
			t.Errorf("the first byte: status %d, %q", resp.StatusCode, got)
		}
		if resp, _ := do(t, c, request(t, "DELETE", addr, host, target, nil)); resp.StatusCode != 204 {
			t.Errorf("DELETE: status %d", resp.StatusCode)
		}
	}
}

// checkEvents lets an event go only when the one before has arrived, so that it passes only if nothing is held back.
func checkEvents(t *testing.T, addr, host string) {
	c := browser(t)
	resp, err := c.Do(request(t, "GET", addr, host, "/events", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for i := range 5 {
		for _, want := range []string{fmt.Sprintf("data: %d\n", i), "\n"} {
			if line, err := in.ReadString('\n'); err != nil || line != want {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
		}
		if next, _ := do(t, c, request(t, "POST", addr, host, "/next", nil)); next.StatusCode != 200 {
			t.Fatalf("next: status %d", next.StatusCode)
		}
	}
}

// checkDuplex sends each piece of a body only when the answer to the one before is here.
func checkDuplex(t *testing.T, addr, host string) {
	body, pieces := io.Pipe()
	defer pieces.Close()
	started := make(chan *http.Response, 1)
	failed := make(chan error, 1)
	c := browser(t)
	req := request(t, "POST", addr, host, "/body", body)
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			failed <- err
			return
		}
		started <- resp
	}()
	if _, err := io.WriteString(pieces, "piece 0\n"); err != nil {
		t.Fatal(err)
	}
	var resp *http.Response
	select {
	case resp = <-started:
	case err := <-failed:
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for i := range 5 {
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("piece %d\n", i) {
			t.Fatalf("piece %d: %q, %v", i, line, err)
		}
		if _, err := fmt.Fprintf(pieces, "piece %d\n", i+1); err != nil {
			t.Fatal(err)
		}
	}
	pieces.Close()
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "piece 5\n" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// TestTrailersAndRepeatedFields sends what must arrive byte for byte: fields that stand more than once, in their order and
// spelling, chunks with their extensions, and trailers.
func TestTrailersAndRepeatedFields(t *testing.T) {
	t.Parallel()
	const (
		body   = "3\r\none\r\n3;a=b\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n"
		fields = "X-a: 1\r\nCOOKIE: a=1\r\nx-A: 2\r\nCookie: b=2\r\nX-A:   3\r\n"
		answer = "HTTP/1.1 200 Fine\r\nset-cookie: a=1\r\nX-Between: yes\r\nSet-Cookie: b=2\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
	)
	got := make(chan string, 1)
	server := weirtest.Serve(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		var text strings.Builder
		for !strings.HasSuffix(text.String(), "X-Sum: 6\r\n\r\n") {
			b, err := in.ReadByte()
			if err != nil {
				break
			}
			text.WriteByte(b)
		}
		got <- text.String()
		_, _ = io.WriteString(conn, answer+body)
	})
	w := weirtest.Weir(t, site("", "", server.Addr))
	const begin = "POST /x HTTP/1.1\r\nHost: A.test:80\r\n" + fields
	back := rawHTTP(t, addressOf(t, w, "web"), begin+"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+body)
	there := within(t, got, "the request arrives")
	// The fields in one piece, as they came: weir's own stand behind.
	if !strings.HasPrefix(there, begin) || !strings.HasSuffix(there, "\r\n\r\n"+body) || strings.Contains(there, "Connection") {
		t.Errorf("the server got\n%s", there)
	}
	if want := strings.TrimSuffix(answer, "\r\n") + "Connection: close\r\n\r\n" + body; back != want {
		t.Errorf("the client got\n%q, want\n%q", back, want)
	}
}
