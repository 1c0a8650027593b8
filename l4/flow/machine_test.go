package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

// modelFlow is what a naive table would remember of a flow.
type modelFlow struct {
	client     int
	active     time.Time
	route      int
	backend    *upstream.Backend
	pickedDown bool
	tried      []*upstream.Backend
	in, out    Traffic
	owed       int
	moves      int
}

// machine plays a table against a naive one that looks through everything each time. What a strategy picks is not the
// model's to say, but among whom.
type machine struct {
	*shell
	draw      func(n int) int // what happens, below n
	backends  []*upstream.Backend
	pool      *upstream.Pool
	options   upstream.Options
	responses int
	limit     int
	timeout   time.Duration

	flows  map[int]*modelFlow
	route  int
	ended  int // records that were looked at
	opened uint64
}

const machineClients = 6

func newMachine(t tester, draw func(int) int) *machine {
	m := &machine{draw: draw, backends: backendsOf(3), flows: map[int]*modelFlow{}, options: retries}
	m.options.Strategy = []upstream.Strategy{upstream.WRR, upstream.HRW, upstream.LeastConn}[draw(3)]
	m.options.PanicThreshold = 50 * draw(2)
	m.pool = poolOf(m.options, m.backends...)
	m.responses, m.limit, m.timeout = draw(3), 1+draw(machineClients), time.Duration(1+draw(20))*time.Second
	m.shell = newShell(t, Options{Pick: through(m.pool, m.responses, nil), IdleTimeout: m.timeout, Flows: NewBudget(m.limit)})
	return m
}

func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format+" (the last actions: %q)", append(args, m.said)...)
}

// step makes one thing happen.
func (m *machine) step() {
	n := m.draw(machineClients)
	switch m.draw(12) {
	case 0, 1, 2, 3:
		m.fromClient(n, m.draw(1500))
	case 4, 5, 6:
		m.fromBackend(n, m.draw(1500))
	case 7:
		m.refused(n)
	case 8:
		m.pause(time.Duration(m.draw(8000)) * time.Millisecond)
	case 9:
		m.backends[m.draw(3)].SetHealth([]upstream.Health{upstream.Up, upstream.Down}[m.draw(2)], m.now)
		m.pool.Update(m.options, m.backends, m.now)
	case 10:
		m.backends[m.draw(3)].SetDraining(m.draw(2) == 0, m.now)
		m.pool.Update(m.options, m.backends, m.now)
	case 11:
		m.table.Reroute()
		m.route++
	}
	m.check()
}

// offered is who may get a flow that has tried these.
func (m *machine) offered(tried []*upstream.Backend) []*upstream.Backend {
	var serving, usable []*upstream.Backend
	for _, b := range m.backends {
		if b.Draining() {
			continue
		}
		serving = append(serving, b)
		if b.Health() != upstream.Down {
			usable = append(usable, b)
		}
	}
	if len(usable)*100 < m.options.PanicThreshold*len(serving) {
		usable = serving
	}
	return slices.DeleteFunc(usable, func(b *upstream.Backend) bool { return slices.Contains(tried, b) })
}

func (m *machine) fromClient(n, size int) {
	f := m.flows[n]
	if f == nil && len(m.flows) >= m.limit {
		expect(m.t, "one too many", m.client(n, size), "drop too-many")
		return
	}
	fresh := f == nil
	if fresh {
		f = &modelFlow{client: n}
	}
	down := f.backend != nil && f.backend.Health() == upstream.Down
	f.pickedDown = f.pickedDown && down
	stays := f.backend != nil && f.route == m.route && !f.backend.Draining() && (!down || f.pickedDown)
	if stays {
		expect(m.t, "a flow that is well", m.client(n, size), "backend")
	} else if !m.repick(f, size, fresh) {
		return
	}
	f.active = m.now
	f.in.add(size)
	f.owed += m.responses
}

// repick is a datagram of a client whose flow needs a backend. It returns whether there was one.
func (m *machine) repick(f *modelFlow, size int, fresh bool) bool {
	offered, had := m.offered(f.tried), f.backend
	if len(offered) == 0 {
		switch said := m.client(f.client, size); {
		case said[0] != "drop no-backend":
			m.fail("there is no backend for client %d", f.client)
		case fresh && len(said) != 1:
			m.fail("client %d was refused with a flow", f.client)
		case !fresh:
			m.over(f, map[bool]Reason{false: NoBackend, true: Unreachable}[len(f.tried) > 0])
		}
		return false
	}
	m.client(f.client, size)
	got := m.flow(f.client).Backend()
	if !slices.Contains(offered, got) {
		m.fail("client %d is led to %v, which is not offered", f.client, got.Addr())
	}
	f.backend, f.route, f.pickedDown = got, m.route, got.Health() == upstream.Down
	m.flows[f.client] = f
	if fresh {
		m.opened++
	} else if got != had {
		f.moves++
		f.owed = 0
	}
	return true
}

