package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirlb/weir/upstream"
)

const benchFlows = 50_000

// BenchmarkDatagram is a datagram there and one back, in flows by chance: an order that comes again would flatter the caches.
func BenchmarkDatagram(b *testing.B) {
	for _, flows := range []int{100, benchFlows} {
		b.Run(map[bool]string{true: "few", false: "many"}[flows < 1000], func(b *testing.B) {
			var service Counters
			table := NewTable(Options{Pick: through(poolOf(retries, backendsOf(3)...), 0, &service)}, start)
			actions := make([]Action, 0, 8)
			keys, made := make([]Key, flows), make([]*Flow, flows)
			for n := range keys {
				keys[n] = keyOf(n)
				made[n] = table.FromClient(keys[n], 100, start, nil)[0].Flow
			}
			now := start
			b.ReportAllocs()
			chance := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				n := chance.IntN(flows)
				now = now.Add(time.Microsecond)
				actions = table.FromClient(keys[n], 100, now, actions[:0])
				actions = table.FromBackend(made[n], 100, now, actions)
			}
		})
	}
}

// BenchmarkFlow is a whole life: opened, answered, ended, for each strategy that makes a difference.
func BenchmarkFlow(b *testing.B) {
	for _, strategy := range []upstream.Strategy{upstream.WRR, upstream.Maglev} {
		b.Run(string(strategy), func(b *testing.B) {
			o := retries
			o.Strategy = strategy
			table := NewTable(Options{Pick: through(poolOf(o, backendsOf(3)...), 1, nil)}, start)
			actions := make([]Action, 0, 8)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				actions = table.FromClient(keyOf(i&0xffff), 100, start, actions[:0])
				f := actions[0].Flow
				actions = table.FromBackend(f, 100, start, actions[:0])
				table.Free(f)
			}
		})
	}
}

// BenchmarkRefuse is a flood at the cap.
func BenchmarkRefuse(b *testing.B) {
	table := NewTable(Options{Pick: through(poolOf(retries, backendsOf(3)...), 0, nil), Flows: NewBudget(1)}, start)
	actions := table.FromClient(keyOf(0), 1, start, make([]Action, 0, 8))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		actions = table.FromClient(keyOf(1+i&0xffff), 100, start, actions[:0])
	}
}

// BenchmarkFind compares the index with a map of Go. What is found is looked at, as every datagram does.
func BenchmarkFind(b *testing.B) {
	chance := rand.New(rand.NewPCG(1, 2))
	x, m, keys := newIndex(), map[Key]*Flow{}, make([]Key, benchFlows)
	for n := range keys {
		keys[n] = keyOf(n)
		f := &Flow{Key: keys[n]}
		f.hash = f.Key.hash(x.seed)
		x.add(f)
		m[f.Key] = f
	}
	b.Run("index", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			key := &keys[chance.IntN(benchFlows)]
			if x.find(key, key.hash(x.seed)).reason != Live {
				b.Fatal("lost")
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m[keys[chance.IntN(benchFlows)]].reason != Live {
				b.Fatal("lost")
			}
		}
	})
}

// BenchmarkQuery is a query of DNS and its answer through a shared socket.
func BenchmarkQuery(b *testing.B) {
	o := Options{Pick: through(poolOf(retries, backendsOf(3)...), 0, nil)}
	s := NewShared(SharedOptions{Options: o, Protocol: DNS}, start)
	actions := make([]Action, 0, 8)
	msg := queryOf(7, "www.example.com")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint16(msg, uint16(i))
		msg[2] &^= 0x80
		actions = s.FromClient(keyOf(i&0xffff), msg, start, actions[:0])
		msg[2] |= 0x80
		if _, why := s.FromBackend(actions[len(actions)-1].Peer, msg, start); why != Kept {
			b.Fatal(why)
		}
	}
}

// BenchmarkOneWay is a datagram that nothing comes back to.
func BenchmarkOneWay(b *testing.B) {
	s := NewShared(SharedOptions{Options: Options{Pick: through(poolOf(retries, backendsOf(3)...), 0, nil)}}, start)
	actions := make([]Action, 0, 8)
	msg := make([]byte, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		actions = s.FromClient(keyOf(i&0xffff), msg, start, actions[:0])
	}
}
