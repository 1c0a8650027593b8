package server

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/config"
)

func TestCheckReadsTheClustersKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.key")
	cfg := parse(t, fmt.Sprintf(`cluster: { name: prod, bind: "10.0.0.1:7946", keyFile: %q }`, file))
	const good = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
	tests := []struct {
		name, text string // empty: no file
		want       string // empty: no error
	}{
		{"good", good + "\n", ""},
		{"not there", "", "cluster.keyFile: " + file + " cannot be read: no such file or directory"},
		{"bad", good + "\nhush?\n", file + ":2:5: not base64 (make a key with: openssl rand -base64 32)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.text == "" {
				_ = os.Remove(file)
			} else if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := Check(cfg); err != nil {
				got = err.Error()
			}
			if tt.want == "" && got != "" || !strings.HasSuffix(got, tt.want) || strings.Contains(got, "hush") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestBoundsOfTheCluster holds what the configuration refuses against what the cluster does.
func TestBoundsOfTheCluster(t *testing.T) {
	if config.MinClusterKey != cluster.MinSecret || config.MaxClusterKeys != cluster.MaxRing || config.MaxNodeName != cluster.MaxName {
		t.Error("the configuration has other bounds than the cluster")
	}
	for length, fits := range map[int]bool{config.MaxClusterName: true, config.MaxClusterName + 1: false} {
		name := strings.Repeat("n", length)
		n, err := cluster.New(cluster.NodeOptions{Name: name, Node: "a", Bind: netip.MustParseAddrPort("127.0.0.1:0")})
		if err == nil {
			_ = n.Close()
		}
		if (err == nil) != fits {
			t.Errorf("a name of %d bytes: %v", length, err)
		}
	}
}
