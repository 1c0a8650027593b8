package trace

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aSpan   = "b7ad6b7169203331"
	aParent = "00-" + aTrace + "-" + aSpan + "-01"
)

func TestParseParent(t *testing.T) {
	tests := []struct {
		name, in, want string // what is sent on for the same span; empty = it is none
	}{
		{"sampled", aParent, aParent},
		{"not sampled", "00-" + aTrace + "-" + aSpan + "-00", "00-" + aTrace + "-" + aSpan + "-00"},
		{"random", "00-" + aTrace + "-" + aSpan + "-03", "00-" + aTrace + "-" + aSpan + "-03"},
		{"reserved flags", "00-" + aTrace + "-" + aSpan + "-fd", "00-" + aTrace + "-" + aSpan + "-01"},
		{"a later version", "cc-" + aTrace + "-" + aSpan + "-03", aParent},
		{"a later version with more", "cc-" + aTrace + "-" + aSpan + "-01-what-the-future-brings", aParent},
		{"a later version with more that is not apart", "cc-" + aTrace + "-" + aSpan + "-01.what", ""},
		{"a later version that ends with a dash", "01-" + aTrace + "-" + aSpan + "-01-", aParent},
		{"version 00 with more", aParent + "-what", ""},
		{"version 00 with a dash", aParent + "-", ""},
		{"version ff", "ff-" + aTrace + "-" + aSpan + "-01", ""},
		{"version in capitals", "CC-" + aTrace + "-" + aSpan + "-01", ""},
		{"trace in capitals", "00-" + strings.ToUpper(aTrace) + "-" + aSpan + "-01", ""},
		{"span in capitals", "00-" + aTrace + "-" + strings.ToUpper(aSpan) + "-01", ""},
		{"no digit in the flags", "00-" + aTrace + "-" + aSpan + "-0x", ""},
		{"no digit in the trace", "00-" + strings.Repeat("g", 32) + "-" + aSpan + "-01", ""},
		{"trace of nothing", "00-" + strings.Repeat("0", 32) + "-" + aSpan + "-01", ""},
		{"span of nothing", "00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"short flags", "00-" + aTrace + "-" + aSpan + "-1", ""},
		{"a dash elsewhere", "00-" + aTrace + aSpan + "--01", ""},
		{"other dashes", "00_" + aTrace + "_" + aSpan + "_01", ""},
		{"nothing", "", ""},
		{"space before", " " + aParent, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, ok := ParseParent([]byte(tt.in))
			if got := string(c.AppendParent(nil)); ok && got != tt.want || ok != (tt.want != "") {
				t.Errorf("%q: %v %s, want %s", tt.in, ok, got, tt.want)
			}
			if !ok && c != (Context{}) {
				t.Errorf("%q is refused and leaves %v", tt.in, c)
			}
		})
	}
}

// members are n members whose values have a length.
func members(n, length int) string {
	var list []string
	for i := range n {
		list = append(list, "k"+string(rune('a'+i/26))+string(rune('a'+i%26))+"="+strings.Repeat("v", length))
	}
	return strings.Join(list, ",")
}

func TestCleanState(t *testing.T) {
	long := "long=" + strings.Repeat("x", 200)
	tests := []struct {
		name   string
		fields []string
		want   string
		bad    bool
	}{
		{"nothing", nil, "", false},
		{"one", []string{"rojo=00f067aa0ba902b7"}, "rojo=00f067aa0ba902b7", false},
		{"two in one field", []string{"rojo=1, congo=2"}, "rojo=1,congo=2", false},
		{"two fields", []string{"rojo=1", "congo=2"}, "rojo=1,congo=2", false},
		{"empty members", []string{",, rojo=1 ,\t,", "", "congo=2,"}, "rojo=1,congo=2", false},
		{"of a tenant", []string{"fw529a3039@dt=FfYAAAAA"}, "fw529a3039@dt=FfYAAAAA", false},
		{"all that a key may have", []string{"0a_-*/@z=1"}, "0a_-*/@z=1", false},
		{"spaces in a value", []string{"a= b c"}, "a= b c", false},
		{"one key begins like another", []string{"ab=1,a=2,abc=3"}, "ab=1,a=2,abc=3", false},
		{"a key twice", []string{"a=1,b=2", "a=3"}, "", true},
		{"no value", []string{"a=1,b="}, "", true},
		{"no equals sign", []string{"a=1,b"}, "", true},
		{"no key", []string{"=1"}, "", true},
		{"two equals signs", []string{"a=1=2"}, "", true},
		{"a key in capitals", []string{"A=1"}, "", true},
		{"a key with a space", []string{"a =1"}, "", true},
		{"a key with a strange beginning", []string{"_a=1"}, "", true},
		{"a value that is not ASCII", []string{"a=\xc3\xbc"}, "", true},
		{"a value with a tab", []string{"a=b\tc"}, "", true},
		{"a key as long as may be", []string{strings.Repeat("a", 256) + "=1"}, strings.Repeat("a", 256) + "=1", false},
		{"a longer key", []string{strings.Repeat("a", 257) + "=1"}, "", true},
		{"a value as long as may be", []string{"a=" + strings.Repeat("b", 256)}, "a=" + strings.Repeat("b", 256), false},
		{"a longer value", []string{"a=" + strings.Repeat("b", 257)}, "", true},
		{"as many as may be", []string{members(32, 1)}, members(32, 1), false},
		{"more", []string{members(33, 1)}, "", true},
		{"as long as all may be", []string{members(4, 124) + ",a"}, "", true},
		{"512 bytes", []string{members(3, 124) + "," + "last=" + strings.Repeat("z", 120)}, members(3, 124) + ",last=" + strings.Repeat("z", 120), false},
		{"the long one goes first", []string{long + "," + members(20, 20)}, members(20, 20), false},
		{"the long one in the middle", []string{"a=1," + long + "," + members(16, 20)}, "a=1," + members(16, 20), false},
		{"then the last ones", []string{members(30, 20)}, members(20, 20), false},
		{"of two long ones the last", []string{"a=" + strings.Repeat("a", 250) + ",b=" + strings.Repeat("b", 250) + ",c=" + strings.Repeat("c", 100)},
			"a=" + strings.Repeat("a", 250) + ",c=" + strings.Repeat("c", 100), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := CleanState([]byte(strings.Join(tt.fields, ",")))
			if ok == tt.bad || string(got) != tt.want {
				t.Errorf("%q: %v %q, want %q", tt.fields, ok, got, tt.want)
			}
		})
	}
}

