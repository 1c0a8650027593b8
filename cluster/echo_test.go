package cluster

import (
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	e := &echoes{score: 3, heards: []heard{{echoID("a"), 7, after(0)}, {echoID("b"), 9, after(-time.Second)}}}
	p := parsePong(e.encode(after(20*time.Millisecond)), echoID("a"), 4*time.Millisecond, after(30*time.Millisecond))
	want := pong{at: after(30 * time.Millisecond), rtt: 4 * time.Millisecond, score: 3, known: true, beat: 7, age: 20 * time.Millisecond}
	if p != want {
		t.Errorf("got %+v", p)
	}
	var sent beats
	sent.note(7, after(0))
	sent.note(7, after(time.Minute)) // sent again to another: the first counts
	if at := sent.sent(7); at != after(0) {
		t.Errorf("beat 7 was sent at %s", at)
	}
	if at := sent.sent(7 + 64); !at.IsZero() {
		t.Error("a beat that was never sent has a time")
	}
	var l link
	l.add(p, sent.sent(7))
	if l.delay != 8*time.Millisecond || l.rtt != 4*time.Millisecond || l.score != 3 {
		t.Errorf("%+v", l)
	}
	many := &echoes{heards: make([]heard, 1000)}
	if n := len(many.encode(start)); n > 800 {
		t.Errorf("an answer of %d bytes", n)
	}
	if p := parsePong([]byte("nonsense"), 1, time.Second, start); p.known || p.rtt != time.Second {
		t.Errorf("nonsense reads as %+v", p)
	}
}

func FuzzPong(f *testing.F) {
	e := &echoes{score: 3, heards: []heard{{echoID("a"), 7, after(0)}}}
	f.Add(e.encode(start), echoID("a"))
	f.Fuzz(func(t *testing.T, b []byte, id uint32) {
		if p := parsePong(b, id, time.Second, start); p.age < 0 || p.rtt != time.Second {
			t.Errorf("%+v", p)
		}
	})
}
