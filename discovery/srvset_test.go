package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

func TestSRVSet(t *testing.T) {
	hosts := map[string][]netip.Addr{
		"a.": addrs("10.0.0.1"), "b.": addrs("10.0.0.2"), "two.": addrs("10.0.1.1", "10.0.1.2"),
		"three.": addrs("10.0.2.1", "10.0.2.2", "10.0.2.3"), "six.": addrs("10.0.0.6", "2001:db8::6"), "a-too.": addrs("10.0.0.1"),
		"self.": addrs("127.0.0.1"), "self6.": addrs("::1"), "meta.": addrs("169.254.169.254"), "link6.": addrs("fe80::1"), "zero.": addrs("0.0.0.0"),
		"zero6.": addrs("::"), "many.": addrs("224.0.0.1"), "all.": addrs("255.255.255.255"), "mixed.": addrs("10.0.0.9", "127.0.0.1"),
	}
	tests := []struct {
		name     string
		services string // target port priority weight, ...
		loopback bool
		want     []string
		refused  string
	}{
		{name: "weights as weights", services: "a. 1 0 10, b. 2 0 30", want: []string{"0 10 a 10.0.0.1:1", "0 30 b 10.0.0.2:2"}},
		{name: "tiers, sorted", services: "a. 1 1 5, b. 1 0 5", want: []string{"0 5 b 10.0.0.2:1", "1 5 a 10.0.0.1:1"}},
		{name: "zero is drained", services: "a. 1 0 0, b. 1 0 5", want: []string{"0 0 a 10.0.0.1:1", "0 5 b 10.0.0.2:1"}},
		{name: "all zero are equal", services: "a. 1 0 0, b. 1 0 0", want: []string{"0 1 a 10.0.0.1:1", "0 1 b 10.0.0.2:1"}},
		{name: "all zero are equal in their tier only", services: "a. 1 0 0, b. 1 1 0, two. 1 1 4",
			want: []string{"0 1 a 10.0.0.1:1", "1 0 b 10.0.0.2:1", "1 2 two 10.0.1.1:1", "1 2 two 10.0.1.2:1"}},
		{name: "zero stays zero when the others cannot be used", services: "a. 1 0 0, gone. 1 0 5", want: []string{"0 0 a 10.0.0.1:1"}},
		{name: "addresses divide a weight", services: "a. 1 0 1, two. 1 0 1", want: []string{"0 2 a 10.0.0.1:1", "0 1 two 10.0.1.1:1", "0 1 two 10.0.1.2:1"}},
		{name: "families divide a weight", services: "six. 1 0 4", want: []string{"0 2 six 10.0.0.6:1", "0 2 six [2001:db8::6]:1"}},
		{name: "the least multiples", services: "two. 1 0 3, three. 1 0 2",
			want: []string{"0 4 three 10.0.2.1:1", "0 4 three 10.0.2.2:1", "0 4 three 10.0.2.3:1", "0 9 two 10.0.1.1:1", "0 9 two 10.0.1.2:1"}},
		{name: "multiples too large", services: "a. 1 0 65535, three. 1 0 65534",
			want: []string{"0 65535 a 10.0.0.1:1", "0 21845 three 10.0.2.1:1", "0 21845 three 10.0.2.2:1", "0 21845 three 10.0.2.3:1"}},
		{name: "never rounded to nothing", services: "a. 1 0 65535, three. 1 0 1",
			want: []string{"0 65535 a 10.0.0.1:1", "0 1 three 10.0.2.1:1", "0 1 three 10.0.2.2:1", "0 1 three 10.0.2.3:1"}},
		{name: "one address under two names", services: "a. 1 0 2, a-too. 1 0 3", want: []string{"0 5 a 10.0.0.1:1"}},
		{name: "one address in two tiers", services: "a. 1 1 2, a-too. 1 0 3", want: []string{"0 3 a-too 10.0.0.1:1"}},
		{name: "one address, two ports", services: "a. 1 0 2, a. 2 0 3", want: []string{"0 2 a 10.0.0.1:1", "0 3 a 10.0.0.1:2"}},
		{name: "port 0", services: "a. 0 0 2, b. 1 0 3", want: []string{"0 3 b 10.0.0.2:1"}, refused: "port 0"},
		{name: "loopback", services: "self. 1 0 2, self6. 1 0 2, b. 1 0 3", want: []string{"0 3 b 10.0.0.2:1"}, refused: "loopback"},
		{name: "loopback allowed", services: "self. 1 0 2", loopback: true, want: []string{"0 2 self 127.0.0.1:1"}},
		{name: "loopback beside another address", services: "mixed. 1 0 2", want: []string{"0 2 mixed 10.0.0.9:1"}, refused: "target mixed: 127.0.0.1 is a loopback"},
		{name: "link-local", services: "meta. 80 0 2, link6. 1 0 2", loopback: true, refused: "link-local"},
		{name: "no host's address", services: "zero. 1 0 2, zero6. 1 0 2, many. 1 0 2, all. 1 0 2", loopback: true, refused: "0.0.0.0 is not the address of one host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			services := services(t, tt.services)
			got, err := srvSet(services, func(target string) []netip.Addr { return hosts[target] }, policy{loopback: tt.loopback})
			if diff := cmp.Diff(strings.Join(tt.want, "\n"), lines(got)); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("refused %v, want %q", err, tt.refused)
			}
		})
	}
}

