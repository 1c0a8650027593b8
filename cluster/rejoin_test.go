package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

// resolver answers from a map.
func resolver(t *testing.T, names map[string][]netip.AddrPort) func(context.Context, string) ([]netip.AddrPort, error) {
	t.Helper()
	return func(_ context.Context, name string) ([]netip.AddrPort, error) {
		if addrs, ok := names[name]; ok {
			return addrs, nil
		}
		return nil, fmt.Errorf("%s does not exist", name)
	}
}

// A resolution that fails leaves what the name last stood for.
func TestLookup(t *testing.T) {
	answer, failure := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:0")}, error(nil)
	var reported []error
	s := &seeker{
		found:   map[string][]netip.AddrPort{},
		report:  func(err error) { reported = append(reported, err) },
		resolve: func(context.Context, string) ([]netip.AddrPort, error) { return answer, failure },
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:7946")}
	if got := s.lookup(t.Context(), "lb"); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	answer, failure = nil, errors.New("no answer")
	if got := s.lookup(t.Context(), "lb"); !slices.Equal(got, want) {
		t.Errorf("after a failure: %v", got)
	}
	failure = nil
	if got := s.lookup(t.Context(), "lb"); !slices.Equal(got, want) {
		t.Errorf("after an empty answer: %v", got)
	}
	if len(reported) != 1 || !strings.Contains(reported[0].Error(), `resolving "lb"`) {
		t.Errorf("reported %v", reported)
	}
}

// Those who left are not looked for; those who failed, and those of the life before, are.
func TestRemembered(t *testing.T) {
	r := newRoster("self", time.Minute)
	for i, name := range []string{"alive", "failed", "left"} {
		r.set(&memberlist.Node{Name: name, Addr: net.IPv4(10, 0, 0, byte(i+1)), Port: 7}, start)
	}
	r.gone("failed", start)
	r.gone("left", start)
	r.left("left")
	s := &seeker{roster: r, known: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.3:7"), netip.MustParseAddrPort("10.0.0.9:7")}}
	var got []string
	for _, addr := range s.remembered() {
		got = append(got, addr.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.1:7", "10.0.0.2:7", "10.0.0.9:7"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	missing := s.missing()
	if missing(netip.MustParseAddrPort("10.0.0.1:7")) || !missing(netip.MustParseAddrPort("10.0.0.2:7")) {
		t.Error("who is a member is not missing")
	}
}
