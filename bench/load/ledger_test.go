package load

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLedgerAnswers(t *testing.T) {
	tests := []struct {
		name    string
		asked   int
		expired bool
		answers []uint32
		want    []verdict
		open    int
	}{
		{name: "in order", asked: 3, answers: []uint32{0, 1, 2}, want: []verdict{fresh, fresh, fresh}},
		{name: "one overtaken", asked: 3, answers: []uint32{2, 0, 1}, want: []verdict{fresh, overtaken, overtaken}},
		{name: "doubled", asked: 2, answers: []uint32{0, 0}, want: []verdict{fresh, duplicate}, open: 1},
		{name: "nobody asked", asked: 2, answers: []uint32{2, 1 << 31}, want: []verdict{unexpected, unexpected}, open: 2},
		{name: "before any question", answers: []uint32{0}, want: []verdict{unexpected}},
		{name: "given up", asked: 2, expired: true, answers: []uint32{1, 1}, want: []verdict{late, duplicate}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(4)
			for i := range tt.asked {
				if n := l.ask(time.Second); n != uint32(i) {
					t.Fatalf("number %d, want %d", n, i)
				}
			}
			if tt.expired && l.expire(time.Second+1) != tt.asked {
				t.Fatal("not all were given up")
			}
			var got []verdict
			for _, n := range tt.answers {
				v, took := l.answer(n, 3*time.Second)
				got = append(got, v)
				if known := v != unexpected && v != duplicate; known != (took == 2*time.Second) {
					t.Errorf("verdict %d after %v", v, took)
				}
			}
			if !slices.Equal(got, tt.want) || l.open != tt.open {
				t.Errorf("verdicts %v with %d open, want %v with %d", got, l.open, tt.want, tt.open)
			}
		})
	}
}

func TestLedgerGivesUpTheOldOnly(t *testing.T) {
	l := newLedger(4)
	l.ask(1)
	l.ask(2)
	l.answer(0, 2)
	l.ask(3)
	if given := l.expire(3); given != 1 || l.open != 1 {
		t.Errorf("%d given up, %d open", given, l.open)
	}
	if given := l.expire(3); given != 0 {
		t.Errorf("%d given up again", given)
	}
}

// A question that stays open does not keep the others of its flow from going
// on, and its number is not used for another.
func TestLedgerGoesRoundAnOpenQuestion(t *testing.T) {
	l := newLedger(2)
	kept := l.ask(0)
	for range 10 * len(l.ring) {
		n := l.ask(0)
		if l.at(n) == l.at(kept) {
			t.Fatalf("number %d takes the place of %d", n, kept)
		}
		if v, _ := l.answer(n, 0); v != fresh {
			t.Fatalf("verdict %d", v)
		}
	}
	if v, _ := l.answer(kept, 0); v != overtaken || l.open != 0 {
		t.Errorf("verdict %d, %d open", v, l.open)
	}
	if v, _ := l.answer(1, 0); v != forgotten {
		t.Errorf("verdict %d on a number of long ago", v)
	}
}

func TestLedgerForgetsWhatIsPushedOut(t *testing.T) {
	l := newLedger(1)
	for range len(l.ring) + 1 {
		l.push(0)
	}
	if v, _ := l.answer(0, 0); v != forgotten || l.open != len(l.ring) {
		t.Errorf("verdict %d, %d open", v, l.open)
	}
	if v, _ := l.answer(1, 0); v != fresh {
		t.Errorf("verdict %d", v)
	}
}

// Whatever happens, what is open is what was asked and neither answered nor
// given up.
func TestLedgerCountsWhatIsOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(rapid.IntRange(1, 8).Draw(t, "n"))
		open := map[uint32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(t *rapid.T) {
				if l.open < len(l.ring)/4 {
					open[l.ask(1)] = true
				}
			},
			"answer": func(t *rapid.T) {
				n := rapid.Uint32Range(0, l.next+2).Draw(t, "number")
				v, _ := l.answer(n, 2)
				if (v == fresh || v == overtaken) != open[n] {
					t.Errorf("verdict %d on %d, open: %v", v, n, open[n])
				}
				delete(open, n)
			},
			"expire": func(t *rapid.T) {
				if given := l.expire(2); given != len(open) {
					t.Errorf("%d given up of %d", given, len(open))
				}
				clear(open)
			},
			"": func(t *rapid.T) {
				if l.open != len(open) {
					t.Errorf("%d open, want %d", l.open, len(open))
				}
			},
		})
	})
}

func TestArrivals(t *testing.T) {
	tests := []struct {
		name    string
		numbers []uint32
		want    []verdict
	}{
		{name: "in order", numbers: []uint32{0, 1, 2}, want: []verdict{fresh, fresh, fresh}},
		{name: "gaps are no business of the receiver", numbers: []uint32{5, 900}, want: []verdict{fresh, fresh}},
		{name: "overtaken", numbers: []uint32{1, 0, 0}, want: []verdict{fresh, overtaken, duplicate}},
		{name: "doubled", numbers: []uint32{3, 3}, want: []verdict{fresh, duplicate}},
		{name: "as far back as it sees", numbers: []uint32{0, 63, 0}, want: []verdict{fresh, fresh, duplicate}},
		{name: "too far back to tell", numbers: []uint32{0, 64, 0}, want: []verdict{fresh, fresh, overtaken}},
		{name: "a leap over all it sees", numbers: []uint32{0, 1 << 31, 1<<31 - 1}, want: []verdict{fresh, fresh, overtaken}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a arrivals
			var got []verdict
			for _, n := range tt.numbers {
				got = append(got, a.note(n))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
