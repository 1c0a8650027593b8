package cluster

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

const (
	// DefaultPort is the port of nodes whose address is written without one.
	DefaultPort = 7946

	// MinSecret is how many bytes a secret has at least.
	MinSecret = 16

	maxClusterName = 128 // bytes; it is in every packet
	maxVersion     = 64  // bytes
)

// ErrSettings is what all errors about unusable NodeOptions are, by errors.Is.
var ErrSettings = errors.New("unusable settings of the cluster")

// NodeOptions says what a node is and how it finds the others.
type NodeOptions struct {
	Name      string         // of the cluster; nodes of clusters with different names never mix
	Node      string         // of this node, unlike all others in the cluster
	Bind      netip.AddrPort // for TCP and UDP; port 0: any
	Advertise netip.AddrPort // where the others reach this node; zero: Bind; port 0: that of Bind
	Version   string         // of the program, for the others to show; up to 64 bytes

	// Keys are secrets of at least MinSecret bytes; the first encrypts, all decrypt. Unless Bind and Advertise are loopback
	// addresses there must be one. Up to MaxRing.
	Keys [][]byte

	// Join are nodes to look for: addresses, with or without a port, names with or without a port, and names of SRV records
	// after "srv+". Names are given to Resolve as they stand here; a port of 0 in what it returns means DefaultPort.
	Join    []string
	Resolve func(ctx context.Context, name string) ([]netip.AddrPort, error)

	Profile Profile // LAN if empty

	// StateFile keeps what the node has to know again after a restart: its boot, the peers, the commands of operators, and
	// the keys. It is written anew and renamed with every change. Empty: nothing is kept.
	StateFile string

	// Watch is told what has changed, on a goroutine of its own. While it runs, news gather up to a bound; see News.Missed.
	// It may call the node's methods, but Leave and Close wait for it.
	Watch func(News)

	Log *slog.Logger // nil: nothing is logged

	// Transport carries packets and streams in place of sockets, for tests. The node shuts it down.
	Transport memberlist.NodeAwareTransport
}

// check completes the options, or says what is wrong with them.
func (o NodeOptions) check() (NodeOptions, error) {
	var wrong []error
	fault := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%w: "+format, append([]any{ErrSettings}, args...)...))
	}
	if err := nameFault(o.Name, maxClusterName); err != nil {
		fault("the cluster's name %q: %w", o.Name, err)
	}
	if err := nameFault(o.Node, MaxName); err != nil {
		fault("the node's name %q: %w", o.Node, err)
	}
	if !o.Bind.IsValid() {
		fault("no address to bind to")
	}
	if !o.Advertise.IsValid() {
		o.Advertise = o.Bind
	}
	if o.Advertise.Addr().IsUnspecified() {
		fault("bound to %s, so it needs an address to advertise, by which the other nodes reach it", o.Bind)
	}
	if _, ok := o.Profile.timing(); !ok {
		fault("profile %q: neither %s nor %s", o.Profile, LAN, WAN)
	}
	if len(o.Version) > maxVersion {
		fault("a version of %d bytes, at most %d", len(o.Version), maxVersion)
	}
	wrong = append(wrong, o.keyFaults()...)
	for _, name := range o.Join {
		if _, ok := literal(name); !ok && o.Resolve == nil {
			fault("%q is not an address, and nothing resolves names", name)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(wrong...)
}

func (o NodeOptions) keyFaults() []error {
	var wrong []error
	local := o.Bind.Addr().IsLoopback() && o.Advertise.Addr().IsLoopback()
	if len(o.Keys) == 0 && !local && o.Bind.IsValid() {
		wrong = append(wrong, fmt.Errorf("%w: without a key only loopback addresses may be used, not %s; give all nodes one secret",
			ErrSettings, o.Bind))
	}
	if len(o.Keys) > MaxRing {
		wrong = append(wrong, fmt.Errorf("%w: %d keys, at most %d", ErrSettings, len(o.Keys), MaxRing))
	}
	for i, secret := range o.Keys {
		if len(secret) < MinSecret {
			wrong = append(wrong, fmt.Errorf("%w: key %d has %d bytes, at least %d", ErrSettings, i+1, len(secret), MinSecret))
		}
	}
	return wrong
}

// nameFault says why a name cannot be used: it appears in logs and on consoles.
func nameFault(name string, most int) error {
	switch {
	case name == "":
		return errors.New("is missing")
	case len(name) > most:
		return fmt.Errorf("has more than %d bytes", most)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return errors.New("has characters that cannot be printed")
	}
	return nil
}

// label keeps clusters apart that share a network: packets of another label are refused.
func (o NodeOptions) label() string { return "weir/" + o.Name }

// literal reads an address that needs no resolution.
func literal(name string) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddrPort(name); err == nil {
		return withPort(addr), true
	}
	addr, err := netip.ParseAddr(name)
	return netip.AddrPortFrom(addr.Unmap(), DefaultPort), err == nil
}

// withPort writes an address in its one form, with a port.
func withPort(addr netip.AddrPort) netip.AddrPort {
	port := addr.Port()
	if port == 0 {
		port = DefaultPort
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), port)
}

// derive makes the key of AES-256 from a secret of any length (HKDF, RFC 5869). The cluster's name goes into it, so that one
// secret used for two clusters does not make them one.
func derive(secret []byte, cluster string) (RingKey, error) {
	b, err := hkdf.Key(sha256.New, secret, nil, "weir cluster key: "+cluster, len(RingKey{}))
	return RingKey(b), err
}
