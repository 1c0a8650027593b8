package cluster

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var sameAddr = cmpopts.EquateComparable(netip.AddrPort{})

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func drain(service, backend string, on bool) Command {
	c := Command{Target: Target{Service: service}, Aspect: Drain, On: on, By: "anna"}
	if backend != "" {
		c.Backend = addr(backend)
	}
	return c
}

func weight(service, backend string, value int) Command {
	c := drain(service, backend, true)
	c.Aspect, c.Value = Weight, value
	return c
}

// issue gives a command at a node and returns the cell by which the others learn of it.
func issue(t *testing.T, cs *Commands, c Command, now time.Time) Cell {
	t.Helper()
	c, err := cs.Issue(c, now)
	if err != nil {
		t.Fatal(err)
	}
	key, value := c.Cell()
	return Cell{Key: key, Observer: c.Stamp.Node, Version: Version{1, 1}, Value: value}
}

func TestOrders(t *testing.T) {
	cs := NewCommands("lb-1", nil)
	for _, c := range []Command{
		drain("all", "", true), drain("one", "10.0.0.1:80", true), weight("one", "10.0.0.1:80", 3),
		weight("both", "", 5), weight("both", "[::ffff:10.0.0.1]:80", 0), drain("back", "", true), drain("back", "", false),
		weight("one", "10.0.0.1:80", 4),
	} {
		issue(t, cs, c, start)
	}
	tests := []struct {
		service, backend string
		drained          bool
		weight           int
		weighed          bool
		commands         int
	}{
		{"all", "10.0.0.9:80", true, 0, false, 1},
		{"one", "10.0.0.1:80", true, 4, true, 2},
		{"one", "10.0.0.2:80", false, 0, false, 0},
		{"both", "10.0.0.1:80", false, 0, true, 2},
		{"both", "10.0.0.2:80", false, 5, true, 1},
		{"back", "10.0.0.1:80", false, 0, false, 0},
		{"unknown", "10.0.0.1:80", false, 0, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.service+" "+tt.backend, func(t *testing.T) {
			o := cs.Order(tt.service, addr(tt.backend))
			if o.Drained != tt.drained || o.Weight != tt.weight || o.Weighed != tt.weighed || len(o.By) != tt.commands {
				t.Errorf("%+v", o)
			}
		})
	}
}

func TestIssueRefuses(t *testing.T) {
	cs := NewCommands("lb-1", nil)
	many := NewCommands("lb-1", nil)
	for i := range MaxCommands {
		issue(t, many, drain(fmt.Sprint("s", i), "", true), start)
	}
	odd := drain("s", "", true)
	odd.Aspect = 'x'
	long := drain("s", "", true)
	long.By = strings.Repeat("a", maxWho+1)
	heavyDrain := drain("s", "", true)
	heavyDrain.Value = 1
	tests := []struct {
		name string
		cs   *Commands
		c    Command
		want error
	}{
		{"no service", cs, drain("", "10.0.0.1:80", true), ErrCommand},
		{"a service with a zero byte", cs, drain("a\x00b", "", true), ErrCommand},
		{"a service that is no text", cs, drain("a\xff", "", true), ErrCommand},
		{"a long service", cs, drain(strings.Repeat("s", MaxKey), "", true), ErrCommand},
		{"another aspect", cs, odd, ErrCommand},
		{"a long name", cs, long, ErrCommand},
		{"a negative weight", cs, weight("s", "", -1), ErrCommand},
		{"a large weight", cs, weight("s", "", MaxWeight+1), ErrCommand},
		{"a drain with a weight", cs, heavyDrain, ErrCommand},
		{"too many", many, drain("one more", "", true), ErrTooMany},
		{"one of many", many, drain("s7", "", false), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.cs.Issue(tt.c, start); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// Nodes that have seen the same commands, in whatever order and however often, hold the same.
func TestCommandsConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stamp := rapid.Custom(func(t *rapid.T) Stamp {
			return Stamp{start.UnixMilli() + rapid.Int64Range(0, 2).Draw(t, "wall"), rapid.Uint32Range(0, 1).Draw(t, "count"),
				rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node")}
		})
		log := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Cell {
			c := drain(rapid.SampledFrom([]string{"s", "t"}).Draw(t, "service"), "", rapid.Bool().Draw(t, "on"))
			c.Stamp = stamp.Draw(t, "stamp")
			key, value := c.Cell()
			return Cell{Key: key, Observer: "x", Value: value}
		}), 0, 20).Draw(t, "log")
		one, two := NewCommands("lb-1", nil), NewCommands("lb-2", nil)
		if _, err := one.Absorb(log, start); err != nil {
			t.Fatal(err)
		}
		for _, c := range rapid.Permutation(append(slices.Clone(log), log...)).Draw(t, "mixed") {
			if _, err := two.Absorb([]Cell{c}, start); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(one.All(), two.All(), sameAddr); d != "" {
			t.Fatalf("they differ:\n%s", d)
		}
	})
}

