package l7

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// message is a message of gRPC in its frame.
func message(text string) string {
	return fmt.Sprintf("\x00\x00\x00\x00%c%s", len(text), text)
}

// trailers is the frame of gRPC-Web with trailers.
func trailers(lines ...string) string {
	text := strings.Join(lines, "\r\n") + "\r\n"
	return fmt.Sprintf("\x80\x00\x00\x00%c%s", len(text), text)
}

// greeter answers calls of gRPC over HTTP/1.1: with the message that it got, twice, and trailers.
func greeter(w http.ResponseWriter, r *http.Request) {
	got, _ := io.ReadAll(r.Body)
	if r.Method != "POST" || r.Header.Get("Content-Type") != "application/grpc+proto" || r.Header.Get("Te") != "trailers" {
		w.WriteHeader(415)
		fmt.Fprintf(w, "%s %q %q", r.Method, r.Header.Get("Content-Type"), r.Header.Get("Te"))
		return
	}
	w.Header().Set("Content-Type", "application/grpc+proto")
	w.Header().Set("X-Meta", "initial")
	switch r.URL.Path {
	case "/trailers-only":
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "not there")
		w.Header().Set("Content-Length", "0")
		return
	case "/no-trailers":
		_, _ = w.Write(got)
		return
	}
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, X-Last")
	_, _ = w.Write(got)
	_, _ = w.Write(got)
	w.Header().Set("Grpc-Status", "0")
	w.Header().Set("Grpc-Message", "well done")
	w.Header().Set("X-Last", "bye")
}

// webCallText is a call over HTTP/1.1.
func webCallText(path, media, body string, fields ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: a.test\r\nContent-Type: " + media + "\r\n" + strings.Join(fields, "") +
		"Connection: close\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body
}

