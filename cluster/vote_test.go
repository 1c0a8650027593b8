package cluster

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReportGolden(t *testing.T) {
	tests := []struct {
		name   string
		report Report
		want   string
	}{
		{"all of it", Report{Down, 90 * time.Second, 300 * time.Millisecond, 7, 2, Late},
			"06" + "01" + "90bf05" + "ac02" + "07" + "02"},
		{"not probed", Report{Up, time.Second, -1, 0, 0, Sure}, "01" + "00" + "e807" + "00" + "00"},
		{"nothing", Report{Age: -1}, "0000000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.report.Append(nil)
			if got := hex.EncodeToString(b); got != tt.want {
				t.Errorf("written %s, want %s", got, tt.want)
			}
			got, err := ParseReport(append(b, "of a later release"...))
			if d := cmp.Diff(tt.report, got); d != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
		})
	}
	huge := Report{State: Down, For: 1 << 62, Age: 1 << 62, Streak: 1 << 62, Failures: -1}
	got, err := ParseReport(huge.Append(nil))
	longest := maxReported * time.Millisecond
	if want := (Report{Down, longest, longest, maxReported, 0, Sure}); got != want || err != nil {
		t.Errorf("a huge report becomes %+v, %v", got, err)
	}
	if got, err := ParseReport([]byte{3, 99, 0, 0, 0}); got.State != Unknown || err != nil ||
		got.Doubt.String() != "doubts itself" {
		t.Errorf("a later state and doubt become %+v, %v", got, err)
	}
	for _, bad := range []string{"", "\x01", "\x05\x00\x01", "\x01\x00\x80\x00\x00\x00", "\x01\x00\x01\x01"} {
		if r, err := ParseReport([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is %+v, %v", bad, r, err)
		}
	}
}

// What a node reports is what it saw, never what it was told.
func TestEvidenceReport(t *testing.T) {
	tests := []struct {
		name string
		e    Evidence
		want Report
	}{
		{"nothing seen", Evidence{}, Report{Age: -1}},
		{"on duty, up", Evidence{Probe: Up, Since: after(-time.Minute), Probed: after(-time.Second), Streak: 9},
			Report{State: Up, For: time.Minute, Age: time.Second, Streak: 9}},
		{"on duty, one failure", Evidence{Probe: Up, Probed: after(-time.Second), ProbeFailed: true, Streak: 1},
			Report{State: Down, Age: time.Second, Streak: 1}},
		{"on duty, down", ownProof(), Report{State: Down, Age: time.Second}},
		{"up, but a connection failed", Evidence{Probe: Up, Probed: after(-time.Second), Failures: 1, Failed: start},
			Report{State: Down, Age: time.Second, Failures: 1}},
		{"up, but a connection failed before", Evidence{Probe: Up, Probed: start, Failures: 1, Failed: after(-time.Second)},
			Report{State: Up, Failures: 1}},
		{"a look failed", ownFailure(), Report{State: Down, Age: time.Second}},
		{"a look succeeded", ownSuccess(), Report{State: Up, Age: time.Second}},
		{"a look is old", old(ownFailure()), Report{Age: time.Hour + time.Second}},
		{"connections work", Evidence{Served: start}, Report{State: Up, Age: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, tt.e.Report(Sure, Options{}, start)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	if r := ownSuccess().Report(Late, Options{}, start); r.Doubt != Late {
		t.Errorf("the doubt is lost: %+v", r)
	}
}

func TestReportDiffers(t *testing.T) {
	base := Report{State: Up, For: time.Second, Age: time.Second, Streak: 3}
	tests := []struct {
		name string
		r    Report
		want bool
	}{
		{"the same, later", Report{State: Up, For: time.Hour, Age: 0, Streak: 900}, false},
		{"another state", Report{State: Down, Age: 0}, true},
		{"doubt", Report{State: Up, Doubt: Late}, true},
		{"the first failure", Report{State: Up, Failures: 1}, true},
		{"no probes any more", Report{State: Up, Age: -1}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.r.Differs(base); got != tt.want {
				t.Errorf("differs: %t", got)
			}
		})
	}
}

func TestVotes(t *testing.T) {
	key := HealthKey(1, 2)
	value := Report{State: Down, Age: time.Second}.Append(nil)
	table := NewTable("a", 1)
	if _, err := table.Set(key, value, start); err != nil {
		t.Fatal(err)
	}
	table.Merge([]Cell{{Key: key, Observer: "d", Version: Version{4, 1}, Value: value}}, after(time.Second))
	table.Merge([]Cell{
		{Key: key, Observer: "b", Version: Version{3, 1}, Value: value},
		{Key: key, Observer: "c", Version: Version{3, 1}, Value: []byte{1}},  // broken
		{Key: key, Observer: "e", Version: Version{3, 1}, Gone: true},        // taken back
		{Key: "other", Observer: "f", Version: Version{3, 1}, Value: value}}, // about something else
		after(2*time.Second))
	report := Report{State: Down, Age: time.Second}
	want := []Vote{{"b", 3, after(2 * time.Second), report}, {"d", 4, after(time.Second), report}}
	if d := cmp.Diff(want, table.Votes(key)); d != "" {
		t.Errorf("votes (-want +got):\n%s", d)
	}
}

func TestGroups(t *testing.T) {
	r := newReplica(t, "a", "b", "c", "d", "e")
	key := TableKey("orders")
	if err := r.Set(key, AppendSum(nil, 7), start); err != nil {
		t.Fatal(err)
	}
	sum := func(name string, sum uint64) Cell {
		return Cell{Key: key, Observer: name, Version: Version{1, 1}, Value: AppendSum(nil, sum)}
	}
	for _, name := range []string{"b", "c", "d", "e"} {
		r.Join(name, 1)
	}
	f := sum("e", 9)
	f.Observer = "f"
	r.Join("f", 1)
	r.Receive(Message{From: "f", Cells: []Cell{f}}, start)
	r.Join("f", 2) // it has restarted, and says nothing yet
	short := sum("d", 0)
	short.Value = []byte{7}
	r.Receive(Message{From: "b", Cells: []Cell{sum("b", 8), sum("c", 7), short, sum("e", 0)}}, start)
	want := []Group{{7, true, []string{"a", "c"}}, {0, false, []string{"d", "f"}}, {8, true, []string{"b"}},
		{0, true, []string{"e"}}}
	if d := cmp.Diff(want, r.Table().Groups(key, r.Members())); d != "" {
		t.Errorf("groups (-want +got):\n%s", d)
	}
	if groups := r.Table().Groups(ConfigKey(), r.Members()); len(groups) != 1 || groups[0].Known {
		t.Errorf("of what nobody says: %+v", groups)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(Report{Down, time.Minute, time.Second, 3, 4, Late}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		again, err := ParseReport(r.Append(nil))
		if r != again || err != nil {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
