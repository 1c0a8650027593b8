package server

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/cluster"
)

var viewed = time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)

func TestMemberStates(t *testing.T) {
	addr := netip.MustParseAddrPort
	const ours = 0x5f2e00aa11bb2233
	self := cluster.MemberView{
		Name: "lb-1", Addr: addr("10.0.0.11:7946"), Self: true, Version: "1.2.3", Heard: viewed, Awareness: 1, Configured: true, Config: ours, Generation: 7,
	}
	ofSelf := admin.Member{
		Name: "lb-1", Address: "10.0.0.11:7946", Self: true, State: "alive", Version: "1.2.3", Awareness: 1,
		ConfigHash: "5f2e00aa11bb", Generation: 7, SameConfig: true,
	}
	silent, ofSilent := self, ofSelf
	silent.Configured, silent.Config, silent.Generation = false, 0, 0
	ofSilent.ConfigHash, ofSilent.Generation, ofSilent.SameConfig = "", 0, false
	tests := []struct {
		name  string
		views []cluster.MemberView
		want  []admin.Member
	}{
		{"none", nil, []admin.Member{}},
		{"alone", []cluster.MemberView{self}, []admin.Member{ofSelf}},
		{"like this one", []cluster.MemberView{self, {
			Name: "lb-2", Addr: addr("[2001:db8::2]:7946"), Since: viewed, Heard: viewed.Add(time.Second), Version: "1.2.3",
			RTT: 321 * time.Microsecond, Delay: 4 * time.Millisecond, Configured: true, Config: ours, Generation: 3,
		}}, []admin.Member{ofSelf, {
			Name: "lb-2", Address: "[2001:db8::2]:7946", State: "alive", Since: viewed, LastHeard: viewed.Add(time.Second), Version: "1.2.3",
			RTTSeconds: 0.000321, DelaySeconds: 0.004, ConfigHash: "5f2e00aa11bb", Generation: 3, SameConfig: true,
		}}},
		{"unlike this one", []cluster.MemberView{{
			Name: "a", Addr: addr("10.0.0.1:7946"), Doubt: cluster.MostFailed, Distrust: true, Awareness: 3, Configured: true, Config: 0x0c, Generation: 1,
		}, self}, []admin.Member{{
			Name: "a", Address: "10.0.0.1:7946", State: "alive", Doubt: "saw most of its backends fail at once", Distrusted: true, Awareness: 3,
			ConfigHash: "000000000000", Generation: 1,
		}, ofSelf}},
		{"gone", []cluster.MemberView{
			{Name: "a", Addr: addr("10.0.0.1:7946"), State: cluster.MemberFailed, Since: viewed},
			{Name: "b", Addr: addr("10.0.0.2:7946"), State: cluster.MemberLeft, Since: viewed},
		}, []admin.Member{
			{Name: "a", Address: "10.0.0.1:7946", State: "failed", Since: viewed},
			{Name: "b", Address: "10.0.0.2:7946", State: "left", Since: viewed},
		}},
		{"this one says nothing", []cluster.MemberView{silent, {Name: "lb-2", Addr: addr("10.0.0.2:7946"), Configured: true}},
			[]admin.Member{ofSilent, {Name: "lb-2", Address: "10.0.0.2:7946", State: "alive", ConfigHash: "000000000000"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, memberStates(tt.views)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// number gives every number of a struct, at any depth, a value of its own: powers of two, so that sums tell what is in them.
func number(v reflect.Value, next *uint64) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Struct:
			number(f, next)
		case reflect.Uint64:
			f.SetUint(*next)
			*next *= 2
		case reflect.Int:
			f.SetInt(int64(*next))
			*next *= 2
		}
	}
}

func TestClusterStateHasAllThatIsCounted(t *testing.T) {
	s, next := cluster.Stats{Settled: true, GossipAge: 250 * time.Millisecond, InboxWait: time.Second}, uint64(1)
	number(reflect.ValueOf(&s).Elem(), &next)
	s.Conflicts = []cluster.Conflict{{
		Name: "lb-2", Holder: netip.MustParseAddrPort("10.0.0.12:7946"), Claimant: netip.MustParseAddrPort("10.0.0.22:7946"),
		First: viewed, Last: viewed.Add(time.Second), Count: 3, Alarm: true,
	}}
	tables := []admin.Table{{Service: "orders", Protocol: "tcp"}}
	got := clusterState("prod", "lb-1", []cluster.MemberView{{Name: "lb-1", Self: true}}, s, tables, 5)
	want := &admin.Cluster{
		Name: "prod", Node: "lb-1", Settled: true, Awareness: s.Awareness, Tables: tables, Disagreements: 5,
		Members: []admin.Member{{Name: "lb-1", Address: "invalid AddrPort", Self: true, State: "alive"}},
		Conflicts: []admin.NameConflict{{
			Name: "lb-2", Holder: "10.0.0.12:7946", Claimant: "10.0.0.22:7946", First: viewed, Last: viewed.Add(time.Second), Count: 3, Alarm: true,
		}},
		Cells: s.Cells, Orders: s.Commands, GossipQueue: s.GossipQueue, GossipAgeSeconds: 0.25, InboxWaitSeconds: 1,
		Sent:     admin.ClusterSent(s.Sent),
		Received: admin.ClusterReceived(s.Received),
		Dropped:  got.Dropped, Refused: got.Refused, Saves: s.Saves, SavesFailed: s.SavesFailed,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, c := range map[string]struct {
		counted any
		shown   map[string]uint64
	}{"dropped": {s.Dropped, got.Dropped}, "refused": {s.Refused, got.Refused}} {
		var want, sum uint64
		for i := range reflect.TypeOf(c.counted).NumField() {
			want += reflect.ValueOf(c.counted).Field(i).Uint()
		}
		for _, n := range c.shown {
			sum += n
		}
		if sum != want {
			t.Errorf("%s: not all that is counted is shown: %v of %+v", name, c.shown, c.counted)
		}
	}
}

func TestTableState(t *testing.T) {
	groups := []cluster.Group{{Sum: 0xaa, Known: true, Members: []string{"lb-1", "lb-2"}}, {Members: []string{"lb-3"}}}
	shown := []admin.TableGroup{{Sum: "00000000000000aa", Members: []string{"lb-1", "lb-2"}}, {Members: []string{"lb-3"}}}
	tests := []struct {
		name, key string
		groups    []cluster.Group
		want      admin.Table
	}{
		{"tcp", "orders", groups, admin.Table{Service: "orders", Protocol: "tcp", Groups: shown}},
		{"udp", udpKey("dns"), groups, admin.Table{Service: "dns", Protocol: "udp", Groups: shown}},
		{"http", "shop" + webSuffix, nil, admin.Table{Service: "shop", Protocol: "http", Groups: []admin.TableGroup{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tableState(tt.key, tt.groups)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestStandingOrders(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:5432"), netip.MustParseAddrPort("10.0.0.10:5432")
	by := func(node string, ago time.Duration) cluster.Stamp {
		return cluster.Stamp{Wall: viewed.Add(-ago).UnixMilli(), Count: 3, Node: node}
	}
	commands := []cluster.Command{
		{Target: cluster.Target{Service: "orders", Backend: b}, Aspect: cluster.Drain, On: true, By: "alice", Stamp: by("lb-2", time.Hour)},
		{Target: cluster.Target{Service: "orders", Backend: a}, Aspect: cluster.Drain, Stamp: by("lb-2", 0)},
		{Target: cluster.Target{Service: udpKey("dns")}, Aspect: cluster.Drain, On: true, Stamp: by("lb-1", time.Minute)},
		{Target: cluster.Target{Service: "orders", Backend: b}, Aspect: cluster.Weight, On: true, Value: 5, Stamp: by("lb-1", 0)},
		{Target: cluster.Target{Service: "orders", Backend: a}, Aspect: cluster.Weight, On: true, Stamp: by("lb-1", 0)},
		{Target: cluster.Target{Service: "orders"}, Aspect: cluster.Weight, On: true, Value: 2, Stamp: by("lb-3", 0)},
	}
	want := []admin.StandingOrder{
		{Service: "dns", Protocol: "udp", Drained: true, Node: "lb-1", Since: viewed.Add(-time.Minute)},
		{Service: "orders", Protocol: "tcp", Weight: 2, Node: "lb-3", Since: viewed},
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.1:5432", Node: "lb-1", Since: viewed},
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.10:5432", Drained: true, By: "alice", Node: "lb-2", Since: viewed.Add(-time.Hour)},
		{Service: "orders", Protocol: "tcp", Backend: "10.0.0.10:5432", Weight: 5, Node: "lb-1", Since: viewed},
	}
	if diff := cmp.Diff(want, standingOrders(commands)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := standingOrders(nil); got != nil {
		t.Errorf("of none: %v", got)
	}
}

func TestAcksAndKeys(t *testing.T) {
	acks := cluster.Acks{Holders: []string{"lb-1"}, Missing: []string{"lb-2"}}
	if diff := cmp.Diff(admin.Ordered{Acked: []string{"lb-1"}, Missing: []string{"lb-2"}, Backends: 3}, orderedState(acks, 3)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want := admin.Keys{Fingerprints: []string{"a", "b"}, Retiring: []string{"c"}, Changed: "b", Acked: []string{"lb-1"}, Missing: []string{"lb-2"}}
	got := keysState(cluster.KeyStatus{Fingerprints: []string{"a", "b"}, Retiring: []string{"c"}, Acks: acks}, "b")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
