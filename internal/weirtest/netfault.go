package weirtest

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
)

// A Fault says which packets are lost. The zero value loses all.
type Fault struct {
	Protocol string // udp or tcp; empty: all there are
	Port     int    // at either end; 0: any. With a port, only UDP and TCP are lost.
	Percent  int    // of the packets, chosen at random; 0: all
}

// faults numbers the tables of rules.
var faults atomic.Int64

// Lose has the network lose packets on their way to the host, from the given hosts or, without any, from all. It returns what ends
// it, which may be called again. Faults add up. The host itself is not told: nothing fails when it sends, and packets that are
// on their way to others are not touched.
func (h *Host) Lose(f Fault, from ...*Host) (end func()) {
	h.t.Helper()
	// Lost where they arrive: what a host loses when it sends, its kernel reports to the sender.
	table := fmt.Sprintf("weirtest%d", faults.Add(1))
	var rules strings.Builder
	fmt.Fprintf(&rules, "table inet %s {\n chain arriving {\n  type filter hook prerouting priority -300;\n", table)
	for _, match := range f.matches() {
		for _, sender := range senders(from) {
			fmt.Fprintf(&rules, "  iifname eth0 %s %s drop\n", sender, match)
		}
	}
	rules.WriteString(" }\n}\n")
	h.nft(rules.String())
	var once sync.Once
	return func() {
		h.t.Helper()
		once.Do(func() { h.nft("delete table inet " + table + "\n") })
	}
}

// senders returns for each of the hosts what its packets look like.
func senders(from []*Host) []string {
	if len(from) == 0 {
		return []string{""}
	}
	var all []string
	for _, h := range from {
		all = append(all, "ip saddr "+h.Addr.String())
	}
	return all
}

// matches returns what the packets of a fault look like. No packet is matched twice: it would be lost twice as often.
func (f Fault) matches() []string {
	all := []string{""}
	switch {
	case f.Port != 0 && f.Protocol == "":
		all = []string{
			fmt.Sprintf("meta l4proto { tcp, udp } th dport %d", f.Port),
			fmt.Sprintf("meta l4proto { tcp, udp } th dport != %d th sport %d", f.Port, f.Port),
		}
	case f.Port != 0:
		all = []string{
			fmt.Sprintf("%s dport %d", f.Protocol, f.Port),
			fmt.Sprintf("%s dport != %d %s sport %d", f.Protocol, f.Port, f.Protocol, f.Port),
		}
	case f.Protocol != "":
		all = []string{"meta l4proto " + f.Protocol}
	}
	if f.Percent != 0 {
		for i := range all {
			all[i] += fmt.Sprintf(" numgen random mod 100 < %d", f.Percent)
		}
	}
	return all
}

// Part has the network lose packets between hosts of different groups, in both directions; within a group all is as before. It
// returns what ends it, which may be called again.
func (n *Network) Part(f Fault, groups ...[]*Host) (heal func()) {
	n.t.Helper()
	var ends []func()
	for i, group := range groups {
		var others []*Host
		for j, other := range groups {
			if j != i {
				others = append(others, other...)
			}
		}
		if len(others) == 0 {
			continue
		}
		for _, h := range group {
			ends = append(ends, h.Lose(f, others...))
		}
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// Among has the network lose packets between all of these hosts.
func (n *Network) Among(f Fault, hosts ...*Host) (heal func()) {
	n.t.Helper()
	var groups [][]*Host
	for _, h := range hosts {
		groups = append(groups, []*Host{h})
	}
	return n.Part(f, groups...)
}

// nft changes the rules of the host.
func (h *Host) nft(rules string) {
	h.t.Helper()
	path, args := h.command(Tool(h.t, "nft"), "-f", "-")
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("nft on %s: %v\n%s%s", h.Name, err, out, rules)
	}
}