// TestNamesDiffer: what two makers make, and one makes twice, is never alike.
func TestNamesDiffer(t *testing.T) {
	a, b := NewNames([32]byte{1}), NewNames([32]byte{2})
	traces, spans := map[ID]bool{}, map[SpanID]bool{}
	for range 1000 {
		for _, n := range []Names{a, b} {
			traces[n.Trace()], spans[n.Span()] = true, true
		}
	}
	if len(traces) != 2000 || len(spans) != 2000 || traces[ID{}] || spans[SpanID{}] {
		t.Errorf("%d traces and %d spans have names of their own, not 2000", len(traces), len(spans))
	}
}

func TestSampler(t *testing.T) {
	names := NewNames([32]byte{7})
	for rate, want := range map[float64][2]int{0: {0, 0}, 1: {10000, 10000}, 0.25: {2300, 2700}, -3: {0, 0}, 7: {10000, 10000}} {
		s, taken := NewSampler(rate), 0
		for range 10000 {
			if s.Takes(names.Trace()) {
				taken++
			}
		}
		if taken < want[0] || taken > want[1] {
			t.Errorf("a rate of %v takes %d of 10000", rate, taken)
		}
	}
	if s := NewSampler(0.5); !s.Takes(ID{8: 0xbf}) || s.Takes(ID{8: 0xc0}) {
		t.Error("the bits that decide are not the lowest 63")
	}
}

func TestNoAllocation(t *testing.T) {
	names, buf := NewNames([32]byte{}), make([]byte, 0, 1024)
	state := []byte(members(10, 10))
	if n := testing.AllocsPerRun(100, func() {
		c, ok := ParseParent([]byte(aParent))
		c.Span = names.Span()
		buf = c.AppendParent(buf[:0])
		if _, good := CleanState(state); !ok || !good {
			t.Fatal("refused")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParent: what is taken is sent on in a form that everybody takes, and says the same.
func FuzzParent(f *testing.F) {
	f.Add([]byte(aParent))
	f.Add([]byte("cc-" + aTrace + "-" + aSpan + "-01-x"))
	f.Add([]byte("00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, ok := ParseParent(in)
		if !ok {
			return
		}
		out := c.AppendParent(nil)
		if again, ok := ParseParent(out); !ok || again != c || len(out) != parentSize {
			t.Errorf("%q is sent on as %q, which is %v %v", in, out, ok, again)
		}
		if !bytes.Equal(in[2:flagsAt], out[2:flagsAt]) {
			t.Errorf("%q is sent on as %q", in, out)
		}
	})
}

// FuzzState: what is made of any two fields is within the limits, made of members that came, in their order, and good.
func FuzzState(f *testing.F) {
	f.Add([]byte("rojo=1, congo=2"), []byte("a@b=3"))
	f.Add([]byte(members(20, 30)), []byte(",x= y ,"))
	f.Add([]byte(members(2, 200)), []byte(strings.Replace(members(3, 100), "k", "l", -1)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		joined := slices.Concat(a, []byte{','}, b)
		out, ok := CleanState(slices.Clone(joined))
		if !ok {
			if len(out) > 0 {
				t.Fatalf("refused, and %q is left", out)
			}
			return
		}
		if len(out) > maxState || bytes.Count(out, []byte{','}) >= maxMembers {
			t.Fatalf("%q is beyond the limits", out)
		}
		came := slices.Collect(bytes.SplitSeq(joined, []byte{','}))
		for member := range bytes.SplitSeq(out, []byte{','}) {
			at := slices.IndexFunc(came, func(m []byte) bool { return bytes.Equal(bytes.Trim(m, " \t"), member) })
			if at < 0 && len(out) > 0 {
				t.Fatalf("%q in %q did not come, or not in this place", member, out)
			}
			came = came[at+1:]
		}
		if again, ok := CleanState(slices.Clone(out)); !ok || !bytes.Equal(again, out) {
			t.Fatalf("%q becomes %q, %v", out, again, ok)
		}
	})
}
