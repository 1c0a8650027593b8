package flow

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/upstream"
)

// queryOf returns a query for the addresses of a name.
func queryOf(id uint16, name string) []byte {
	msg := binary.BigEndian.AppendUint16(nil, id)
	msg = append(msg, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		msg = append(msg, byte(len(label)))
		msg = append(msg, label...)
	}
	return append(msg, 0, 0, 1, 0, 1)
}

// answerTo returns an answer without records to a query.
func answerTo(query []byte) []byte {
	msg := append([]byte(nil), query...)
	msg[2] |= 0x80
	return msg
}

func idOf(msg []byte) uint16 { return binary.BigEndian.Uint16(msg) }

// desk is a Shared with what its shell would keep.
type desk struct {
	t        tester
	shared   *Shared
	now      time.Time
	backends []*upstream.Backend
	pool     *upstream.Pool
	open     map[*Peer]bool
}

func newDesk(t tester, o SharedOptions, backends int) *desk {
	t.Helper()
	d := &desk{t: t, now: start, backends: backendsOf(backends), open: map[*Peer]bool{}}
	d.pool = poolOf(retries, d.backends...)
	o.Pick = through(d.pool, 0, nil)
	d.shared = NewShared(o, start)
	return d
}

// run carries out actions; it returns them in words, and to whom a datagram goes.
func (d *desk) run(actions []Action) (said []string, to *Peer) {
	d.t.Helper()
	for _, a := range actions {
		if (a.Kind == Drop) != (a.Peer == nil) || a.Flow != nil {
			d.t.Fatalf("an action that makes no sense: %+v", a)
		}
		switch a.Kind {
		case Drop:
			said = append(said, "drop "+a.Cause.String())
		case Open:
			said = append(said, fmt.Sprint("open ", a.Peer.Backend.Addr().Addr().As4()[3]))
			if d.open[a.Peer] {
				d.t.Fatalf("a second socket")
			}
			d.open[a.Peer] = true
		case Close:
			said = append(said, "close")
			if !d.open[a.Peer] {
				d.t.Fatalf("a socket closed that is not open")
			}
			delete(d.open, a.Peer)
		case ToBackend:
			said = append(said, "backend")
			if to = a.Peer; !d.open[to] {
				d.t.Fatalf("a datagram for a socket that is not open")
			}
		default:
			d.t.Fatalf("an action that makes no sense: %+v", a)
		}
	}
	return said, to
}

func (d *desk) ask(n int, msg []byte) ([]string, *Peer) {
	d.t.Helper()
	return d.run(d.shared.FromClient(keyOf(n), msg, d.now, nil))
}

func (d *desk) after(by time.Duration) []string {
	d.t.Helper()
	d.now = d.now.Add(by)
	said, _ := d.run(d.shared.Expire(d.now, nil))
	return said
}

// leave ends everything, and looks whether all was given back.
func (d *desk) leave() {
	d.t.Helper()
	d.run(d.shared.Cut(Removed, d.now, nil))
	s := Sum(d.shared.Counters())
	flows := d.shared.options.Flows.Used()
	if n := active(d.backends); n != 0 || len(d.open) != 0 || d.shared.Len() != 0 || flows != 0 || s.Active != 0 {
		d.t.Errorf("%d slots, %d sockets, %d queries, %d flows, %+v are left",
			n, len(d.open), d.shared.Len(), flows, s)
	}
	if _, any := d.shared.Next(); any {
		d.t.Errorf("it wants to be woken")
	}
}

