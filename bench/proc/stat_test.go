package proc

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, line string
		want       stat
		err        error
	}{
		{
			name: "plain",
			line: "42 (nginx) S 7 41 7 0 -1 4194560 1 2 3 4 150 250 10 20 20 0 1 0 99 8192 300 18446744073709551615 1 1",
			want: stat{pid: 42, parent: 7, group: 41, state: 'S', cpu: 4 * time.Second, reaped: 300 * time.Millisecond, rss: 300},
		},
		{
			name: "name with brackets and spaces",
			line: "42 (a) R 1 (b) S 7 41 7 0 -1 4194560 1 2 3 4 1 0 0 0 20 0 1 0 99 8192 300 18446744073709551615 1 1",
			want: stat{pid: 42, parent: 7, group: 41, state: 'S', cpu: 10 * time.Millisecond, rss: 300},
		},
		{
			name: "waited for meanwhile",
			line: "42 (true) X 0 -1 -1 0 -1 4227084 50 0 0 0 0 0 0 0 20 0 0 0 3562449 0 0 0",
			want: stat{pid: 42, group: released, state: 'X'},
		},
		{name: "empty", line: "", err: errStat},
		{name: "short", line: "42 (nginx) S 7 41", err: errStat},
		{name: "brackets the wrong way", line: "42 )nginx( S", err: errStat},
		{
			name: "letters where a number belongs",
			line: "42 (nginx) S x 41 7 0 -1 4194560 1 2 3 4 150 250 10 20 20 0 1 0 99 8192 300 18446744073709551615 1 1",
			err:  errStat,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.line))
			if err != tt.err {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(stat{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1 (a) S"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(line)
		if err == nil && s.pid <= 0 {
			t.Errorf("accepted process id %d", s.pid)
		}
	})
}

func TestMembersOf(t *testing.T) {
	all := map[int]stat{
		1:  {pid: 1},
		10: {pid: 10, parent: 1, group: 10},
		11: {pid: 11, parent: 10, group: 10},
		12: {pid: 12, parent: 11, group: 12}, // a grandchild in a group of its own
		13: {pid: 13, parent: 1, group: 10},  // its parent has gone
		20: {pid: 20, parent: 1, group: 20},
	}
	if diff := cmp.Diff([]int{10, 11, 12, 13}, membersOf(10, all)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	delete(all, 10)
	if diff := cmp.Diff([]int{11, 12, 13}, membersOf(10, all)); diff != "" {
		t.Errorf("after the root has ended: -want +got\n%s", diff)
	}
	if got := membersOf(99, all); len(got) != 0 {
		t.Errorf("members of a process that is not there: %v", got)
	}
}
