package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

var manualCurl = regexp.MustCompile(`^\$ curl -d '(.*)' http://127\.0\.0\.1:9901(/api/v1/\S+)$`)

// manualCluster is the cluster of which the manual tells.
func manualCluster(now time.Time) (members []admin.Member, orders []admin.StandingOrder, commands admin.Commands) {
	const old, fresh = "8f14e45fceea", "c9f0f895fb98"
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	members = []admin.Member{
		{Name: "lb-1", Address: "10.0.0.11:7946", Self: true, State: "alive", Version: "1.2.3", ConfigHash: "5f2e00aa11bb", Generation: 7, SameConfig: true},
		{
			Name: "lb-2", Address: "10.0.0.12:7946", State: "alive", Version: "1.2.3", ConfigHash: "5f2e00aa11bb", Generation: 3, SameConfig: true,
			LastHeard: now, DelaySeconds: 0.0042,
		},
		{
			Name: "lb-3", Address: "10.0.0.13:7946", State: "alive", Version: "1.2.3", ConfigHash: "77d1c0ffee00", Generation: 12,
			LastHeard: ago(2 * time.Second), DelaySeconds: 1.2, Doubt: "probes late",
		},
		{Name: "lb-4", Address: "10.0.0.14:7946", State: "failed", Since: ago(12 * time.Minute), Version: "1.2.3"},
	}
	orders = []admin.StandingOrder{
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.1:5432", Drained: true, By: "alice", Node: "lb-1", Since: ago(2 * time.Minute)},
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.2:5432", Weight: 5, By: "alice", Node: "lb-1", Since: ago(5 * time.Second)},
	}
	all := []string{"lb-1", "lb-2", "lb-3"}
	commands = admin.Commands{
		Order: func(_ context.Context, o admin.Order) (admin.Ordered, error) {
			if o.Backend == "" && o.Drain != nil {
				return admin.Ordered{Acked: all[:2], Missing: all[2:], Backends: 2}, nil
			}
			return admin.Ordered{Acked: all, Backends: 1}, nil
		},
		Keys: func(context.Context) (admin.Keys, error) {
			return admin.Keys{Fingerprints: []string{old}, Missing: all}, nil
		},
		ChangeKeys: func(_ context.Context, c admin.KeyChange) (admin.Keys, error) {
			k := admin.Keys{Fingerprints: []string{old, fresh}, Changed: c.Fingerprint, Acked: all}
			if c.Do == "install" {
				k.Changed = fresh
			}
			return k, nil
		},
	}
	return members, orders, commands
}

// TestManualOfTheClusterIsTrue gives every command of the page to an admin endpoint, which knows the cluster of which the page
// tells, and holds what is printed against the page.
func TestManualOfTheClusterIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	members, orders, commands := manualCluster(now)
	address := serveCommands(t, admin.State{Cluster: &admin.Cluster{}}, commands)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "new.key"), []byte("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, m := range manualBlock.FindAllStringSubmatch(string(text), -1) {
		lines := strings.Split(strings.TrimSuffix(m[2], "\n"), "\n")
		for i, line := range lines {
			if call := manualCurl.FindStringSubmatch(line); call != nil {
				resp, err := http.Post("http://"+address+call[2], "", strings.NewReader(call[1]))
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if ran["curl"] = true; resp.StatusCode != http.StatusOK {
					t.Errorf("%s\nis answered %s", line, resp.Status)
				}
			}
			command := manualCommand.FindStringSubmatch(line)
			if command == nil {
				continue
			}
			var got strings.Builder
			args := strings.Fields(strings.ReplaceAll(command[1], "new.key", filepath.Join(dir, "new.key")))
			switch ran[args[0]] = true; args[0] {
			case "check":
				continue // TestManualCommandsAreTrue runs it
			case "members":
				err = admin.Render(&got, "table", members, now)
			case "orders":
				err = admin.Render(&got, "table", orders, now)
			default:
				_, stdout, stderr := weir(append(args, "--admin", address)...)
				got.WriteString(stdout + stderr)
			}
			want := ""
			for _, next := range lines[i+1:] {
				if strings.HasPrefix(next, "$ ") {
					break
				}
				want += next + "\n"
			}
			if err != nil || got.String() != want {
				t.Errorf("%s\nprints (%v):\n%sthe manual says:\n%s", line, err, got.String(), want)
			}
		}
	}
	for _, verb := range []string{"members", "orders", "drain", "undrain", "weight", "keys", "curl"} {
		if !ran[verb] {
			t.Errorf("the manual shows no %s", verb)
		}
	}
}
