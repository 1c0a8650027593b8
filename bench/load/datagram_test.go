package load

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestDatagramsCheck(t *testing.T) {
	tests := []struct {
		name string
		kind Datagrams
		ok   bool
	}{
		{name: "smallest", kind: Datagrams{Size: preamble}, ok: true},
		{name: "largest", kind: Datagrams{Size: MaxDatagram}, ok: true},
		{name: "queries need no size", kind: Datagrams{DNS: true}, ok: true},
		{name: "one way", kind: Datagrams{Size: 200, OneWay: true}, ok: true},
		{name: "trains", kind: Datagrams{Size: 1000, Train: maxTrain}, ok: true},
		{name: "no room for the numbers", kind: Datagrams{Size: preamble - 1}},
		{name: "larger than a frame", kind: Datagrams{Size: MaxDatagram + 1}},
		{name: "too many in a train", kind: Datagrams{Size: 12, Train: maxTrain + 1}},
		{name: "too much in a train", kind: Datagrams{Size: 1400, Train: 47}},
		{name: "less than one", kind: Datagrams{Size: 12, Train: -1}},
		{name: "queries without answers", kind: Datagrams{DNS: true, OneWay: true}},
		{name: "trains one way", kind: Datagrams{Size: 12, OneWay: true, Train: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.kind.check(); (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What is written is read again, and an answer with any bit changed is wrong,
// or one of another datagram that was asked, which the caller finds out.
func TestScriptTellsItsAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]Datagrams{{Size: preamble}, {Size: 64}, {Size: MaxDatagram}, {DNS: true}}).Draw(t, "kind")
		flow, number := rapid.Uint32().Draw(t, "flow"), rapid.Uint32().Draw(t, "number")
		s := newScript(kind, rapid.Uint64().Draw(t, "seed"))
		b := make([]byte, MaxDatagram)
		b = b[:s.write(b, flow, number)]
		if kind.DNS {
			if _, _, err := s.read(b); !errors.Is(err, errWrong) {
				t.Errorf("a query is taken for its answer: %v", err)
			}
			answerQuery(b)
		}
		f, n, err := s.read(b)
		if err != nil || f != flow || n != number {
			t.Fatalf("flow %d, number %d, %v; want %d and %d", f, n, err, flow, number)
		}
		if _, _, err := s.read(b[:len(b)-1]); !errors.Is(err, errWrong) {
			t.Errorf("cut short: %v", err)
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		f, n, err = s.read(b)
		if err == nil && f == flow && n == number {
			t.Errorf("a changed answer passes: % x", b)
		}
	})
}

// The ids of queries are not those of the datagrams before them.
func TestQueryIDsDiffer(t *testing.T) {
	const n = 4096
	ids := make(map[uint16]bool)
	s := newScript(Datagrams{DNS: true}, 7)
	for i := range uint32(n) {
		ids[s.id(i%8, i)] = true
	}
	// Of 4096 random ones about 3970 differ.
	if len(ids) < n*9/10 {
		t.Errorf("%d different ids of %d", len(ids), n)
	}
}

func FuzzScriptRead(f *testing.F) {
	kinds := []Datagrams{{Size: 64}, {DNS: true}}
	for _, kind := range kinds {
		b := make([]byte, MaxDatagram)
		f.Add(b[:newScript(kind, 0).write(b, 1, 2)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range kinds {
			s := newScript(kind, 0)
			flow, number, err := s.read(b)
			if err != nil {
				continue
			}
			want := make([]byte, MaxDatagram)
			want = want[:s.write(want, flow, number)]
			if kind.DNS {
				answerQuery(want)
			}
			if string(want) != string(b) {
				t.Errorf("% x passes for % x", b, want)
			}
		}
	})
}
