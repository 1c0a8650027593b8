// Package cluster shares what the nodes of a cluster know: what each has seen of the backends, what operators have ordered,
// and whether all run the same configuration.
//
// It is a pure core in a shell. The core opens no socket, starts no goroutine and reads no clock: what comes in, and when,
// are arguments; what is to go out is returned. The shell, Node, carries that to the other nodes and back, over the gossip
// of memberlist, which only this package knows.
//
//	probes and connections of this node            the other nodes
//	             |                                        |
//	         Evidence                                  Message
//	             |                                        |
//	             |  Report (what it saw itself)           |
//	             +---------------> Replica <--------------+
//	             |                 Table   cells by observer, merged by version
//	             |                 Members who is alive, confirmed, sure
//	             |                    | Votes, Groups, Acks
//	             v                    v
//	           Decide: own evidence first, then the votes that count
//	             |
//	          Verdict and Reason -> the pool        Commands (drain, weight) win over it
//
// # What is shared
//
// A cell is one statement of one observer, who alone may change it: what it saw of a backend by a probe (Report), its copy
// of a command (Command), checksums of its configuration and of its Maglev tables (Groups). Cells travel in three layers,
// each of which repairs the one before: to every member directly while the cluster is small, by gossip, and by beacons with
// a hash of all that the observer has said, upon which a node that lacks something asks for it. Table is a semilattice, so
// it does not matter in what order, how often or by whom cells arrive.
//
// Each backend is probed by three members (Probers), who take turns (Phase). A first report of a failure makes every other
// node look once itself (Verdict.Verify).
//
// # What is not
//
// Verdicts are never shared. Each node reaches its own, from what it saw and what others say they saw, so a rumour cannot
// confirm itself. Nor are clocks: durations are measured by the observer, arrivals by the receiver, and whose statement is
// later is told by its own counter. Only commands have a time, of a hybrid logical clock; see Stamp. Votes about a backend
// that is probed in another way lie under another key and are not mixed (SpecOf, OtherProbes). Connections, flows and
// tables of sessions stay where they are.
//
// # Why nothing here can empty a pool
//
// What others say takes a backend out only if a majority of those on duty says so; each of them alive, heard within five
// seconds, sure of its own judgement and not found wrong too often; while this node itself has no fresh success; and as
// long as enough of the pool stays usable (Pool). Silence, death, partition and restart of others make votes vanish, and
// without a majority everything stays as it was. What this node sees fail itself it may always take out: that is what it
// would do alone, and what the pool's own panic threshold is for. A single failure is not yet proof: with the word of
// another it takes a backend out, but within the same bounds.
//
// # How it is used
//
// Node does most of it. One goroutine, its loop, owns the Replica, the Commands and the keys; everything else hands it what
// has come, and what it reaches out for takes place elsewhere:
//
//	memberlist's callbacks --> roster, inbox --+           +--> packets: gossip, or directly to a member
//	                                           |           |
//	Set, Issue, Read, ... ------- ops ------> loop --------+--> courier: streams, one at a time to each member
//	                                           |           |
//	seeker: nodes that should be members ------+           +--> keeper: the state file
//	                                                       |
//	                                                       +--> watcher: News for the user
//
// The callbacks copy what they are given and return, since most of them are made with the lock of the membership layer held.
// All that waits anywhere is bounded. What is dropped is found by beacons.
//
// When News come, and now and then, the user calls Decide for the backends concerned, with what Node.Read shows.
package cluster