func TestOneWay(t *testing.T) {
	d := newDesk(t, SharedOptions{Options: Options{Own: func(a netip.AddrPort) bool { return a == keyOf(9).Client }}}, 2)
	said, p := d.ask(1, []byte("<13>hello"))
	expect(t, "the first", said, "open 1", "backend")
	said, _ = d.ask(1, nil)
	expect(t, "the second", said, "open 2", "backend")
	said, _ = d.ask(2, []byte("x"))
	expect(t, "another client", said, "backend")
	said, _ = d.ask(9, []byte("x"))
	expect(t, "ourselves", said, "drop looped")
	said, _ = d.run(d.shared.FromClient(Key{netip.MustParseAddrPort("10.0.0.1:0"), local}, []byte("x"), d.now, nil))
	expect(t, "who wants no answer", said, "backend")
	if _, why := d.shared.FromBackend(p, []byte("thanks"), d.now); why != Unasked {
		t.Errorf("an answer is %v", why)
	}
	if n := active(d.backends); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
	expect(t, "silence", d.after(time.Minute), "close", "close")
	if in := d.backends[0].Stats().BytesIn + d.backends[1].Stats().BytesIn; in != 11 {
		t.Errorf("the backends count %d bytes, want 11", in)
	}
	d.shared.Stop()
	said, _ = d.ask(1, nil)
	expect(t, "after the stop", said, "drop stopping")
	if s := Sum(d.shared.Counters()); s.Opened != 0 {
		t.Errorf("%d flows were opened", s.Opened)
	}
	d.leave()
}

func TestDNS(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: DNS}, 1)
	first, second := queryOf(7, "a.test"), queryOf(7, "a.test")
	said, p := d.ask(1, first)
	expect(t, "the first", said, "open 1", "backend")
	said, _ = d.ask(2, second)
	expect(t, "the second", said, "backend")
	if idOf(first) == idOf(second) {
		t.Fatal("two queries have one identifier")
	}
	for _, tt := range []struct {
		name  string
		reply []byte
		to    int
	}{
		{"the second is answered first", answerTo(second), 2},
		{"the first, in capitals", answerTo(queryOf(idOf(first), "A.TEST")), 1},
	} {
		to, why := d.shared.FromBackend(p, tt.reply, d.now)
		if why != Kept || to != keyOf(tt.to) || idOf(tt.reply) != 7 {
			t.Errorf("%s: to %v (%v) as %d", tt.name, to, why, idOf(tt.reply))
		}
		if _, again := d.shared.FromBackend(p, tt.reply, d.now); again != Unasked {
			t.Errorf("%s, again: %v", tt.name, again)
		}
	}
	if s := Sum(d.shared.Counters()); s.Opened != 2 || s.Ended[Done] != 2 || s.Out.Datagrams != 2 || s.Dropped[Unasked] != 2 {
		t.Errorf("it counts %+v", s)
	}
	d.leave()
}

// TestForgedAnswers: an answer must be one, and to this question.
func TestForgedAnswers(t *testing.T) {
	edit := func(change func([]byte) []byte) func([]byte) []byte {
		return func(q []byte) []byte { return change(answerTo(q)) }
	}
	none := func(m []byte) []byte { m[5] = 0; return m[:dnsHeader] }
	for _, tt := range []struct {
		name string
		make func(query []byte) []byte
		want Cause
	}{
		{"an answer", answerTo, Kept},
		{"the query itself", func(q []byte) []byte { return q }, Unasked},
		{"another identifier", edit(func(m []byte) []byte { m[0] ^= 0x80; return m }), Unasked},
		{"another name", func(q []byte) []byte { return answerTo(queryOf(idOf(q), "b.test")) }, Unasked},
		{"another type", edit(func(m []byte) []byte { m[len(m)-3] = 28; return m }), Unasked},
		{"no question", edit(none), Unasked},
		{"no question, an error", edit(func(m []byte) []byte { m[3] |= 1; return none(m) }), Kept},
		{"no question, an update", edit(func(m []byte) []byte { m[2] |= 5 << 3; return none(m) }), Kept},
		{"two questions", edit(func(m []byte) []byte { m[5] = 2; return m }), Unasked},
		{"cut short", edit(func(m []byte) []byte { return m[:len(m)-1] }), Unasked},
		{"nothing", func([]byte) []byte { return nil }, Unasked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, SharedOptions{Protocol: DNS}, 1)
			q := queryOf(7, "a.test")
			_, p := d.ask(1, q)
			if _, why := d.shared.FromBackend(p, tt.make(q), d.now); why != tt.want {
				t.Errorf("it is %v, want %v", why, tt.want)
			}
			if got := d.shared.Len(); (got == 0) != (tt.want == Kept) {
				t.Errorf("%d queries wait", got)
			}
			d.leave()
		})
	}
}

