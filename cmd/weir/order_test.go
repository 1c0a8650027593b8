package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/admin"
)

// told is an admin endpoint that notes the orders it is given, and answers each alike.
func told(t *testing.T, done admin.Ordered, err error) (address string, orders *[]admin.Order) {
	t.Helper()
	orders = new([]admin.Order)
	return serveCommands(t, admin.State{}, admin.Commands{
		Order: func(_ context.Context, o admin.Order) (admin.Ordered, error) {
			*orders = append(*orders, o)
			return done, err
		},
	}), orders
}

func TestOrders(t *testing.T) {
	t.Setenv("SUDO_USER", "alice")
	all := admin.Ordered{Acked: []string{"lb-1", "lb-2", "lb-3"}, Backends: 1}
	on, off, five := true, false, 5
	const backend = "10.0.0.1:5432"
	tests := []struct {
		name, line string
		done       admin.Ordered
		want       admin.Order
		stdout     string
	}{
		{"drain a backend", "drain orders " + backend, all, admin.Order{Backend: backend, Drain: &on},
			"drained 10.0.0.1:5432 of orders (acked 3/3)\n"},
		{"drain a service", "drain orders --protocol udp", all, admin.Order{Protocol: "udp", Drain: &on},
			"drained all backends of orders (acked 3/3)\n"},
		{"undrain", "undrain orders " + backend, all, admin.Order{Backend: backend, Drain: &off},
			"undrained 10.0.0.1:5432 of orders (acked 3/3)\n"},
		{"weight of a backend", "weight orders " + backend + " 5", all, admin.Order{Backend: backend, Weight: &five},
			"weight of 10.0.0.1:5432 of orders is 5 (acked 3/3)\n"},
		{"weight of a service", "weight orders 5", all, admin.Order{Weight: &five}, "weight of all backends of orders is 5 (acked 3/3)\n"},
		{"the configured weight", "weight orders " + backend + " default", all, admin.Order{Backend: backend, ResetWeight: true},
			"weight of 10.0.0.1:5432 of orders is the configured one (acked 3/3)\n"},
		{"one is missing", "drain orders", admin.Ordered{Acked: []string{"lb-1"}, Missing: []string{"lb-3"}, Backends: 2}, admin.Order{Drain: &on},
			"drained all backends of orders (acked 1/2)\nlb-3 has not confirmed it yet: it gets it as soon as it can be reached\n"},
		{"two are missing", "drain orders", admin.Ordered{Acked: []string{"lb-1"}, Missing: []string{"lb-2", "lb-3"}, Backends: 2}, admin.Order{Drain: &on},
			"drained all backends of orders (acked 1/3)\nlb-2, lb-3 have not confirmed it yet: they get it as soon as they can be reached\n"},
		{"nothing here", "drain orders", admin.Ordered{Acked: []string{"lb-1"}}, admin.Order{Drain: &on},
			"drained all backends of orders (acked 1/1)\nno backend that this node has now is concerned\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address, got := told(t, tt.done, nil)
			args := append(strings.Fields(tt.line), "--admin", address)
			if code, stdout, stderr := weir(args...); code != exitOK || stdout != tt.stdout || stderr != "" {
				t.Errorf("exit code %d, says\n%s%s, want\n%s", code, stdout, stderr, tt.stdout)
			}
			tt.want.Service, tt.want.By = "orders", "alice"
			if diff := cmp.Diff([]admin.Order{tt.want}, *got); diff != "" {
				t.Errorf("orders (-want +got):\n%s", diff)
			}
			_, stdout, _ := weir(append(args, "-o", "json")...)
			var done admin.Ordered
			if err := json.Unmarshal([]byte(stdout), &done); err != nil || done.Backends != tt.done.Backends {
				t.Errorf("as JSON: %v\n%s", err, stdout)
			}
		})
	}
}

func TestOrdersRefused(t *testing.T) {
	address, _ := told(t, admin.Ordered{}, fmt.Errorf("%w: no service orders", admin.ErrNoSuch))
	if code, stdout, stderr := weir("drain", "orders", "--admin", address); code != exitFailure || stdout != "" || stderr != "weir: not found: no service orders\n" {
		t.Errorf("exit code %d, says %q, %q", code, stdout, stderr)
	}
	alone := serveAdmin(t, admin.State{})
	for line, want := range map[string]string{
		"undrain orders":   "takes no orders",
		"orders":           "takes no orders",
		"members":          "this weir is not in a cluster: set cluster in its configuration",
		"keys":             "not in a cluster",
		"keys use c9f0":    "not in a cluster",
		"keys remove c9f0": "not in a cluster",
	} {
		if code, _, stderr := weir(append(strings.Fields(line), "--admin", alone)...); code != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, says %q", line, code, stderr)
		}
	}
}

// TestOperatorsThatDoNotPrint holds that a name nobody would want to see is not sent.
func TestOperatorsThatDoNotPrint(t *testing.T) {
	for name, want := range map[string]string{"bob": "bob", "\x1b[31m": "", "\xff": "", strings.Repeat("x", 65): ""} {
		t.Setenv("SUDO_USER", name)
		if got := operator(); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestStandingOrdersAndMembers(t *testing.T) {
	now := time.Now()
	address := serveCommands(t, admin.State{Cluster: &admin.Cluster{Members: []admin.Member{
		{Name: "lb-1", Address: "10.0.0.11:7946", Self: true, State: "alive", Version: "1.2.3", ConfigHash: "5f2e", Generation: 7, SameConfig: true},
		{Name: "lb-2", Address: "10.0.0.12:7946", State: "alive", Version: "1.2.3", LastHeard: now, ConfigHash: "77d1", Generation: 6},
	}}}, admin.Commands{Orders: func() []admin.StandingOrder {
		return []admin.StandingOrder{{Service: "orders", Protocol: "tcp", Drained: true, By: "alice", Node: "lb-1", Since: now.Add(-100 * time.Hour)}}
	}})
	for verb, want := range map[string][]string{
		"members": {"lb-1 10.0.0.11:7946 alive 5f2e 7 - - 1.2.3 self", "lb-2 10.0.0.12:7946 alive 77d1 6"},
		"orders":  {"orders tcp all drained alice lb-1 100h"},
		"status":  {"cluster as : 2 alive, not settled yet", "other configuration lb-2"},
	} {
		code, stdout, stderr := weir(verb, "--admin", address)
		text := strings.Join(strings.Fields(stdout), " ")
		for _, w := range want {
			if code != exitOK || !strings.Contains(text, w) {
				t.Errorf("%s: exit code %d, no %q in\n%s%s", verb, code, w, stdout, stderr)
			}
		}
		if code, stdout, _ := weir(verb, "--admin", address, "-o", "json"); code != exitOK || !json.Valid([]byte(stdout)) {
			t.Errorf("%s as JSON: exit code %d\n%s", verb, code, stdout)
		}
	}
}
