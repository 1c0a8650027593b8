package server

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirlb/weir/cluster"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/discovery"
)

// clusterPlan is this weir's place in a cluster.
type clusterPlan struct {
	name, node      string
	bind, advertise netip.AddrPort // advertise is zero if it is bind
	join            []string
	keys            [][]byte
	profile         cluster.Profile
	stateFile       string
	resolver        discovery.ResolverOptions // of the names in join
}

// cluster compiles the cluster, nil if there is none.
func (c *compiler) cluster() *clusterPlan {
	n := c.cfg.Cluster
	if n == nil {
		return nil
	}
	p := &clusterPlan{
		name: n.Name, node: n.Node, join: slices.Clone(n.Join), profile: cluster.Profile(n.Profile), stateFile: n.StateFile,
		resolver: c.resolverOptions(""),
	}
	if p.node == "" {
		var err error
		if p.node, err = os.Hostname(); err != nil {
			c.fail("cluster.node", "missing, and the host does not tell its name: "+err.Error(), "give the node a name")
		}
	}
	p.bind, _ = netip.ParseAddrPort(n.Bind) // config has seen that it is one
	if addr, err := netip.ParseAddr(n.Advertise); err == nil {
		p.advertise = netip.AddrPortFrom(addr, 0)
	} else if n.Advertise != "" {
		p.advertise, _ = netip.ParseAddrPort(n.Advertise)
	}
	if n.KeyFile != "" {
		keys, err := config.ParseClusterKeys(n.KeyFile, c.files[n.KeyFile])
		var problems config.Problems
		if errors.As(err, &problems) {
			c.problems = append(c.problems, problems...)
		}
		p.keys = keys
	}
	if p.stateFile == "" {
		p.stateFile = usualStateFile(p.name, p.node, os.Getenv)
	}
	return p
}

// usualStateFile is where a node keeps what it has to know after a restart, unless it is told. Names may be anything that can be
// printed, so they are escaped.
func usualStateFile(name, node string, env func(string) string) string {
	dir, _, _ := strings.Cut(env("STATE_DIRECTORY"), ":") // systemd's, of this service alone
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		dir = "/var/lib/weir"
	default:
		dir = filepath.Join(cmp.Or(env("XDG_STATE_HOME"), filepath.Join(env("HOME"), ".local", "state")), "weir")
	}
	return filepath.Join(dir, "cluster-"+url.PathEscape(name)+"-"+url.PathEscape(node)+".json")
}
