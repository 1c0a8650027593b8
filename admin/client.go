package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrUnreachable is wrapped by every error that means that no weir answered at the address.
var ErrUnreachable = errors.New("the admin endpoint does not answer")

// APIError is an answer that says no.
type APIError struct {
	Status  int    // of the HTTP answer
	Message string // what weir says about it
}

func (e *APIError) Error() string { return e.Message }

// maxAnswer bounds what a client reads.
const maxAnswer = 64 << 20

// Client talks to the admin endpoint of a running weir.
type Client struct {
	address string // as given, for messages
	base    string
	http    http.Client
}

// NewClient returns a client for an admin address: ip:port, unix:/path, or a URL with http or https.
func NewClient(address string) (*Client, error) {
	c := &Client{address: address, base: "http://" + address}
	transport := &http.Transport{Proxy: nil, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext}
	c.http = http.Client{Transport: transport}
	switch path, isUnix := unixPath(address); {
	case isUnix && path == "":
		return nil, fmt.Errorf("admin address %q names no socket", address)
	case isUnix:
		c.base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	case strings.Contains(address, "://"):
		c.base = strings.TrimSuffix(address, "/")
	case strings.HasPrefix(address, ":"):
		c.base = "http://localhost" + address
	}
	u, err := url.Parse(c.base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("admin address %q is none of ip:port, unix:/path, http://host:port", address)
	}
	return c, nil
}

// Status fetches the summary.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[*Status](ctx, c, "/api/v1/status")
}

// Entrypoints fetches the entrypoints.
func (c *Client) Entrypoints(ctx context.Context) ([]Entrypoint, error) {
	return get[[]Entrypoint](ctx, c, "/api/v1/entrypoints")
}

// Routers fetches the routers.
func (c *Client) Routers(ctx context.Context) ([]Router, error) {
	return get[[]Router](ctx, c, "/api/v1/routers")
}

// Services fetches the services.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return get[[]Service](ctx, c, "/api/v1/services")
}

// Backends fetches the backends of a service, and of a protocol: tcp, udp or http. Either may be empty, which means all.
func (c *Client) Backends(ctx context.Context, service, protocol string) ([]Backend, error) {
	return get[[]Backend](ctx, c, "/api/v1/backends?"+ofService(service, protocol))
}

// Sources fetches what is known of the sources by which a service finds backends. Service and protocol are those of Backends.
func (c *Client) Sources(ctx context.Context, service, protocol string) ([]Source, error) {
	return get[[]Source](ctx, c, "/api/v1/sources?"+ofService(service, protocol))
}

// ofService returns the query for what belongs to a service and to a protocol; what is empty does not choose.
func ofService(service, protocol string) string {
	q := url.Values{}
	if service != "" {
		q.Set("service", service)
	}
	if protocol != "" {
		q.Set("protocol", protocol)
	}
	return q.Encode()
}

// Cluster fetches what is known of the cluster. An *APIError with status 404 says that there is none.
func (c *Client) Cluster(ctx context.Context) (*Cluster, error) {
	return get[*Cluster](ctx, c, "/api/v1/cluster")
}

// Members fetches the members of the cluster. An *APIError with status 404 says that there is none.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	return get[[]Member](ctx, c, "/api/v1/members")
}

// Orders fetches what operators have ordered and not taken back.
func (c *Client) Orders(ctx context.Context) ([]StandingOrder, error) {
	return get[[]StandingOrder](ctx, c, "/api/v1/orders")
}

// Order has a backend or a service drained or weighed on all nodes. An *APIError says why not: status 404, that there is
// no such backend or service; 422, that the order cannot be carried out.
func (c *Client) Order(ctx context.Context, o Order) (*Ordered, error) {
	var done Ordered
	path, body := "/api/v1/weight", any(Weight{o.Service, o.Protocol, o.Backend, o.Weight, o.By})
	if o.Drain != nil {
		path, body = "/api/v1/undrain", Drain{o.Service, o.Protocol, o.Backend, o.By}
		if *o.Drain {
			path = "/api/v1/drain"
		}
	}
	err := c.do(ctx, http.MethodPost, path, body, &done)
	return &done, err
}

// Keys fetches which keys encrypt the talk between the nodes of the cluster.
func (c *Client) Keys(ctx context.Context) (*Keys, error) {
	return get[*Keys](ctx, c, "/api/v1/keys")
}

// ChangeKeys changes them on all nodes.
func (c *Client) ChangeKeys(ctx context.Context, change KeyChange) (*Keys, error) {
	var k Keys
	err := c.do(ctx, http.MethodPost, "/api/v1/keys", change, &k)
	return &k, err
}

// Config fetches the effective configuration as JSON.
func (c *Client) Config(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/api/v1/config")
}

// Reload makes weir load its configuration again, and returns the generation in force. An *APIError says what is wrong
// with it; the old one is then still in force.
func (c *Client) Reload(ctx context.Context) (uint64, error) {
	var got Reloaded
	err := c.do(ctx, http.MethodPost, "/api/v1/reload", nil, &got)
	return got.Generation, err
}

// SetLogLevel sets the level of weir's log: debug, info, warn or error.
func (c *Client) SetLogLevel(ctx context.Context, level string) error {
	return c.do(ctx, http.MethodPost, "/api/v1/log-level", LogLevel{level}, &LogLevel{})
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	err := c.do(ctx, http.MethodGet, path, nil, &v)
	return v, err
}

// do sends a request and decodes the answer. Unknown keys are passed over: client and server may be of different versions.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what answers at %s is not weir's admin endpoint: %w", c.address, err)
	}
	return nil
}

// unreachable says what a person can do about it.
func (c *Client) unreachable(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the URL, which says nothing new
	}
	return fmt.Errorf("%w at %s (%w): is weir running there, and is that its admin.address? Name another one with --admin", ErrUnreachable, c.address, err)
}

func (c *Client) refused(status int, text []byte) error {
	var p problem
	if json.Unmarshal(text, &p) == nil && p.Error != "" {
		return &APIError{status, p.Error}
	}
	return &APIError{status, fmt.Sprintf("%s answers %d %s: is it weir's admin endpoint?", c.address, status, http.StatusText(status))}
}