func TestGRPCWeb(t *testing.T) {
	hi := message("hi")
	end := trailers("grpc-message: well done", "grpc-status: 0", "x-last: bye")
	text := base64.StdEncoding.EncodeToString
	const origin = "Origin: https://a.test\r\n"
	for _, tt := range []struct {
		name, request string
		media         string // of the answer
		body          string // of the answer, decoded where it is text
		want, wantNot []string
	}{
		{"binary", webCallText("/", "application/grpc-web+proto", hi), "application/grpc-web+proto", hi + hi + end, []string{"HTTP/1.1 200 ", "X-Meta: initial\r\n"}, []string{"Trailer", "Access-Control"}},
		{"text", webCallText("/", "application/grpc-web-text+proto", text([]byte(hi))), "application/grpc-web-text+proto", hi + hi + end, []string{"HTTP/1.1 200 "}, []string{"Trailer"}},
		{"text of two pieces, each padded", webCallText("/", "application/grpc-web-text+proto", text([]byte(hi))+text([]byte(message("you")))), "application/grpc-web-text+proto",
			strings.Repeat(hi+message("you"), 2) + end, nil, nil},
		{"text, asked for by Accept", webCallText("/", "application/grpc-web+proto", hi, "Accept: application/grpc-web-text+proto\r\n"), "application/grpc-web-text+proto", hi + hi + end, nil, nil},
		{"binary, asked for by Accept", webCallText("/", "application/grpc-web-text+proto", text([]byte(hi)), "Accept: application/grpc-web+proto\r\n"), "application/grpc-web+proto", hi + hi + end, nil, nil},
		{"trailers only", webCallText("/trailers-only", "application/grpc-web-text+proto", text([]byte(hi)), origin), "application/grpc-web-text+proto", "",
			[]string{"Grpc-Status: 5\r\n", "Grpc-Message: not there\r\n", "Content-Length: 0\r\n", "Access-Control-Expose-Headers: grpc-status, grpc-message, X-Meta\r\n"}, nil},
		{"no trailers", webCallText("/no-trailers", "application/grpc-web+proto", hi), "application/grpc-web+proto", hi, nil, nil},
		{"an empty message", webCallText("/", "application/grpc-web-text+proto", text([]byte(message("")))), "application/grpc-web-text+proto", message("") + message("") + end, nil, nil},
		{"no message", webCallText("/", "application/grpc-web-text+proto", ""), "application/grpc-web-text+proto", end, nil, nil},
		{"no gRPC in answer", webCallText("/", "application/grpc-web+json", hi, origin), "text/plain; charset=utf-8", `POST "application/grpc+json" "trailers"`,
			[]string{"HTTP/1.1 415 ", "Access-Control-Allow-Origin: https://a.test\r\n"}, nil},
		{"no call", webCallText("/", "application/json", "{}", origin), "text/plain; charset=utf-8", `POST "application/json" ""`, nil, []string{"Access-Control"}},
		{"no base64", webCallText("/", "application/grpc-web-text", "abc", origin), "text/plain; charset=utf-8", "Bad Request\n", []string{"HTTP/1.1 400 ", "Access-Control-Allow-Origin: https://a.test\r\n"}, nil},

		{"a listed origin", webCallText("/", "application/grpc-web+proto", hi, origin), "application/grpc-web+proto", hi + hi + end,
			[]string{"Access-Control-Allow-Origin: https://a.test\r\n", "Access-Control-Allow-Credentials: true\r\n", "Access-Control-Expose-Headers: grpc-status, grpc-message, X-Meta\r\n", "Vary: Origin\r\n"}, nil},
		{"another origin", webCallText("/", "application/grpc-web+proto", hi, "Origin: https://b.test\r\n"), "application/grpc-web+proto", hi + hi + end, []string{"Vary: Origin\r\n"}, []string{"Access-Control"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{backends: []netip.AddrPort{backend(t, greeter)}, middlewares: []*Middleware{GRPCWeb("web", []string{"https://a.test"})}})
			answer := b.exchange(tt.request)
			has(t, answer, tt.want...)
			for _, not := range tt.wantNot {
				if strings.Contains(answer, not) {
					t.Errorf("%q is in:\n%s", not, answer)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("%v of %q", err, answer)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			media := resp.Header.Get("Content-Type")
			if strings.HasPrefix(media, "application/grpc-web-text") {
				body = untext(t, string(body))
			}
			if media != tt.media || string(body) != tt.body || len(resp.Trailer) > 0 {
				t.Errorf("%q, %q, %v; want %q, %q", media, body, resp.Trailer, tt.media, tt.body)
			}
		})
	}
}

// untext decodes as browsers' libraries do: by groups of four, of which any may be padded.
func untext(t testing.TB, text string) (out []byte) {
	t.Helper()
	for ; len(text) > 0; text = text[4:] {
		if len(text) < 4 {
			t.Fatalf("%q is left", text)
		}
		b, err := base64.StdEncoding.DecodeString(text[:4])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

// A client that sends its text in chunks, slowly, or with trailers is understood as well.
func TestGRPCWebTextInPieces(t *testing.T) {
	b := newBed(t, setup{backends: []netip.AddrPort{backend(t, greeter)}, middlewares: []*Middleware{marking("a"), GRPCWeb("web", nil), marking("b")}})
	for _, end := range []string{"0\r\n\r\n", "0\r\nX-A: b\r\n\r\n"} {
		c := b.dial()
		send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text+proto\r\nTrailer: X-A\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
		text := base64.StdEncoding.EncodeToString([]byte(message("hello")))
		for i := range text {
			send(t, c, chunk(text[i:i+1]))
			b.server.each(func(*worker) {}) // by way of the loop
		}
		send(t, c, end)
		answer := rest(t, c, false)
		has(t, answer, "HTTP/1.1 200 ", "X-Trail: b a\r\n") // each has seen it once
	}
}

// A text that is longer than is held is refused, as soon as that is known.
func TestGRPCWebLongText(t *testing.T) {
	const start = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nConnection: close\r\n"
	for _, tt := range []struct{ name, head, body string }{
		{"as it says", fmt.Sprintf("Content-Length: %d\r\n", maxWebText+1), ""},
		{"in chunks", "Transfer-Encoding: chunked\r\n", chunk(strings.Repeat("A", maxWebText)) + chunk("AAAA") + "0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}})
			has(t, b.exchange(start+tt.head+"\r\n"+tt.body), "HTTP/1.1 413 ")
			has(t, b.records(1)[0], `"body-too-large"`)
		})
	}
}

// A text as long as it may be is taken in from a client of either version, and goes on as one.
func TestGRPCWebLongestText(t *testing.T) {
	content := pattern(maxWebText / 4 * 3)
	b := newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, content) || r.ContentLength != int64(len(content)) {
			w.WriteHeader(400)
		}
	})}})
	for _, client := range []*http.Client{{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}, h2client(t, nil)} {
		text := strings.NewReader(base64.StdEncoding.EncodeToString(content))
		resp, err := client.Post("http://"+b.addr+"/", "application/grpc-web-text", text)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: status %d", resp.Proto, resp.StatusCode)
		}
		resp, err = client.Post("http://"+b.addr+"/", "application/grpc-web-text", strings.NewReader(strings.Repeat("AAA-", soonDecoded)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: a long text that is no base64 has the status %d", resp.Proto, resp.StatusCode)
		}
	}
}

