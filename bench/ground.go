package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/bench/proc"
)

// ground is where the three sides of a round meet.
type ground struct {
	balancer string // host that the balancer listens on
	backend  string // host at which the balancer finds the backend
	// What starts a program on the side of the client and on that of the
	// backend; empty is here.
	client, server []string

	holders []*tool    // of the namespaces
	uncable [][]string // commands that remove the links
}

// loopback is a ground that needs nothing.
func loopback() *ground { return &ground{balancer: "127.0.0.1", backend: "127.0.0.1"} }

// cabled lays a ground of two network namespaces, the client's and the backend's, each
// joined to the balancer's by a veth pair, which unlike loopback passes a train of
// datagrams on in one piece. It takes privileges.
//
// The namespaces have no names: each lives as long as a process that holds
// it, which ends with this one, whatever ends that. With a namespace go the
// interfaces in it and their peers.
func cabled(ctx context.Context, dir string) (*ground, error) {
	g := &ground{}
	links := linkAddrs(os.Getpid())
	g.balancer, g.backend = links[0].here.Addr().String(), links[1].there.Addr().String()
	for i, side := range []*[]string{&g.client, &g.server} {
		via, err := g.cable(ctx, links[i], dir)
		if err != nil {
			g.clear()
			return nil, err
		}
		*side = via
	}
	return g, nil
}

// link is a pair of interfaces.
type link struct {
	name        string // of the interface on the balancer's side
	here, there netip.Prefix
}

// linkAddrs gives a process its own interface names and addresses, so that two benches
// do not meet. The addresses are of 198.18.0.0/15, which is set aside for
// measurements (RFC 2544, appendix C.2.2).
func linkAddrs(pid int) [2]link {
	const base, blocks, size = 198<<24 | 18<<16, 1 << 14, 8
	first := uint32(base) + uint32(pid%blocks)*size
	at := func(n uint32) netip.Prefix {
		a := first + n
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), 30)
	}
	name := "weirb" + strconv.Itoa(pid)
	return [2]link{{name + "c", at(1), at(2)}, {name + "s", at(5), at(6)}}
}

// cable makes a namespace with a link to it, and returns what starts a
// program in it.
func (g *ground) cable(ctx context.Context, l link, dir string) (via []string, err error) {
	ip, err := findProgram("ip")
	if err != nil {
		return nil, err
	}
	enter, err := findProgram("nsenter")
	if err != nil {
		return nil, err
	}
	holder, err := startTool(job{name: holdTool}, place{dir: dir, cpu: proc.Anywhere, own: true})
	if err != nil {
		return nil, err
	}
	g.holders = append(g.holders, holder)
	pid := strconv.Itoa(holder.p.PID)
	via = []string{enter, "--net=/proc/" + pid + "/ns/net"}
	inside := func(args ...string) []string { return slices.Concat(via, []string{ip}, args) }
	g.uncable = append(g.uncable, []string{ip, "link", "delete", l.name})
	for _, line := range [][]string{
		{ip, "link", "add", l.name, "type", "veth", "peer", "name", "eth0", "netns", pid},
		{ip, "address", "add", l.here.String(), "dev", l.name},
		{ip, "link", "set", l.name, "up"},
		inside("address", "add", l.there.String(), "dev", "eth0"),
		inside("link", "set", "eth0", "up"),
	} {
		said, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, bytes.TrimSpace(said))
		}
	}
	for _, line := range [][]string{
		{ip, "-oneline", "link", "show", "dev", l.name, "up"},
		inside("-oneline", "link", "show", "dev", "eth0", "up"),
	} {
		if err := awaitLink(ctx, line); err != nil {
			return nil, err
		}
	}
	return via, nil
}

// awaitLink returns when an interface, which line shows, passes something on.
// The kernel takes up to a second for that after it has been set up, and drops
// what is sent meanwhile.
func awaitLink(ctx context.Context, line []string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		said, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
		if err == nil && bytes.Contains(said, []byte(" state UP ")) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not up: %w: %s", strings.Join(line, " "), ctx.Err(), bytes.TrimSpace(said))
		case <-again.C:
		}
	}
}

// clear takes everything down. The namespaces would take the links with them,
// but the kernel removes those at its leisure.
func (g *ground) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, line := range g.uncable {
		_ = exec.CommandContext(ctx, line[0], line[1:]...).Run() // it may not have come to be
	}
	for _, h := range g.holders {
		h.stop()
	}
	g.uncable, g.holders = nil, nil
}
