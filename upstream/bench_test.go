package upstream

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func BenchmarkPick(b *testing.B) {
	for _, s := range every() {
		for _, n := range []int{2, 10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", s, n), func(b *testing.B) {
				weights := equal(n)
				weights[0] = 2
				bal := NewBalancer(s, sharesOf(backendsOf(weights...)), nil)
				b.ReportAllocs()
				key := uint64(0)
				for b.Loop() {
					key += goldenRatio
					bal.Pick(key, Skip{})
				}
			})
		}
	}
}

// BenchmarkAcquire is the whole way of one connection through a pool, from all CPUs at once.
func BenchmarkAcquire(b *testing.B) {
	for _, s := range every() {
		b.Run(string(s), func(b *testing.B) {
			backends := backendsOf(equal(10)...)
			limitAll(backends, 1000)
			p := poolOf(Options{Strategy: s, Passive: passive}, backends...)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				key := uint64(0)
				for pb.Next() {
					key += goldenRatio
					c, err := p.Acquire(key, nil, start)
					if err != nil {
						b.Fatal(err)
					}
					p.Succeeded(c, start)
					p.Release(c)
				}
			})
		})
	}
}

// BenchmarkSaturated is a connection that finds everything full, and the slot it gets.
func BenchmarkSaturated(b *testing.B) {
	for _, n := range []int{2, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, backends := fullPool(b, n, 16)
			w := &Waiter{Grant: func(*Backend) {}}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := p.Acquire(0, nil, start); err == nil {
					b.Fatal("found a slot")
				}
				if err := p.Wait(w); err != nil {
					b.Fatal(err)
				}
				p.Release(backends[i%n])
				i++
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, s := range every() {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", s, n), func(b *testing.B) {
				weights := make([]int, n)
				for i := range weights {
					weights[i] = 100 + i%97
				}
				set := sharesOf(backendsOf(weights...))
				b.ReportAllocs()
				for b.Loop() {
					NewBalancer(s, set, nil)
				}
			})
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	backends := backendsOf(equal(1000)...)
	p := poolOf(Options{}, backends...)
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		backends[0].SetHealth(1+backends[0].Health()%2, now) // Up, Down, Up, ...
		p.Update(Options{}, backends, now)
	}
}

func BenchmarkKeyOf(b *testing.B) {
	client := netip.MustParseAddrPort("192.0.2.7:40000")
	for _, k := range []HashKey{SourceIP, SourceIPPort, SNI} {
		b.Run(string(k), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				KeyOf(k, client, "db.example.com")
			}
		})
	}
}

func BenchmarkAllowRetry(b *testing.B) {
	p := poolOf(Options{}, backendsOf(1)...)
	b.ReportAllocs()
	for b.Loop() {
		p.AllowRetry(start)
	}
}

// BenchmarkSticky is a client led back to its backend, from all CPUs at once.
func BenchmarkSticky(b *testing.B) {
	for _, n := range []int{2, 10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			backends := backendsOf(equal(n)...)
			limitAll(backends, 1000)
			p := poolOf(Options{Passive: passive}, backends...)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				at := 0
				for pb.Next() {
					if at++; at == n {
						at = 0
					}
					c := p.Find(backends[at].ID())
					if err := p.AcquireThis(c, start); err != nil {
						b.Fatal(err)
					}
					p.Release(c)
				}
			})
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	var set []Child
	for i := range 5 {
		set = append(set, Child{Chooser: namedPool(fmt.Sprint(i), true), Weight: 1 + i})
	}
	for name, c := range map[string]Chooser{"weighted": NewWeighted(set), "highestRandomWeight": NewHighestRandomWeight(set)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			key := uint64(0)
			for b.Loop() {
				key += goldenRatio
				c.Choose(key)
			}
		})
	}
}

func BenchmarkAddFirstByte(b *testing.B) {
	c := backendsOf(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		c.AddFirstByte(time.Millisecond)
	}
}
