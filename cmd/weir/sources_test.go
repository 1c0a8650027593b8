package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/admin"
)

// still is an admin.Weir that shows one state.
type still struct{ state admin.State }

func (s still) State() *admin.State { return &s.state }

// serveAdmin runs an admin endpoint for a state until the test ends, and returns its address.
func serveAdmin(t *testing.T, state admin.State) string {
	t.Helper()
	return serveCommands(t, state, admin.Commands{})
}

// serveCommands is serveAdmin with what operators can have done.
func serveCommands(t *testing.T, state admin.State, commands admin.Commands) string {
	t.Helper()
	ln, err := admin.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, done := admin.New(admin.Options{Weir: still{state}, Commands: commands}), make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestSources(t *testing.T) {
	now := time.Now()
	address := serveAdmin(t, admin.State{Sources: []admin.Source{
		{
			Service: "orders", Protocol: "tcp", Source: "dnsSRV _postgres._tcp.orders.internal", Resolver: "corp", Outcome: "failed",
			Error: "10.0.0.2:53 says SERVFAIL", Asked: now, Answered: now.Add(-100 * time.Hour), Next: now.Add(-time.Second), TTLSeconds: 30,
			Held: true, Stale: true, Endpoints: 2, Attempts: map[string]uint64{"ok": 7, "failed": 1},
		},
		{Service: "shop", Protocol: "http", Source: "file /etc/weir/shop.json", Outcome: "unasked", Attempts: map[string]uint64{}},
		{Service: "shop", Protocol: "udp", Source: "dns resolvers.internal", Outcome: "unasked", Attempts: map[string]uint64{}},
	}})
	tests := []struct {
		name string
		args []string
		want []string // the sources
	}{
		{"all", nil, []string{"dnsSRV _postgres._tcp.orders.internal", "file /etc/weir/shop.json", "dns resolvers.internal"}},
		{"of a service", []string{"--service", "shop"}, []string{"file /etc/weir/shop.json", "dns resolvers.internal"}},
		{"of a service and protocol", []string{"--service", "shop", "--protocol", "udp"}, []string{"dns resolvers.internal"}},
		{"of nobody", []string{"--service", "none"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"sources", "--admin", address}, tt.args...)
			code, stdout, stderr := weir(append(args, "-o", "json")...)
			var list []admin.Source
			if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != exitOK {
				t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
			}
			var got []string
			for _, s := range list {
				got = append(got, s.Source)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, stdout, _ := weir(args...); strings.Count(stdout, "\n") != 1+len(tt.want) {
				t.Errorf("the table has another length:\n%s", stdout)
			}
		})
	}
	t.Run("table", func(t *testing.T) {
		_, stdout, _ := weir("sources", "--admin", address, "--service", "orders")
		_, row, _ := strings.Cut(strings.TrimSuffix(stdout, "\n"), "\n")
		got := regexp.MustCompile(" {2,}").Split(row, -1)
		want := []string{
			"orders", "tcp", "dnsSRV _postgres._tcp.orders.internal (corp)", "failed", "2", "100", "30s", "now", "held,stale", "10.0.0.2:53 says SERVFAIL",
		}
		if len(got) == len(want) {
			got[5], _, _ = strings.Cut(got[5], "h") // what follows depends on how long the test takes
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("status", func(t *testing.T) {
		if _, stdout, _ := weir("status", "--admin", address); !strings.Contains(stdout, "3 sources: 1 failed (held), 2 unasked\n") {
			t.Errorf("no word of discovery in\n%s", stdout)
		}
	})
}
