package l7

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"github.com/weirlb/weir/internal/weirtest"
)

// h2client is the client of the standard library, over TLS or with prior knowledge.
func h2client(t testing.TB, config *tls.Config) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: config, DisableCompression: true, Protocols: new(http.Protocols)}
	if config == nil {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func TestHTTP2Requests(t *testing.T) {
	ca := weirtest.CA(t)
	for name, secure := range map[string]bool{"h2c": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			o := setup{backends: []netip.AddrPort{backend(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("X-Seen", r.Method+" "+r.URL.Path)
				_, _ = w.Write(body)
			})}}
			scheme, config := "http", (*tls.Config)(nil)
			if secure {
				o.security = secured("default", ca.Server("127.0.0.1"))
				o.security.Config.NextProtos = []string{"h2", "http/1.1"}
				scheme, config = "https", trusting(ca)
			}
			b := newBed(t, o)
			client := h2client(t, config)
			for _, size := range []int{0, 1, 1000, 70_000, 1_000_000} {
				for _, known := range []bool{true, false} {
					body := pattern(size)
					var r io.Reader = bytes.NewReader(body)
					if !known {
						r = io.MultiReader(r)
					}
					resp, err := client.Post(scheme+"://"+b.addr+"/x", "text/plain", r)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || !bytes.Equal(got, body) || resp.ProtoMajor != 2 || resp.Header.Get("X-Seen") != "POST /x" {
						t.Errorf("%d bytes, known=%v: %d come back, %v, %s %v", size, known, len(got), err, resp.Proto, resp.Header)
					}
				}
			}
			client.CloseIdleConnections()
		})
	}
}
