package discovery

import (
	"context"
	"sync"
)

// maxInFlight bounds the questions one resolver has under way; more wait for their turn.
const maxInFlight = 64

// flightKey is what makes two questions the same.
type flightKey struct {
	question question
	how      asking
}

// A flight is a question under way, and who waits for its answer.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when answer and err are set
	answer answer
	err    error

	waiting int // guarded by flights.mu; at zero the flight is cancelled
}

// flights joins equal questions asked at the same time: one of them is asked, all get the answer.
type flights struct {
	mu    sync.Mutex
	under map[flightKey]*flight
	slots chan struct{} // full = as many under way as may
}

func newFlights() *flights {
	return &flights{under: make(map[flightKey]*flight), slots: make(chan struct{}, maxInFlight)}
}

// do returns what ask returns. It is called on a goroutine of its own, with a context that ends when all who wait have gone.
func (f *flights) do(ctx context.Context, key flightKey, ask func(context.Context) (answer, error)) (answer, error) {
	fl := f.join(key, ask)
	select {
	case <-fl.done:
		return fl.answer, fl.err
	case <-ctx.Done():
		f.leave(key, fl)
		return answer{}, context.Cause(ctx)
	}
}

// join boards the flight of key, and starts it if there is none.
func (f *flights) join(key flightKey, ask func(context.Context) (answer, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.under[key]; ok {
		fl.waiting++
		return fl
	}
	ctx, cancel := context.WithCancel(context.Background())
	fl := &flight{cancel: cancel, done: make(chan struct{}), waiting: 1}
	f.under[key] = fl
	go f.fly(ctx, key, fl, ask)
	return fl
}

func (f *flights) fly(ctx context.Context, key flightKey, fl *flight, ask func(context.Context) (answer, error)) {
	defer fl.cancel()
	select {
	case f.slots <- struct{}{}:
		fl.answer, fl.err = ask(ctx)
		<-f.slots
	case <-ctx.Done():
		fl.err = ctx.Err()
	}
	f.land(key, fl)
	close(fl.done)
}

// land takes the flight off the table, unless another has taken its place.
func (f *flights) land(key flightKey, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under[key] == fl {
		delete(f.under, key)
	}
}

// leave is for who will not wait for the answer. Nobody may join a flight that is cancelled.
func (f *flights) leave(key flightKey, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiting--; fl.waiting > 0 {
		return
	}
	fl.cancel()
	if f.under[key] == fl {
		delete(f.under, key)
	}
}
