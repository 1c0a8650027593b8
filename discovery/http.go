package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/weirlb/weir/upstream"
)

// Defaults of HTTPOptions.
const (
	httpInterval = 30 * time.Second
	httpTimeout  = 5 * time.Second
)

const (
	httpMinBackoff = time.Second // after a first failure; each further one in a row doubles it
	httpMaxBackoff = time.Minute
	httpJitter     = 0.1      // the part by which a wait is longer or shorter, so that many nodes do not ask all at once
	maxRedirects   = 3        // of one request
	maxHead        = 64 << 10 // bytes of a response before its body
	maxValidator   = 1 << 10  // bytes of an ETag or Last-Modified that is sent back
)

// HTTPOptions says which address a provider asks, and how. A time that is not positive takes its default.
type HTTPOptions struct {
	URL      string        // required; http or https
	Interval time.Duration // from an answer to the next request, give or take a tenth; default 30 s
	Timeout  time.Duration // of a request, its redirects and the last byte of the answer included; default 5 s
	Headers  http.Header   // sent with each request to the host of URL, and to no other
	TLS      *tls.Config   // of https; nil means the system's authorities
}

// NewHTTP returns a provider that asks an HTTP server for endpoints, JSON or YAML in the format of [ParseEndpoints], whatever
// the answer's content type. It asks at intervals whatever the answer says about caching, with ETag and Last-Modified of the
// last good answer so that the server may say 304. A redirect must keep the scheme. No proxy is used.
//
// Any other status than 200 and 304, and an answer that is late, too large or not a list of endpoints, is a failure: the
// last good set is held, and the server asked again after 1 s, then less and less often down to once a minute.
func NewHTTP(o HTTPOptions) Provider {
	if o.Interval <= 0 {
		o.Interval = httpInterval
	}
	if o.Timeout <= 0 {
		o.Timeout = httpTimeout
	}
	p := &poller{options: o, minBackoff: httpMinBackoff, maxBackoff: httpMaxBackoff}
	p.url, p.wrong = parseSource(o.URL)
	if p.url != nil {
		p.known.source = "http " + p.name()
	}
	transport := &http.Transport{
		TLSClientConfig: o.TLS.Clone(), MaxResponseHeaderBytes: maxHead,
		MaxIdleConns: 1 + maxRedirects, IdleConnTimeout: 2 * o.Interval,
		Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	p.client = &http.Client{Transport: transport, CheckRedirect: p.redirect}
	return p
}

// parseSource returns the address to ask. Its errors do not repeat it: it may hold a password.
func parseSource(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New(`discovery by HTTP: the URL is not one: write it like "https://inventory.example.com/endpoints"`)
	}
	return u, nil
}

// poller is the state of one provider. Only Run's goroutine touches it.
type poller struct {
	options                HTTPOptions
	url                    *url.URL
	wrong                  error // of url; then it is nil
	client                 *http.Client
	minBackoff, maxBackoff time.Duration

	known    lastGood
	stamp    stamp // of the last answer; zero if it was a failure, after which the next one must be whole
	failures int   // in a row
}

// stamp is what makes a request conditional: the validators of an answer (RFC 9110, section 8.8), which are those of one
// address only.
type stamp struct {
	url           string
	etag, changed string // ETag and Last-Modified; empty where the answer had none that can be sent back
}

func (p *poller) Run(ctx context.Context, out func(Update)) {
	defer p.client.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		u, _ := p.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := p.wait(rand.Float64())
		u.Status.Next = u.Status.Asked.Add(wait)
		out(u)
		timer.Reset(wait)
	}
}

// ask asks once and takes the answer in. One that the end of ctx cut off is not to be used.
func (p *poller) ask(ctx context.Context) (u Update, news bool) {
	endpoints, err := p.poll(ctx)
	if err != nil {
		p.failures++
		p.stamp = stamp{}
	} else {
		p.failures = 0
	}
	return p.known.take(endpoints, err, time.Now())
}

// wait returns the time until the next request; r is from [0, 1).
func (p *poller) wait(r float64) time.Duration {
	d := p.options.Interval
	if p.failures > 0 {
		d = min(p.minBackoff<<min(p.failures-1, 16), p.maxBackoff)
	}
	return d + time.Duration((2*r-1)*httpJitter*float64(d))
}

// poll returns what the server says now.
func (p *poller) poll(ctx context.Context) ([]upstream.Endpoint, error) {
	if p.wrong != nil {
		return nil, p.wrong
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return nil, p.failure(err)
	}
	req.Host = p.options.Headers.Get("Host") // the URL's where empty
	p.dress(req)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, p.failure(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		return p.read(resp)
	case resp.StatusCode == http.StatusNotModified && p.stamp.fits(resp.Request):
		return p.known.endpoints, nil
	}
	return nil, p.failure(fmt.Errorf("status %d, not 200 with a list of endpoints", resp.StatusCode))
}

// read returns the endpoints of an answer, and remembers the answer's validators if they are good.
func (p *poller) read(resp *http.Response) ([]upstream.Endpoint, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, p.failure(fmt.Errorf("the answer breaks off: %w", err))
	}
	endpoints, err := ParseEndpoints(p.name(), body)
	if err != nil {
		return nil, err
	}
	p.stamp = stamp{
		url:  resp.Request.URL.String(),
		etag: validator(resp.Header, "ETag"), changed: validator(resp.Header, "Last-Modified"),
	}
	return endpoints, nil
}

// validator returns a field that is to be sent back; empty if it is so long that requests with it could be refused.
func validator(h http.Header, name string) string {
	v := h.Get(name)
	if len(v) > maxValidator {
		return ""
	}
	return v
}

// fits reports whether a request was made conditional by s.
func (s stamp) fits(req *http.Request) bool {
	return (s.etag != "" || s.changed != "") && s.url == req.URL.String()
}

// dress gives a request the fields that its address is to see: the operator's, which may be secrets, at the host they are meant
// for, and validators at the address they came from.
func (p *poller) dress(req *http.Request) {
	req.Header = http.Header{"User-Agent": {"weir"}, "Accept": {"application/json, application/yaml"}}
	if req.URL.Host == p.url.Host {
		for name, values := range p.options.Headers {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if !p.stamp.fits(req) {
		return
	}
	if p.stamp.etag != "" {
		req.Header.Set("If-None-Match", p.stamp.etag)
	}
	if p.stamp.changed != "" {
		req.Header.Set("If-Modified-Since", p.stamp.changed)
	}
}

// redirect decides about a redirect to req, after the requests of via.
func (p *poller) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects: write the last address into the configuration", maxRedirects)
	}
	if req.URL.Scheme != p.url.Scheme {
		const mend = "write the address it leads to into the configuration"
		return fmt.Errorf("redirect from %s to %s: %s", p.url.Scheme, quote(req.URL.Scheme), mend)
	}
	p.dress(req)
	return nil
}

// name is the address without what may be secret in it.
func (p *poller) name() string {
	return (&url.URL{Scheme: p.url.Scheme, Host: p.url.Host, Path: p.url.Path}).String()
}

// failure says where err comes from, in place of the client's words, which hold the whole address.
func (p *poller) failure(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no whole answer within %v: %w", p.name(), p.options.Timeout, err)
	}
	return fmt.Errorf("%s: %w", p.name(), err)
}
