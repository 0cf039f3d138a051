package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// purgeEvery is how often the ledger is looked through for what is past its
// time.
const purgeEvery = 10 * time.Minute

// purgeNowAndThen purges until ctx ends.
func (e *Engine) purgeNowAndThen(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := e.Purge(ctx, e.cfg.Now().Add(-e.cfg.Retention))
		if err != nil && ctx.Err() == nil {
			e.log.Warn("the ledger was not purged; it is tried again", engine.LogErr, err)
		}
	}
}

// Purge removes from the ledger what is older than a time, is covered by the
// older checkpoint, has been shown by every view and is needed by no open run: one
// that waits for long needs copies alone (see anchorAll).
//
// First it makes a checkpoint of what it is going to remove, so that the ledger
// can always be folded from its beginning: a view that was deleted is rebuilt
// with the same content, as far as the ledger goes back, and there is one more
// place to start from.
func (e *Engine) Purge(ctx context.Context, older time.Time) error {
	if err := e.anchorAll(ctx, engine.At(older)); err != nil {
		return err
	}
	limit, err := e.purgeLimit(ctx, engine.At(older))
	if err != nil || limit == 0 {
		return err
	}
	base, err := e.foldTo(ctx, limit-1)
	if err != nil {
		return err
	}
	snap := base.Snapshot(e.cfg.Version)
	defer snap.Close()
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	if err := e.cfg.Checkpoints.Save(ctx, snap.Seq, snap.Count(), e.parts(ctx, snap, here)); err != nil {
		return err
	}
	if err := e.cfg.Ledger.Purge(ctx, limit); err != nil {
		return err
	}
	return e.dropCheckpoints(ctx)
}

// covered is the sequence up to which the older checkpoint has everything, and
// every view has shown it; 0: there is none.
func (e *Engine) covered(ctx context.Context) (uint64, error) {
	kept, err := e.cfg.Checkpoints.Kept(ctx)
	if err != nil || len(kept) < keptNewest {
		return 0, err
	}
	return min(kept[keptNewest-1], e.views.needed()), nil
}

// purgeLimit is the sequence before which everything may go; 0: nothing.
func (e *Engine) purgeLimit(ctx context.Context, older engine.Micros) (uint64, error) {
	before, err := e.covered(ctx)
	if err != nil || before == 0 {
		return 0, err
	}
	err = e.sched.ask(ctx, func() {
		for r := range e.sched.state.Runs() {
			before = min(before, r.Floor())
		}
		if floor := e.sched.state.SignalFloor(); floor != 0 {
			before = min(before, floor)
		}
	})
	if err != nil {
		return 0, err
	}
	limit, err := e.cfg.Ledger.Since(ctx, older, before)
	if err != nil {
		return 0, err
	}
	purged, err := e.cfg.Ledger.Purged(ctx)
	if err != nil || limit <= max(purged, 1) {
		return 0, err
	}
	return limit, nil
}

// errFolded ends a reading of the ledger at a place.
var errFolded = errors.New("folded")

// foldTo folds the ledger once more, up to a sequence that is there.
func (e *Engine) foldTo(ctx context.Context, seq uint64) (*fold.State, error) {
	state, err := e.restore(ctx, seq)
	if err != nil || state.Seq == seq {
		return state, err
	}
	err = e.cfg.Ledger.Follow(ctx, state.Seq+1, func(entry engine.Entry) error {
		state.Apply(entry)
		if entry.Seq >= seq {
			return errFolded
		}
		return nil
	})
	if errors.Is(err, errFolded) && state.Seq == seq {
		return state, nil
	}
	return nil, errors.Join(ctx.Err(), fmt.Errorf("fold the ledger up to %d: %w", seq, err))
}
