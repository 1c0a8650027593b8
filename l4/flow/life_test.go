package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirlb/weir/upstream"
)

// life plays the life of client 1's flow.
type life struct {
	*shell
	backends []*upstream.Backend
	pool     *upstream.Pool
	options  upstream.Options
	of       *Flow // the last one
	service  Counters
}

func newLife(t *testing.T, o upstream.Options, responses, factor int) *life {
	t.Helper()
	o.Strategy = upstream.HRW // so that who comes next does not depend on what came before
	l := &life{backends: backendsOf(3), options: o}
	sortByPreference(t, l.backends, o)
	l.pool = poolOf(o, l.backends...)
	l.shell = newShell(t, Options{Pick: through(l.pool, responses, &l.service), Amplification: factor})
	return l
}

// sortByPreference gives the backends numbers in the order in which client 1's flow would try them.
func sortByPreference(t *testing.T, backends []*upstream.Backend, o upstream.Options) {
	t.Helper()
	p := poolOf(o, backends...)
	var order []*upstream.Backend
	for range backends {
		_, b, err := Choose(p, keyOf(1).Client, order, start)
		if err != nil {
			t.Fatal(err)
		}
		p.Release(b)
		order = append(order, b)
	}
	copy(backends, order)
}

// play makes one event happen and returns what came of it, with backends by their number in this life.
func (l *life) play(event string) []string {
	l.t.Helper()
	var kind string
	n := 100
	if d, err := time.ParseDuration(event); err == nil {
		return l.named(l.after(d))
	}
	_, _ = fmt.Sscan(event, &kind, &n) // n is optional
	switch kind {
	case "client":
		said := l.named(l.client(1, n))
		if key := keyOf(1); l.table.Len() > 0 {
			l.of = l.table.index.find(&key, key.hash(l.table.index.seed))
		}
		return said
	case "backend":
		return l.named(l.run(l.table.FromBackend(l.of, n, l.now, nil)))
	case "unreachable":
		return l.run(l.table.Unreachable(l.of, l.now, nil))
	case "cut":
		return l.run(l.table.Cut(Stopped, l.now, nil))
	default:
		l.turn(kind, n)
		return nil
	}
}

// turn changes the world around the flow.
func (l *life) turn(kind string, n int) {
	l.t.Helper()
	switch kind {
	case "down":
		l.backends[n-1].SetHealth(upstream.Down, l.now)
	case "up":
		l.backends[n-1].SetHealth(upstream.Up, l.now)
	case "drain":
		l.backends[n-1].SetDraining(true, l.now)
	case "reroute":
		l.table.Reroute()
	case "stop":
		l.table.Stop()
	case "broken", "mended":
		l.broken = kind == "broken"
	default:
		l.t.Fatalf("no event is called %q", kind)
	}
	l.pool.Update(l.options, l.backends, l.now)
}

// named gives the backends their numbers in this life, which are not always those of their addresses.
func (l *life) named(said []string) []string {
	for i, s := range said {
		var host byte
		if _, err := fmt.Sscanf(s, "open %d", &host); err != nil {
			continue
		}
		for n, b := range l.backends {
			if b.Addr().Addr().As4()[3] == host {
				said[i] = fmt.Sprint("open ", n+1)
				break
			}
		}
	}
	return said
}

// leave ends what lives, and looks whether everything was given back.
func (l *life) leave() {
	l.t.Helper()
	l.run(l.table.Cut(Removed, l.now, nil))
	l.checkEmpty(l.backends)
	for name, s := range map[string]Stats{"entrypoint": Sum(l.table.Counters()), "service": Sum(&l.service)} {
		if s.Active != 0 || s.Opened == 0 {
			l.t.Errorf("%s: %d flows of %d are still counted", name, s.Active, s.Opened)
		}
	}
}

// checkEmpty fails the test if anything is left of the flows.
func (s *shell) checkEmpty(backends []*upstream.Backend) {
	s.t.Helper()
	if n := len(s.open); n != 0 {
		s.t.Errorf("%d sockets are open", n)
	}
	if n := active(backends); n != 0 {
		s.t.Errorf("%d slots are taken", n)
	}
	if n := s.table.options.Flows.Used(); n != 0 || s.table.Len() != 0 {
		s.t.Errorf("%d flows are counted, %d in the table", n, s.table.Len())
	}
	if _, any := s.table.Next(); any {
		s.t.Errorf("the table wants to be woken")
	}
}