// Whoever has seen a command can overrule it, though its clock be an hour late; and what a clock says that is days ahead is
// refused.
func TestCommandsAndClocks(t *testing.T) {
	fast, slow := NewCommands("fast", nil), NewCommands("slow", nil)
	early := issue(t, fast, drain("s", "", true), after(time.Hour))
	if news, err := slow.Absorb([]Cell{early}, after(-time.Hour)); err != nil || len(news) != 1 {
		t.Fatalf("two hours ahead: %v, %v", news, err)
	}
	back := issue(t, slow, drain("s", "", false), after(-time.Hour))
	if news, err := fast.Absorb([]Cell{back}, after(time.Hour)); err != nil || len(news) != 1 ||
		fast.Order("s", addr("10.0.0.1:80")).Drained {
		t.Errorf("the later command loses: %v, %v", news, err)
	}
	if news, err := slow.Absorb([]Cell{early}, after(-time.Hour)); err != nil || news != nil {
		t.Errorf("the earlier comes again: %v, %v", news, err)
	}
	wrong := issue(t, NewCommands("wrong", nil), drain("t", "", true), after(25*time.Hour))
	good := issue(t, NewCommands("good", nil), drain("u", "", true), start)
	news, err := slow.Absorb([]Cell{wrong, good, {Key: "other", Value: []byte("x")}, {Key: wrong.Key, Gone: true}}, start)
	if !errors.Is(err, ErrAhead) || !strings.Contains(fmt.Sprint(err), "made on wrong") || len(news) != 1 ||
		news[0].Service != "u" {
		t.Errorf("25 hours ahead: %v, %v", news, err)
	}
	broken := good
	broken.Value = broken.Value[:3]
	if news, err := slow.Absorb([]Cell{broken}, start); !errors.Is(err, ErrMalformed) || news != nil {
		t.Errorf("cut off: %v, %v", news, err)
	}
}

func TestClock(t *testing.T) {
	c := Clock{node: "a"}
	var last Stamp
	for i, now := range []time.Time{start, start, after(-time.Hour), after(time.Millisecond), time.Time{}, after(time.Hour)} {
		if next := c.Next(now); next.Compare(last) <= 0 || !next.valid() {
			t.Errorf("stamp %d: %+v is not after %+v", i, next, last)
		} else {
			last = next
		}
	}
	c.last.Count = 1<<32 - 1
	if next := c.Next(start); next.Compare(last) <= 0 || next.Wall != last.Wall+1 {
		t.Errorf("after the last count comes %+v", next)
	}
}

func TestSweep(t *testing.T) {
	cs := NewCommands("lb-1", nil)
	off := issue(t, cs, drain("off", "", false), start)
	issue(t, cs, drain("on", "", true), start)
	if keys := cs.Sweep(after(OffLife)); keys != nil {
		t.Errorf("swept %q in its life", keys)
	}
	if d := cmp.Diff([]Key{off.Key}, cs.Sweep(after(OffLife+time.Second))); d != "" {
		t.Errorf("swept (-want +got):\n%s", d)
	}
	if news, err := cs.Absorb([]Cell{off}, after(OffLife+time.Second)); news != nil || err != nil {
		t.Errorf("a copy of another brings it back: %v, %v", news, err)
	}
	if all := cs.All(); len(all) != 1 || all[0].Service != "on" {
		t.Errorf("left %v", all)
	}
}

