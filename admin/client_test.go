package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newClient(t *testing.T, address string) *Client {
	t.Helper()
	c, err := NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientFetches(t *testing.T) {
	state := busyDiscovery()
	level := ""
	ln := serve(t, "127.0.0.1:0", Options{
		Weir:        &fixed{state: state},
		Config:      func(context.Context) ([]byte, error) { return []byte(`{"log":{"level":"info"}}`), nil },
		Reload:      func(context.Context) error { return nil },
		SetLogLevel: func(l string) error { level = l; return nil },
	})
	c, ctx := newClient(t, ln.Addr().String()), t.Context()

	status, err := c.Status(ctx)
	same(t, "status", state.status(), status, err)
	entrypoints, err := c.Entrypoints(ctx)
	same(t, "entrypoints", state.Entrypoints, entrypoints, err)
	routers, err := c.Routers(ctx)
	same(t, "routers", state.Routers, routers, err)
	services, err := c.Services(ctx)
	same(t, "services", state.Services, services, err)
	backends, err := c.Backends(ctx, "", "")
	same(t, "backends", state.Backends, backends, err)
	backends, err = c.Backends(ctx, "other", "")
	same(t, "backends of a service", state.Backends[2:3], backends, err)
	backends, err = c.Backends(ctx, "shop", "udp")
	same(t, "backends of a service of one protocol", state.Backends[5:], backends, err)
	sources, err := c.Sources(ctx, "", "")
	same(t, "sources", state.Sources, sources, err)
	sources, err = c.Sources(ctx, "orders", "")
	same(t, "sources of a service", state.Sources[:2], sources, err)
	sources, err = c.Sources(ctx, "shop", "udp")
	same(t, "sources of a service of one protocol", state.Sources[4:], sources, err)
	config, err := c.Config(ctx)
	same(t, "config", json.RawMessage(`{"log":{"level":"info"}}`), config, err)
	generation, err := c.Reload(ctx)
	same(t, "reload", uint64(7), generation, err)
	if err := c.SetLogLevel(ctx, "debug"); err != nil || level != "debug" {
		t.Errorf("log level is %q, %v", level, err)
	}
}

func TestClientOrdersAndChangesKeys(t *testing.T) {
	state, keys := busyCluster(), Keys{Fingerprints: []string{"8f14"}, Changed: "c9f0", Acked: []string{"lb-1"}, Missing: []string{"lb-2"}}
	done := Ordered{Acked: []string{"lb-1", "lb-2"}, Missing: []string{"lb-3"}, Backends: 2}
	var orders []Order
	var change KeyChange
	ln := serve(t, "127.0.0.1:0", Options{Weir: &fixed{state: state}, Commands: Commands{
		Order:      func(_ context.Context, o Order) (Ordered, error) { orders = append(orders, o); return done, nil },
		Orders:     standing,
		Keys:       func(context.Context) (Keys, error) { return keys, nil },
		ChangeKeys: func(_ context.Context, c KeyChange) (Keys, error) { change = c; return keys, nil },
	}})
	c, ctx := newClient(t, ln.Addr().String()), t.Context()

	cluster, err := c.Cluster(ctx)
	same(t, "cluster", state.Cluster, cluster, err)
	members, err := c.Members(ctx)
	same(t, "members", state.Cluster.Members, members, err)
	stand, err := c.Orders(ctx)
	same(t, "orders", standing(), stand, err)
	got, err := c.Keys(ctx)
	same(t, "keys", &keys, got, err)
	want := KeyChange{Do: "install", Secret: Secret("0123456789abcdef")}
	got, err = c.ChangeKeys(ctx, want)
	same(t, "changed keys", &keys, got, err)
	same(t, "the change", want, change, nil)

	on, off, weight := true, false, 0
	sent := []Order{
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.1:5432", Drain: &on, By: "alice"},
		{Service: "orders", Drain: &off},
		{Service: "orders", Backend: "10.0.0.1:5432", Weight: &weight, By: "alice"},
		{Service: "orders", Protocol: "udp", ResetWeight: true},
	}
	for _, o := range sent {
		got, err := c.Order(ctx, o)
		same(t, "what became of it", &done, got, err)
	}
	same(t, "the orders", sent, orders, nil)
}

func same[T any](t *testing.T, what string, want, got T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestClientAddresses(t *testing.T) {
	tests := []struct{ name, address, base string }{
		{"ip and port", "127.0.0.1:9901", "http://127.0.0.1:9901"},
		{"IPv6", "[::1]:9901", "http://[::1]:9901"},
		{"port", ":9901", "http://localhost:9901"},
		{"URL", "http://lb-1:9901/", "http://lb-1:9901"},
		{"URL with TLS", "https://lb-1", "https://lb-1"},
		{"socket", "unix:/run/weir.sock", "http://localhost"},
		{"empty", "", ""},
		{"no socket", "unix:", ""},
		{"another scheme", "ftp://lb-1", ""},
		{"not an address", "a b", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewClient(tt.address)
			if (err != nil) != (tt.base == "") {
				t.Fatalf("error %v", err)
			}
			if err == nil && c.base != tt.base {
				t.Errorf("base %q, want %q", c.base, tt.base)
			}
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	tests := []struct{ name, address string }{
		{"nobody listens", gone},
		{"no such socket", "unix:" + filepath.Join(t.TempDir(), "none.sock")},
		{"closes without an answer", cut.URL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newClient(t, tt.address).Status(t.Context())
			if !errors.Is(err, ErrUnreachable) {
				t.Fatalf("error %v", err)
			}
			for _, want := range []string{tt.address, "--admin"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not mention %s", err, want)
				}
			}
		})
	}
}

func TestClientRefused(t *testing.T) {
	tests := []struct {
		name, body string
		code       int
		want       string
	}{
		{"weir says why", `{"error":"weir.yaml:3:1: no"}`, 422, "weir.yaml:3:1: no"},
		{"somebody else", `<html>`, 404, "is it weir's admin endpoint?"},
		{"not JSON", `hello`, 200, "is not weir's admin endpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte(tt.body))
			}))
			t.Cleanup(s.Close)
			_, err := newClient(t, s.URL).Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrUnreachable) {
				t.Fatalf("error %v", err)
			}
			var api *APIError
			if errors.As(err, &api) != (tt.code != 200) || api != nil && api.Status != tt.code {
				t.Errorf("APIError %+v", api)
			}
		})
	}
}
