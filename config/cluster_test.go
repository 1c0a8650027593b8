package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCluster(t *testing.T) {
	got := mustParse(t, "x.yaml", `
cluster: {name: prod, bind: "[::]:7946", advertise: "2001:db8::1", join: [lb-2, "lb-3:8000", 10.0.0.4, "[::1]:1", "srv+_weir._tcp.example.com"], keyFile: k, stateFile: s}
`).Cluster
	want := &Cluster{
		Name: "prod", Bind: "[::]:7946", Advertise: "2001:db8::1", KeyFile: "k", StateFile: "s", Profile: "lan",
		Join: []string{"lb-2", "lb-3:8000", "10.0.0.4", "[::1]:1", "srv+_weir._tcp.example.com"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClusterIsChecked(t *testing.T) {
	const form = ` (write an ip or host, with or without a port, like "10.0.0.12:7946", or srv+NAME)`
	tests := []struct {
		name, keys string   // the keys beside the name
		want       []string // without the file and the place
	}{
		{"loopback needs no key", `bind: "127.0.0.1:7946"`, nil},
		{"mapped loopback", `bind: "[::ffff:127.0.0.1]:7946"`, nil},
		{"all addresses", `bind: "0.0.0.0:7946", advertise: 10.0.0.1, keyFile: k`, nil},
		{"any port", `bind: "127.0.0.1:0"`, nil},
		{"advertise with a port", `bind: "127.0.0.1:7946", advertise: "10.0.0.1:7947", keyFile: k`, nil},
		{"wide area", `bind: "127.0.0.1:7946", profile: wan`, nil},
		{"itself among all nodes", `bind: "127.0.0.1:7946", join: ["127.0.0.1:7946", "127.0.0.2:7946"]`, nil},

		{"no bind", `node: a`, []string{`cluster.bind: missing (ip:port for the talk between nodes, by TCP and UDP.)`}},
		{"a host to bind to", `bind: "lb-1:7946"`, []string{`cluster.bind: "lb-1:7946" is not ip:port (write it like "10.0.0.11:7946")`}},
		{"unknown profile", `bind: "127.0.0.1:1", profile: vpn`, []string{`cluster.profile: unknown value "vpn" (one of lan, wan)`}},
		{"no key", `bind: "10.0.0.1:7946"`, []string{`cluster.keyFile: missing (off loopback the talk between nodes is encrypted)`}},
		{"no key, advertised", `bind: "127.0.0.1:7946", advertise: 10.0.0.1`,
			[]string{`cluster.keyFile: missing (off loopback the talk between nodes is encrypted)`}},
		{"a key in place of its file", "bind: \"10.0.0.1:1\", keyFile: \"-----BEGIN X-----\"",
			[]string{`cluster.keyFile: PEM text in place of a file: not supported by weir (write it to a file and name that)`}},
		{"all addresses and none to tell", `bind: "[::]:7946", keyFile: k`,
			[]string{`cluster.advertise: missing (bind is ::, which tells the other nodes no address to reach this one at)`}},
		{"all mapped addresses and none to tell", `bind: "[::ffff:0.0.0.0]:7946", keyFile: k`,
			[]string{`cluster.advertise: missing (bind is 0.0.0.0, which tells the other nodes no address to reach this one at)`}},
		{"advertises a host", `bind: "0.0.0.0:1", keyFile: k, advertise: lb-1`,
			[]string{`cluster.advertise: "lb-1" is neither ip:port nor ip (write it like "10.0.0.11:7946")`}},
		{"advertises port 0", `bind: "0.0.0.0:1", keyFile: k, advertise: "10.0.0.1:0"`,
			[]string{`cluster.advertise: "10.0.0.1:0" is neither ip:port nor ip (write it like "10.0.0.11:7946")`}},
		{"advertises nobody's address", `bind: "0.0.0.0:1", keyFile: k, advertise: "[::]:7946"`,
			[]string{`cluster.advertise: "[::]:7946" is not an address at which the other nodes reach this one`}},

		{"names", `bind: "127.0.0.1:1", node: "a\tb"`, []string{`cluster.node: "a\tb" has characters that cannot be printed`}},
		{"long name", `bind: "127.0.0.1:1", node: ` + strings.Repeat("n", 256), []string{`cluster.node: has more than 255 bytes`}},
		{"longest name", `bind: "127.0.0.1:1", node: ` + strings.Repeat("n", 255), nil},

		{"address gone wrong", `bind: "127.0.0.1:1", join: [10.0.0.300]`,
			[]string{`cluster.join[0]: "10.0.0.300" is neither an address nor the name of a host` + form}},
		{"a port of none", `bind: "127.0.0.1:1", join: ["lb-2:x", "lb-2:0", ":7946"]`, []string{
			`cluster.join[0]: "x" is not a port` + form, `cluster.join[1]: "0" is not a port` + form,
			`cluster.join[2]: ":7946" is neither an address nor the name of a host` + form,
		}},
		{"nobody's address", `bind: "127.0.0.1:1", join: ["0.0.0.0:7946"]`, []string{`cluster.join[0]: "0.0.0.0:7946" is not the address of a node`}},
		{"a record without a name", `bind: "127.0.0.1:1", join: ["srv+", "srv+a:1"]`, []string{
			`cluster.join[0]: "" is not the name of an SRV record (write it like "srv+_weir._tcp.example.com")`,
			`cluster.join[1]: "a:1" is not the name of an SRV record (write it like "srv+_weir._tcp.example.com")`,
		}},
		{"a URL", `bind: "127.0.0.1:1", join: ["http://lb-2:7946"]`,
			[]string{`cluster.join[0]: "http://lb-2:7946" is neither an address nor the name of a host` + form}},
		{"nobody", `bind: "127.0.0.1:1", join: [""]`, []string{`cluster.join[0]: must not be empty`}},
		{"twice", `bind: "127.0.0.1:1", join: [lb-2, "LB-2.:7946", "10.0.0.2:7946", "::ffff:10.0.0.2"]`, []string{
			`cluster.join[1]: LB-2.:7946 is join[0] already`, `cluster.join[3]: ::ffff:10.0.0.2 is join[2] already`,
		}},
		{"too many", `bind: "127.0.0.1:1", join: [` + strings.TrimSuffix(strings.Repeat("lb-%, ", 129), ", ") + `]`,
			[]string{`cluster.join[128]: more than 128 nodes (a few are enough: they know the others)`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys := tt.keys
			for i := 0; strings.Contains(keys, "%"); i++ {
				keys = strings.Replace(keys, "%", fmt.Sprint(i), 1)
			}
			_, err := Parse("x.yaml", []byte("cluster: {name: prod, "+keys+"}\n"))
			var got []string
			if err != nil {
				for _, p := range problemsOf(t, err) {
					p.File, p.Line, p.Col = "", 0, 0
					got = append(got, strings.TrimPrefix(p.Error(), ": "))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("name", func(t *testing.T) {
		_, err := Parse("x.yaml", []byte(`cluster: {name: `+strings.Repeat("n", 129)+`, bind: "127.0.0.1:1"}`))
		if err == nil || err.Error() != "x.yaml:1:17: cluster.name: has more than 128 bytes" {
			t.Errorf("%v", err)
		}
	})
}

func TestParsePeer(t *testing.T) {
	tests := []struct {
		written string
		want    Peer
	}{
		{"10.0.0.1", Peer{Host: "10.0.0.1"}},
		{"10.0.0.1:8000", Peer{Host: "10.0.0.1", Port: 8000}},
		{"::ffff:10.0.0.1", Peer{Host: "10.0.0.1"}},
		{"2001:db8::1", Peer{Host: "2001:db8::1"}},
		{"[2001:db8::1]:8000", Peer{Host: "2001:db8::1", Port: 8000}},
		{"lb-2.example.com", Peer{Host: "lb-2.example.com"}},
		{"lb-2:8000", Peer{Host: "lb-2", Port: 8000}},
		{"srv+_weir._tcp.example.com", Peer{Host: "_weir._tcp.example.com", SRV: true}},
	}
	for _, tt := range tests {
		t.Run(tt.written, func(t *testing.T) {
			got, err := ParsePeer(tt.written)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for _, written := range []string{"", ".", "a b", "lb:99999", "224.0.0.1", "[::1]", "srv+a b"} {
		if got, err := ParsePeer(written); err == nil || got != (Peer{}) {
			t.Errorf("%q: %+v, %v", written, got, err)
		}
	}
}

// clusterKey returns a key of n bytes that are all b, and how a file has it.
func clusterKey(b byte, n int) ([]byte, string) {
	key := bytes.Repeat([]byte{b}, n)
	return key, base64.StdEncoding.EncodeToString(key)
}

func TestParseClusterKeys(t *testing.T) {
	long, first := clusterKey('a', 32)
	short, second := clusterKey('b', 16)
	_, third := clusterKey('c', 32)
	_, fourth := clusterKey('d', 32)
	_, fifth := clusterKey('e', 32)
	_, tooShort := clusterKey('f', 15)
	const hint = " (make a key with: openssl rand -base64 32)"
	tests := []struct {
		name, text string
		want       [][]byte
		wrong      []string
	}{
		{"one", first + "\n", [][]byte{long}, nil},
		{"without an end of line", first, [][]byte{long}, nil},
		{"without padding", strings.TrimRight(second, "="), [][]byte{short}, nil},
		{"with comments", "# the new one\r\n\r\n  " + second + " \r\n\t# the old one\n" + first + "\n\n", [][]byte{short, long}, nil},
		{"empty", "", nil, []string{"k:1:1: holds no key" + hint}},
		{"comments alone", "# none\n\n", nil, []string{"k:2:1: holds no key" + hint}},
		{"not base64", "# a\n  " + first[:4] + "?" + first[5:] + "\n" + second + "\n", nil, []string{"k:2:7: not base64" + hint}},
		{"words behind the key", first + " # old\n", nil, []string{"k:1:44: not base64" + hint}},
		{"too short", second + "\n" + tooShort + "\n", nil, []string{"k:2:1: a key of 15 bytes, at least 16 are needed" + hint}},
		{"twice", first + "\n\n" + first + "\n", nil, []string{"k:3:1: the same key as in line 1 (remove one of them)"}},
		{"too many", strings.Join([]string{first, second, third, fourth, fifth}, "\n"), nil,
			[]string{"k:5:1: more than 4 keys (remove those that no node encrypts with any more)"}},
		{"all that is wrong", "?\n" + tooShort, nil, []string{"k:1:1: not base64" + hint, "k:2:1: a key of 15 bytes, at least 16 are needed" + hint}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseClusterKeys("k", []byte(tt.text))
			var wrong []string
			if err != nil {
				for _, p := range problemsOf(t, err) {
					wrong = append(wrong, p.Error())
				}
			}
			if diff := cmp.Diff(tt.wrong, wrong); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseClusterKeys(f *testing.F) {
	_, key := clusterKey('a', 32)
	f.Add([]byte(key + "\n# x\n\n" + key[:20]))
	f.Add([]byte("\xff\n=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseClusterKeys("k", text)
		if (err == nil) == (len(keys) == 0) || len(keys) > MaxClusterKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if len(k) < MinClusterKey {
				t.Errorf("a key of %d bytes", len(k))
			}
		}
		if err != nil {
			for _, p := range problemsOf(t, err) {
				if p.File != "k" || p.Line < 1 || p.Col < 1 {
					t.Errorf("no place: %+v", p)
				}
			}
		}
	})
}

func TestClusterKeyFileIsFollowedAndChecked(t *testing.T) {
	dir := t.TempDir()
	_, good := clusterKey('a', 32)
	key := write(t, dir, "cluster.key", good+"\n")
	file := write(t, dir, "weir.yaml", fmt.Sprintf("cluster: {name: prod, bind: \"10.0.0.1:7946\", keyFile: %q}\n", key))
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{file, key}, cfg.Files()); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]NamedFile{{"cluster.keyFile", key}}, cfg.NamedFiles()); diff != "" {
		t.Errorf("NamedFiles (-want +got):\n%s", diff)
	}
	if err := cfg.CheckFiles(); err != nil {
		t.Errorf("a good key: %v", err)
	}
	write(t, dir, "cluster.key", good+"\nnot-a-key\n")
	if got, want := fmt.Sprint(cfg.CheckFiles()), key+":2:4: not base64 (make a key with: openssl rand -base64 32)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
