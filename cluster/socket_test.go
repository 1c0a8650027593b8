package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// patience is how long real nodes are awaited. A busy machine may need some of it.
const patience = 30 * time.Second

// loopbackNode starts a node with real sockets, which is closed with the test.
func loopbackNode(t *testing.T, name string, change func(*NodeOptions), join ...string) *Node {
	t.Helper()
	o := NodeOptions{
		Name: "sockets", Node: name, Bind: netip.MustParseAddrPort("127.0.0.1:0"), Keys: [][]byte{secret}, Join: join,
	}
	if change != nil {
		change(&o)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// trio starts three nodes and waits until all know all.
func trio(t *testing.T) []*Node {
	t.Helper()
	a := loopbackNode(t, "a", nil)
	seed := a.Addr().String()
	nodes := []*Node{a, loopbackNode(t, "b", nil, seed), loopbackNode(t, "c", nil, seed)}
	awaitMembers(t, "a b c", nodes...)
	return nodes
}

// awaitMembers waits until each of the nodes takes exactly these for alive.
func awaitMembers(t *testing.T, want string, nodes ...*Node) {
	t.Helper()
	for _, n := range nodes {
		weirtest.Eventually(t, patience, func() bool {
			views, err := n.Members()
			var alive []string
			for _, v := range views {
				if v.State == MemberAlive {
					alive = append(alive, v.Name)
				}
			}
			return err == nil && strings.Join(alive, " ") == want
		}, fmt.Sprintf("members of %s: %s", n.options.Node, want))
	}
}

// holds reports whether a node holds that an observer said so.
func holds(t *testing.T, n *Node, observer, key, want string) bool {
	t.Helper()
	var got string
	if err := n.Read(func(t *Table, _ Members, _ *Commands) {
		c, _ := t.Get(observer, Key(key))
		got = string(c.Value)
	}); err != nil {
		t.Fatal(err)
	}
	return got == want
}

func TestSockets(t *testing.T) {
	nodes := trio(t)
	a, b, c := nodes[0], nodes[1], nodes[2]
	if err := b.Set("k", []byte("said by b")); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{a, c} {
		weirtest.Eventually(t, patience, func() bool { return holds(t, n, "b", "k", "said by b") }, "what b said")
	}
	order, err := c.Issue(Command{Target: Target{Service: "orders"}, Aspect: Drain, On: true})
	if err != nil {
		t.Fatal(err)
	}
	weirtest.Eventually(t, patience, func() bool {
		acks, err := c.Acks(order)
		return err == nil && acks.String() == "acked 3/3"
	}, "acked by all")
	if err := b.Close(); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	awaitMembers(t, "a c", a, c)
	if err := c.Leave(DefaultLeave); err != nil {
		t.Log(err) // a's answer may be late on a busy machine
	}
	awaitMembers(t, "a", a)
	s, err := a.Stats()
	if err != nil || s.Sent.Packets == 0 || s.Sent.PacketBytes == 0 || s.Received.StreamBytes == 0 || s.Received.Cells == 0 {
		t.Errorf("counted: %+v, %v", s, err)
	}
}

// A value of each size arrives: small ones in packets, a table that fills many over a connection.
func TestLargeTable(t *testing.T) {
	nodes := trio(t)
	const cells = 3000
	for i := range cells {
		if err := nodes[0].Set(Key(fmt.Sprintf("k%04d", i)), []byte(strings.Repeat("v", i%MaxValue))); err != nil {
			t.Fatal(err)
		}
	}
	last := loopbackNode(t, "d", nil, nodes[1].Addr().String())
	for _, n := range append(nodes[1:], last) {
		weirtest.Eventually(t, patience, func() bool {
			var have, want Summary
			_ = nodes[0].Read(func(t *Table, _ Members, _ *Commands) { want = t.Summary("a") })
			_ = n.Read(func(t *Table, _ Members, _ *Commands) { have = t.Summary("a") })
			return have == want && want.Seq == cells
		}, "all that a said")
	}
}

// The key is changed while nodes talk: nothing that is said gets lost, and in the end the old key opens nothing.
func TestKeyRotation(t *testing.T) {
	nodes := trio(t)
	a, b, c := nodes[0], nodes[1], nodes[2]
	var said atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := uint64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := b.Set("n", fmt.Append(nil, i)); err != nil {
				t.Error(err)
				return
			}
			said.Store(i)
		}
	}()
	acked := func(want ...string) {
		t.Helper()
		for _, n := range nodes {
			weirtest.Eventually(t, patience, func() bool {
				s, err := n.Keys()
				return err == nil && slices.Equal(s.Fingerprints, want) && len(s.Acks.Holders) == 3 && len(s.Retiring) == 0
			}, fmt.Sprintf("keys %s with all", want))
		}
	}
	status, err := a.Keys()
	if err != nil || len(status.Fingerprints) != 1 {
		t.Fatalf("keys: %+v, %v", status, err)
	}
	old := status.Fingerprints[0]
	next := []byte("the secret that comes after it")
	print, err := a.InstallKey(next)
	if err != nil {
		t.Fatal(err)
	}
	acked(old, print)
	if err := b.RemoveKey(old); err == nil {
		t.Error("the key that encrypts can be removed")
	}
	if err := b.UseKey(print); err != nil {
		t.Fatal(err)
	}
	acked(print, old)
	if err := c.RemoveKey(old); err != nil {
		t.Fatal(err)
	}
	acked(print)
	close(stop)
	<-stopped
	for _, n := range []*Node{a, c} {
		weirtest.Eventually(t, patience, func() bool { return holds(t, n, "b", "n", fmt.Sprint(said.Load())) }, "the last that b said")
	}
	for _, n := range nodes {
		if st, _ := n.Stats(); st.Refused.WrongKey > 0 {
			t.Errorf("%s could not read %d messages", n.options.Node, st.Refused.WrongKey)
		}
	}
	awaitMembers(t, "a b c", nodes...)
	late := loopbackNode(t, "late", nil, a.Addr().String())
	weirtest.Eventually(t, patience, func() bool { s, err := a.Stats(); return err == nil && s.Refused.WrongKey > 0 }, "a refusal")
	awaitMembers(t, "late", late)
	loopbackNode(t, "new", func(o *NodeOptions) { o.Keys = [][]byte{next} }, a.Addr().String())
	awaitMembers(t, "a b c new", nodes...)
}

