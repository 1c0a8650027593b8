package weir_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/weirlb/weir"

// mayImport is who may know whom: for each package of weir, the other packages of weir that it may import. A name that
// ends in "/..." stands for a whole tree, whose members may import each other. A package that is not
// listed here fails the test: a new package needs a sentence of its own, and a line.
var mayImport = map[string][]string{
	".":                  {},
	"cmd/weir":           {"config", "server", "admin"},
	"config":             {"internal/predicate", "internal/rule", "internal/trail"},
	"server":             {"config", "l4", "l4/flow", "l4/peek", "l7", "l7/http1", "l7/route", "discovery", "health", "cluster", "upstream", "sni", "admin", "internal/accesslog", "internal/eventloop", "internal/otlp", "internal/rule", "internal/span"},
	"l4":                 {"internal/eventloop", "internal/accesslog", "internal/limit", "internal/rule", "l4/flow", "l4/peek", "upstream", "sni"},
	"l4/flow":            {"upstream"},
	"l4/peek":            {"sni"},
	"l7":                 {"internal/eventloop", "internal/accesslog", "internal/limit", "internal/predicate", "internal/rule", "internal/span", "internal/trace", "l7/grpcweb", "l7/head", "l7/http1", "l7/http2", "l7/route", "upstream", "sni"},
	"l7/grpcweb":         {"l7/head"},
	"l7/head":            {},
	"l7/http1":           {"l7/head"},
	"l7/http2":           {"l7/head", "l7/http1"},
	"l7/route":           {"internal/rule"},
	"sni":                {},
	"upstream":           {},
	"health":             {"upstream"},
	"discovery":          {"upstream", "internal/trail"},
	"cluster":            {},
	"admin":              {"upstream"},
	"bench/...":          {},
	"internal/accesslog": {},
	"internal/eventloop": {},
	"internal/limit":     {},
	"internal/predicate": {},
	"internal/rule":      {},
	"internal/otlp":      {"internal/span"},
	"internal/span":      {"internal/trace"},
	"internal/trace":     {},
	"internal/trail":     {},
	"internal/weirtest":  {},
}

// testsMayImport is what the tests of every package may import beyond mayImport, and what those of some may.
var testsMayImport = map[string][]string{
	"*":             {"internal/weirtest"},
	".":             {"config"},
	"internal/otlp": {"internal/trace"},
	// The tests of a cluster of real processes put a node among them that lies.
	"cmd/weir": {"cluster"},
}

// owners is who alone may import what is not weir's: one package knows each library, the others do not know it exists.
// A name that ends in "/..." stands for all that begins with it. Tests are held to it too.
var owners = map[string][]string{
	"github.com/spf13/viper":            {"config"},
	"github.com/spf13/viper/...":        {"config"},
	"github.com/panjf2000/gnet/v2/...":  {"internal/eventloop"},
	"github.com/panjf2000/gnet/v2":      {"internal/eventloop"},
	"golang.org/x/sys/...":              {"internal/eventloop", "internal/weirtest", "bench/..."},
	"github.com/miekg/dns":              {"discovery"},
	"github.com/hashicorp/memberlist":   {"cluster"},
	"github.com/spf13/cobra":            {"cmd/weir"},
	"github.com/prometheus/...":         {"admin"},
	"github.com/klauspost/compress/...": {"l7"},
	"github.com/andybalholm/brotli":     {"l7"},
	"google.golang.org/grpc/...":        {"internal/otlp", "l7", "cmd/weir"},                  // their tests
	"go.opentelemetry.io/...":           {"internal/otlp", "internal/span", "l7", "cmd/weir"}, // their tests
}

// listed is what `go list` says about a package.
type listed struct {
	ImportPath   string
	Name         string
	Doc          string
	Imports      []string
	TestImports  []string // of the tests inside the package
	XTestImports []string // of the tests beside it
}

