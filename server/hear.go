package server

import (
	"time"

	"github.com/weirlb/weir/cluster"
)

// channels are what Run's goroutine hears of the cluster by. Those of a weir on its own never say anything.
type channels struct {
	news    <-chan cluster.News
	looked  <-chan struct{}
	settled <-chan struct{}
}

func (t *tier) channels() channels {
	if t == nil {
		return channels{}
	}
	return channels{news: t.news, looked: t.looked.ready, settled: t.node.Settled()}
}

// awaited is what weir waits for before it wants traffic, for people.
func (s *Server) awaited() []string {
	waiting := s.unasked()
	if s.tier != nil {
		select {
		case <-s.tier.node.Settled():
		default:
			waiting = append(waiting, "cluster "+s.tier.plan.name+": the other nodes have not been heard yet")
		}
	}
	return waiting
}

// hear takes in what the other nodes have said.
func (s *Server) hear(n cluster.News) {
	t := s.tier
	var named []cluster.Key
	for _, c := range n.Cells {
		if _, ok := t.seats[c.Key]; ok {
			named = append(named, c.Key)
		}
	}
	if n.Missed {
		for key := range t.seats {
			named = append(named, key)
		}
	}
	for _, c := range n.Commands {
		s.log.Info("order of an operator", "what", orderText(c), "by", c.By, "node", c.Stamp.Node)
	}
	if len(n.Commands) > 0 || n.Missed {
		s.takeOrders(n)
	}
	if len(named) > 0 || n.Members || n.Settled {
		s.judge(named)
	}
	if n.Members {
		s.logMembers()
	}
}

// meet does what is done now and then.
func (s *Server) meet(now time.Time) {
	t := s.tier
	if t.suspects {
		s.suspected(now)
	}
	if now.Sub(t.judged) >= judgeInterval {
		s.judge(nil)
	}
	if now.Sub(t.checked) >= driftInterval {
		t.checked = now
		s.shareTables()
		s.lookForDrift(now)
	}
}

// logMembers tells who came and who went.
func (s *Server) logMembers() {
	t := s.tier
	members, err := t.node.Members()
	if err != nil {
		return // it has stopped
	}
	alive := 0
	for _, m := range members {
		if m.Self || m.State == cluster.MemberAlive {
			alive++
		}
	}
	for _, m := range members {
		before, known := t.members[m.Name]
		if m.Self || known && before == m.State {
			continue
		}
		t.members[m.Name] = m.State
		log := s.log.With("node", m.Name, "address", m.Addr.String(), "members", alive)
		switch m.State {
		case cluster.MemberAlive:
			log.Info("cluster node is there", "version", m.Version)
		case cluster.MemberLeft:
			log.Info("cluster node has left")
		default:
			log.Warn("cluster node does not answer")
		}
	}
}
