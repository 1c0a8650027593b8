package server

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/config"
)

const (
	// driftInterval is how often nodes are compared.
	driftInterval = time.Second
	// driftGrace is how long configurations may differ before it is worth a line: they are rolled out one after the other.
	driftGrace = 10 * time.Second
)

// drift is that nodes of the cluster run different configurations.
type drift struct {
	since  time.Time // zero: they do not
	logged bool
}

// shareConfig tells the others which configuration is in force.
func (s *Server) shareConfig() {
	if s.tier == nil {
		return
	}
	if err := s.tier.node.SetConfig(sharedSum(s.reload.current), s.reload.generation); err != nil {
		s.log.Error("cluster: the other nodes cannot be told which configuration is in force", "error", err)
	}
}

// sharedSum is the checksum of what should be the same on all nodes: not who and where a node is, nor how it logs.
func sharedSum(cfg *config.Config) uint64 {
	shared := *cfg
	shared.Cluster, shared.Admin, shared.Engine = nil, config.Admin{}, config.Engine{}
	shared.Log, shared.AccessLog = config.Log{}, nil
	shared.EntryPoints = make(map[string]*config.EntryPoint, len(cfg.EntryPoints))
	for name, e := range cfg.EntryPoints {
		here := *e
		here.Address = ""
		shared.EntryPoints[name] = &here
	}
	sum := shared.Sum()
	return binary.BigEndian.Uint64(sum[:])
}

// lookForDrift tells, once, of configurations that have differed for a while.
func (s *Server) lookForDrift(now time.Time) {
	t := s.tier
	var groups []cluster.Group
	if err := t.node.Read(func(table *cluster.Table, m cluster.Members, _ *cluster.Commands) {
		groups = table.Groups(cluster.ConfigKey(), m)
	}); err != nil {
		return // it has stopped
	}
	groups = slices.DeleteFunc(groups, func(g cluster.Group) bool { return !g.Known })
	switch {
	case len(groups) < 2:
		if t.drift.logged {
			s.log.Info("cluster: all nodes run the same configuration again")
		}
		t.drift = drift{}
	case t.drift.since.IsZero():
		t.drift.since = now
	case !t.drift.logged && now.Sub(t.drift.since) >= driftGrace:
		t.drift.logged = true
		var sides []string
		for _, g := range groups {
			sides = append(sides, strings.Join(g.Members, ", "))
		}
		s.log.Warn("cluster: nodes run different configurations; bring them to one, see weir members", "nodes", strings.Join(sides, " / "))
	}
}

// shareTables tells the others by which tables this node chooses backends.
func (s *Server) shareTables() {
	t := s.tier
	for name, p := range s.pools {
		if p.updates == t.shared[name].updates {
			continue
		}
		old, was := t.shared[name]
		sum, ok := p.live.TableSum()
		t.shared[name] = sharedTable{p.updates, sum, ok}
		if was && old.ok == ok && old.sum == sum {
			continue
		}
		s.shareTable(name, sum, ok)
	}
	for name, old := range t.shared {
		if s.pools[name] == nil {
			delete(t.shared, name)
			if old.ok {
				s.shareTable(name, 0, false)
			}
		}
	}
}

// sharedTable is what the others know of a table.
type sharedTable struct {
	updates uint64 // of the pool, up to then
	sum     uint64
	ok      bool // there is one
}

func (s *Server) shareTable(name string, sum uint64, ok bool) {
	key := cluster.TableKey(name)
	var err error
	if ok {
		err = s.tier.node.Set(key, cluster.AppendSum(nil, sum))
	} else {
		err = s.tier.node.Delete(key)
	}
	if err != nil {
		s.log.Error("cluster: the other nodes cannot be told of a table", "service", name, "error", err)
	}
}