func TestMalformedQueries(t *testing.T) {
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 63)+".", 4), ".")
	for _, tt := range []struct {
		name string
		msg  []byte
		want string
	}{
		{"a query", queryOf(1, "a.test"), "open 1"},
		{"no question but a cookie", queryOf(1, "a")[:dnsHeader:dnsHeader], "drop malformed"}, // says 1
		{"really none", []byte{0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, "open 1"},
		{"a response", answerTo(queryOf(1, "a.test")), "drop malformed"},
		{"nothing", nil, "drop malformed"},
		{"half a header", queryOf(1, "a")[:11], "drop malformed"},
		{"a name without end", queryOf(1, "a.test")[:dnsHeader+7], "drop malformed"},
		{"no class", queryOf(1, "a.test")[:dnsHeader+12-1], "drop malformed"},
		{"a pointer", append(queryOf(1, "a.test")[:dnsHeader], 0xc0, 12, 0, 1, 0, 1), "drop malformed"},
		{"a name of 253 characters", queryOf(1, long[:253]), "open 1"},
		{"a name of 254", queryOf(1, long[:254]), "drop malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, SharedOptions{Protocol: DNS}, 1)
			said, _ := d.ask(1, tt.msg)
			expect(t, tt.name, said[:1], tt.want)
			d.leave()
		})
	}
}

func TestQueriesExpire(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: DNS, MaxQueries: 100}, 1) // which is made 128
	late := queryOf(1, "a.test")
	_, p := d.ask(1, late)
	for n := range 127 {
		d.now = d.now.Add(time.Millisecond)
		d.ask(n, queryOf(1, "b.test"))
	}
	said, _ := d.ask(1, queryOf(1, "c.test"))
	expect(t, "one too many", said, "drop too-many-waiting")
	if at, _ := d.shared.Next(); !at.Equal(start.Add(defaultQueryTimeout)) {
		t.Errorf("the first is given up at %v", at)
	}
	d.now = start
	d.after(defaultQueryTimeout)
	if n := d.shared.Len(); n != 127 || active(d.backends) != 127 {
		t.Errorf("%d wait on %d slots, want 127", n, active(d.backends))
	}
	if _, why := d.shared.FromBackend(p, answerTo(late), d.now); why != Unasked {
		t.Errorf("an answer that is too late is %v", why)
	}
	expect(t, "all others", d.after(time.Second))
	if n := d.shared.Len(); n != 0 {
		t.Errorf("%d wait", n)
	}
	expect(t, "silence", d.after(time.Minute), "close")
	d.leave()
}

func TestSharedFailures(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: DNS}, 2)
	_, p := d.ask(1, queryOf(1, "a.test"))
	d.shared.Unreachable(p, d.now)
	if n := d.backends[0].Stats().ConnectFailures; n != 1 || d.shared.Len() != 1 {
		t.Errorf("%d failures, %d queries; want 1 of both", n, d.shared.Len())
	}
	delete(d.open, p)
	d.shared.NoSocket(p, d.now)
	d.shared.NoSocket(p, d.now)
	if d.shared.Len() != 0 || active(d.backends) != 0 {
		t.Errorf("%d queries wait for a peer that is no more", d.shared.Len())
	}
	if _, why := d.shared.FromBackend(p, answerTo(queryOf(1, "a.test")), d.now); why != Unasked {
		t.Errorf("an answer from a peer that is no more is %v", why)
	}
	for _, b := range d.backends {
		b.SetHealth(upstream.Down, d.now)
	}
	d.pool.Update(retries, d.backends, d.now)
	said, _ := d.ask(1, queryOf(1, "a.test"))
	expect(t, "nobody left", said, "drop no-backend")
	said, _ = d.run(d.shared.FromClient(Key{netip.MustParseAddrPort("10.0.0.1:0"), local}, queryOf(1, "a"), d.now, nil))
	expect(t, "no way back", said, "drop unanswerable")
	d.leave()
}

