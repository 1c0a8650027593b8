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
		g.take(2, 100)
	}
	if n, age := g.measure(start); n != 0 || age != 0 {
		t.Errorf("%d wait for %s after all have been sent", n, age)
	}
}

// Every packet is sent as often as it should be, whenever others come: the queue of the membership layer loses some.
func TestGossipLosesNothing(t *testing.T) {
	g := newGossip(func() int { return 3 })
	sent := map[string]int{}
	send := func() {
		for _, p := range g.take(3, 1300) {
			sent[string(p[:1])]++
		}
	}
	packet := func(name string) []byte { return append([]byte(name), make([]byte, 1000)...) }
	g.put(packet("a"), start)
	send()
	g.put(packet("b"), start)
	for range 3 * retransmitMult {
		send()
	}
	for _, name := range []string{"a", "b"} {
		if sent[name] != retransmitMult {
			t.Errorf("%s was sent %d times, want %d", name, sent[name], retransmitMult)
		}
	}
	if n, age := g.measure(start); n != 0 {
		t.Errorf("%d wait for %s after all have been sent", n, age)
	}
}
