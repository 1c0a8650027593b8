package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/discovery"
)

// tier is this weir's place among the balancers of its cluster. Only Run's goroutine touches it, but for the channels.
type tier struct {
	plan   *clusterPlan
	node   *cluster.Node
	jury   *cluster.Jury
	seats  map[cluster.Key]seat // of the backends that the jury judges
	seated map[string]bool      // pools that the jury knows

	news   chan cluster.News
	deaf   chan struct{} // closed when nobody hears news any more
	looked *notices      // backends that probes have found to fail, or to have changed

	judged    time.Time
	suspected time.Time                      // when the jury last met because connections fail
	suspects  bool                           // it is to meet again for that
	checked   time.Time                      // when drift was last looked for
	shared    map[string]sharedTable         // what the others know of, by pool
	members   map[string]cluster.MemberState // as last logged
	drift     drift

	disagreements atomic.Uint64 // of the jury, as of its last session
}

// seat is a backend before the jury.
type seat struct {
	pool   *pool
	member *member
}

// judgeInterval is how often the jury meets when nothing is news.
const judgeInterval = 100 * time.Millisecond

// joinTier makes this weir a node of its cluster, if it has one.
func (s *Server) joinTier(p *clusterPlan) error {
	if p == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.stateFile), 0o700); err != nil {
		return fmt.Errorf("cluster.stateFile: %w: name another file, or have the directory made", err)
	}
	resolver, err := discovery.NewResolver(p.resolver)
	if err != nil {
		return fmt.Errorf("cluster.join: %w", err)
	}
	t := &tier{
		plan: p, jury: cluster.NewJury(p.node), seats: make(map[cluster.Key]seat), seated: make(map[string]bool), news: make(chan cluster.News),
		deaf: make(chan struct{}), looked: newNotices(), shared: make(map[string]sharedTable),
		members: make(map[string]cluster.MemberState),
	}
	t.node, err = cluster.New(cluster.NodeOptions{
		Name: p.name, Node: p.node, Bind: p.bind, Advertise: p.advertise, Version: s.o.Build.Version, Keys: p.keys, Join: p.join,
		Resolve: peers{resolver}.resolve, Profile: p.profile, StateFile: p.stateFile, Watch: t.tell, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.tier = t
	s.log.Info("cluster node started", "cluster", p.name, "node", p.node, "address", t.node.Addr().String(), "encrypted", len(p.keys) > 0,
		"state_file", p.stateFile)
	return nil
}

// tell brings news to Run's goroutine.
func (t *tier) tell(n cluster.News) {
	select {
	case t.news <- n:
	case <-t.deaf:
	}
}

// leaveTier says goodbye to the others.
func (s *Server) leaveTier() {
	if s.tier == nil {
		return
	}
	close(s.tier.deaf)
	if err := s.tier.node.Leave(cluster.DefaultLeave); err != nil {
		s.log.Info("left the cluster, and nobody has confirmed it: the others may have gone, too", "error", err)
	}
}

// peers finds the addresses of other nodes by their names.
type peers struct{ *discovery.Resolver }

// resolve finds what a name in cluster.join stands for: a host, with or without a port, or srv+ and the name of an SRV record.
func (p peers) resolve(ctx context.Context, name string) ([]netip.AddrPort, error) {
	if record, ok := strings.CutPrefix(name, "srv+"); ok {
		return p.services(ctx, record)
	}
	host, port := name, uint64(cluster.DefaultPort)
	if h, digits, err := net.SplitHostPort(name); err == nil {
		if port, err = strconv.ParseUint(digits, 10, 16); err != nil {
			return nil, err
		}
		host = h
	}
	addrs, err := p.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, addr := range addrs {
		found = append(found, netip.AddrPortFrom(addr, uint16(port)))
	}
	return found, nil
}

func (p peers) services(ctx context.Context, record string) ([]netip.AddrPort, error) {
	services, err := p.LookupSRV(ctx, record)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, s := range services {
		for _, addr := range s.Addrs {
			found = append(found, netip.AddrPortFrom(addr, s.Port))
		}
	}
	return found, nil
}
