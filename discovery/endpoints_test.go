package discovery

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/upstream"
)

// endpoint returns one of weight 1.
func endpoint(addr string) upstream.Endpoint {
	return upstream.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: 1}
}

func endpoints(addrs ...string) []upstream.Endpoint {
	all := []upstream.Endpoint{}
	for _, addr := range addrs {
		all = append(all, endpoint(addr))
	}
	return all
}

// sameEndpoints compares sets of endpoints, nil and empty apart.
func sameEndpoints(want, got []upstream.Endpoint) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
}

func TestParseEndpoints(t *testing.T) {
	db := func(addr string, weight, priority int, name string) upstream.Endpoint {
		return upstream.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: weight, Priority: priority, Name: name}
	}
	tests := []struct {
		name, in string
		want     []upstream.Endpoint
	}{
		{"addresses as YAML", "- 10.0.0.1:80\n- 10.0.0.2:80\n", endpoints("10.0.0.1:80", "10.0.0.2:80")},
		{"addresses as JSON", `["10.0.0.1:80", "[2001:db8::1]:80"]`, endpoints("10.0.0.1:80", "[2001:db8::1]:80")},
		{"IPv4 in IPv6 clothes", `["[::ffff:10.0.0.1]:80"]`, endpoints("10.0.0.1:80")},
		{"endpoints", `[{"address": "10.0.0.1:80", "weight": 2, "priority": 3, "name": "db-1"}, {"address": "10.0.0.2:80"}]`,
			[]upstream.Endpoint{db("10.0.0.2:80", 1, 0, ""), db("10.0.0.1:80", 2, 3, "db-1")}},
		{"under a key", "endpoints:\n  - {address: 10.0.0.1:80, weight: 0}\n  - 10.0.0.2:80\n",
			[]upstream.Endpoint{db("10.0.0.1:80", 0, 0, ""), endpoint("10.0.0.2:80")}},
		{"limits", "[{address: 10.0.0.1:1, weight: 65535}, {address: 10.0.0.1:65535, priority: 65535}]",
			[]upstream.Endpoint{db("10.0.0.1:1", 65535, 0, ""), db("10.0.0.1:65535", 1, 65535, "")}},
		{"target groups", `[{"targets": ["10.0.0.1:80", "10.0.0.2:80"], "labels": {"env": "prod", "weir_weight": "5", "weir_priority": "1"}},
			{"targets": ["10.0.0.3:80"], "labels": {"deep": [1, {"a": 2}]}, "source": "x"}, {"targets": []}]`,
			[]upstream.Endpoint{endpoint("10.0.0.3:80"), db("10.0.0.1:80", 5, 1, ""), db("10.0.0.2:80", 5, 1, "")}},
		{"a group without labels' value", "- targets: ['10.0.0.1:80']\n  labels:\n", endpoints("10.0.0.1:80")},
		{"twice the same", `["10.0.0.1:80", {"address": "10.0.0.1:80", "weight": 1}, {"targets": ["[::ffff:10.0.0.1]:80"]}]`,
			endpoints("10.0.0.1:80")},
		{"sorted by priority, name, port, address",
			`[{address: "10.0.0.9:1", priority: 1}, {address: "10.0.0.8:1", name: b}, {address: "10.0.0.7:1", name: a}, "10.0.0.2:2", "10.0.0.3:1", "10.0.0.1:2"]`,
			[]upstream.Endpoint{endpoint("10.0.0.3:1"), endpoint("10.0.0.1:2"), endpoint("10.0.0.2:2"),
				db("10.0.0.7:1", 1, 0, "a"), db("10.0.0.8:1", 1, 0, "b"), db("10.0.0.9:1", 1, 1, "")}},
		{"empty list", "[]", endpoints()},
		{"empty list under a key", "endpoints: []\n", endpoints()},
		{"a group of nobody", `[{"targets": [], "labels": {}}]`, endpoints()},
		{"a comment and an empty list", "# none today\n[]\n", endpoints()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseEndpoints("x.yaml", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := sameEndpoints(tt.want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseEndpointsFaults(t *testing.T) {
	const none = "x.yaml: nothing is in it: write [] where there are no endpoints"
	const form = `write ip:port, such as "10.0.0.1:5432" or "[2001:db8::1]:5432"`
	tests := []struct{ name, in, want string }{
		{"empty", "", none},
		{"blank", " \n\n", none},
		{"a comment", "# soon\n", none},
		{"null", "null", "x.yaml:1: found no value, not a list of endpoints: write [] where there are none"},
		{"a document of nothing", "---\n", "x.yaml:2: found no value, not a list of endpoints: write [] where there are none"},
		{"a key of nothing", "endpoints:\n", "x.yaml:1: found no value, not a list of endpoints: write [] where there are none"},
		{"an empty map", "{}", "x.yaml:1: no key in it: write [] where there are no endpoints"},
		{"a text", "10.0.0.1:80", `x.yaml:1: found "10.0.0.1:80", not a list of endpoints: write [] where there are none`},
		{"a page", "<html><body>502</body></html>",
			`x.yaml:1: found "<html><body>502</body></html>", not a list of endpoints: write [] where there are none`},
		{"half of JSON", `["10.0.0.1:80", "10.0.`, "x.yaml:1: neither JSON nor YAML: found unexpected end of stream: it may be half written"},
		{"two documents", "[]\n---\n[]\n", "x.yaml:2: a second document begins: put all endpoints into one"},
		{"a document and rubbish", "[]\n---\n}", "x.yaml:2: neither JSON nor YAML: did not find expected node content: it may be half written"},
		{"one endpoint without a list", "address: 10.0.0.1:80\n",
			`x.yaml:1: unknown key "address": write a list of endpoints, or the key endpoints with one`},
		{"endpoints twice", "endpoints: []\nendpoints: []\n", "x.yaml:2: the key endpoints comes twice: join the lists"},
		{"a list in a list", "-\n  - 10.0.0.1:80\n", "x.yaml:2: found a list, not an endpoint: write an address, { address: ... } or { targets: [...] }"},
		{"unknown key", "- address: 10.0.0.1:80\n  wieght: 2\n", `x.yaml:2: unknown key "wieght": an endpoint has address, weight, priority and name`},
		{"a key that is a list", "- {[a]: 1}", `x.yaml:1: unknown key "": an endpoint has address, weight, priority and name`},
		{"a key twice", "- address: 10.0.0.1:80\n  weight: 2\n  weight: 2\n", `x.yaml:3: the key "weight" comes twice: remove one`},
		{"no address", "- name: db-1\n", `x.yaml:1: an endpoint without address: write one such as "10.0.0.1:5432"`},
		{"a host name", "- db-1.example.com:80\n",
			`x.yaml:1: "db-1.example.com" is a host name: write its IP address, or use DNS discovery`},
		{"a host name in a group", "- targets: [localhost:80]", `x.yaml:1: "localhost" is a host name: write its IP address, or use DNS discovery`},
		{"no port", "- 10.0.0.1", `x.yaml:1: "10.0.0.1" is not ip:port: ` + form},
		{"no address but a port", "- ':80'", `x.yaml:1: ":80" is not ip:port: ` + form},
		{"port 0", "- 10.0.0.1:0", `x.yaml:1: "10.0.0.1:0" has port 0, to which nobody can connect: ` + form},
		{"port too high", "- 10.0.0.1:65536", `x.yaml:1: "10.0.0.1:65536" is not ip:port: ` + form},
		{"a zone", "- '[fe80::1%eth0]:80'", `x.yaml:1: "[fe80::1%eth0]:80" has a zone, which names one machine's interface: leave it out`},
		{"the form of a Unix socket", "- '[::%/run/x.sock]:80'", `x.yaml:1: "[::%/run/x.sock]:80" has a zone, which names one machine's interface: leave it out`},
		{"every address", "- 0.0.0.0:80", `x.yaml:1: "0.0.0.0:80" is not the address of one server: ` + form},
		{"a group of addresses", "- '[ff02::1]:80'", `x.yaml:1: "[ff02::1]:80" is not the address of one server: ` + form},
		{"an item of nothing", "-\n", `x.yaml:1: "" is not ip:port: ` + form},
		{"address of another kind", "- address: [10.0.0.1:80]", "x.yaml:1: found a list, not an address: " + form},
		{"an alias", "- &a 10.0.0.1:80\n- *a\n", "x.yaml:2: found an alias, which is not followed, not an endpoint: write an address, { address: ... } or { targets: [...] }"},
		{"weight too high", "- {address: 10.0.0.1:80, weight: 65536}", `x.yaml:1: weight is "65536": write a whole number from 0 to 65535`},
		{"weight below 0", "- {address: 10.0.0.1:80, weight: -1}", `x.yaml:1: weight is "-1": write a whole number from 0 to 65535`},
		{"weight of parts", "- {address: 10.0.0.1:80, weight: 1.5}", `x.yaml:1: weight is "1.5": write a whole number from 0 to 65535`},
		{"weight of nothing", "- {address: 10.0.0.1:80, weight: }", `x.yaml:1: weight is no value: write a whole number from 0 to 65535`},
		{"priority of another kind", "- {address: 10.0.0.1:80, priority: {}}", "x.yaml:1: priority is a map: write a whole number from 0 to 65535"},
		{"weight of a group", "- targets: []\n  labels: {weir_weight: heavy}\n", `x.yaml:2: weir_weight is "heavy": write a whole number from 0 to 65535`},
		{"priority of a group", "- targets: []\n  labels: {weir_priority: 65536}\n", `x.yaml:2: weir_priority is "65536": write a whole number from 0 to 65535`},
		{"a name that is a number", "- {address: 10.0.0.1:80, name: 7}", `x.yaml:1: name is "7": write a text in quotes`},
		{"a name that does not print", `- {address: 10.0.0.1:80, name: "a\nb"}`, `x.yaml:1: name is "a\nb", with characters that do not print: remove them`},
		{"a long name", "- {address: 10.0.0.1:80, name: " + strings.Repeat("a", 256) + "}", "x.yaml:1: name is longer than 255 bytes: shorten it"},
		{"targets of nothing", "- targets:\n", "x.yaml:1: targets is no value, not a list: write [] where there are none"},
		{"targets twice", "- targets: []\n  targets: []\n", "x.yaml:2: the key targets comes twice: join the lists"},
		{"twice, differently", "- 10.0.0.1:80\n- {address: 10.0.0.1:80, weight: 2}\n",
			"x.yaml:2: 10.0.0.1:80 comes twice, with different weights, priorities or names: remove one"},
		{"a long value is cut", "- " + strings.Repeat("a", 1000), `x.yaml:1: "` + strings.Repeat("a", 128) + `..." is not ip:port: ` + form},
		{"too large", strings.Repeat(" ", maxDocument) + "[]", "x.yaml: larger than 4 MiB: split the service, or leave out the labels"},
		{"too many values", "[" + strings.Repeat("1,", maxMarks) + "1]",
			"x.yaml: more than 200000 lines, commas and brackets: leave out labels and comments"},
		{"too many endpoints", list(maxEndpoints + 1), "x.yaml:10001: more than 10000 endpoints: split the service"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseEndpoints("x.yaml", []byte(tt.in))
			if err == nil {
				t.Fatalf("taken as %v", got)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if got != nil {
				t.Errorf("endpoints beside an error: %v", got)
			}
		})
	}
}

// list returns a document of n endpoints, one a line.
func list(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "- 10.0.%d.%d:80\n", i/256, i%256)
	}
	return b.String()
}

// TestParseEndpointsAtTheLimit: the most endpoints there can be, written as widely as a program might.
func TestParseEndpointsAtTheLimit(t *testing.T) {
	var b strings.Builder
	b.WriteString("[")
	for i := range maxEndpoints {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n  {\n    \"address\": \"[2001:db8::%x]:443\",\n    \"weight\": 1,\n    \"priority\": 0,\n    \"name\": \"server-%d\"\n  }", i+1, i)
	}
	b.WriteString("\n]\n")
	got, err := ParseEndpoints("x.json", []byte(b.String()))
	if err != nil || len(got) != maxEndpoints {
		t.Fatalf("%d endpoints, %v", len(got), err)
	}
}

// TestHalfOfJSON: wherever a JSON document is cut off, it is not one, so that half an answer never counts as a shorter list.
func TestHalfOfJSON(t *testing.T) {
	documents := []string{
		`["10.0.0.1:80", {"address": "10.0.0.2:8080", "weight": 22, "name": "a, ]b"}, {"targets": ["10.0.0.3:80"], "labels": {"a": "b"}}]`,
		"{\n  \"endpoints\": [\n    \"10.0.0.1:80\"\n  ]\n}",
	}
	for _, whole := range documents {
		if _, err := ParseEndpoints("x.json", []byte(whole)); err != nil {
			t.Fatal(err)
		}
		for i := range len(whole) {
			if got, err := ParseEndpoints("x.json", []byte(whole[:i])); err == nil {
				t.Errorf("%q is taken as %v", whole[:i], got)
			}
		}
	}
}

// TestOrderOfDocument: two documents with the same endpoints in another order are the same.
func TestOrderOfDocument(t *testing.T) {
	lines := strings.SplitAfter(strings.TrimSuffix(list(100), "\n"), "\n")
	lines[99] += "\n"
	want, err := ParseEndpoints("x", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	got, err := ParseEndpoints("x", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := sameEndpoints(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func FuzzParseEndpoints(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "- 10.0.0.1:80\n", `{"endpoints": [{"address": "10.0.0.1:80", "weight": 2, "priority": 1, "name": "a"}]}`,
		`[{"targets": ["[2001:db8::1]:80"], "labels": {"weir_weight": "2"}}]`, "- &a 10.0.0.1:80\n- *a\n", "---\n---\n", "- {<<: {}}", "? []\n: {}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseEndpoints("x", data)
		if err != nil {
			if got != nil || !strings.HasPrefix(err.Error(), "x:") || len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
				t.Fatalf("%v, %q", got, err)
			}
			return
		}
		if got == nil || len(got) > maxEndpoints || !slices.IsSortedFunc(got, Compare) {
			t.Fatalf("nil, too many or not sorted: %v", got)
		}
		for _, e := range got {
			if _, unix := upstream.UnixPath(e.Addr); unix || !e.Addr.IsValid() || e.Addr.Port() == 0 || e.Addr.Addr().Is4In6() {
				t.Errorf("address %v", e.Addr)
			}
			if e.Weight < 0 || e.Weight > upstream.MaxWeight || e.Priority < 0 || e.Priority > maxPriority || len(e.Name) > maxName {
				t.Errorf("out of range: %+v", e)
			}
		}
		if joined := Union(got); !slices.Equal(joined, got) {
			t.Errorf("not a set: %v, joined %v", got, joined)
		}
	})
}
