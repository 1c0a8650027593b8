package http2

import "time"

// Every frame costs work, and a peer may not have more of it done than its requests and their content explain. What is
// spent is counted over periods.
const (
	period      = 10 * time.Second
	freeResets  = 100  // streams in a period that the peer cancels, or makes us end, beyond as many as are completed
	freeFrames  = 1000 // frames in a period that are about nothing but the connection
	perTransfer = 8    // of them for each frame of content, and for each request, either way
	emptyCost   = 10   // an empty frame counts as so many: it is never needed
	lateCost    = 1    // a frame for a stream that we have ended
)

// budget is what a peer has spent in this period.
type budget struct {
	began             time.Time
	resets, completed int
	frames, transfers int
}

// clock begins another period when it is time.
func (b *budget) clock(now time.Time) {
	if now.Sub(b.began) >= period {
		*b = budget{began: now}
	}
}

func (b *budget) frame(cost int) error {
	if b.frames += cost; b.frames > freeFrames+perTransfer*b.transfers {
		return errCalmFrames
	}
	return nil
}

func (b *budget) reset() error {
	if b.resets++; b.resets > freeResets+b.completed {
		return errCalmResets
	}
	return nil
}
