package upstream

import "time"

// Options is everything about a pool that is not a backend. It is a plain value;
// the zero value balances by wrr with every extra switched off.
type Options struct {
	Strategy Strategy // "" = WRR
	HashKey  HashKey  // what Maglev and HRW hash; "" = SourceIP
	Passive  PassiveOptions

	// SlowStart is how long a backend that came back, or is new in a running pool,
	// takes from 10 % to its full weight. 0 = at once. Maglev and HRW ignore it:
	// their tables must not depend on when a node saw the backend.
	SlowStart time.Duration

	// PanicThreshold is the percentage of healthy backends under which health is
	// ignored, because sending everything to the few that are left would take them
	// down too. 0 = never. Pool says where it applies.
	PanicThreshold int

	Connect ConnectOptions
	Queue   QueueOptions

	ProxyProtocol int  // version of the PROXY header sent to the backends; 0 = none
	Responses     int  // UDP: answers to each datagram after which a flow has ended; 0 = it ends by being idle
	CloseOnDown   bool // close the connections of a backend that went down
}

// PassiveOptions say when failing connections take a backend out.
type PassiveOptions struct {
	MaxFailedAttempts  int           // consecutive failures, 1..65535; 0 = passive health is off
	FailureWindow      time.Duration // they must lie within this time of the first one; 0 = any time
	EjectionTime       time.Duration // length of the first ejection; the n-th in a row lasts n times as long, at most MaxEjectionTime
	MaxEjectionPercent int           // of the pool's backends at one time; one is always allowed when there are two or more
}

// ConnectOptions are for whoever connects; the pool only carries them.
type ConnectOptions struct {
	Timeout time.Duration
	Retries int // further attempts on other backends
}

// QueueOptions bound the connections that wait for a slot.
type QueueOptions struct {
	Limit   int           // waiters; 0 = no queue
	Timeout time.Duration // for whoever waits; the pool only carries it
}
