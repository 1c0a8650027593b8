package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/proc"
)

// balancer is one program under test. It is plain data, so that another one
// costs a short file and a few templates.
type balancer struct {
	name    string
	binary  string            // path, or a name to look for in PATH and in the sbin directories
	module  string            // directory of the Go module that binary is built from; empty is none
	version []string          // arguments that make it print its version
	file    string            // name of the configuration file
	args    []string          // arguments that run it in the foreground; templates over a site
	check   []string          // arguments that check the configuration; templates over a site
	configs map[shape]string  // what is in the configuration file, templates over a site
	lacks   map[shape]string  // why there is no configuration for other shapes
	extras  map[string]string // further files that configurations name, templates over a site
	ports   []string          // names of the ports that it wants besides those of every site
	// reloadBy is the signal that makes it load its configuration again, and
	// reloadable the arguments that run it so that it does; nil are args.
	reloadBy   unix.Signal
	reloadable []string
	ready      string // template of a URL that answers 200; empty means that it accepts connections
}

// site is what a template may fill in.
type site struct {
	Network  string    // that the clients use: tcp or udp
	Listen   string    // the address that the clients use
	Admin    string    // an address for the balancer's own use
	Origins  [2]string // the backends; most shapes have the first only
	Backends []string  // many more addresses of the first one
	Loops    int       // threads, workers or loops
	Proxied  bool      // clients begin with a PROXY header
	Names    [2]string // host names of the backends in the shape sni
	Hosts    []string  // host names of the HTTP shapes
	Paths    []string  // prefixes of paths, for each host the same
	Lanes    int       // connections to the backend that must be kept for all HTTP requests that are under way at one time
	Dir      string    // scratch directory, where relative paths start
	Config   string    // path of the configuration file
	MaxConn  int       // connections that the descriptors allow
	NoFile   int       // descriptors
	certificate

	Ports map[string]string // addresses that the balancer has asked for, by name
}

// fewestLanes is enough for what speaks HTTP/1.
const fewestLanes = 64

// furnish adds to a site what a scenario needs.
func (at *site) furnish(sc scenario) error {
	at.Loops, at.Proxied = max(1, sc.loops), sc.exchange.Proxy
	var err error
	if at.Backends, err = manyAddrs(at.Origins[0], sc.backends); err != nil {
		return err
	}
	if !sc.exchange.HTTP {
		return nil
	}
	at.Hosts, at.Paths = sc.targets.HostNames(), sc.targets.PathPrefixes()
	at.Lanes = max(fewestLanes, sc.connections*sc.streams)
	if sc.shape != secure && sc.shape != second {
		return nil
	}
	at.certificate, err = makeCertificate(at.Dir, at.Hosts[0])
	return err
}

// manyAddrs are n addresses of loopback at the port of another one.
func manyAddrs(addr string, n int) ([]string, error) {
	one, err := netip.ParseAddrPort(addr)
	if err != nil || n == 0 {
		return nil, err
	}
	all := make([]string, n)
	for i := range all {
		all[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 96, byte(i >> 8), byte(i)}), one.Port()).String()
	}
	return all, nil
}

// errMissing is returned for a program that is not installed.
var errMissing = errors.New("not installed")

// rivalBalancers are the balancers that weir is compared with as a rule.
func rivalBalancers() []balancer { return []balancer{haproxy(), nginx()} }

func findBalancer(all []balancer, name string) (balancer, bool) {
	i := slices.IndexFunc(all, func(b balancer) bool { return b.name == name })
	if i < 0 {
		return balancer{}, false
	}
	return all[i], true
}

// locate returns where the program is, and builds it first if that is its way.
func (b balancer) locate(ctx context.Context) (string, error) {
	if b.module != "" {
		if err := b.build(ctx); err != nil {
			return "", err
		}
	}
	return b.find()
}

// command shows how the program at path is run, by somebody in the same
// directory.
func (b balancer) command(path string) string {
	if here, err := os.Getwd(); err == nil {
		if near, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(near) {
			path = near
		}
	}
	args, err := renderAll(b.args, site{Listen: "127.0.0.1:0", Dir: ".", Config: b.file})
	if err != nil {
		return path // it needs more than is known before it runs
	}
	return path + " " + strings.Join(args, " ")
}

// find returns where the program is.
func (b balancer) find() (string, error) { return findProgram(b.binary) }

// findProgram returns where a program is. Debian keeps daemons in directories
// that are not in every user's PATH.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return filepath.Abs(path)
	}
	if !strings.ContainsRune(name, '/') {
		for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, errMissing)
}