// Messages of a stream are passed on as they come, in text too: none waits for the next.
func TestGRPCWebStreams(t *testing.T) {
	for _, media := range []string{"application/grpc-web+proto", "application/grpc-web-text+proto"} {
		t.Run(media, func(t *testing.T) {
			next := make(chan struct{})
			b := newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}, backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Trailer", "Grpc-Status")
				w.(http.Flusher).Flush()
				for range next {
					_, _ = io.WriteString(w, message("tick"))
					w.(http.Flusher).Flush()
				}
				w.Header().Set("Grpc-Status", "0")
			})}})
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+b.addr+"/", strings.NewReader(""))
			req.Header.Set("Content-Type", media)
			tr := &http.Transport{DisableCompression: true}
			defer tr.CloseIdleConnections()
			resp, err := tr.RoundTrip(req) // the head is not held back either
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text := resp.Header.Get("Content-Type") == "application/grpc-web-text+proto"
			read := func(want string) {
				t.Helper()
				n := len(want)
				if text {
					n = base64.StdEncoding.EncodedLen(n)
				}
				got := make([]byte, n)
				if _, err := io.ReadFull(resp.Body, got); err != nil {
					t.Fatal(err)
				}
				if text {
					got = untext(t, string(got))
				}
				if string(got) != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			for range 3 {
				next <- struct{}{}
				read(message("tick"))
			}
			close(next)
			read(trailers("grpc-status: 0"))
			if left, err := io.ReadAll(resp.Body); err != nil || len(left) > 0 {
				t.Errorf("%q, %v", left, err)
			}
		})
	}
}

// An answer that breaks off ends in a way that no client takes for its end, without trailers that nobody has sent.
func TestGRPCWebBrokenOff(t *testing.T) {
	b := newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}, backends: []netip.AddrPort{raw(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(message("half")))
		}
		c.Close()
	})}})
	c := b.dial()
	send(t, c, webCallText("/", "application/grpc-web", ""))
	if answer := rest(t, c, true); strings.Contains(answer, "\x80") || strings.HasSuffix(answer, "0\r\n\r\n") {
		t.Errorf("%q", answer)
	}
	b.ended(1, 200, "backend", "backend-abort")
}

// What a call has come to is weir's to know: its status counts for or against the server, leads to another attempt, and is in the
// log. What weir answers itself is a status as well, in the head of the answer.
func TestGRPCWebIsACall(t *testing.T) {
	saying := func(status string, behind bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc+proto")
			if behind {
				w.Header().Set("Trailer", "Grpc-Status")
				_, _ = io.WriteString(w, message("hi"))
			}
			w.Header().Set("Grpc-Status", status)
		}
	}
	for _, tt := range []struct {
		name    string
		server  http.HandlerFunc // nil = nobody is there
		timeout string
		status  int // of gRPC
		failed  int // failures counted against the server
		words   string
	}{
		{"good", saying("0", true), "1H", 0, 0, ""},
		{"unavailable", saying("14", false), "1H", 14, 2, ""}, // and asked twice
		{"unavailable behind content", saying("14", true), "1H", 14, 1, ""},
		{"not found behind content", saying("5", true), "1H", 5, 0, ""},
		{"no server", nil, "1H", 14, 2, "502 Bad Gateway (refused)"},
		{"too late", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, "30m", 4, 0, "the deadline of the call has passed"},
	} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(tt.name+" "+version, func(t *testing.T) {
				addr := weirtest.Refused(t)
				at := netip.MustParseAddrPort(addr)
				if tt.server != nil {
					at = backend(t, tt.server)
				}
				b := newBed(t, setup{backends: []netip.AddrPort{at}, middlewares: []*Middleware{
					GRPCWeb("web", nil), Retry("again", RetryOptions{Attempts: 2, MaxBody: -1}),
				}})
				lb := *b.lb
				lb.CountErrors = true
				b.svc.Set(&lb)
				status, fields, body := 0, http.Header{}, ""
				if version == "HTTP/1.1" {
					resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(b.exchange(webCallText("/", "application/grpc-web+proto", message("hi"), "Grpc-Timeout: "+tt.timeout+"\r\n")))), nil)
					if err != nil {
						t.Fatal(err)
					}
					all, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					status, fields, body = resp.StatusCode, resp.Header, string(all)
				} else {
					w := b.plain()
					w.ask(1, false, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-type", "application/grpc-web+proto", "grpc-timeout", tt.timeout)
					_ = w.WriteData(1, true, []byte(message("hi")))
					a := w.answer(1)
					status, _ = strconv.Atoi(a.status)
					for _, f := range a.fields {
						fields.Add(f.Name, f.Value)
					}
					body = a.body.String()
				}
				end := trailers(fmt.Sprintf("grpc-status: %d", tt.status))
				inHead := fields.Get("Grpc-Status") == strconv.Itoa(tt.status) && body == ""
				if status != 200 || fields.Get("Content-Type") != "application/grpc-web+proto" || !inHead && body != message("hi")+end || fields.Get("Grpc-Message") != tt.words && tt.words != "" {
					t.Errorf("%d, %v, %q", status, fields, body)
				}
				if n := b.pool.Sight(b.pool.Backends()[0]).Failures; n != tt.failed {
					t.Errorf("%d failures are counted, want %d", n, tt.failed)
				}
				has(t, b.records(1)[0], fmt.Sprintf(`"GRPCStatus":%d,`, tt.status))
				if calls := b.svc.Stats().Calls; calls[grpcNames[tt.status]] == 0 {
					t.Errorf("calls of the service: %v", calls)
				}
			})
		}
	}
}

