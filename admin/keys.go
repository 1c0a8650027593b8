package admin

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Keys is which keys encrypt the talk between the nodes, by their fingerprints.
type Keys struct {
	Fingerprints []string `json:"fingerprints"`       // all decrypt, the first encrypts
	Retiring     []string `json:"retiring,omitempty"` // removed, and still read until no member can use them any more
	Changed      string   `json:"changed,omitempty"`  // the key that the change was about, in the answer to one
	Acked        []string `json:"acked"`              // the nodes that have confirmed these keys, by name; empty: no command has changed the keys, each node has its own from its key file
	Missing      []string `json:"missing"`            // members that have not confirmed them
}

// KeyChange is a change of the keys, and the body of its request.
type KeyChange struct {
	Do          string `json:"do"`                    // install, use or remove
	Secret      Secret `json:"secret,omitempty"`      // to install, at least 16 bytes, in base64
	Fingerprint string `json:"fingerprint,omitempty"` // of the key to use or to remove
}

// LogValue leaves the secret out of logs.
func (c KeyChange) LogValue() slog.Value {
	return slog.GroupValue(slog.String("do", c.Do), slog.String("fingerprint", c.Fingerprint))
}

// Secret is bytes that nobody else may see: it shows itself in requests only.
type Secret []byte

// LogValue keeps the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// String keeps the secret.
func (Secret) String() string { return "(secret)" }

// GoString keeps the secret.
func (Secret) GoString() string { return "(secret)" }

// keyChanges are the values of KeyChange.Do.
var keyChanges = []string{"install", "use", "remove"}

func (s *Server) keys(w http.ResponseWriter, r *http.Request) {
	if s.clusterOf(w) == nil {
		return
	}
	if s.o.Keys == nil {
		replyError(w, http.StatusNotImplemented, "this weir does not show its keys")
		return
	}
	k, err := s.o.Keys(r.Context())
	replyKeys(w, k, err)
}

// changeKeys never says what a body holds that it does not understand: that may be a secret.
func (s *Server) changeKeys(w http.ResponseWriter, r *http.Request) {
	var want KeyChange
	if err := decodeStrict(r.Body, &want); err != nil {
		replyError(w, http.StatusBadRequest, `the body must be {"do": "install", "secret": ...} with the secret in base64, or {"do": "use"|"remove", "fingerprint": ...}`)
		return
	}
	install := want.Do == "install"
	wrong := ""
	switch {
	case !slices.Contains(keyChanges, want.Do):
		wrong = "do is none of " + strings.Join(keyChanges, ", ")
	case install && (len(want.Secret) == 0 || want.Fingerprint != ""):
		wrong = "to install a key takes its secret, and no fingerprint"
	case !install && (len(want.Secret) > 0 || want.Fingerprint == ""):
		wrong = "to " + want.Do + " a key takes its fingerprint, and no secret"
	}
	if wrong != "" {
		replyError(w, http.StatusBadRequest, wrong)
		return
	}
	if s.clusterOf(w) == nil {
		return
	}
	if s.o.ChangeKeys == nil {
		replyError(w, http.StatusNotImplemented, "this weir does not change its keys")
		return
	}
	k, err := s.o.ChangeKeys(r.Context(), want)
	replyKeys(w, k, err)
}

func replyKeys(w http.ResponseWriter, k Keys, err error) {
	if err != nil {
		replyError(w, codeOf(err), err.Error())
		return
	}
	k.Fingerprints, k.Acked, k.Missing = notNil(k.Fingerprints), notNil(k.Acked), notNil(k.Missing)
	replyJSON(w, http.StatusOK, k)
}

// keyRows lists the keys, and says last who has them.
func keyRows(k *Keys) [][]string {
	rows := [][]string{{"FINGERPRINT", "USE"}}
	for i, f := range k.Fingerprints {
		use := "decrypts"
		if i == 0 {
			use = "encrypts and decrypts"
		}
		rows = append(rows, []string{f, use})
	}
	for _, f := range k.Retiring {
		rows = append(rows, []string{f, "removed, still decrypts"})
	}
	if len(k.Acked) == 0 {
		return append(rows, []string{"not changed by a command: each node has its keys from its key file"})
	}
	return append(rows, []string{Acks(k.Acked, k.Missing)})
}

// Acks says who has a change, such as "acked 3/3" or "acked 2/3, not yet by lb-3".
func Acks(acked, missing []string) string {
	text := fmt.Sprintf("acked %d/%d", len(acked), len(acked)+len(missing))
	if len(missing) > 0 {
		text += ", not yet by " + strings.Join(missing, ", ")
	}
	return text
}
