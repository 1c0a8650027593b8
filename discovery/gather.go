package discovery

import (
	"context"
	"errors"
	"time"
)

const (
	// maxParallel is how many addresses of one name's targets are asked for at one time.
	maxParallel = 16
	// patience is how long the rest is waited for when every target has an address: the other family must not delay a set that works.
	patience = 500 * time.Millisecond
)

var errTardy = errors.New("the addresses have not come in time")

// found is what came of asking for one family of one target.
type found struct {
	key    addressKey
	answer answer
	err    error
}

// gather asks for all addresses in due, in parallel, and writes what it learns into the book.
func gather(ctx context.Context, b *addressBook, targets []string, due []addressKey, ask func(context.Context, addressKey) (answer, error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, results := make(chan addressKey, len(due)), make(chan found, len(due))
	left := make(map[addressKey]bool, len(due))
	for _, key := range due {
		keys <- key
		left[key] = true
	}
	close(keys)
	for range min(maxParallel, len(due)) {
		go func() {
			for key := range keys {
				if ctx.Err() != nil {
					return // nobody waits for the rest
				}
				a, err := ask(ctx, key)
				results <- found{key, a, err}
			}
		}()
	}
	b.collect(ctx, results, left, targets)
}

// collect takes results in until nothing is left, until the targets are covered and patience is over, or until ctx ends.
func (b *addressBook) collect(ctx context.Context, results <-chan found, left map[addressKey]bool, targets []string) {
	var enough <-chan time.Time // nil until the targets are covered
	for len(left) > 0 {
		select {
		case r := <-results:
			delete(left, r.key)
			if r.err != nil {
				b.fail(r.key, r.err)
			} else {
				b.learn(r.key, addressList{r.answer.addrs, r.answer.ttl}, time.Now())
			}
			if enough == nil && b.covered(targets, time.Now()) {
				enough = time.After(patience)
			}
		case <-enough:
			b.failAll(left, errTardy)
			return
		case <-ctx.Done():
			b.failAll(left, ctx.Err())
			return
		}
	}
}

func (b *addressBook) failAll(keys map[addressKey]bool, err error) {
	for key := range keys {
		b.fail(key, err)
	}
}
