package admin

import "github.com/prometheus/client_golang/prometheus"

// clusterFamilies are the metrics of the cluster that this weir is a node of. The label member is the name of a node that has
// shown to be one of the cluster; the others are words of closed sets.
type clusterFamilies struct {
	all      []family[Cluster]
	members  *prometheus.Desc
	messages *prometheus.Desc // sent, by the way they went
	sent     *prometheus.Desc // bytes, by the way they went
	received *prometheus.Desc // bytes, likewise
	dropped  *prometheus.Desc
	refused  *prometheus.Desc
	delay    *prometheus.Desc // of each member
	rtt      *prometheus.Desc // likewise
}

func newClusterFamilies() clusterFamilies {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("weir_cluster_"+name, help, labels, nil)
	}
	return clusterFamilies{
		all:      families(nil, clusterMetrics()),
		members:  desc("members", "Nodes that are or were members, this one included, by state.", "state"),
		messages: desc("sent_messages_total", "Messages sent, by the way they went.", "way"),
		sent:     desc("sent_bytes_total", "Bytes sent to other nodes, those of the membership layer included.", "way"),
		received: desc("received_bytes_total", "Bytes received from other nodes, those of the membership layer included.", "way"),
		dropped:  desc("dropped_total", "Messages, packets and connections lost for want of room or connection, by reason; what was in them is sent again.", "reason"),
		refused:  desc("refused_total", "Packets, messages and nodes not taken, by reason.", "reason"),
		delay:    desc("propagation_delay_seconds", "How long what this node says takes until the member has it, smoothed.", "member"),
		rtt:      desc("round_trip_seconds", "How long packets to the member and back take, smoothed.", "member"),
	}
}

func clusterMetrics() []definition[Cluster] {
	members := func(is func(*Member) bool) func(*Cluster) float64 {
		return func(c *Cluster) float64 {
			n := 0
			for i := range c.Members {
				n += int(oneIf(is(&c.Members[i])))
			}
			return float64(n)
		}
	}
	return []definition[Cluster]{
		{"weir_cluster_settled", "Whether the other nodes have been heard since the start, or awaited for long enough.", gauge, func(c *Cluster) float64 { return oneIf(c.Settled) }},
		{"weir_cluster_awareness_score", "How slowly this node answers the others, in its own judgement; 0 is well.", gauge, func(c *Cluster) float64 { return float64(c.Awareness) }},
		{"weir_cluster_distrusted_members", "Live members whose word does not count here, because they were wrong too often.", gauge, members(func(m *Member) bool { return m.State == memberAlive && m.Distrusted })},
		{"weir_cluster_config_drift", "Live members with another configuration than this node's.", gauge, members((*Member).differs)},
		{"weir_cluster_table_drift", "Services for which members choose backends by different tables.", gauge, func(c *Cluster) float64 { return float64(len(c.status().TableDrift)) }},
		{"weir_cluster_contested_names", "Names that two nodes claim.", gauge, func(c *Cluster) float64 { return float64(len(c.status().Contested)) }},
		{"weir_cluster_verdict_disagreements_total", "Votes of other nodes on backends that contradicted what this node had just seen itself.", counter, func(c *Cluster) float64 { return float64(c.Disagreements) }},
		{"weir_cluster_cells", "Statements of all members that this node holds, taken back ones included.", gauge, func(c *Cluster) float64 { return float64(c.Cells) }},
		{"weir_cluster_orders", "Orders of operators, taken back ones included.", gauge, func(c *Cluster) float64 { return float64(c.Orders) }},
		{"weir_cluster_gossip_queue_length", "Packets that wait to be gossiped.", gauge, func(c *Cluster) float64 { return float64(c.GossipQueue) }},
		{"weir_cluster_gossip_queue_age_seconds", "For how long the oldest of them has waited.", gauge, func(c *Cluster) float64 { return c.GossipAgeSeconds }},
		{"weir_cluster_inbox_wait_seconds", "For how long a message of another node had to wait lately, at most.", gauge, func(c *Cluster) float64 { return c.InboxWaitSeconds }},
		{"weir_cluster_sent_packets_total", "Packets sent, those of the membership layer included.", counter, func(c *Cluster) float64 { return float64(c.Sent.Packets) }},
		{"weir_cluster_sent_streams_total", "Connections opened to other nodes.", counter, func(c *Cluster) float64 { return float64(c.Sent.Streams) }},
		{"weir_cluster_received_messages_total", "Messages received.", counter, func(c *Cluster) float64 { return float64(c.Received.Messages) }},
		{"weir_cluster_received_cells_total", "Statements in them, known ones included.", counter, func(c *Cluster) float64 { return float64(c.Received.Cells) }},
		{"weir_cluster_received_beacons_total", "Beacons in them, by which members confirm what they said.", counter, func(c *Cluster) float64 { return float64(c.Received.Beacons) }},
		{"weir_cluster_received_pulls_total", "Requests in them for what a member lacks.", counter, func(c *Cluster) float64 { return float64(c.Received.Pulls) }},
		{"weir_cluster_received_packets_total", "Packets received, those of the membership layer included.", counter, func(c *Cluster) float64 { return float64(c.Received.Packets) }},
		{"weir_cluster_received_streams_total", "Connections that other nodes opened.", counter, func(c *Cluster) float64 { return float64(c.Received.Streams) }},
		{"weir_cluster_state_saves_total", "Writes of the state file.", counter, func(c *Cluster) float64 { return float64(c.Saves) }},
		{"weir_cluster_state_save_failures_total", "Writes of the state file that failed; they are tried again.", counter, func(c *Cluster) float64 { return float64(c.SavesFailed) }},
	}
}

func (f *clusterFamilies) describe(out chan<- *prometheus.Desc) {
	describe(out, f.all)
	for _, d := range []*prometheus.Desc{f.members, f.messages, f.sent, f.received, f.dropped, f.refused, f.delay, f.rtt} {
		out <- d
	}
}

// collect makes the series of a cluster, none if there is none.
func (f *clusterFamilies) collect(out chan<- prometheus.Metric, c *Cluster) {
	if c == nil {
		return
	}
	collect(out, f.all, c)
	one := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, label string) {
		out <- prometheus.MustNewConstMetric(d, kind, value, valid(label))
	}
	states := c.status().Members
	for _, state := range memberStates {
		one(f.members, gauge, float64(states[state]), state)
	}
	one(f.messages, counter, float64(c.Sent.Gossiped), "gossip")
	one(f.messages, counter, float64(c.Sent.Direct), "packet")
	one(f.messages, counter, float64(c.Sent.Streamed), "stream")
	one(f.sent, counter, float64(c.Sent.PacketBytes), "packet")
	one(f.sent, counter, float64(c.Sent.StreamBytes), "stream")
	one(f.received, counter, float64(c.Received.PacketBytes), "packet")
	one(f.received, counter, float64(c.Received.StreamBytes), "stream")
	collectReasons(out, f.dropped, c.Dropped)
	collectReasons(out, f.refused, c.Refused)
	for i := range c.Members {
		m := &c.Members[i]
		if m.Self || m.State != memberAlive {
			continue
		}
		if m.DelaySeconds > 0 {
			one(f.delay, gauge, m.DelaySeconds, m.Name)
		}
		if m.RTTSeconds > 0 {
			one(f.rtt, gauge, m.RTTSeconds, m.Name)
		}
	}
}