func TestSameNameTwice(t *testing.T) {
	a := loopbackNode(t, "a", nil)
	b := loopbackNode(t, "b", nil, a.Addr().String())
	awaitMembers(t, "a b", a, b)
	second := loopbackNode(t, "b", nil, a.Addr().String())
	weirtest.Eventually(t, patience, func() bool {
		s, err := a.Stats()
		return err == nil && len(s.Conflicts) == 1 && s.Conflicts[0].Claimant == second.Addr() && s.Conflicts[0].Holder == b.Addr()
	}, "the conflict")
	awaitMembers(t, "a b", a, b)
}

// Connections that say nothing, or nonsense, do not keep the others out.
func TestStrangersOnSockets(t *testing.T) {
	a := loopbackNode(t, "a", nil)
	for i := range maxInbound + 10 {
		conn, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if i%2 == 0 {
			_, _ = conn.Write([]byte(strings.Repeat("nonsense", i)))
		}
	}
	packets, err := net.Dial("udp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	weirtest.Eventually(t, patience, func() bool {
		if _, err := packets.Write([]byte("nonsense")); err != nil {
			t.Fatal(err)
		}
		s, err := a.Stats()
		return err == nil && s.Refused.WrongLabel > 0 && s.Received.Streams > 0
	}, "refusals")
	b := loopbackNode(t, "b", nil, a.Addr().String())
	awaitMembers(t, "a b", a, b)
}

// Names are resolved, and one that no longer resolves still stands for what it did.
func TestJoinByName(t *testing.T) {
	a := loopbackNode(t, "a", nil)
	b := loopbackNode(t, "b", func(o *NodeOptions) {
		o.Resolve = resolver(t, map[string][]netip.AddrPort{"srv+_weir._tcp.example.com": {a.Addr()}})
	}, "srv+_weir._tcp.example.com", "gone.example.com:7946")
	awaitMembers(t, "a b", a, b)
}
