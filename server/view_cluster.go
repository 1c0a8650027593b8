package server

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/upstream"
)

// clusterState is what the admin endpoint shows of a cluster. Services are named by the keys of their pools, in it and in all
// that follows.
func clusterState(name, node string, members []cluster.MemberView, s cluster.Stats, tables []admin.Table, disagreements uint64) *admin.Cluster {
	out := &admin.Cluster{
		Name: name, Node: node, Settled: s.Settled, Encrypted: s.Encrypted, Awareness: s.Awareness,
		Members: memberStates(members), Tables: tables,
		Disagreements: disagreements, Cells: s.Cells, Orders: s.Commands,
		GossipQueue: s.GossipQueue, GossipAgeSeconds: s.GossipAge.Seconds(), InboxWaitSeconds: s.InboxWait.Seconds(),
		Sent:     admin.ClusterSent(s.Sent),
		Received: admin.ClusterReceived(s.Received),
		Dropped: map[string]uint64{
			"inbox-full": s.Dropped.Inbox, "overflow": s.Dropped.Overflow, "slow-member": s.Dropped.Streams,
			"undelivered": s.Dropped.Undelivered, "unsent": s.Dropped.Unsent, "connections": s.Dropped.Connections, "too-large": s.Dropped.Large,
		},
		Refused: map[string]uint64{
			"wrong-key": s.Refused.WrongKey, "wrong-label": s.Refused.WrongLabel, "malformed": s.Refused.Malformed,
			"unknown": s.Refused.Unknown, "order": s.Refused.Orders, "node": s.Refused.Nodes,
		},
		Saves: s.Saves, SavesFailed: s.SavesFailed,
	}
	for _, c := range s.Conflicts {
		out.Conflicts = append(out.Conflicts, admin.NameConflict{
			Name: c.Name, Holder: c.Holder.String(), Claimant: c.Claimant.String(), First: c.First, Last: c.Last, Count: c.Count, Alarm: c.Alarm,
		})
	}
	return out
}

// memberStates are the members, with this node's configuration as the one that theirs are held against.
func memberStates(views []cluster.MemberView) []admin.Member {
	var self cluster.MemberView
	if i := slices.IndexFunc(views, func(v cluster.MemberView) bool { return v.Self }); i >= 0 {
		self = views[i]
	}
	out := make([]admin.Member, 0, len(views))
	for _, v := range views {
		m := admin.Member{
			Name: v.Name, Address: v.Addr.String(), Self: v.Self, State: v.State.String(), Since: v.Since, Version: v.Version,
			Distrusted: v.Distrust, Awareness: v.Awareness, RTTSeconds: v.RTT.Seconds(), DelaySeconds: v.Delay.Seconds(),
			SameConfig: v.Configured && self.Configured && v.Config == self.Config,
		}
		if !v.Self {
			m.LastHeard = v.Heard
		}
		if v.Doubt != cluster.Sure {
			m.Doubt = v.Doubt.String()
		}
		if v.Configured {
			m.ConfigHash, m.Generation = fmt.Sprintf("%016x", v.Config)[:12], v.Generation
		}
		out = append(out, m)
	}
	return out
}

// tableState is who chooses the backends of a pool by which table.
func tableState(key string, groups []cluster.Group) admin.Table {
	service, protocol := cutKey(key)
	out := admin.Table{Service: service, Protocol: protocol, Groups: make([]admin.TableGroup, 0, len(groups))}
	for _, g := range groups {
		group := admin.TableGroup{Members: g.Members}
		if g.Known {
			group.Sum = fmt.Sprintf("%016x", g.Sum)
		}
		out.Groups = append(out.Groups, group)
	}
	return out
}

// orderedState is what became of an order that concerns some backends of this node.
func orderedState(acks cluster.Acks, backends int) admin.Ordered {
	return admin.Ordered{Acked: acks.Holders, Missing: acks.Missing, Backends: backends}
}

// standingOrders are the commands that have not been taken back, by service, then backend, the whole service first.
func standingOrders(commands []cluster.Command) []admin.StandingOrder {
	commands = slices.DeleteFunc(slices.Clone(commands), func(c cluster.Command) bool { return !c.On })
	slices.SortStableFunc(commands, func(a, b cluster.Command) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Backend.Compare(b.Backend), cmp.Compare(a.Aspect, b.Aspect))
	})
	var out []admin.StandingOrder
	for _, c := range commands {
		service, protocol := cutKey(c.Service)
		o := admin.StandingOrder{
			Service: service, Protocol: protocol, Drained: c.Aspect == cluster.Drain, Weight: c.Value,
			By: c.By, Node: c.Stamp.Node, Since: c.Stamp.Time(),
		}
		if c.Backend != (netip.AddrPort{}) {
			o.Backend = upstream.Show(c.Backend)
		}
		out = append(out, o)
	}
	return out
}

// keysState is which keys the cluster uses. changed is the fingerprint of the key that a change was about, empty if there
// was none.
func keysState(k cluster.KeyStatus, changed string) admin.Keys {
	return admin.Keys{
		Fingerprints: k.Fingerprints, Retiring: k.Retiring, Changed: changed, Acked: k.Acks.Holders, Missing: k.Acks.Missing,
	}
}
