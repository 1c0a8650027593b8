package weirtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Network is a bridge inside a namespace of its own with hosts on it, each a namespace with one address.
// It needs root; what it made goes with the test.
type Network struct {
	t      testing.TB
	name   string
	prefix netip.Prefix
	hosts  int
}

// A Host is one network namespace on a Network.
type Host struct {
	Name string     // of the namespace, as "ip netns" shows it
	Addr netip.Addr // on its only interface besides lo, eth0

	t testing.TB
}

// NewNetwork makes an empty network on 10.99.0.0/24, which is the same in every network: they do not see each other.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	n := &Network{
		t: t, name: fmt.Sprintf("weirtest-%08x", rand.Uint32()),
		prefix: netip.MustParsePrefix("10.99.0.0/24"),
	}
	n.namespace(n.name)
	n.ip(n.name, "link", "add", "br0", "type", "bridge")
	n.ip(n.name, "link", "set", "br0", "up")
	return n
}

// Host adds a host with the next address of the network, 10.99.0.1 first.
func (n *Network) Host() *Host {
	n.t.Helper()
	n.hosts++
	addr := n.prefix.Addr()
	for range n.hosts {
		addr = addr.Next()
	}
	h := &Host{Name: fmt.Sprintf("%s-%d", n.name, n.hosts), Addr: addr, t: n.t}
	n.namespace(h.Name)
	port := fmt.Sprintf("port%d", n.hosts)
	n.ip(n.name, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", h.Name)
	n.ip(n.name, "link", "set", port, "master", "br0", "up")
	n.ip(h.Name, "addr", "add", fmt.Sprintf("%s/%d", addr, n.prefix.Bits()), "dev", "eth0")
	n.ip(h.Name, "link", "set", "eth0", "up")
	return h
}

func (n *Network) namespace(name string) {
	n.t.Helper()
	Run(n.t, "ip", "netns", "add", name)
	n.t.Cleanup(func() { Run(n.t, "ip", "netns", "del", name) })
	n.ip(name, "link", "set", "lo", "up")
}

// ip runs ip in a namespace.
func (n *Network) ip(namespace string, args ...string) {
	n.t.Helper()
	Run(n.t, "nsenter", append([]string{entering(namespace), Tool(n.t, "ip")}, args...)...)
}

// entering is nsenter's argument for a namespace. "ip -n" and "ip netns exec" are not used to get there, because they change
// how mounts spread from /, which fails where / is no mount point, as in a plain chroot.
func entering(namespace string) string { return "--net=" + namespaceFile(namespace) }

// namespaceFile is where "ip netns add" keeps a namespace.
func namespaceFile(namespace string) string { return "/run/netns/" + namespace }

// SetLink takes the host's interface up or down: down is a pulled cable.
func (h *Host) SetLink(up bool) {
	h.t.Helper()
	state := "down"
	if up {
		state = "up"
	}
	Run(h.t, "nsenter", entering(h.Name), Tool(h.t, "ip"), "link", "set", "eth0", state)
}

// Command returns a command that will run on the host.
func (h *Host) Command(program string, args ...string) *exec.Cmd {
	h.t.Helper()
	path, args := h.command(Tool(h.t, program), args...)
	return exec.Command(path, args...)
}

// Do runs f on the host. Sockets that f itself makes belong to the host for their whole life; goroutines that f starts do not run there.
func (h *Host) Do(f func()) {
	h.t.Helper()
	if err := h.enter(f); err != nil {
		h.t.Fatal(err)
	}
}

// Dial connects from the host, for code that may not end the test. Names are not resolved there, so addresses have to be given.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	var failed error
	err := h.enter(func() {
		var d net.Dialer
		conn, failed = d.DialContext(ctx, network, addr)
	})
	return conn, cmp.Or(err, failed)
}

// Start starts a program on the host that serves until it is stopped, in a directory of its own, and returns when ready says that
// it does. env is beside the environment of the test itself.
func (h *Host) Start(program string, args, env []string, ready func(*Process) bool) *Process {
	h.t.Helper()
	p := &Process{t: h.t}
	path, args := h.command(Tool(h.t, program), args...)
	p.prepare(spec{
		name: filepath.Base(program) + " on " + h.Name, path: path, args: args, env: env, dir: h.t.TempDir(),
		ready: func(context.Context) error {
			if !ready(p) {
				return errors.New("it does not serve yet")
			}
			return nil
		},
	})
	p.Start()
	return p
}

// command returns what runs a program on the host. nsenter becomes the program: signals for it reach the program itself.
func (h *Host) command(path string, args ...string) (string, []string) {
	h.t.Helper()
	return Tool(h.t, "nsenter"), append([]string{entering(h.Name), path}, args...)
}

// enter runs f on the host, unless that cannot be entered.
func (h *Host) enter(f func()) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: a thread that was in another namespace is thrown away rather than given back to the runtime.
		runtime.LockOSThread()
		ns, err := os.Open(namespaceFile(h.Name))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), syscall.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("enter the namespace of %s: %w", h.Name, err)
	}
	return nil
}