func TestAcks(t *testing.T) {
	r := newReplica(t, "a", "b", "c", "d")
	cs := NewCommands("a", nil)
	own, old := issue(t, cs, drain("s", "", true), start), issue(t, NewCommands("x", nil), drain("s", "", false),
		after(-time.Second))
	c := cs.All()[0]
	copied := func(of Cell, observer string, boot uint64) Cell {
		of.Observer, of.Version = observer, Version{boot, 1}
		return of
	}
	if err := r.Set(own.Key, own.Value, start); err != nil {
		t.Fatal(err)
	}
	later := issue(t, cs, drain("s", "", false), after(time.Second))
	r.Receive(Message{From: "b", Cells: []Cell{copied(later, "b", 3), copied(old, "c", 3), copied(own, "d", 3)},
		Beacons: []Beacon{{Summary: Summary{"b", 3, 1, 0}, Beat: 1}, {Summary: Summary{"c", 3, 1, 0}, Beat: 1}}}, start)
	r.Join("d", 4) // a copy of a former life
	acks := r.Table().Acks(c, r.Members())
	if d := cmp.Diff(Acks{Holders: []string{"a", "b"}, Missing: []string{"c", "d"}}, acks); d != "" ||
		acks.String() != "acked 2/4" {
		t.Errorf("%s (-want +got):\n%s", acks, d)
	}
}

// Nodes of every release must read this value, and write it.
func TestCommandGolden(t *testing.T) {
	c := weight("orders", "10.0.0.1:5432", 300)
	c.Stamp = Stamp{1, 2, "lb-1"}
	key, value := c.Cell()
	if want := Key("oworders\x0010.0.0.1:5432"); key != want {
		t.Errorf("key %q, want %q", key, want)
	}
	if got, want := hex.EncodeToString(value), "0102"+"046c622d31"+"01"+"ac02"+"04616e6e61"; got != want {
		t.Errorf("value %s, want %s", got, want)
	}
	got, err := ParseCommand(key, append(value, "of a later release"...))
	if d := cmp.Diff(c, got, sameAddr); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	for _, bad := range []struct{ key, value string }{
		{"", string(value)}, {"h" + string(key), string(value)}, {"ow", string(value)}, {"owa\x00nowhere", string(value)},
		{"owa\x00[::ffff:10.0.0.1]:80", string(value)}, {"owa", string(value)}, {"oxa\x00", string(value)}, {string(key), ""},
		{string(key), "\x00" + string(value[1:])}, {"oda\x00", string(value)}, {string(key), string(value[:len(value)-1])},
	} {
		if c, err := ParseCommand(Key(bad.key), []byte(bad.value)); err == nil {
			t.Errorf("%q %q is %+v", bad.key, bad.value, c)
		}
	}
}

// The state file of this release.
const savedGolden = `{
  "format": 1,
  "boot": 117682657559355126,
  "commands": [
    {
      "what": "drain",
      "service": "orders",
      "on": true,
      "by": "anna",
      "stamp": {
        "wall": 1795694400000,
        "count": 0,
        "node": "lb-1"
      }
    },
    {
      "what": "weight",
      "service": "orders",
      "backend": "10.0.0.1:5432",
      "on": true,
      "weight": 3,
      "by": "anna",
      "stamp": {
        "wall": 1795694400000,
        "count": 1,
        "node": "lb-1"
      }
    }
  ]
}
`

