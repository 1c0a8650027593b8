package admin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClusterViews(t *testing.T) {
	state := busyCluster()
	s := New(Options{Weir: &fixed{state: state}})
	t.Run("members", func(t *testing.T) {
		var got []Member
		if err := json.Unmarshal(call(t, s, "GET", "/api/v1/members", "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(state.Cluster.Members, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		var got *Cluster
		if err := json.Unmarshal(call(t, s, "GET", "/api/v1/cluster", "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(state.Cluster, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for _, path := range []string{"/api/v1/members", "/api/v1/cluster"} {
		rec := call(t, New(Options{Weir: &fixed{}}), "GET", path, "")
		if want := "{\n  \"error\": \"this weir is not in a cluster: set cluster in its configuration\"\n}\n"; rec.Code != 404 || rec.Body.String() != want {
			t.Errorf("%s alone: %d %s", path, rec.Code, rec.Body)
		}
	}
	empty := State{Cluster: &Cluster{}}
	if got := call(t, New(Options{Weir: &fixed{state: empty}}), "GET", "/api/v1/members", "").Body.String(); got != "[]\n" {
		t.Errorf("no members: %q", got)
	}
}

func TestClusterStatus(t *testing.T) {
	state := busyCluster()
	want := &ClusterStatus{
		Name: "prod", Node: "lb-1", Settled: true, Encrypted: true, Members: map[string]int{"alive": 4, "failed": 1, "left": 1},
		ConfigDrift: []string{"lb-3"}, TableDrift: []string{"orders (tcp)"}, Contested: []string{"lb-3"},
	}
	if diff := cmp.Diff(want, state.status().Cluster); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := (*Cluster)(nil).status(); got != nil {
		t.Errorf("of none: %+v", got)
	}
}

func TestClusterStatusRows(t *testing.T) {
	tests := []struct {
		name   string
		status *ClusterStatus
		want   [][]string
	}{
		{"none", nil, nil},
		{"sound", &ClusterStatus{Name: "prod", Node: "lb-1", Settled: true, Members: map[string]int{"alive": 3, "failed": 0}},
			[][]string{{"cluster", "prod as lb-1: 3 alive"}}},
		{"young", &ClusterStatus{Name: "prod", Node: "lb-1", Members: map[string]int{"alive": 1, "left": 2}},
			[][]string{{"cluster", "prod as lb-1: 1 alive, 2 left, not settled yet"}}},
		{"amiss", &ClusterStatus{
			Name: "prod", Node: "lb-1", Settled: true, Members: map[string]int{"alive": 3},
			ConfigDrift: []string{"lb-2", "lb-3"}, TableDrift: []string{"orders (tcp)"}, Contested: []string{"lb-2"},
		}, [][]string{
			{"cluster", "prod as lb-1: 3 alive"}, {"other configuration", "lb-2, lb-3"}, {"tables differ", "orders (tcp)"}, {"contested names", "lb-2"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, clusterStatusRows(tt.status)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestMemberDrift holds who is said to differ: only those alive, and only if they say what they run.
func TestMemberDrift(t *testing.T) {
	tests := []struct {
		name string
		m    Member
		want bool
	}{
		{"the same", Member{State: "alive", ConfigHash: "a", SameConfig: true}, false},
		{"another", Member{State: "alive", ConfigHash: "a"}, true},
		{"says nothing", Member{State: "alive"}, false},
		{"gone", Member{State: "failed", ConfigHash: "a"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.m.differs(); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestBrisk(t *testing.T) {
	for d, want := range map[time.Duration]string{
		4 * time.Microsecond: "0s", 321 * time.Microsecond: "320µs", 4250 * time.Microsecond: "4.3ms", 85 * time.Millisecond: "85ms",
		1204 * time.Millisecond: "1.2s", time.Minute: "1m0s",
	} {
		if got := brisk(d.Seconds()); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
