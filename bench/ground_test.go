package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/load"
	"github.com/weirlb/weir/bench/proc"
)

// Two processes differ in all that they have a name or an address for, and
// names fit into the kernel's 15 bytes.
func TestLinkAddrs(t *testing.T) {
	base := netip.MustParsePrefix("198.18.0.0/15")
	seen := make(map[any]bool)
	for _, pid := range []int{1, 2, 16_383, 4_194_304} {
		for _, l := range linkAddrs(pid) {
			for _, part := range []any{l.name, l.here, l.there} {
				if seen[part] {
					t.Errorf("%v is there twice", part)
				}
				seen[part] = true
			}
			apart := l.here.Masked() != l.there.Masked()
			if len(l.name) > 15 || apart || !base.Contains(l.here.Addr()) || !base.Contains(l.there.Addr()) {
				t.Errorf("process %d: %+v", pid, l)
			}
		}
	}
}

// ownLinks are the interfaces of this process.
func ownLinks(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for _, link := range linkAddrs(os.Getpid()) {
		if slices.ContainsFunc(all, func(i net.Interface) bool { return i.Name == link.name }) {
			own = append(own, link.name)
		}
	}
	return own
}

// Across the ground the balancer's side reaches the backend's, and nothing of
// it is left.
func TestCabled(t *testing.T) {
	g, err := cabled(t.Context(), t.TempDir())
	if err != nil {
		noPrivileges(t, scenario{name: "a ground with cables", cabled: true}, err)
		return
	}
	defer g.clear()
	if own := ownLinks(t); len(own) != 2 {
		t.Errorf("links %v", own)
	}
	kind := load.Datagrams{Size: 64}
	echo := job{echoTool, load.EchoSpec{Datagrams: kind, Addr: netip.IPv4Unspecified()}}
	backend, err := startTool(echo, place{dir: t.TempDir(), cpu: proc.Anywhere, via: g.server})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	up, err := backend.expect(t.Context(), load.Listening)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(up.Addrs[0], ":")
	spec := load.FlowSpec{
		Addr: net.JoinHostPort(g.backend, port), Flows: 1, InFlight: 1, Datagrams: kind,
		Patience: time.Second, Duration: time.Second,
	}
	client, err := startTool(job{flowsTool, spec}, place{dir: t.TempDir(), cpu: proc.Anywhere})
	if err != nil {
		t.Fatal(err)
	}
	defer client.stop()
	for _, kind := range []string{load.Measuring, load.Finished} {
		ev, err := client.expect(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		if kind == load.Finished && ev.Result.Exchanges == 0 {
			t.Errorf("%+v", ev.Result)
		}
	}
	client.stop()
	backend.stop()
	g.clear()
	if own := ownLinks(t); len(own) != 0 {
		t.Errorf("links %v are left", own)
	}
	onlySelfIsLeft(t)
}