func services(t *testing.T, text string) []service {
	t.Helper()
	var list []service
	for part := range strings.SplitSeq(text, ", ") {
		var s service
		if _, err := fmt.Sscan(part, &s.target, &s.port, &s.priority, &s.weight); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, service.compare)
	return list
}

func TestSRVSetIsBounded(t *testing.T) {
	var list []service
	for i := range 5000 {
		list = append(list, service{target: fmt.Sprintf("h%04d.", i), port: 1})
	}
	at := func(target string) []netip.Addr {
		var n uint16
		fmt.Sscanf(target, "h%d.", &n)
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}
	}
	if set, err := srvSet(list, at, policy{}); err == nil || len(set) > 0 {
		t.Errorf("5000 records give %d endpoints, %v; want an error and none", len(set), err)
	}
	if set, err := srvSet(list[:MaxEndpoints], at, policy{}); err != nil || len(set) != MaxEndpoints {
		t.Errorf("%d records give %d endpoints, %v", MaxEndpoints, len(set), err)
	}
}

// TestWeighKeepsProportions holds that, whatever the weights and numbers of addresses, each target gets its part of its tier.
func TestWeighKeepsProportions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "targets")
		var shares []share
		total := 0
		for i := range n {
			s := share{service: service{target: fmt.Sprintf("t%d.", i), port: 1, weight: rapid.Uint16().Draw(t, "weight")}}
			for j := range rapid.IntRange(1, 40).Draw(t, "addresses") {
				s.addrs = append(s.addrs, netip.AddrFrom4([4]byte{10, byte(i), 0, byte(j)}))
			}
			shares, total = append(shares, s), total+int(s.weight)
		}
		sums, sum := map[string]int{}, 0
		for _, e := range weigh(shares, total == 0) {
			if e.Weight < 0 || e.Weight > upstream.MaxWeight {
				t.Fatalf("weight %d", e.Weight)
			}
			sums[e.Name], sum = sums[e.Name]+e.Weight, sum+e.Weight
		}
		for _, s := range shares {
			want := float64(s.weight) / float64(max(total, 1))
			if total == 0 {
				want = 1 / float64(n)
			}
			got := float64(sums[shown(s.target)]) / float64(sum)
			if got-want > 0.005 || want-got > 0.005 {
				t.Fatalf("%s gets %v of the tier, want %v", s.target, got, want)
			}
			if (s.weight == 0 && total > 0) != (sums[shown(s.target)] == 0) {
				t.Fatalf("%s of weight %d gets %d", s.target, s.weight, sums[shown(s.target)])
			}
		}
	})
}
