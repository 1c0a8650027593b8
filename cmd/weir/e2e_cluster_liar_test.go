package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/internal/weirtest"
)

// lieVariable makes the test binary a liar: a member of a cluster, with its key, that says of every backend that it is down,
// and has never asked one. Its value is a lie as JSON.
const lieVariable = "WEIR_TEST_LIE"

// liarName is the liar's name in the cluster.
const liarName = "liar"

// lie says how to lie.
type lie struct {
	Cluster, Bind string
	Keys          [][]byte
	Join          []string
	Anew          bool // each second it says something new, so that its word is never old enough to be compared with the truth
}

func TestMain(m *testing.M) {
	if told := os.Getenv(lieVariable); told != "" {
		if err := liar(told); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// env returns the environment of the liar.
func (l lie) env(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return lieVariable + "=" + string(text)
}

// liar lies until it is told to stop.
func liar(told string) error {
	var l lie
	if err := json.Unmarshal([]byte(told), &l); err != nil {
		return err
	}
	bind, err := netip.ParseAddrPort(l.Bind)
	if err != nil {
		return err
	}
	node, err := cluster.New(cluster.NodeOptions{Name: l.Cluster, Node: liarName, Bind: bind, Keys: l.Keys, Join: l.Join})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	report := cluster.Report{State: cluster.Down, For: time.Minute, Streak: 3, Failures: 3}
	backends := 0
	for ticks := time.Tick(time.Second); ctx.Err() == nil; {
		keys, err := healthKeys(node)
		if err != nil {
			return err
		}
		if l.Anew {
			report.Streak++
		}
		for key := range keys {
			if err := node.Set(key, report.Append(nil)); err != nil {
				return err
			}
		}
		if len(keys) != backends {
			backends = len(keys)
			fmt.Println("lying about", backends)
		}
		select {
		case <-ticks:
		case <-ctx.Done():
		}
	}
	return node.Leave(cluster.DefaultLeave)
}

// healthKeys returns under which keys the others say what they see of backends.
func healthKeys(node *cluster.Node) (map[cluster.Key]bool, error) {
	keys := map[cluster.Key]bool{}
	err := node.Read(func(t *cluster.Table, m cluster.Members, _ *cluster.Commands) {
		for _, name := range m.Names() {
			for cell := range t.All(name) {
				if name != liarName && !cell.Gone && cell.Key.Kind() == cluster.KindHealth {
					keys[cell.Key] = true
				}
			}
		}
	})
	return keys, err
}

// TestLiar: the liar of the tests of clusters does lie, about all that others have a view of.
func TestLiar(t *testing.T) {
	t.Parallel()
	l := lie{Cluster: "honest", Bind: weirtest.FreeAddr(t), Keys: [][]byte{[]byte("a secret of the test")}}
	honest, err := cluster.New(cluster.NodeOptions{
		Name: l.Cluster, Node: "honest", Bind: netip.MustParseAddrPort("127.0.0.1:0"), Keys: l.Keys, Join: []string{l.Bind},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := honest.Close(); err != nil {
			t.Error(err)
		}
	})
	keys := []cluster.Key{cluster.HealthKey(1, 1), cluster.HealthKey(2, 1)}
	up := cluster.Report{State: cluster.Up}.Append(nil)
	for _, key := range keys {
		if err := honest.Set(key, up); err != nil {
			t.Fatal(err)
		}
	}
	l.Join, l.Anew = []string{honest.Addr().String()}, true
	weirtest.Start(t, "env", []string{l.env(t), os.Args[0]}, func() bool {
		lied := 0
		if err := honest.Read(func(table *cluster.Table, _ cluster.Members, _ *cluster.Commands) {
			for _, key := range keys {
				for _, vote := range table.Votes(key) {
					if vote.Observer == liarName && vote.State == cluster.Down && vote.Streak > 4 {
						lied++
					}
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		return lied == len(keys)
	})
}