func (m *machine) fromBackend(n, size int) {
	f := m.flows[n]
	switch {
	case f == nil:
		return
	case f.backend == nil:
		expect(m.t, "an answer that is too late", m.backend(n, size), "drop late")
		return
	}
	f.active, f.tried = m.now, nil
	f.out.add(size)
	f.owed--
	if said := m.backend(n, size); said[0] != "client" {
		m.fail("client %d does not get its answer", n)
	}
	if m.responses > 0 && f.owed <= 0 {
		m.over(f, Done)
	}
}

// refused is an ICMP error. They come far enough apart for the budget of retries.
func (m *machine) refused(n int) {
	f := m.flows[n]
	if f == nil {
		return
	}
	m.now = m.now.Add(200 * time.Millisecond)
	said := m.unreachable(n)
	switch {
	case f.backend == nil:
		expect(m.t, "refused again", said)
	case len(f.tried) >= m.options.Connect.Retries:
		m.over(f, Unreachable)
	default:
		expect(m.t, "refused", said, "close")
		f.tried = append(f.tried, f.backend)
		f.backend = nil
	}
}

// pause lets time pass and flows expire: none that was active within the timeout, all that were not within a little more.
func (m *machine) pause(d time.Duration) {
	m.t.Helper()
	grain := m.timeout / 64
	m.after(d)
	before := time.Time{}
	for m.ended < len(m.records) {
		f := m.flows[clientOf(m.records[m.ended].Key)]
		if f == nil {
			m.fail("a flow expires that the model does not know")
		}
		if m.now.Sub(f.active) < m.timeout || f.active.Add(grain).Before(before) {
			m.fail("a flow that was active at %v expires at %v, after one that was at %v", f.active, m.now, before)
		}
		before = f.active
		m.over(f, Idle)
	}
	for n, f := range m.flows {
		if m.now.Sub(f.active) >= m.timeout+grain {
			m.fail("client %d was active at %v and still lives at %v", n, f.active, m.now)
		}
	}
}

// clientOf is keyOf backwards.
func clientOf(k Key) int {
	ip := k.Client.Addr().As4()
	return int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
}

// over holds the next record against a flow that must have ended by now.
func (m *machine) over(f *modelFlow, why Reason) {
	m.t.Helper()
	delete(m.flows, f.client)
	if m.ended >= len(m.records) {
		m.fail("the flow of client %d should have ended (%v)", f.client, why)
	}
	r := m.records[m.ended]
	m.ended++
	want := fmt.Sprint(keyOf(f.client), why, f.in, f.out, f.moves)
	if got := fmt.Sprint(r.Key, r.Reason, r.In, r.Out, r.Moves); got != want {
		m.fail("the record says %s, want %s", got, want)
	}
}

// check holds everything that can be counted against the model.
func (m *machine) check() {
	m.t.Helper()
	if m.ended != len(m.records) {
		m.fail("%d flows ended that should live", len(m.records)-m.ended)
	}
	connected := 0
	for n, f := range m.flows {
		if got := m.flow(n).Backend(); got != f.backend {
			m.fail("client %d is at %v, want %v", n, got, f.backend)
		}
		if f.backend != nil {
			connected++
		}
	}
	s := Sum(m.table.Counters())
	if len(m.open) != connected || active(m.backends) != int64(connected) {
		m.fail("%d sockets, %d slots, want %d of both", len(m.open), active(m.backends), connected)
	}
	n := len(m.flows)
	if m.table.Len() != n || m.table.options.Flows.Used() != int64(n) || s.Active != uint64(n) || s.Opened != m.opened {
		m.fail("%d in the table, %+v, want %d", m.table.Len(), s, n)
	}
}

// finish lets everything expire.
func (m *machine) finish() {
	m.t.Helper()
	m.pause(m.timeout + m.timeout/64)
	m.check()
	m.checkEmpty(m.backends)
}

func TestAnyBehaviour(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newMachine(r, func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "draw") })
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			m.step()
		}
		m.finish()
	})
}

// FuzzTable lets the fuzzer's bytes decide what happens.
func FuzzTable(f *testing.F) {
	f.Add([]byte("any words will do to begin with, if only they are long enough to open a few flows"))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 9, 1, 7, 1, 0, 9, 1, 7, 1, 0, 9, 1, 7, 8, 8, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newMachine(t, func(n int) int {
			if len(in) == 0 {
				return 0
			}
			v := int(in[0]) * n >> 8
			in = in[1:]
			return v
		})
		for steps := 0; len(in) > 0 && steps < 1000; steps++ {
			m.step()
		}
		m.finish()
	})
}
