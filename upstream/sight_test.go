package upstream

import (
	"testing"
	"time"
)

func TestSight(t *testing.T) {
	var suspects int
	p := NewPool("s", nil)
	p.Watch(func(*Backend) { suspects++ })
	b := backendsOf(1)[0]
	p.Update(Options{}, []*Backend{b}, start)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	if s := p.Sight(b); s != (Sight{}) {
		t.Errorf("before anything: %+v", s)
	}
	steps := []struct {
		name     string
		do       func()
		want     Sight
		suspects int
	}{
		{"a success", func() { p.Succeeded(b, at(100)) }, Sight{Served: at(100)}, 0},
		{"another, soon", func() { p.Succeeded(b, at(300)) }, Sight{Served: at(100)}, 0},
		{"and later", func() { p.Succeeded(b, at(400)) }, Sight{Served: at(400)}, 0},
		{"a failure", func() { p.Failed(b, at(500)) }, Sight{Failures: 1, Failed: at(500), Served: at(400)}, 1},
		{"one more", func() { p.Failed(b, at(600)) }, Sight{Failures: 2, Failed: at(600), Served: at(400)}, 1},
		{"a success ends them", func() { p.Succeeded(b, at(700)) }, Sight{Served: at(700)}, 1},
		{"a failure, and the backend is down and up again", func() {
			p.Failed(b, at(750))
			b.SetHealth(Down, at(760))
			b.SetHealth(Up, at(770))
		}, Sight{Served: at(700)}, 2},
		{"a failure again", func() { p.Failed(b, at(800)) }, Sight{Failures: 1, Failed: at(800), Served: at(700)}, 3},
	}
	for _, s := range steps {
		s.do()
		if got := p.Sight(b); got != s.want || suspects != s.suspects {
			t.Errorf("%s: %+v, suspected %d times; want %+v, %d", s.name, got, suspects, s.want, s.suspects)
		}
	}
}

func TestTableSum(t *testing.T) {
	sum := func(strategy Strategy, weights ...int) (uint64, bool) {
		return poolOf(Options{Strategy: strategy}, backendsOf(weights...)...).TableSum()
	}
	one, ok := sum(Maglev, 1, 1, 2)
	again, _ := sum(Maglev, 1, 1, 2)
	other, _ := sum(Maglev, 1, 2, 1)
	if !ok || one != again || one == other {
		t.Errorf("sums %x, %x of the same and %x of another, %t", one, again, other, ok)
	}
	if _, ok := sum(LeastConn, 1, 1); ok {
		t.Error("a strategy without a table has a sum")
	}
}
