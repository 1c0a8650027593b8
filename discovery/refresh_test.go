package discovery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlb/weir/internal/weirtest"
)

// looked is one call of a scripted lookup, in seconds from the start.
type looked struct {
	At  float64
	How asking
}

// runScript runs a refresher for d on a clock of its own. Lookup n finds script[n], and the last one for ever.
// It returns the lookups, and what was emitted as "seconds set".
func runScript(t *testing.T, d time.Duration, hold holdOptions, script ...finding) (lookups []looked, emitted []string) {
	t.Helper()
	weirtest.Bubble(t, func(t *testing.T) {
		start := time.Now()
		r := &refresher{history: newHistory("test", hold)}
		r.look = func(_ context.Context, how asking) finding {
			f := script[min(len(lookups), len(script)-1)]
			lookups = append(lookups, looked{time.Since(start).Seconds(), how})
			return f
		}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		r.Run(ctx, func(u Update) {
			emitted = append(emitted, fmt.Sprintf("%d %s", int(time.Since(start).Seconds()), shownSet(u.Endpoints)))
		})
	})
	return lookups, emitted
}

func TestRefreshFollowsTheTTL(t *testing.T) {
	lookups, emitted := runScript(t, 10*time.Minute, testHold, ok("1 2")) // TTL 10 s
	if n := len(lookups); n < 60 || n > 76 {
		t.Errorf("%d lookups in 10 minutes, want one each 8 to 10 s", n)
	}
	for i := 1; i < len(lookups); i++ {
		if wait := lookups[i].At - lookups[i-1].At; wait < 8 || wait > 10 {
			t.Errorf("asked again after %v s", wait)
		}
	}
	if len(emitted) != len(lookups) || emitted[0] != "0 1 2" {
		t.Errorf("%d lookups emit %d times, first %q", len(lookups), len(emitted), emitted[0])
	}
}

func TestRefreshBacksOff(t *testing.T) {
	lookups, _ := runScript(t, time.Hour, testHold, ok("1"), failed(errAsked))
	if n := len(lookups); n < 60 || n > 90 {
		t.Errorf("%d lookups in an hour without answers, want about one a minute", n)
	}
}

func TestRefreshConfirms(t *testing.T) {
	tests := []struct {
		name   string
		script []finding
		want   []string // emitted within 12 s, without times
	}{
		{"a loss that is confirmed", []finding{ok("1 2 3"), ok("1"), confirmed("1")}, []string{"1 2 3", "1"}},
		{"a loss that is not", []finding{ok("1 2 3"), ok("1"), confirmed("1 2 3")}, []string{"1 2 3", "1 2 3"}},
		{"no confirmation", []finding{ok("1 2 3"), ok("1 4"), failed(errAsked)}, []string{"1 2 3", "1 2 3 4"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hold := testHold
			hold.obsolete = 0
			lookups, emitted := runScript(t, 12*time.Second, hold, tt.script...)
			if len(lookups) < 3 || lookups[1].How != (asking{}) || lookups[2].How != (asking{reliable: true}) || lookups[1].At != lookups[2].At {
				t.Errorf("lookups %+v", lookups)
			}
			var got []string
			for _, e := range emitted[:2] {
				got = append(got, e[2:])
			}
			if diff := cmp.Diff(tt.want[0], got[0]); diff != "" {
				t.Errorf("at first (-want +got):\n%s", diff)
			}
			if want := tt.want[1]; got[1] != want && got[1] != " "+want {
				t.Errorf("then %q, want %q", got[1], want)
			}
		})
	}
}

func TestRefreshAsksAnotherServerWhenEmpty(t *testing.T) {
	lookups, emitted := runScript(t, 25*time.Second, testHold, ok("1"), empty(first), empty(second))
	if len(lookups) < 3 || lookups[2].How != (asking{avoid: first}) {
		t.Fatalf("lookups %+v", lookups)
	}
	if got := emitted[len(emitted)-1]; shownTail(got) != "" {
		t.Errorf("still %q", got)
	}
}

func shownTail(emitted string) string {
	var at int
	var rest string
	fmt.Sscanf(emitted, "%d %s", &at, &rest)
	return rest
}

// TestRefreshExpiresBetweenLookups holds that what vanished goes in its time and not with the next lookup.
func TestRefreshExpiresBetweenLookups(t *testing.T) {
	hold := testHold
	hold.obsolete = 3 * time.Second
	gone := ok("1 2")
	gone.ttl = time.Minute
	_, emitted := runScript(t, 40*time.Second, hold, ok("1 2 3"), gone)
	if len(emitted) != 3 || emitted[2][len(emitted[2])-4:] != " 1 2" {
		t.Fatalf("emitted %q", emitted)
	}
	var before, after int
	fmt.Sscan(emitted[1], &before)
	fmt.Sscan(emitted[2], &after)
	if after-before != 3 {
		t.Errorf("went after %d s", after-before)
	}
}

// TestRefreshCutOff ends a lookup by the context: it counts for nothing.
func TestRefreshCutOff(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := &refresher{history: newHistory("test", testHold)}
		r.look = func(ctx context.Context, _ asking) finding {
			<-ctx.Done()
			return failed(ctx.Err())
		}
		r.Run(ctx, func(u Update) { t.Errorf("emitted %+v", u) })
	})
}