// versionNumber leaves out what a distribution adds.
var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)*(-[a-z]+\d*)?`)

// weirVersion is what weir calls itself: between two releases that is no number.
var weirVersion = regexp.MustCompile(`^weir ([^ ,]+),`)

// versionOf asks the program at path for its version; "" if it does not say.
func (b balancer) versionOf(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, b.version...).CombinedOutput()
	if err != nil {
		return ""
	}
	return versionIn(string(said))
}

func versionIn(said string) string {
	if m := weirVersion.FindStringSubmatch(said); m != nil {
		return m[1]
	}
	return versionNumber.FindString(said)
}

// without says why the balancer has no part in a shape; "" if it has.
func (b balancer) without(sh shape) string {
	if _, ok := b.configs[sh]; ok {
		return ""
	}
	return b.lacks[sh]
}

// outOf says why the balancer has no part in a scenario; "" if it has.
func (b balancer) outOf(sc scenario) string {
	if sc.reload > 0 && b.reloadBy == 0 {
		return "it is not said which signal reloads it"
	}
	return b.without(sc.shape)
}

// write renders the configuration for a shape, and the files that it may
// name, into the site's directory and sets the site's Config.
func (b balancer) write(sh shape, at *site) error {
	text, ok := b.configs[sh]
	if !ok {
		return fmt.Errorf("%s has no configuration for %s", b.name, sh)
	}
	at.Config = filepath.Join(at.Dir, b.file)
	files := map[string]string{b.file: text}
	maps.Copy(files, b.extras)
	for name, text := range files {
		config, err := render(text, *at)
		if err == nil {
			err = replace(filepath.Join(at.Dir, name), config)
		}
		if err != nil {
			return fmt.Errorf("configuration of %s: %w", b.name, err)
		}
	}
	return nil
}

// replace writes a file whole: a program that is running may read it at any time.
func replace(path, text string) error {
	part := path + ".part"
	if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// render fills in a template over a site. Besides the site's fields it may
// ask whether a file exists, and for the halves of an address. A port that the
// balancer has not asked for is an error.
func render(text string, at site) (string, error) {
	functions := template.FuncMap{
		"exists": func(path string) bool { _, err := os.Stat(path); return err == nil },
		"host":   func(addr string) (string, error) { host, _, err := net.SplitHostPort(addr); return host, err },
		"port":   func(addr string) (string, error) { _, port, err := net.SplitHostPort(addr); return port, err },
	}
	t, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, at); err != nil {
		return "", err
	}
	return b.String(), nil
}

func renderAll(texts []string, at site) ([]string, error) {
	var all []string
	for _, text := range texts {
		s, err := render(text, at)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// startLimit is how long a balancer may take until it is ready.
const startLimit = 30 * time.Second

// start runs the program at path with the configuration of the site, and
// returns when it is ready. An error carries the end of its log.
func (b balancer) start(ctx context.Context, path string, args []string, at site, cpu int) (*proc.Process, error) {
	args, err := renderAll(args, at)
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", b.name, err)
	}
	log := filepath.Join(at.Dir, b.name+".log")
	p, err := proc.Start(proc.Command{Path: path, Args: args, Dir: at.Dir, CPU: cpu, Log: log})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := b.await(ctx, p, at); err != nil {
		p.Stop(stopGrace)
		return nil, b.explain(err, at)
	}
	return p, nil
}

// explain adds the end of the program's log to an error.
func (b balancer) explain(err error, at site) error {
	log := strings.TrimSpace(proc.Tail(filepath.Join(at.Dir, b.name+".log"), 2000))
	if log == "" {
		log = "(empty)"
	}
	return fmt.Errorf("%s: %w; its log ends:\n%s", b.name, err, indent(log))
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// await returns when the balancer is ready or has failed.
func (b balancer) await(ctx context.Context, p *proc.Process, at site) error {
	url, err := render(b.ready, at)
	if err != nil {
		return err
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var notYet error
		switch {
		case url != "":
			notYet = answers(ctx, url)
		case at.Network == "udp":
			notYet = bound(at.Listen)
		default:
			notYet = accepts(ctx, at.Listen)
		}
		if notYet == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("ended before it was ready (%v)", p.Err())
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", notYet)
		case <-again.C:
		}
	}
}

func accepts(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// bound reports that no socket takes datagrams at an IPv4 address. It looks at the
// kernel's list, because a datagram would count for the balancer and binding
// would stand in its way.
func bound(addr string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	list, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return fmt.Errorf("list of UDP sockets: %w", err)
	}
	ip := a.Addr().As4()
	if !strings.Contains(string(list), fmt.Sprintf(": %08X:%04X ", binary.NativeEndian.Uint32(ip[:]), a.Port())) {
		return fmt.Errorf("no socket at %s/udp", addr)
	}
	return nil
}

func answers(ctx context.Context, url string) error {
	res, err := fetch(ctx, url)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// fetch gets a page whose status is 200; the caller closes its body.
func fetch(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// Its own transport, so that no connection is kept open into the
	// measurement.
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s answers %s", url, res.Status)
	}
	return res, nil
}

// The ports that something may listen on here. They are below those that the
// kernel gives to outgoing connections: thousands of those come and go during
// a measurement, and one of them could take a port before who wants it.
const lowestPort, freePorts = 20000, 10000

// freeAddr returns a TCP or UDP address that nobody listens on, and that is none of those taken.
func freeAddr(network, host string, taken ...string) (string, error) {
	const tries = 100
	var last error
	for range tries {
		addr := fmt.Sprintf("%s:%d", host, lowestPort+rand.IntN(freePorts))
		if slices.Contains(taken, addr) {
			last = fmt.Errorf("%s is taken", addr)
			continue
		}
		if last = free(network, addr); last == nil {
			return addr, nil
		}
	}
	return "", fmt.Errorf("find a free port: %w", last)
}

// free reports whether an address can be listened on.
func free(network, addr string) error {
	if network == "udp" {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}
