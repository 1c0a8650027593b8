package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// sample has one of everything.
func sample() Message {
	return Message{
		From: "lb-1",
		Cells: []Cell{
			{Key: "hk", Observer: "lb-1", Version: Version{300, 1}, Value: []byte{1, 2, 3}},
			{Key: "hl", Observer: "lb-1", Version: Version{300, 2}, Gone: true},
			{Key: "hk", Observer: "lb-2", Version: Version{5, 128}, Value: []byte{}},
		},
		Beacons: []Beacon{{Summary{"lb-1", 300, 2, 0x0102030405060708}, 77, MostFailed}},
		Pull:    Digest{{"lb-2", 5, 128, 0xf000000000000001}, {"lb-3", 0, 0, 0}},
	}
}

// Nodes of every release must read these very bytes, and write them.
func TestMessageGolden(t *testing.T) {
	want := "01" + "046c622d31" + // version, from
		"01" + "14" + "046c622d31ac02" + "01" + "02686b" + "04010203" + "02" + "02686c" + "00" + // cells of lb-1, boot 300
		"01" + "0c" + "046c622d3205" + "8001" + "02686b" + "01" + // cells of lb-2, boot 5
		"02" + "12" + "046c622d31ac02" + "02" + "0102030405060708" + "4d" + "02" + // the beacon
		"03" + "16" + "046c622d32058001f000000000000001" + "046c622d3300" // the question
	if got := hex.EncodeToString(Encode(sample())); got != want {
		t.Errorf("encoded\n%s, want\n%s", got, want)
	}
	b, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Errorf("decoded (-want +got):\n%s", d)
	}
}

func TestDecodeSkips(t *testing.T) {
	b := Encode(Message{From: "lb-1"})
	b = appendSection(b, 99, []byte("of a later release"))
	b = append(b, Encode(sample())[6:]...)
	want := sample()
	want.Skipped = 1
	got, err := Decode(b)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("an unknown section: %v (-want +got):\n%s", err, d)
	}
	got, err = Decode([]byte{wireVersion + 1, 0xff, 0xff})
	if d := cmp.Diff(Message{Skipped: 1}, got); d != "" || err != nil {
		t.Errorf("an unknown version: %v (-want +got):\n%s", err, d)
	}
}

func TestDecodeMalformed(t *testing.T) {
	head := "\x01\x04lb-1"
	section := func(kind byte, body string) string {
		return head + string(appendSection(nil, uint64(kind), []byte(body)))
	}
	tests := []struct {
		name  string
		bytes string
		want  string
	}{
		{"nothing", "", "the version"},
		{"version 0", "\x00", "version 0"},
		{"no sender", "\x01\x00", "no name"},
		{"a sender cut off", "\x01\x04lb", "cut off"},
		{"a sender too long", "\x01\xff\x7f", "at most 255"},
		{"a section cut off", head + "\x01\x05ab", "a section of 5 bytes is cut off"},
		{"a section without length", head + "\x01", "the length of a section is cut off"},
		{"a long form", head + "\x81\x00\x00", "shortest form"},
		{"above 64 bits", head + strings.Repeat("\xff", 10) + "\x01", "above 64 bits"},
		{"cells of nobody", section(1, "\x00\x01\x01\x01k\x01"), "no name"},
		{"cells of no life", section(1, "\x01a\x00\x01\x01k\x01"), "without boot"},
		{"a cell of seq 0", section(1, "\x01a\x01\x00\x01k\x01"), "without boot, seq"},
		{"a cell without key", section(1, "\x01a\x01\x01\x00\x01"), "without boot, seq or key"},
		{"a key too long", section(1, "\x01a\x01\x01\x81\x03"), "the length of a key is 385"},
		{"a value too long", section(1, "\x01a\x01\x01\x01k\x82\x04"), "the length of a value is 514"},
		{"a value cut off", section(1, "\x01a\x01\x01\x01k\x05ab"), "a value of 4 bytes is cut off"},
		{"a cell cut off", section(1, "\x01a\x01\x01"), "the length of a key is cut off"},
		{"a boot too high", section(1, "\x01a"+strings.Repeat("\xff", 9)+"\x01\x01\x01k\x01"), "a boot is"},
		{"a beacon cut off", section(2, "\x01a\x01\x01"), "a hash of 8 bytes is cut off"},
		{"bytes behind a beacon", section(2, "\x01a\x01\x0112345678\x01\x00\x00"), "behind a beacon"},
		{"a summary cut off", section(3, "\x01a\x01\x01123"), "a hash of 8 bytes is cut off"},
		{"too many summaries", section(3, strings.Repeat("\x01a\x00", MaxObservers+1)), "more than 256 summaries"},
		{"too many beacons", head + strings.Repeat("\x02\x05\x01a\x00\x01\x00", MaxMembers+1), "more than 256 beacons"},
		{"too many cells", section(1, "\x01a\x01"+strings.Repeat("\x01\x01k\x00", maxMessageCells+1)),
			"more than 65536 cells"},
		{"too long", head + strings.Repeat("\x00", MaxMessage), "at most 16777216"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Decode([]byte(tt.bytes))
			if !errors.Is(err, ErrMalformed) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
			if d := cmp.Diff(Message{}, m); d != "" {
				t.Errorf("a message comes with the error:\n%s", d)
			}
		})
	}
}

