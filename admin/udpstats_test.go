package admin

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatusSumsUDP(t *testing.T) {
	none, idle, two := busyHTTP(), busyHTTP(), busyUDP()
	idle.Entrypoints[0].UDP = &UDPStats{}
	two.Entrypoints[0].UDP = &UDPStats{
		DatagramsIn: 10, DatagramsOut: 5, Moved: 1, Dropped: map[string]uint64{"late": 2, "no-backend": 1}, Ended: map[string]uint64{"shutdown": 7},
	}
	before := two.Entrypoints[2].UDP.Dropped["no-backend"]
	tests := []struct {
		name  string
		state State
		want  *UDPStats
		rows  [][]string
	}{
		{"no UDP", none, nil, nil},
		{
			"nothing came yet", idle, &UDPStats{Dropped: map[string]uint64{}, Ended: map[string]uint64{}},
			[][]string{{"flows", "0"}, {"datagrams", "0 in, 0 out"}},
		},
		{
			"two entrypoints", two,
			&UDPStats{
				DatagramsIn: 1210, DatagramsOut: 1185, Moved: 4, Dropped: map[string]uint64{"late": 2, "no-backend": 5, "too-many-of-source": 20},
				Ended: map[string]uint64{"idle-timeout": 800, "done": 87, "no-backend": 1, "shutdown": 7},
			},
			[][]string{
				{"flows", "12/65536"}, {"datagrams", "1210 in, 1185 out"},
				{"dropped: late", "2"}, {"dropped: no-backend", "5"}, {"dropped: too-many-of-source", "20"},
				{"flows ended: done", "87"}, {"flows ended: idle-timeout", "800"}, {"flows ended: no-backend", "1"},
				{"flows ended: shutdown", "7"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status := tt.state.status()
			if diff := cmp.Diff(tt.want, status.UDP); diff != "" {
				t.Errorf("UDP (-want +got):\n%s", diff)
			}
			rows := statusRows(status)
			at := slices.IndexFunc(rows, func(row []string) bool { return row[0] == "flows" })
			if at < 0 {
				at = len(rows)
			}
			if diff := cmp.Diff(tt.rows, slices.Clone(rows[at:])); diff != "" && len(tt.rows)+len(rows[at:]) > 0 {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
	if n := two.Entrypoints[2].UDP.Dropped["no-backend"]; n != before {
		t.Errorf("summing up has changed the snapshot: %d dropped, before %d", n, before)
	}
}
