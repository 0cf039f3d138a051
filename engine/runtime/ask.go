package runtime

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/qarion/qarion/engine"
)

// tell hands a function to the loop; it is lost when the loop has ended.
func (s *scheduler) tell(ctx context.Context, fn func()) {
	select {
	case s.asks <- fn:
	case <-ctx.Done():
	case <-s.ended:
	}
}

// ask runs a function in the loop and waits for it. After an error it was not
// run and never will be: it may write what the caller holds.
func (s *scheduler) ask(ctx context.Context, fn func()) error {
	var begun atomic.Bool
	done := make(chan struct{})
	run := func() {
		if begun.CompareAndSwap(false, true) {
			fn()
			close(done)
		}
	}
	failed := errEnded
	select {
	case s.asks <- run:
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			failed = ctx.Err()
		case <-s.ended:
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return errEnded
	}
	if begun.CompareAndSwap(false, true) {
		return failed
	}
	<-done // it is running now
	return nil
}

var errEnded = fmt.Errorf("%w: the engine has stopped", engine.ErrUnavailable)

// reached waits until the fold has applied a sequence.
func (s *scheduler) reached(ctx context.Context, seq uint64) error {
	done := make(chan struct{})
	err := s.ask(ctx, func() {
		if s.state.Seq >= seq {
			close(done)
		} else {
			s.waiting.add(seq, func() { close(done) })
		}
	})
	if err != nil {
		return err
	}
	return wait(ctx, done)
}