// TestQueriesProperty holds the waiting queries against a map, over growth and reuse.
func TestQueriesProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := 1 << rapid.IntRange(0, 9).Draw(r, "limit")
		draw := rapid.Uint32()
		q := newQueries(limit, func() uint32 { return draw.Draw(r, "chance") })
		waiting, order := map[uint16]int{}, []uint16{}
		for n := range rapid.IntRange(1, 300).Draw(r, "steps") {
			switch {
			case rapid.IntRange(0, 2).Draw(r, "kind") > 0 || len(order) == 0:
				id, added := q.add(query{question: uint64(n)})
				if _, twice := waiting[id]; added != (len(waiting) < limit) || added && twice {
					r.Fatalf("add to %d of %d: %v, %d", len(waiting), limit, added, id)
				}
				if added {
					waiting[id] = n
					order = append(order, id)
				}
			default:
				at := rapid.IntRange(0, len(order)-1).Draw(r, "which")
				id := order[at]
				e := q.find(id)
				if e == nil || e.question != uint64(waiting[id]) {
					r.Fatalf("%d is not found", id)
				}
				q.remove(e)
				delete(waiting, id)
				order = append(order[:at], order[at+1:]...)
				if q.find(id) != nil {
					r.Fatalf("%d is found after its end", id)
				}
			}
			if q.len() != len(waiting) || len(order) > 0 && q.oldest().id != order[0] {
				r.Fatalf("%d wait, want %d", q.len(), len(waiting))
			}
		}
	})
}

// TestIdentifiersAreChance: over many queries, one at a time, each bit of the identifier is as often 0 as 1.
func TestIdentifiersAreChance(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: DNS}, 1)
	const rounds = 4000
	var ones [16]int
	for n := range rounds {
		q := queryOf(7, "a.test")
		_, p := d.ask(n, q)
		for bit := range ones {
			ones[bit] += int(idOf(q) >> bit & 1)
		}
		d.shared.FromBackend(p, answerTo(q), d.now)
	}
	for bit, n := range ones {
		if n < rounds*2/5 || n > rounds*3/5 { // 12 standard deviations
			t.Errorf("bit %d is 1 in %d of %d", bit, n, rounds)
		}
	}
	d.leave()
}

// FuzzParseMessage: whatever comes, the parser neither panics nor finds that a message answers another one's question.
func FuzzParseMessage(f *testing.F) {
	f.Add(queryOf(1, "www.example.com"))
	f.Add(answerTo(queryOf(1, "a")))
	f.Add([]byte{0, 1, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12})
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, msg []byte) {
		m, sound := parseMessage(msg, seed)
		if !sound {
			return
		}
		if longer, ok := parseMessage(append(msg[:len(msg):len(msg)], 0xff), seed); !ok || longer != m {
			t.Fatalf("what follows changes %+v to %+v", m, longer)
		}
		if m.answers(m.question) != m.response {
			t.Fatalf("%+v does not answer its own question", m)
		}
		if m.asks && m.answers(m.question^1) {
			t.Fatalf("%+v answers another question", m)
		}
	})
}

// TestPeerStaysInUse: a socket is idle only when nothing waits for it and nothing has come lately.
func TestPeerStaysInUse(t *testing.T) {
	d := newDesk(t, SharedOptions{Options: Options{IdleTimeout: time.Second}, Protocol: DNS}, 1)
	q := queryOf(1, "a.test")
	_, p := d.ask(1, q)
	expect(t, "while a query waits", d.after(2*time.Second))
	if _, why := d.shared.FromBackend(p, answerTo(q), d.now); why != Kept {
		t.Fatalf("the answer is %v", why)
	}
	if at, _ := d.shared.Next(); !at.Equal(d.now.Add(time.Second)) {
		t.Errorf("it is idle at %v, want a second after the answer", at)
	}
	expect(t, "after the answer", d.after(999*time.Millisecond))
	expect(t, "a second after it", d.after(time.Millisecond), "close")
	d.leave()
}

