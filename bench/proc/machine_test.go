package proc

import (
	"os"
	"testing"
	"time"
)

func TestParseBusy(t *testing.T) {
	tests := []struct {
		name, text string
		want       time.Duration
		err        error
	}{
		{
			name: "idle, waiting and guests left out",
			text: "cpu  100 200 300 9999 9999 400 500 600 70 80\ncpu0 1 2 3 4 5 6 7 8 9 10\n",
			want: 21 * time.Second,
		},
		{name: "empty", err: errMachine},
		{name: "short", text: "cpu 1 2 3\n", err: errMachine},
		{name: "another line", text: "cpu0 1 2 3 4 5 6 7 8\n", err: errMachine},
		{name: "letters", text: "cpu 1 2 3 4 5 6 x 8\n", err: errMachine},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseBusy([]byte(tt.text))
			if err != tt.err || got != tt.want {
				t.Errorf("%v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func FuzzParseBusy(f *testing.F) {
	own, err := os.ReadFile("/proc/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("cpu  1 2 3 4 5 6 7 8"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if busy, err := parseBusy(text); err != nil && busy != 0 {
			t.Errorf("%v with %v", busy, err)
		}
	})
}

func TestBusyCountsWork(t *testing.T) {
	before, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	play(t, "burn", Anywhere)
	after, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	if after-before < burned/2 {
		t.Errorf("%v while a process used %v", after-before, burned)
	}
}
