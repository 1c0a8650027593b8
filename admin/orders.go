package admin

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNoSuch says that a command names something that this weir does not have, such as a service. It is answered 404.
	ErrNoSuch = errors.New("there is no such thing")
	// ErrInvalid says that a command cannot be carried out as it is. It is answered 422.
	ErrInvalid = errors.New("not possible")
)

// Commands are what operators can have done to backends and to the cluster, on any node for all nodes. All of them may
// block, and be called from several goroutines at once. A command that is nil is answered 501. An error may wrap ErrNoSuch
// or ErrInvalid; others are answered 500.
type Commands struct {
	// Order carries an order out on this node and makes it known to the others. It returns once they have it, or after a
	// while with those that do not have it yet.
	Order func(context.Context, Order) (Ordered, error)
	// Orders returns what stands, in the order in which it is to be shown.
	Orders func() []StandingOrder

	// Keys returns which keys encrypt the talk between the nodes.
	Keys func(context.Context) (Keys, error)
	// ChangeKeys changes them on all nodes. It keeps no part of the secret, and no error may show one.
	ChangeKeys func(context.Context, KeyChange) (Keys, error)
}

// Order is what an operator wants of a backend or of a whole service. Exactly one of Drain, Weight and ResetWeight is set.
type Order struct {
	Service     string
	Protocol    string // tcp, udp or http; empty: that of the only service of this name
	Backend     string // address as in Backend, or an equal one; empty: all backends of the service, also those to come
	Drain       *bool  // true: no new connections; false: as usual
	Weight      *int   // in place of the configured one, from 0
	ResetWeight bool   // back to the configured weight
	By          string // who says so, in the client's words: up to MaxBy bytes of printable UTF-8; may be empty
}

// MaxBy bounds Order.By, in bytes.
const MaxBy = 64

// Ordered is what became of an order.
type Ordered struct {
	Acked    []string `json:"acked"`    // the nodes that have it on their disks, by name
	Missing  []string `json:"missing"`  // members that do not have it yet; they get it
	Backends int      `json:"backends"` // of this node that it concerns
}

// StandingOrder is an order that has not been taken back.
type StandingOrder struct {
	Service  string    `json:"service"`
	Protocol string    `json:"protocol"`
	Backend  string    `json:"backend,omitempty"` // empty: the whole service
	Drained  bool      `json:"drained"`           // or else it is about the weight
	Weight   int       `json:"weight"`            // in place of the configured one; 0 if Drained
	By       string    `json:"by,omitempty"`      // who gave it, in that one's words
	Node     string    `json:"node"`              // on which
	Since    time.Time `json:"since"`
}

// Keys is which keys encrypt the talk between the nodes, by their fingerprints.
type Keys struct {
	Fingerprints []string `json:"fingerprints"`       // all decrypt, the first encrypts
	Retiring     []string `json:"retiring,omitempty"` // removed, and still read until no member can use them any more
	Changed      string   `json:"changed,omitempty"`  // the key that the change was about, in the answer to one
	Acked        []string `json:"acked"`              // the nodes that have these keys, by name
	Missing      []string `json:"missing"`            // members that do not have them yet
}

// KeyChange is a change of the keys, and the body of its request.
type KeyChange struct {
	Do          string `json:"do"`                    // install, use or remove
	Secret      Secret `json:"secret,omitempty"`      // to install, at least 16 bytes, in base64
	Fingerprint string `json:"fingerprint,omitempty"` // of the key to use or to remove
}

// Secret is bytes that nobody else may see: in logs it does not show itself.
type Secret []byte

// String keeps the secret.
func (Secret) String() string { return "(secret)" }

// GoString keeps the secret.
func (Secret) GoString() string { return "(secret)" }
