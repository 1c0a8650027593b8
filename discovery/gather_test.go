package discovery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlb/weir/internal/weirtest"
)

// TestGatherEndsWithItsContext: whoever stops a provider waits for it, also when more addresses are due than are asked for at one
// time and nobody answers.
func TestGatherEndsWithItsContext(t *testing.T) {
	weirtest.Bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newAddressBook(Both, ttlLimits{DefaultMinTTL, DefaultMaxTTL}, 0)
		var targets []string
		for i := range 3 * maxParallel {
			targets = append(targets, fmt.Sprintf("host%d.example.test.", i))
		}
		b.keep(targets)
		due := b.due(targets, false, time.Now())
		done := make(chan struct{})
		go func() {
			defer close(done)
			gather(ctx, b, targets, due, func(ctx context.Context, _ addressKey) (answer, error) {
				<-ctx.Done()
				return answer{}, ctx.Err()
			})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Fatalf("it goes on waiting for %d addresses that nobody asks for", len(due))
		}
		if problem, err := b.problem(targets); err == nil || len(problem) != len(targets) {
			t.Errorf("%d targets are unknown, %v", len(problem), err)
		}
	})
}
