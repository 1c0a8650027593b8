package flow

// Kind says what an Action asks for.
type Kind uint8

// The kinds.
const (
	// Drop: the datagram goes nowhere; Cause says why. It is counted already.
	Drop Kind = iota
	// Open: connect a socket to Flow.Backend, or Peer.Backend, and put it into Socket. If this host has none to give, the
	// shell calls NoSocket; if the way there is known to be shut, Unreachable.
	Open
	// Close: close Socket, if there is one.
	Close
	// ToBackend: send the datagram on Socket. Without one, because Open failed, the shell counts WithoutSocket.
	ToBackend
	// ToClient: send the datagram to Flow.Key.Client, from Flow.Key.Local.
	ToClient
	// End: the flow is over. The shell takes its Record if it wants it, and gives the flow back by Free.
	End
)

// Action is one thing for the shell to do. Actions are carried out in order, and before the table that gave them is told
// anything else but that a socket failed.
type Action struct {
	Kind  Kind
	Cause Cause // of Drop
	Flow  *Flow // of everything a Table asks for but Drop
	Peer  *Peer // of everything a Shared asks for but Drop
}
