package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrNoSuch says that a command names something that this weir does not have, such as a service. It is answered 404.
	ErrNoSuch = errors.New("not found")
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
	Weight   int       `json:"weight"`            // in place of the configured one; 0 if it is about a drain
	By       string    `json:"by,omitempty"`      // who gave it, in that one's words
	Node     string    `json:"node"`              // on which
	Since    time.Time `json:"since"`
}

// Drain is the body of a request to drain or to undrain.
type Drain struct {
	Service  string `json:"service"`
	Protocol string `json:"protocol,omitempty"` // tcp, udp or http; empty: that of the only service of this name
	Backend  string `json:"backend,omitempty"`  // its address; empty: all backends of the service, also those to come
	By       string `json:"by,omitempty"`       // who says so, up to 64 bytes
}

// Weight is the body of a request to set a weight, or to go back to the configured one.
type Weight struct {
	Service  string `json:"service"`
	Protocol string `json:"protocol,omitempty"` // as in Drain
	Backend  string `json:"backend,omitempty"`  // as in Drain
	Weight   *int   `json:"weight"`             // from 0; nil: the configured one
	By       string `json:"by,omitempty"`       // as in Drain
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request)   { s.setDrained(w, r, true) }
func (s *Server) undrain(w http.ResponseWriter, r *http.Request) { s.setDrained(w, r, false) }

func (s *Server) setDrained(w http.ResponseWriter, r *http.Request, drained bool) {
	var want Drain
	if err := decodeStrict(r.Body, &want); err != nil {
		replyError(w, http.StatusBadRequest, `the body must be {"service": ..., "protocol": ..., "backend": ...}, the last two if they are meant: `+err.Error())
		return
	}
	s.order(w, r, Order{Service: want.Service, Protocol: want.Protocol, Backend: want.Backend, Drain: &drained, By: want.By})
}

func (s *Server) weight(w http.ResponseWriter, r *http.Request) {
	var want struct {
		Weight
		Value json.RawMessage `json:"weight"` // hides the one of Weight, so that null can be told from nothing
	}
	err := decodeStrict(r.Body, &want)
	if err == nil && want.Value == nil {
		err = errors.New("no weight")
	}
	if err == nil {
		err = json.Unmarshal(want.Value, &want.Weight.Weight)
	}
	if err != nil {
		replyError(w, http.StatusBadRequest,
			`the body must be {"service": ..., "protocol": ..., "backend": ..., "weight": 5}, protocol and backend if they are meant, `+
				`and null for the configured weight: `+err.Error())
		return
	}
	o := Order{Service: want.Service, Protocol: want.Protocol, Backend: want.Backend, Weight: want.Weight.Weight, By: want.By}
	o.ResetWeight = o.Weight == nil
	s.order(w, r, o)
}

// order has an order carried out if it can be one.
func (s *Server) order(w http.ResponseWriter, r *http.Request, o Order) {
	wrong := ""
	switch {
	case o.Service == "":
		wrong = "no service"
	case o.Protocol != "" && !slices.Contains(protocols, o.Protocol):
		wrong = unknownProtocol(o.Protocol)
	case o.Weight != nil && *o.Weight < 0:
		wrong = fmt.Sprintf("weight %d is less than 0", *o.Weight)
	case len(o.By) > MaxBy || strings.ContainsFunc(o.By, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		wrong = fmt.Sprintf("by has more than %d bytes or does not print", MaxBy)
	}
	if wrong != "" {
		replyError(w, http.StatusBadRequest, wrong)
		return
	}
	if s.o.Order == nil {
		replyError(w, http.StatusNotImplemented, "this weir takes no orders")
		return
	}
	done, err := s.o.Order(r.Context(), o)
	if err != nil {
		replyError(w, codeOf(err), err.Error())
		return
	}
	done.Acked, done.Missing = notNil(done.Acked), notNil(done.Missing)
	replyJSON(w, http.StatusOK, done)
}

func (s *Server) orders(w http.ResponseWriter, _ *http.Request) {
	if s.o.Orders == nil {
		replyError(w, http.StatusNotImplemented, "this weir takes no orders")
		return
	}
	replyJSON(w, http.StatusOK, notNil(s.o.Orders()))
}

// codeOf returns with which status the error of a command is answered.
func codeOf(err error) int {
	switch {
	case errors.Is(err, ErrNoSuch):
		return http.StatusNotFound
	case errors.Is(err, ErrInvalid):
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// orderHeading names the cells of orderRow.
const orderHeading = "SERVICE\tPROTOCOL\tBACKEND\tORDER\tBY\tNODE\tSINCE"

func orderRow(o *StandingOrder, now time.Time) []string {
	backend, what := o.Backend, "drained"
	if backend == "" {
		backend = "all"
	}
	if !o.Drained {
		what = fmt.Sprintf("weight %d", o.Weight)
	}
	return []string{o.Service, o.Protocol, backend, what, orDash(brief(o.By)), o.Node, since(o.Since, now)}
}
