package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// A member that is slow gets what is latest, does not hold up the others, and is not flooded.
func TestCourier(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		got := map[string][]string{}
		c := newCourier(ctx, func(to string, b []byte) error {
			if to == "slow" {
				time.Sleep(time.Second)
			}
			m, err := Decode(b)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			got[to] = append(got[to], string(m.Cells[0].Key))
			if to == "lost" {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
		have := func(to string) []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(got[to])
		}
		for i := range 20 {
			for _, to := range []string{"slow", "quick", "lost"} {
				c.post(to, Message{From: "me", Cells: []Cell{cell("me", fmt.Sprint("k", i), 1, uint64(i+1))}})
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(have("quick")); n != 20 {
			t.Errorf("the quick one has %d of 20", n)
		}
		time.Sleep(time.Minute)
		slow := have("slow")
		if n, last := len(slow), slow[len(slow)-1]; n != 1+laneDepth || last != "k19" {
			t.Errorf("the slow one has %d messages, the last is %s", n, last)
		}
		if dropped, failed := c.measure(); dropped != 20-1-laneDepth || failed != 20 {
			t.Errorf("%d dropped, %d failed", dropped, failed)
		}
		large := Message{From: "me"}
		for i := range MaxCells {
			large.Cells = append(large.Cells, Cell{Key: Key(fmt.Sprint("k", i)), Observer: "me", Version: Version{1, uint64(i + 1)},
				Value: make([]byte, MaxValue)})
		}
		began := time.Now()
		c.post("quick", large)
		c.post("quick", large)
		c.post("quick", Message{From: "me", Cells: []Cell{cell("me", "end", 1, 1)}})
		for len(have("quick")) < 23 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took < 2*time.Second*MaxCells*MaxValue/streamRate {
			t.Errorf("two large tables and what came after them took %s", took)
		}
		c.close()
		c.post("quick", large)
		synctest.Wait()
		if len(have("quick")) != 23 {
			t.Error("it delivers after it was closed")
		}
	})
}
