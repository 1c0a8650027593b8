//go:build !notracing

package otlp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxResponse bounds what is read of a response; one has a few bytes, or a sentence.
const maxResponse = 64 << 10

// httpSender posts requests (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
type httpSender struct {
	url     string
	headers map[string]string
	client  *http.Client
}

func newHTTPSender(o Options) *httpSender {
	return &httpSender{url: o.URL, headers: withAgent(o, "application/x-protobuf"), client: newClient(o, nil)}
}

// newClient makes a client that follows no redirect: what it sends along is for the collector alone.
func newClient(o Options, protocols *http.Protocols) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: o.TLS, Protocols: protocols, ForceAttemptHTTP2: protocols == nil, DisableCompression: true,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxResponse, TLSHandshakeTimeout: sendTimeout,
		},
	}
}

// withAgent are the headers of each request. Those of the configuration come last: they may say something else.
func withAgent(o Options, contentType string) map[string]string {
	all := map[string]string{"User-Agent": "weir/" + o.Version}
	for name, value := range o.Headers {
		all[name] = value
	}
	all["Content-Type"] = contentType
	return all
}

// post sends a body and reads the response, with its trailers.
func post(ctx context.Context, c *http.Client, url string, headers map[string]string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, refusal{error: err, final: true}
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	return resp, text, err
}

func (s *httpSender) send(ctx context.Context, body []byte) (rejected int, err error) {
	resp, text, err := post(ctx, s.client, s.url, s.headers, body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode/100 != 2 {
		return 0, refused(resp)
	}
	return rejectedIn(text), nil
}

// temporary are the statuses after which the protocol has a client try again.
var temporary = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// refused is what a response with another status than 2xx means.
func refused(resp *http.Response) refusal {
	r := refusal{error: fmt.Errorf("the collector answers with status %d", resp.StatusCode), final: !slices.Contains(temporary, resp.StatusCode)}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		r.pause = time.Duration(seconds) * time.Second
	}
	return r
}
