package accesslog

import "strings"

// Reason says why a connection, flow or request ended. It is a closed set, small enough to be a metric label and to
// index an array of counters.
type Reason uint8

// The reasons, in the order in which a connection or a request meets them.
const (
	Unknown           Reason = iota // nobody set a reason; seeing it is a bug in weir
	Limit                           // a limit of the entrypoint, of the process, of a middleware or of a client was reached
	MalformedProxy                  // the PROXY header broke its format or came where one was required and was missing
	MalformedHello                  // the TLS ClientHello broke its format
	MalformedPostgres               // the PostgreSQL start-up packet broke its format
	SniffTimeout                    // the routing decision was not reached in time
	TLSHandshake                    // the TLS handshake with the client failed
	BadRequest                      // HTTP: the head or the body of the request broke its format or was too large to read
	RequestTimeout                  // HTTP: the request did not come in time
	Misdirected                     // HTTP: the TLS connection was not made for the host that the request names
	NoRoute                         // no router matched
	Denied                          // an allow list said no
	RateLimited                     // the source opened connections or flows too fast
	CircuitOpen                     // HTTP: a circuit breaker lets no requests pass
	BodyTooLarge                    // HTTP: the body of the request was longer than allowed
	Answered                        // HTTP: a middleware or a redirection gave the answer; a normal end
	NoBackend                       // the service had no usable backend
	QueueFull                       // every backend was at its limit and the queue was full; UDP has none
	QueueTimeout                    // no backend came free within the queue timeout
	Refused                         // every backend that was tried refused the connection, or by ICMP the datagram
	ConnectTimeout                  // no backend that was tried answered in time
	ConnectFailed                   // connecting to a backend failed otherwise (unreachable, no local port, ...)
	BadResponse                     // HTTP: the backend's answer broke the rules of HTTP
	ResponseTimeout                 // HTTP: the backend sent no response head in time
	Done                            // both sides finished; UDP: all answers that were expected came
	ClientAbort                     // the client reset the connection or went away before it was served
	BackendAbort                    // the backend reset the connection
	IdleTimeout                     // no byte either way for the idle timeout; of a flow a normal end
	BackendDown                     // the backend went down and its connections were closed
	Drain                           // the backend or entrypoint was taken away and its drain deadline passed
	Shutdown                        // weir stopped and its grace time passed
	Internal                        // weir ran out of a resource (descriptors, memory) or failed
	reasonEnd
)

// NumReasons is the number of reasons: the length of an array of counters indexed by Reason.
const NumReasons = int(reasonEnd)

// letters is a reason's share of the termination state. A zero second letter means "the phase it ended in".
type letters struct{ who, phase byte }

var reasons = [NumReasons]struct {
	word string
	term letters
}{
	Unknown:           {"unknown", letters{'I', 0}},
	Limit:             {"limit", letters{'P', 'R'}},
	MalformedProxy:    {"malformed-proxy", letters{'P', 'R'}},
	MalformedHello:    {"malformed-hello", letters{'P', 'R'}},
	MalformedPostgres: {"malformed-postgres", letters{'P', 'R'}},
	SniffTimeout:      {"sniff-timeout", letters{'c', 'R'}},
	TLSHandshake:      {"tls-handshake", letters{'P', 'R'}},
	BadRequest:        {"bad-request", letters{'P', 'R'}},
	RequestTimeout:    {"request-timeout", letters{'c', 0}},
	Misdirected:       {"misdirected", letters{'P', 'R'}},
	NoRoute:           {"no-route", letters{'P', 'R'}},
	Denied:            {"denied", letters{'P', 'R'}},
	RateLimited:       {"rate-limited", letters{'P', 'R'}},
	CircuitOpen:       {"circuit-open", letters{'P', 'R'}},
	BodyTooLarge:      {"body-too-large", letters{'P', 0}},
	Answered:          {"answered", letters{'-', '-'}},
	NoBackend:         {"no-backend", letters{'S', 'C'}},
	QueueFull:         {"queue-full", letters{'P', 'Q'}},
	QueueTimeout:      {"queue-timeout", letters{'s', 'Q'}},
	Refused:           {"refused", letters{'S', 'C'}},
	ConnectTimeout:    {"connect-timeout", letters{'s', 'C'}},
	ConnectFailed:     {"connect-failed", letters{'S', 'C'}},
	BadResponse:       {"bad-response", letters{'P', 0}},
	ResponseTimeout:   {"response-timeout", letters{'s', 'H'}},
	Done:              {"done", letters{'-', '-'}},
	ClientAbort:       {"client-abort", letters{'C', 0}},
	BackendAbort:      {"backend-abort", letters{'S', 0}},
	IdleTimeout:       {"idle-timeout", letters{'c', 0}},
	BackendDown:       {"backend-down", letters{'D', 0}},
	Drain:             {"drain", letters{'K', 0}},
	Shutdown:          {"shutdown", letters{'K', 0}},
	Internal:          {"internal", letters{'I', 0}},
}

// String returns the reason as the access log writes it, such as "client-abort".
func (r Reason) String() string {
	if r >= reasonEnd {
		r = Unknown
	}
	return reasons[r].word
}

// Label returns the reason as a metric label, such as "client_abort". It allocates: call it when a label is made, not
// for each record.
func (r Reason) Label() string { return strings.ReplaceAll(r.String(), "-", "_") }

// Rejected reports whether a connection or request that ended so was turned away by the entrypoint. No service was asked,
// but for a request whose body turned out bad, late or too large only after its head had been passed on.
func (r Reason) Rejected() bool { return r >= Limit && r <= BodyTooLarge }

// Side names who ended a connection.
type Side uint8

// The sides. Weir is the zero value: what nobody else ended, weir did.
const (
	Weir Side = iota
	Client
	Backend
)

// String returns "weir", "client" or "backend".
func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Backend:
		return "backend"
	}
	return "weir"
}
