package flow

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/upstream"
)

// start is when tests begin; every later time is given by them.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// idle is how long a flow must be silent to be over for certain.
const idle = defaultIdleTimeout + defaultIdleTimeout/64

var local = netip.MustParseAddrPort("192.0.2.1:53")

// keyOf returns the key of the n-th client.
func keyOf(n int) Key {
	ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return Key{netip.AddrPortFrom(ip, 4000), local}
}

// backendsOf returns n backends, 10.9.0.1:53 and so on.
func backendsOf(n int) []*upstream.Backend {
	set := make([]*upstream.Backend, n)
	for i := range set {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), 53)
		set[i] = upstream.NewBackend("dns", upstream.Endpoint{Addr: addr, Weight: 1})
	}
	return set
}

// poolOf returns a pool of the backends.
func poolOf(o upstream.Options, backends ...*upstream.Backend) *upstream.Pool {
	p := upstream.NewPool("dns", nil)
	p.Update(o, backends, start)
	return p
}

// through returns a Pick that goes by a pool.
func through(p *upstream.Pool, responses int, c *Counters) func(Key, []*upstream.Backend, time.Time) (Choice, error) {
	return func(key Key, tried []*upstream.Backend, now time.Time) (Choice, error) {
		pool, b, err := Choose(p, key.Client, tried, now)
		return Choice{Backend: b, Pool: pool, Responses: responses, Counters: c}, err
	}
}

var retries = upstream.Options{Connect: upstream.ConnectOptions{Retries: 2}}

// socket is what the shell of a test keeps in Flow.Socket.
type socket struct{ to *upstream.Backend }

// tester is what *testing.T, *testing.B and *rapid.T have in common here.
type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// shell carries out the actions of a table and finds fault with any that makes no sense.
type shell struct {
	t       tester
	table   *Table
	now     time.Time
	open    map[*Flow]*socket
	records []Record
	broken  bool // no socket can be opened
	said    []string
}

func newShell(t tester, o Options) *shell {
	t.Helper()
	return &shell{t: t, table: NewTable(o, start), now: start, open: map[*Flow]*socket{}}
}

// run carries out actions, and returns them in words.
func (s *shell) run(actions []Action) []string {
	s.t.Helper()
	s.said = nil
	for i := 0; i < len(actions); i++ {
		a := actions[i]
		s.said = append(s.said, s.word(a))
		if err := s.act(a, &actions); err != nil {
			s.t.Fatalf("after %v: %v", s.said, err)
		}
	}
	return s.said
}

func (s *shell) act(a Action, more *[]Action) error {
	switch a.Kind {
	case Drop:
		if a.Cause == Kept || a.Flow != nil {
			return fmt.Errorf("a drop for %v", a.Cause)
		}
	case Open:
		switch {
		case s.open[a.Flow] != nil || a.Flow.Socket != nil:
			return fmt.Errorf("a second socket")
		case a.Flow.Backend() == nil:
			return fmt.Errorf("a socket to nowhere")
		case s.broken:
			*more = s.table.NoSocket(a.Flow, s.now, *more)
			return nil
		}
		s.open[a.Flow] = &socket{a.Flow.Backend()}
		a.Flow.Socket = s.open[a.Flow]
	case Close:
		if s.open[a.Flow] == nil {
			return fmt.Errorf("a socket closed that is not open")
		}
		delete(s.open, a.Flow)
		a.Flow.Socket = nil
	case ToBackend:
		if k := s.open[a.Flow]; !s.broken && (k == nil || k.to != a.Flow.Backend()) {
			return fmt.Errorf("a datagram for %v on a socket to %v", a.Flow.Backend(), k)
		}
	case ToClient:
		if s.open[a.Flow] == nil {
			return fmt.Errorf("an answer from nowhere")
		}
	case End:
		if s.open[a.Flow] != nil {
			return fmt.Errorf("an end with an open socket")
		}
		s.records = append(s.records, s.table.Record(a.Flow))
		s.table.Free(a.Flow)
	}
	return nil
}

// word is an action in words: backends by the last byte of their address.
func (s *shell) word(a Action) string {
	switch a.Kind {
	case Drop:
		return "drop " + a.Cause.String()
	case Open:
		return fmt.Sprint("open ", a.Flow.Backend().Addr().Addr().As4()[3])
	case ToClient:
		return "client"
	case ToBackend:
		return "backend"
	case Close:
		return "close"
	case End:
		return "end " + a.Flow.reason.String()
	}
	return "?"
}

// expect fails the test unless got is want.
func expect(t tester, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func (s *shell) client(n, size int) []string {
	s.t.Helper()
	return s.run(s.table.FromClient(keyOf(n), size, s.now, nil))
}

func (s *shell) flow(n int) *Flow {
	s.t.Helper()
	key := keyOf(n)
	f := s.table.index.find(&key, key.hash(s.table.index.seed))
	if f == nil {
		s.t.Fatalf("client %d has no flow", n)
	}
	return f
}

func (s *shell) backend(n, size int) []string {
	s.t.Helper()
	return s.run(s.table.FromBackend(s.flow(n), size, s.now, nil))
}

func (s *shell) unreachable(n int) []string {
	s.t.Helper()
	return s.run(s.table.Unreachable(s.flow(n), s.now, nil))
}

func (s *shell) after(d time.Duration) []string {
	s.t.Helper()
	s.now = s.now.Add(d)
	return s.run(s.table.Expire(s.now, nil))
}

// active is how many slots are taken on all backends together.
func active(backends []*upstream.Backend) (n int64) {
	for _, b := range backends {
		n += b.Active()
	}
	return n
}

// mustTake takes a slot of the pool.
func mustTake(t testing.TB, p *upstream.Pool) *upstream.Backend {
	t.Helper()
	b, err := p.Acquire(0, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