// The whole table of an observer fits into one message, or a question about it could never be answered.
func TestLargestTableFits(t *testing.T) {
	name := strings.Repeat("n", MaxName)
	m := Message{From: name}
	for i := range uint64(MaxCells) {
		m.Cells = append(m.Cells, Cell{
			Key: Key(fmt.Sprintf("%0*d", MaxKey, i)), Observer: name,
			Version: Version{MaxBoot, MaxBoot - i}, Value: make([]byte, MaxValue),
		})
	}
	b := Encode(m)
	if len(b) > MaxMessage {
		t.Fatalf("%d bytes, at most %d", len(b), MaxMessage)
	}
	table := NewTable("reader", 1)
	decoded, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	table.Merge(decoded.Cells, start)
	other := NewTable("other", 1)
	other.Merge([]Cell{{Key: "k", Observer: "small", Version: Version{1, 1}}}, start)
	for range 2 {
		other.Merge(table.Missing(other.Digest([]string{"small", name})), start)
	}
	if got, want := other.Summary(name), table.Summary(name); got != want {
		t.Errorf("after two answers %d, want %d", got.Hash, want.Hash)
	}
}

func drawMessage(t *rapid.T) Message {
	m := Message{From: rapid.StringN(1, 20, MaxName).Draw(t, "from"), Cells: drawCells(t, "cells")}
	for i, c := range m.Cells {
		m.Cells[i].Observer = strings.Repeat(c.Observer, rapid.SampledFrom([]int{1, 1, 200}).Draw(t, "length"))
		if n := rapid.IntRange(0, 9).Draw(t, "size"); n > 6 && !c.Gone {
			m.Cells[i].Value = bytes.Repeat([]byte{byte(i)}, n*MaxValue/9)
		}
	}
	summary := rapid.Custom(func(t *rapid.T) Summary {
		s := Summary{Observer: rapid.StringN(1, 20, MaxName).Draw(t, "observer"),
			Boot: rapid.Uint64Range(0, MaxBoot).Draw(t, "boot")}
		if s.Boot > 0 {
			s.Seq, s.Hash = rapid.Uint64Range(0, MaxBoot).Draw(t, "seq"), rapid.Uint64().Draw(t, "hash")
		}
		return s
	})
	m.Pull = rapid.SliceOfN(summary, 0, 20).Draw(t, "pull")
	for _, s := range rapid.SliceOfN(summary, 0, 20).Draw(t, "beacons") {
		beat, doubt := rapid.Uint64Range(0, MaxBoot).Draw(t, "beat"), Doubt(rapid.Byte().Draw(t, "doubt"))
		m.Beacons = append(m.Beacons, Beacon{s, beat, doubt})
	}
	return m
}

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		got, err := Decode(Encode(want))
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, d)
		}
	})
}

func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		limit := rapid.IntRange(MinPacket, 1400).Draw(t, "limit")
		packets, large := Pack(want, limit)
		got := Message{From: want.From}
		for _, p := range packets {
			if len(p) > limit {
				t.Fatalf("a packet of %d bytes, at most %d", len(p), limit)
			}
			m, err := Decode(p)
			if err != nil || m.From != want.From || m.Empty() {
				t.Fatalf("%v: %+v", err, m)
			}
			got.Cells = append(got.Cells, m.Cells...)
			got.Beacons = append(got.Beacons, m.Beacons...)
			got.Pull = append(got.Pull, m.Pull...)
		}
		for _, c := range large {
			if alone := len(Encode(Message{From: want.From, Cells: []Cell{c}})); alone < limit-2 {
				t.Fatalf("a cell that takes %d bytes alone does not go into %d", alone, limit)
			}
			i := slices.IndexFunc(want.Cells, func(o Cell) bool { return cmp.Equal(o, c) })
			want.Cells = slices.Delete(want.Cells, i, i+1)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

// Small cells fill packets: what split counts is not much more than there is.
func TestPackFills(t *testing.T) {
	var m Message
	m.From = "lb-1"
	for i := range uint64(1000) {
		m.Cells = append(m.Cells, Cell{
			Key: HealthKey(BackendID(i), 1), Observer: "lb-1",
			Version: Version{FirstBoot(start, 0, 1), i + 1}, Value: make([]byte, 8),
		})
	}
	packets, _ := Pack(m, 1300)
	for i, p := range packets[:len(packets)-1] {
		if len(p) < 1260 {
			t.Errorf("packet %d has %d of 1300 bytes", i, len(p))
		}
	}
	t.Logf("%.1f bytes a cell", float64(len(Encode(m)))/1000)
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(sample()))
	f.Add([]byte{1, 1, 'a', 3, 3, 1, 'b', 0})
	f.Add([]byte{2, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		m, err := Decode(b)
		if err != nil || m.From == "" {
			return
		}
		m.Skipped = 0
		again, err := Decode(Encode(m))
		if d := cmp.Diff(m, again, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Fatalf("%v (-once +twice):\n%s", err, d)
		}
		for i := range b {
			b[i] = 0xaa // what is kept was copied
		}
		if !cmp.Equal(m, again, cmpopts.EquateEmpty()) {
			t.Fatal("the message holds on to its bytes")
		}
		tableOf(m.Cells...)
	})
}
