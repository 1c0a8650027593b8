package cluster

import (
	"testing"
	"time"
)

func TestConfidence(t *testing.T) {
	well := Condition{Targets: 100, Failing: 10}
	burst := Condition{Targets: 100, Failing: 60, Fallen: 51}
	lasting := Condition{Targets: 100, Failing: 60}
	type step struct {
		after time.Duration
		in    Condition
		want  Doubt
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"all is well", []step{{0, well, Sure}}},
		{"half the interval late", []step{{0, Condition{Late: time.Second, Targets: 9}, Sure}, {0,
			Condition{Late: time.Second + 1, Targets: 9}, Late}}},
		{"has just started", []step{{0, Condition{Settling: true}, NotConverged}}},
		{"answers slowly", []step{{0, Condition{Targets: 9, Score: 1}, Unhealthy}}},
		{"half fail at once", []step{{0, Condition{Targets: 100, Failing: 50, Fallen: 50}, Sure}}},
		{"most fail at once", []step{{0, burst, MostFailed}}},
		{"most fail one after the other", []step{{0, lasting, Sure}}},
		{"most failed and still do", []step{{0, burst, MostFailed}, {4 * time.Minute, lasting, MostFailed}}},
		{"most failed and never came back", []step{{0, burst, MostFailed}, {5 * time.Minute, lasting, Sure}}},
		{"most failed and came back", []step{{0, burst, MostFailed}, {time.Second, well, Sure}, {2 * time.Second, lasting,
			Sure}}},
		{"too few to be a mass", []step{{0, Condition{Targets: 3, Failing: 3, Fallen: 3}, Sure}}},
		{"all of four", []step{{0, Condition{Targets: 4, Failing: 4, Fallen: 3}, MostFailed}}},
		{"no targets", []step{{0, Condition{}, Sure}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Confidence
			for i, s := range tt.steps {
				if got := c.Assess(s.in, 2*time.Second, after(s.after)); got != s.want {
					t.Errorf("step %d: it %s, want: it %s", i, got, s.want)
				}
			}
		})
	}
}

func TestTrust(t *testing.T) {
	members := Members{"honest": {Boot: 1, Confirmed: start}, "liar": {Boot: 1, Confirmed: start}, "silent": {Boot: 1}}
	up := Evidence{Probed: start}
	vote := func(name string, s State, age time.Duration) Vote {
		return Vote{Observer: name, Boot: 1, At: after(-age), Report: Report{State: s}}
	}
	tests := []struct {
		name     string
		votes    []Vote
		times    int
		own      Evidence
		percent  int
		distrust bool
	}{
		{"always wrong", []Vote{vote("liar", Down, time.Minute)}, 10, up, 100, true},
		{"too few to tell", []Vote{vote("liar", Down, time.Minute)}, 9, up, 100, false},
		{"three in ten", []Vote{vote("liar", Down, time.Minute), vote("liar", Down, time.Minute),
			vote("liar", Down, time.Minute),
			vote("liar", Up, time.Minute), vote("liar", Up, time.Minute), vote("liar", Up, time.Minute), vote("liar", Up,
				time.Minute),
			vote("liar", Up, time.Minute), vote("liar", Up, time.Minute), vote("liar", Up, time.Minute)}, 5, up, 30, false},
		{"votes that are just in", []Vote{vote("liar", Down, 4*time.Second)}, 20, up, 0, false},
		{"votes that say nothing", []Vote{vote("liar", Unknown, time.Minute)}, 20, up, 0, false},
		{"this node knows nothing", []Vote{vote("liar", Down, time.Minute)}, 20, Evidence{}, 0, false},
		{"says up of what is down", []Vote{vote("liar", Up, time.Minute)}, 20, Evidence{Probed: start, ProbeFailed: true}, 100,
			true},
		{"says up of what connections find down", []Vote{vote("liar", Up, time.Minute)}, 20,
			Evidence{Probed: start, Failures: 3, Failed: start}, 0, false},
		{"has said that it doubts itself", []Vote{vote("liar", Down, time.Minute).but(castUnsure)}, 20, up, 0, false},
		{"somebody who is not heard", []Vote{vote("silent", Down, time.Minute)}, 20, up, 0, false},
		{"votes of a former life", []Vote{vote("liar", Down, time.Minute).but(func(v *Vote) { v.Boot = 0 })}, 20, up, 0,
			false},
		{"somebody else", []Vote{vote("honest", Down, time.Minute)}, 20, up, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var trust Trust
			for range tt.times {
				trust.Compare(tt.own, tt.votes, members, Options{}, start)
			}
			percent, distrust := trust.Wrong("liar", start)
			if percent != tt.percent || distrust != tt.distrust {
				t.Errorf("%d %% wrong, distrust %t; want %d %%, %t", percent, distrust, tt.percent, tt.distrust)
			}
			if percent, _ := trust.Wrong("liar", after(time.Minute)); percent != 0 {
				t.Errorf("a minute later still %d %% wrong", percent)
			}
			trust.Forget("liar")
			if percent, _ := trust.Wrong("liar", start); percent != 0 {
				t.Errorf("forgotten, but %d %% wrong", percent)
			}
		})
	}
}
