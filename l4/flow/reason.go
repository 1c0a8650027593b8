package flow

// Reason says why a flow ended. It is a closed set that indexes an array of counters.
type Reason uint8

// The reasons.
const (
	Live        Reason = iota // it has not ended
	Done                      // the backend has sent all the answers that were expected
	Idle                      // no datagram either way for the idle timeout
	Unreachable               // every backend that was tried, or may be, turned datagrams away by ICMP
	NoBackend                 // its backend was taken away, and there was no other
	NoRoom                    // its backend was taken away, and all others were at their limits
	Removed                   // the shell cut it: the entrypoint, router or service was taken away
	Stopped                   // the shell cut it: weir stopped and its grace time passed
	NoSocket                  // this host had no socket for it
	Excluded                  // the configuration was changed, and what it says now does not let the source in
	Lost                      // the shell cut it: its backend went away and had time enough
	reasonEnd
)

// NumReasons is the length of an array indexed by Reason.
const NumReasons = int(reasonEnd)

// String returns the reason in one word.
func (r Reason) String() string {
	if r >= reasonEnd {
		return "invalid"
	}
	return [NumReasons]string{
		Live: "live", Done: "done", Idle: "idle", Unreachable: "unreachable", NoBackend: "no-backend", NoRoom: "no-room",
		Removed: "removed", Stopped: "stopped", NoSocket: "no-socket", Excluded: "excluded", Lost: "lost",
	}[r]
}

// Cause says why a datagram was dropped. It is a closed set that indexes an array of counters.
type Cause uint8

// The causes.
const (
	Kept           Cause = iota // it was not dropped
	Looped                      // the sender is one of our own sockets
	Unanswerable                // the sender's address cannot be answered
	Malformed                   // not a message of the protocol that the datagrams share sockets for
	Stopping                    // no new flows any more
	Unrouted                    // no router leads on from the entrypoint; counted by the shell
	Denied                      // an allow list said no
	RateLimited                 // the source sends too fast
	TooMany                     // the entrypoint, or weir as a whole, has as many flows as it may
	TooManySource               // the source has as many flows as it may
	TooManyWaiting              // as many queries wait for this backend as may
	WithoutBackend              // no backend was usable
	WithoutRoom                 // all usable backends were at their limits
	WithoutSocket               // the flow has no socket, because none could be opened
	Late                        // the backend's datagram came when its flow had ended or moved
	Unasked                     // the backend's datagram answers nothing that is waited for
	Amplified                   // the answer was more than a source that was seen once may draw
	Unsent                      // the socket did not take it; counted by the shell
	Truncated                   // it was longer than the buffer; counted by the shell
	Overflow                    // the kernel had no room for it, for the loop did not read fast enough; counted by the shell
	causeEnd
)

// NumCauses is the length of an array indexed by Cause.
const NumCauses = int(causeEnd)

// String returns the cause in one word.
func (c Cause) String() string {
	if c >= causeEnd {
		return "invalid"
	}
	return [NumCauses]string{
		Kept: "kept", Looped: "looped", Unanswerable: "unanswerable", Malformed: "malformed", Stopping: "stopping",
		Unrouted: "unrouted", Denied: "denied", RateLimited: "rate-limited", TooMany: "too-many", TooManySource: "too-many-of-source", TooManyWaiting: "too-many-waiting",
		WithoutBackend: "no-backend", WithoutRoom: "no-room", WithoutSocket: "no-socket", Late: "late", Unasked: "unasked",
		Amplified: "amplified", Unsent: "unsent", Truncated: "truncated", Overflow: "overflow",
	}[c]
}
