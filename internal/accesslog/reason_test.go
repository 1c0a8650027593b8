package accesslog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReasonsAreComplete(t *testing.T) {
	seen := map[string]Reason{}
	for i := range NumReasons {
		r := Reason(i)
		word := r.String()
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("reason %d has the word %q", i, word)
		}
		if other, dup := seen[word]; dup {
			t.Errorf("reasons %d and %d are both %q", other, r, word)
		}
		seen[word] = r
		if label := r.Label(); label != strings.ReplaceAll(word, "-", "_") {
			t.Errorf("label of %q is %q", word, label)
		}
		if reasons[i].term.who == 0 {
			t.Errorf("reason %q has no termination letter", word)
		}
	}
	if got := Reason(NumReasons).String(); got != "unknown" {
		t.Errorf("a reason outside the set is %q", got)
	}
}

func TestRejected(t *testing.T) {
	rejected := map[Reason]bool{
		Limit: true, MalformedProxy: true, MalformedHello: true, MalformedPostgres: true, SniffTimeout: true,
		TLSHandshake: true, BadRequest: true, RequestTimeout: true, Misdirected: true, NoRoute: true, Denied: true,
		RateLimited: true, CircuitOpen: true, BodyTooLarge: true,
	}
	for i := range NumReasons {
		if r := Reason(i); r.Rejected() != rejected[r] {
			t.Errorf("%v.Rejected() = %v", r, r.Rejected())
		}
	}
}

func TestTermination(t *testing.T) {
	before := Record{Route: NotReached, Queue: NotReached, Connect: NotReached}
	queued := Record{Queue: NotReached, Connect: NotReached}
	dialling := Record{Connect: NotReached}
	early := Record{Protocol: HTTP, Route: NotReached, Queue: NotReached, Connect: NotReached, FirstByte: NotReached}
	waiting := Record{Protocol: HTTP, FirstByte: NotReached}
	answering := Record{Protocol: HTTP}
	stream := Record{FirstByte: NotReached}
	flow := Record{Protocol: UDP, Backend: addr(t, "10.0.0.53:53"), DatagramsOut: 1}
	unanswered := Record{Protocol: UDP, Backend: addr(t, "10.0.0.53:53")}
	unplaced := Record{Protocol: UDP}
	tests := []struct {
		name   string
		phase  Record
		reason Reason
		want   string
	}{
		{"normal", Record{}, Done, "--"},
		{"client gone before routing", before, ClientAbort, "CR"},
		{"client gone in the queue", queued, ClientAbort, "CQ"},
		{"client gone while connecting", dialling, ClientAbort, "CC"},
		{"client gone while relaying", Record{}, ClientAbort, "CD"},
		{"backend gone while relaying", Record{}, BackendAbort, "SD"},
		{"idle", Record{}, IdleTimeout, "cD"},
		{"too slow to say where it goes", before, SniffTimeout, "cR"},
		{"denied after routing", queued, Denied, "PR"},
		{"queue full", queued, QueueFull, "PQ"},
		{"queue timeout", queued, QueueTimeout, "sQ"},
		{"refused", dialling, Refused, "SC"},
		{"connect timeout", dialling, ConnectTimeout, "sC"},
		{"backend went down", Record{}, BackendDown, "DD"},
		{"stopped in the queue", queued, Shutdown, "KQ"},
		{"internal", before, Internal, "IR"},
		{"a head that is none", early, BadRequest, "PR"},
		{"a body that is none", waiting, BadRequest, "PR"},
		{"a head that does not come", early, RequestTimeout, "cR"},
		{"a body that does not come", waiting, RequestTimeout, "cH"},
		{"another name than TLS had", early, Misdirected, "PR"},
		{"a body announced too large", early, BodyTooLarge, "PR"},
		{"a body that grew too large", waiting, BodyTooLarge, "PH"},
		{"answered by a middleware", early, Answered, "--"},
		{"a response head that is none", waiting, BadResponse, "PH"},
		{"a response body that is none", answering, BadResponse, "PD"},
		{"no response head in time", waiting, ResponseTimeout, "sH"},
		{"client gone before the answer", waiting, ClientAbort, "CH"},
		{"backend gone before the answer", waiting, BackendAbort, "SH"},
		{"backend gone in the answer", answering, BackendAbort, "SD"},
		{"a stream has no response head", stream, ClientAbort, "CD"},
		{"outside the set", Record{}, Reason(250), "ID"},
		{"flow: all answers came", flow, Done, "--"},
		{"flow: silence is its end", flow, IdleTimeout, "--"},
		{"flow: silence, of a protocol without answers", unanswered, IdleTimeout, "--"},
		{"flow: backends unreachable", flow, Refused, "SD"},
		{"flow: lost its backend, no other", flow, NoBackend, "SD"},
		{"flow: lost its backend, others full", flow, QueueFull, "PD"},
		{"flow: taken away", flow, Drain, "KD"},
		{"flow: stopped", flow, Shutdown, "KD"},
		{"flow: no socket", unanswered, Internal, "ID"},
		{"flow: denied after a reload", flow, Denied, "PD"},
		{"flow: denied", unplaced, Denied, "PR"},
		{"flow: no backend from the start", unplaced, NoBackend, "SC"},
		{"flow: stopped without a backend", unplaced, Shutdown, "KR"},
		{"flow: outside the set", flow, Reason(250), "ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.phase.Reason = tt.reason
			who, where := tt.phase.Termination()
			if got := string([]byte{who, where}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"tcp", TCP.String(), "tcp"}, {"udp", UDP.String(), "udp"}, {"http", HTTP.String(), "http"},
		{"weir", Weir.String(), "weir"}, {"client", Client.String(), "client"}, {"backend", Backend.String(), "backend"},
		{"no TLS", NoTLS.String(), ""}, {"passthrough", Passthrough.String(), "passthrough"},
		{"terminated", Terminated.String(), "terminated"},
		{"unknown version", versionName(0x7f1c), "unknown"}, {"TLS 1.0", versionName(0x0301), "1.0"},
		{"TLS 1.1", versionName(0x0302), "1.1"}, {"TLS 1.2", versionName(0x0303), "1.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

// TestManualListsReasonsAndKeys holds the manual's tables against what the log can say.
func TestManualListsReasonsAndKeys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range NumReasons {
		term := reasons[i].term
		if term.phase == 0 {
			term.phase = '*'
		}
		row := fmt.Sprintf("| `%s` | `%c%c` |", Reason(i), term.who, term.phase)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md has no row %s", row)
		}
	}
	for _, r := range []Record{terminated(t), refusedBody(t), resolved(t)} {
		var keys map[string]any
		if err := json.Unmarshal(AppendJSON(nil, &r), &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			if !strings.Contains(string(text), "`"+key+"`") {
				t.Errorf("docs/operations.md does not explain the key %s", key)
			}
		}
	}
}