// Browsers ask before they call.
func TestGRPCWebPreflight(t *testing.T) {
	const ask = "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nAccess-Control-Request-Method: POST\r\n"
	const fields = "Access-Control-Request-Headers: content-type,x-grpc-web,x-user-agent\r\n"
	some, any := []*Middleware{GRPCWeb("web", []string{"https://a.test"})}, []*Middleware{GRPCWeb("web", []string{"*", "https://a.test"})}
	behave(t, told, []behaviour{
		{name: "a listed origin", m: some, request: ask + fields + "Origin: https://a.test\r\n", status: 204, record: []string{`"answered"`},
			want: []string{"Access-Control-Allow-Origin: https://a.test\r\n", "Access-Control-Allow-Methods: POST\r\n", "Access-Control-Allow-Headers: content-type,x-grpc-web,x-user-agent\r\n",
				"Access-Control-Allow-Credentials: true\r\n", "Access-Control-Max-Age: 600\r\n", "Vary: Origin, Access-Control-Request-Headers\r\n"}},
		{name: "another origin", m: some, request: ask + fields + "Origin: https://b.test\r\n", status: 204, want: []string{"Vary: "}, wantNot: []string{"Access-Control-Allow"}},
		{name: "an origin that is a star", m: some, request: ask + fields + "Origin: *\r\n", status: 204, wantNot: []string{"Access-Control-Allow"}},
		{name: "any origin", m: any, request: ask + fields + "Origin: https://b.test\r\n", status: 204, want: []string{"Access-Control-Allow-Origin: *\r\n"}, wantNot: []string{"Credentials"}},
		{name: "any origin, and it is listed", m: any, request: ask + fields + "Origin: https://a.test\r\n", status: 204, want: []string{"Access-Control-Allow-Origin: https://a.test\r\n", "Credentials: true\r\n"}},
		{name: "about something else", m: some, request: ask + "Access-Control-Request-Headers: content-type\r\nOrigin: https://a.test\r\n", want: []string{"a.test "}, wantNot: []string{"Access-Control-Allow"}},
		{name: "no question", m: some, request: "OPTIONS / HTTP/1.1\r\nHost: a.test\r\n" + fields + "Origin: https://a.test\r\n", want: []string{"a.test "}, wantNot: []string{"Access-Control-Allow"}},
	})
}

// A call in text that its client gives up holds nothing.
func TestGRPCWebAbandoned(t *testing.T) {
	b := newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}})
	c := b.dial()
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 100\r\n\r\nAAAA")
	weirtest.Eventually(t, patience, func() bool { return b.inState(busy) == 1 }, "the request waits")
	c.Close()
	b.ended(1, 499, "client", "client-abort")

	o := FrontOptions{ReadTimeout: short}
	b = newBed(t, setup{middlewares: []*Middleware{GRPCWeb("web", nil)}, front: o})
	c = b.dial()
	_ = c.SetDeadline(time.Now().Add(patience))
	send(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 100\r\n\r\nAAAA")
	has(t, rest(t, c, false), "HTTP/1.1 408 ")
}
