package cluster

import (
	"testing"
	"time"
)

func TestGossipIsBounded(t *testing.T) {
	g := newGossip(func() int { return 3 })
	for i := range maxGossip + 10 {
		g.put([]byte("packet"), after(time.Duration(i)*time.Second))
	}
	if n, age := g.measure(after(maxGossip * time.Second)); n != maxGossip || age > maxGossip*time.Second {
		t.Errorf("%d wait, the oldest for %s", n, age)
	}
	for range retransmitMult * (maxGossip + 1) {
		g.queue.GetBroadcasts(2, 100)
	}
	if n, age := g.measure(start); n != 0 || age != 0 {
		t.Errorf("%d wait for %s after all have been sent", n, age)
	}
}