// path returns the name used in the tables above: the directory.
func (p listed) path() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// forbidden returns, in order, what pkgs do that the tables do not allow. It is pure, so that it can be tested itself.
func forbidden(pkgs []listed) []string {
	var found []string
	for _, p := range pkgs {
		from := p.path()
		allowed, known := lookup(mayImport, from)
		if !known {
			found = append(found, fmt.Sprintf("%s: not in the table of arch_test.go: say there what it may import", from))
			continue
		}
		found = append(found, forbiddenImports(from, "", p.Imports, allowed)...)
		inTests := slices.Concat(allowed, testsMayImport["*"], testsMayImport[from])
		found = append(found, forbiddenImports(from, " (test)", p.TestImports, inTests)...)
		// Tests beside a package see it from outside, so they import it.
		found = append(found, forbiddenImports(from, " (test)", p.XTestImports, append(inTests, from))...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func forbiddenImports(from, where string, imports, allowed []string) []string {
	var found []string
	for _, path := range imports {
		if to, ours := ours(path); ours {
			if !slices.Contains(allowed, to) && !sameTree(from, to) {
				found = append(found, fmt.Sprintf("%s%s imports %s", from, where, to))
			}
			continue
		}
		if users, owned := lookup(owners, path); owned && !anyMatches(users, from) {
			found = append(found, fmt.Sprintf("%s%s imports %s, which belongs to %s", from, where, path, strings.Join(users, ", ")))
		}
	}
	return found
}

// ours returns the path of a package of weir's without the module.
func ours(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// lookup finds path in table: its own key, or a key that ends in "/..." and begins it.
func lookup(table map[string][]string, path string) ([]string, bool) {
	if v, ok := table[path]; ok {
		return v, true
	}
	for key, v := range table {
		if matches(key, path) {
			return v, true
		}
	}
	return nil, false
}

func matches(pattern, path string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return pattern == path || isTree && (path == tree || strings.HasPrefix(path, tree+"/"))
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

// sameTree reports whether a and b are members of one tree of the table.
func sameTree(a, b string) bool {
	for key := range mayImport {
		if strings.HasSuffix(key, "/...") && matches(key, a) && matches(key, b) {
			return true
		}
	}
	return false
}

// undocumented returns what is wrong with the packages' comments.
func undocumented(pkgs []listed) []string {
	var found []string
	for _, p := range pkgs {
		start := "Package " + p.Name + " "
		if p.Name == "main" {
			start = "Command " + p.path()[strings.LastIndex(p.path(), "/")+1:] + " "
		}
		if p.Name != "" && !strings.HasPrefix(p.Doc, start) {
			found = append(found, fmt.Sprintf("%s: the package comment must begin with %q, not %q", p.path(), start, p.Doc))
		}
	}
	return found
}

// packages asks the go command about all packages of the module.
func packages(t *testing.T) []listed {
	t.Helper()
	// -e: a package that does not compile is somebody else's failure; its imports count all the same.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Doc,Imports,TestImports,XTestImports", "./...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

func TestImports(t *testing.T) {
	pkgs := packages(t)
	if !slices.ContainsFunc(pkgs, func(p listed) bool { return p.path() == "internal/accesslog" }) {
		t.Fatalf("go list does not show internal/accesslog: the check sees nothing. It shows %d packages", len(pkgs))
	}
	for _, v := range forbidden(pkgs) {
		t.Error(v)
	}
}

func TestPackageComments(t *testing.T) {
	for _, v := range undocumented(packages(t)) {
		t.Error(v)
	}
}

// TestForbidden plants edges and looks whether the check sees them.
func TestForbidden(t *testing.T) {
	in := func(paths ...string) []string {
		for i, p := range paths {
			if !strings.Contains(p, ".") {
				paths[i] = module + "/" + p
			}
		}
		return paths
	}
	tests := []struct {
		name string
		p    listed
		want []string
	}{
		{"nothing", listed{ImportPath: module + "/sni"}, nil},
		{"an allowed edge", listed{ImportPath: module + "/l4", Imports: in("sni", "internal/eventloop")}, nil},
		{"l4 and l7 never see each other", listed{ImportPath: module + "/l4", Imports: in("l7")}, []string{"l4 imports l7"}},
		{"nobody below server imports config", listed{ImportPath: module + "/health", Imports: in("config")}, []string{"health imports config"}},
		{"sni stands alone", listed{ImportPath: module + "/sni", Imports: in("upstream")}, []string{"sni imports upstream"}},
		{"peek knows sni at most", listed{ImportPath: module + "/l4/peek", Imports: in("sni", "upstream")}, []string{"l4/peek imports upstream"}},
		{"helpers stay in tests", listed{ImportPath: module + "/l4", Imports: in("internal/weirtest")}, []string{"l4 imports internal/weirtest"}},
		{"helpers in a test", listed{ImportPath: module + "/l4", TestImports: in("internal/weirtest")}, nil},
		{"a test is held too", listed{ImportPath: module + "/l4", TestImports: in("config")}, []string{"l4 (test) imports config"}},
		{"a test beside its package", listed{ImportPath: module + "/sni", XTestImports: in("sni")}, nil},
		{"a test beside another", listed{ImportPath: module + "/sni", XTestImports: in("l4")}, []string{"sni (test) imports l4"}},
		{"viper outside config", listed{ImportPath: module + "/server", Imports: in("github.com/spf13/viper")},
			[]string{"server imports github.com/spf13/viper, which belongs to config"}},
		{"gnet outside the engine", listed{ImportPath: module + "/l4", Imports: in("github.com/panjf2000/gnet/v2/pkg/netpoll")},
			[]string{"l4 imports github.com/panjf2000/gnet/v2/pkg/netpoll, which belongs to internal/eventloop"}},
		{"raw sockets outside the engine", listed{ImportPath: module + "/health", TestImports: in("golang.org/x/sys/unix")},
			[]string{"health (test) imports golang.org/x/sys/unix, which belongs to internal/eventloop, internal/weirtest, bench/..."}},
		{"dns outside discovery", listed{ImportPath: module + "/health", Imports: in("github.com/miekg/dns")},
			[]string{"health imports github.com/miekg/dns, which belongs to discovery"}},
		{"memberlist outside cluster", listed{ImportPath: module + "/server", Imports: in("github.com/hashicorp/memberlist")},
			[]string{"server imports github.com/hashicorp/memberlist, which belongs to cluster"}},
		{"memberlist at home", listed{ImportPath: module + "/cluster", Imports: in("github.com/hashicorp/memberlist", "net/http.x")}, nil},
		{"bench among itself", listed{ImportPath: module + "/bench", Imports: in("bench/proc", "golang.org/x/sys/unix")}, nil},
		{"bench drives binaries", listed{ImportPath: module + "/bench/proc", Imports: in("config")}, []string{"bench/proc imports config"}},
		{"nobody imports bench", listed{ImportPath: module + "/server", Imports: in("bench/proc")}, []string{"server imports bench/proc"}},
		{"a package without a line", listed{ImportPath: module + "/util"}, []string{"util: not in the table of arch_test.go: say there what it may import"}},
		{"the root", listed{ImportPath: module, XTestImports: in("config"), Imports: in("config")}, []string{". imports config"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, forbidden([]listed{tt.p})); diff != "" {
				t.Errorf("forbidden (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUndocumented(t *testing.T) {
	tests := []struct {
		name string
		p    listed
		bad  bool
	}{
		{"documented", listed{ImportPath: module + "/sni", Name: "sni", Doc: "Package sni reads the ClientHello."}, false},
		{"none", listed{ImportPath: module + "/sni", Name: "sni"}, true},
		{"of another", listed{ImportPath: module + "/sni", Name: "sni", Doc: "Package sniff reads."}, true},
		{"command", listed{ImportPath: module + "/cmd/weir", Name: "main", Doc: "Command weir balances load."}, false},
		{"command without", listed{ImportPath: module + "/cmd/weir", Name: "main"}, true},
		{"only tests", listed{ImportPath: module + "/e2e"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := undocumented([]listed{tt.p}); (len(got) > 0) != tt.bad {
				t.Errorf("got %q", got)
			}
		})
	}
}