func TestSaved(t *testing.T) {
	cs := NewCommands("lb-1", nil)
	issue(t, cs, drain("orders", "", true), start)
	issue(t, cs, weight("orders", "10.0.0.1:5432", 3), start)
	want := Saved{Boot: 117682657559355126, Commands: cs.All()}
	b, err := want.Encode()
	if d := cmp.Diff(savedGolden, string(b)); d != "" || err != nil {
		t.Errorf("file: %v (-want +got):\n%s", err, d)
	}
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeSaved(b)
	if d := cmp.Diff(want, got, sameAddr); d != "" || err != nil {
		t.Errorf("read again: %v (-want +got):\n%s", err, d)
	}

	// The next life continues, also if the clock went back.
	again := NewCommands("lb-1", got.Commands)
	if !again.Order("orders", addr("10.0.0.9:1")).Drained {
		t.Error("the drain is lost")
	}
	issue(t, again, drain("orders", "", false), after(-time.Hour))
	if again.Order("orders", addr("10.0.0.9:1")).Drained {
		t.Error("after the restart nothing can be taken back")
	}
}

func TestDecodeSavedRefuses(t *testing.T) {
	replace := func(old, new string) string {
		s := strings.Replace(savedGolden, old, new, 1)
		if s == savedGolden {
			t.Fatalf("%q is not in the file", old)
		}
		return s
	}
	tests := map[string]string{
		"nothing":             "",
		"cut off":             savedGolden[:len(savedGolden)/2],
		"a later format":      replace(`"format": 1`, `"format": 2`),
		"a boot too high":     replace("117682657559355126", "18446744073709551615"),
		"another aspect":      replace(`"drain"`, `"explode"`),
		"no service":          replace(`"service": "orders"`, `"service": ""`),
		"no address":          replace("10.0.0.1:5432", "nowhere"),
		"a weight too large":  replace(`"weight": 3`, `"weight": 3000000`),
		"a negative weight":   replace(`"weight": 3`, `"weight": -3`),
		"a stamp of nobody":   replace(`"node": "lb-1"`, `"node": ""`),
		"a stamp of no time":  replace(`"wall": 1795694400000`, `"wall": 0`),
		"more than it may be": strings.Repeat(" ", maxSaved) + savedGolden,
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			if s, err := DecodeSaved([]byte(tests[name])); !errors.Is(err, ErrSaved) {
				t.Errorf("%+v, error %v", s, err)
			}
		})
	}
	if _, err := DecodeSaved([]byte(replace(`"on": true`, `"on": true, "later": "release"`))); err != nil {
		t.Errorf("a field of a later release: %v", err)
	}
}

func FuzzParseCommand(f *testing.F) {
	key, value := Command{Target: Target{Service: "s", Backend: addr("[::1]:1")}, Aspect: Weight, On: true, Value: 5,
		Stamp: Stamp{1, 0, "a"}}.Cell()
	f.Add(string(key), value)
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		c, err := ParseCommand(Key(key), value)
		if err != nil {
			return
		}
		againKey, againValue := c.Cell()
		again, err := ParseCommand(againKey, againValue)
		if d := cmp.Diff(c, again, sameAddr); d != "" || err != nil || string(againKey) != key {
			t.Fatalf("key %q became %q; %v\n%s", key, againKey, err, d)
		}
	})
}

func FuzzDecodeSaved(f *testing.F) {
	f.Add([]byte(savedGolden))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeSaved(b)
		if err != nil {
			return
		}
		b, err = s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSaved(b)
		if d := cmp.Diff(s, again, sameAddr); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

// Who orders again what stands asks for news of it; an order of its own would begin to be acknowledged anew.
func TestIssueTwice(t *testing.T) {
	c := NewCommands("a", nil)
	drain := Command{Target: Target{Service: "web"}, Aspect: Drain, On: true, By: "x"}
	first, err := c.Issue(drain, start)
	if err != nil {
		t.Fatal(err)
	}
	drain.By = "y"
	again, err := c.Issue(drain, after(time.Hour))
	if err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	drain.On = false
	if off, err := c.Issue(drain, after(time.Hour)); err != nil || off.Stamp.Compare(first.Stamp) <= 0 {
		t.Errorf("taken back: %+v, %v", off, err)
	}
}