// TestAuto: queries are asked, and whatever is not one beyond doubt goes one way, unchanged.
func TestAuto(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: Auto}, 1)
	query := queryOf(7, "a.test")
	_, p := d.ask(1, query)
	if d.shared.Len() != 1 {
		t.Fatal("the query does not wait")
	}
	if to, why := d.shared.FromBackend(p, answerTo(query), d.now); why != Kept || to != keyOf(1) {
		t.Errorf("the answer goes to %v (%v)", to, why)
	}
	long := append(queryOf(7, "a.test"), 0)
	response := answerTo(queryOf(7, "a.test"))
	for _, tt := range []struct {
		name string
		msg  []byte
	}{
		{"syslog", []byte("<34>1 2026-11-26T08:00:00Z host app - - - hello")},
		{"empty", nil},
		{"a byte more than a query", long},
		{"cut short", queryOf(7, "a.test")[:20]},
		{"a response", response},
	} {
		before := string(tt.msg)
		said, _ := d.ask(1, tt.msg)
		expect(t, tt.name, said, "backend")
		if string(tt.msg) != before || d.shared.Len() != 0 {
			t.Errorf("%s: changed to %q, %d wait", tt.name, tt.msg, d.shared.Len())
		}
	}
	d.leave()
}

func TestIsQuery(t *testing.T) {
	edns := append(queryOf(7, "a.test"), 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
	edns[11] = 1
	pointing := append(queryOf(7, "a.test"), 0xc0, 12, 0, 250, 0, 255, 0, 0, 0, 0, 0, 2, 1, 2)
	pointing[11] = 1
	with := func(at int, value byte) []byte {
		msg := queryOf(7, "a.test")
		msg[at] = value
		return msg
	}
	for _, tt := range []struct {
		name string
		msg  []byte
		want bool
	}{
		{"plain", queryOf(7, "a.test"), true},
		{"recursion wanted, AD and CD", with(2, 1), true},
		{"with EDNS", edns, true},
		{"a record with a pointer", pointing, true},
		{"data of a record beyond the end", edns[:len(edns)-1], false},
		{"an answer", with(2, 0x80), false},
		{"an update", with(2, 5<<3), false},
		{"a response code", with(3, 2), false},
		{"two questions", with(5, 2), false},
		{"no question", with(5, 0), false},
		{"an answer record", with(7, 1), false},
		{"an authority record", with(9, 1), false},
		{"records it does not have", with(11, 1), false},
		{"many records", with(11, 3), false},
		{"a label beyond the end", with(12, 63), false},
		{"a label that is none", with(12, 64), false},
		{"header alone", queryOf(7, "a.test")[:12], false},
	} {
		if got := isQuery(tt.msg); got != tt.want {
			t.Errorf("%s: isQuery = %v", tt.name, got)
		}
	}
}

func FuzzIsQuery(f *testing.F) {
	f.Add(queryOf(7, "a.test"))
	f.Add([]byte("<34>hello"))
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, msg []byte) {
		if !isQuery(msg) {
			return
		}
		if m, sound := parseMessage(msg, seed); !sound || m.response {
			t.Errorf("a query that is not sound: %x", msg)
		}
	})
}

// TestGateOfOneWay: the gate is asked for each datagram and nothing stays counted.
func TestGateOfOneWay(t *testing.T) {
	gate := newLimited(1)
	d := newDesk(t, SharedOptions{Options: Options{Gate: gate}}, 1)
	for range 3 {
		d.ask(1, []byte("x"))
	}
	if s := Sum(d.shared.Counters()); s.In.Datagrams != 3 || len(gate.sources) != 0 {
		t.Errorf("%d went, %v is left", s.In.Datagrams, gate.sources)
	}
	gate.most = 0
	said, _ := d.ask(1, []byte("x"))
	expect(t, "shut", said, "drop too-many-of-source")
	d.leave()
}

func TestCutBackendOfShared(t *testing.T) {
	d := newDesk(t, SharedOptions{Protocol: DNS}, 2)
	d.ask(1, queryOf(1, "a.test"))
	d.ask(2, queryOf(2, "b.test"))
	said, _ := d.run(d.shared.CutBackend(d.backends[0], Lost, d.now, nil))
	expect(t, "the first", said, "close")
	said, _ = d.run(d.shared.CutBackend(d.backends[0], Lost, d.now, nil))
	expect(t, "again", said)
	if s := Sum(d.shared.Counters()); s.Ended[Lost] != 1 || s.Active != 1 {
		t.Errorf("it counts %+v", s)
	}
	d.leave()
}
