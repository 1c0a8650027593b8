package server

import (
	"context"
	"sync"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/upstream"
)

// opinions is why the verdicts of the jury are what they are. They are asked for at most once in a while: a jury that explains is
// one that does not judge.
type opinions struct {
	mu   sync.Mutex
	at   time.Time
	last map[upstream.Key]cluster.Opinion
}

const (
	opinionsFor  = 250 * time.Millisecond // ones this old are good enough
	opinionsWait = time.Second            // more than this nobody waits
)

// opinions returns what the jury has to say about each backend.
func (s *Server) opinions(now time.Time) map[upstream.Key]cluster.Opinion {
	o := &s.explained
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.at) < opinionsFor {
		return o.last
	}
	ctx, cancel := context.WithTimeout(context.Background(), opinionsWait)
	defer cancel()
	s.do(ctx, func() { o.last, o.at = s.tier.explain(now), now })
	return o.last
}

// explain has the jury explain its verdicts. Only Run's goroutine calls it.
func (t *tier) explain(now time.Time) map[upstream.Key]cluster.Opinion {
	all := make(map[upstream.Key]cluster.Opinion, len(t.seats))
	_ = t.node.Read(func(table *cluster.Table, m cluster.Members, _ *cluster.Commands) { // an error says that it has stopped
		for key, at := range t.seats {
			if o, ok := t.jury.Explain(key, table, m, now); ok {
				all[at.member.backend.Key()] = o
			}
		}
	})
	return all
}

// addCluster shows the cluster, if there is one.
func (s *Server) addCluster(out *admin.State, v *view) {
	t := v.tier
	if t == nil {
		return
	}
	members, err := t.node.Members()
	if err != nil {
		return // it has stopped
	}
	stats, err := t.node.Stats()
	if err != nil {
		return
	}
	tables := []admin.Table{}
	_ = t.node.Read(func(table *cluster.Table, m cluster.Members, _ *cluster.Commands) {
		for _, name := range sorted(v.pools) {
			if v.pools[name].Options().Strategy == upstream.Maglev {
				tables = append(tables, tableState(name, table.Groups(cluster.TableKey(name), m)))
			}
		}
	})
	out.Cluster = clusterState(t.plan.name, t.plan.node, members, stats, tables, t.disagreements.Load())
}

// addOpinion shows why a backend of a cluster is what it is.
func addOpinion(b *admin.Backend, o cluster.Opinion) {
	b.Reason, b.Votes, b.Duty, b.Probers = o.Reason, o.Votes, o.Duty.On, o.Probers
	b.Since = o.Verdict.Since
}
