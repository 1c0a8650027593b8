package admin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRenderTables(t *testing.T) {
	state, http, udp, discovery, cluster := busy(), busyHTTP(), busyUDP(), busyDiscovery(), busyCluster()
	failed := state.status()
	failed.Ready, failed.NotReady = false, []string{"draining"}
	failed.Reloads.Last.OK, failed.Reloads.Last.Error = false, "weir.yaml:3:1: no"
	tests := []struct {
		name string
		v    any
	}{
		{"status", state.status()},
		{"status_bad", failed},
		{"status_fresh", (&State{}).status()},
		{"entrypoints", state.Entrypoints},
		{"routers", state.Routers},
		{"services", state.Services},
		{"backends", state.Backends},
		{"http_status", http.status()},
		{"http_entrypoints", http.Entrypoints},
		{"http_routers", http.Routers},
		{"http_services", http.Services},
		{"http_backends", http.Backends},
		{"udp_status", udp.status()},
		{"udp_entrypoints", udp.Entrypoints},
		{"udp_routers", udp.Routers},
		{"udp_services", udp.Services},
		{"udp_backends", udp.Backends},
		{"udp_alone", udp.Services[3:]},
		{"discovery_status", discovery.status()},
		{"discovery_backends", discovery.Backends},
		{"discovery_sources", discovery.Sources},
		{"discovery_none", []Source{}},
		{"cluster_status", cluster.status()},
		{"cluster_members", cluster.Cluster.Members},
		{"cluster_backends", cluster.Backends},
		{"cluster_orders", standing()},
		{"cluster_orders_none", []StandingOrder{}},
		{"cluster_keys", &Keys{
			Fingerprints: []string{"8f14e45fceea", "c9f0f895fb98"}, Retiring: []string{"45c48cce2e2d"},
			Acked: []string{"lb-1", "lb-2"}, Missing: []string{"lb-3"},
		}},
		{"cluster_keys_of_files", &Keys{Fingerprints: []string{"8f14e45fceea"}, Missing: []string{"lb-1", "lb-2", "lb-3"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			if err := Render(&got, "table", tt.v, state.Now); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", tt.name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRenderJSON(t *testing.T) {
	want := busy().Backends
	var text strings.Builder
	if err := Render(&text, "json", want, start); err != nil {
		t.Fatal(err)
	}
	var got []Backend
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	var out strings.Builder
	if err := Render(&out, "xml", []Backend{}, start); err == nil {
		t.Error("an unknown format was accepted")
	}
	if err := Render(&out, "table", 7, start); err == nil {
		t.Error("a number has no table")
	}
	if out.Len() != 0 {
		t.Errorf("wrote %q", out.String())
	}
}

func TestSize(t *testing.T) {
	tests := []struct {
		n    uint64
		want string
	}{
		{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"}, {100 << 10, "100 KiB"},
		{1<<20 - 1, "1.0 MiB"}, {5 << 30, "5.0 GiB"}, {1 << 60, "1.0 EiB"}, {1<<64 - 1, "16.0 EiB"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := size(tt.n); got != tt.want {
				t.Errorf("size(%d) = %q, want %q", tt.n, got, tt.want)
			}
		})
	}
}
