package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// restoreNewest is the state to start with. When no checkpoint can be read for
// what was purged, and the node shall go on without what is lost, that is an
// empty one, which is stored as the ledger's new beginning.
func (e *Engine) restoreNewest(ctx context.Context) (*fold.State, error) {
	state, err := e.restore(ctx, newest)
	if !e.cfg.AcceptLoss || !errors.Is(err, engine.ErrDamaged) {
		return state, err
	}
	purged, failed := e.cfg.Ledger.Purged(ctx)
	if failed != nil {
		return nil, failed
	}
	e.log.Warn("going on without the state at the ledger's beginning; runs that were open then are not known", engine.LogErr, err)
	state = fold.NewState()
	state.Seq = purged - 1
	snap := state.Snapshot(e.cfg.Version)
	defer snap.Close()
	if err := e.cfg.Checkpoints.Save(ctx, snap.Seq, snap.Count(), e.parts(ctx, snap, here)); err != nil {
		return nil, err
	}
	e.lost.Store(true)
	return state, nil
}

// here runs a function of a state that nobody else has.
func here(_ context.Context, fn func()) error {
	fn()
	return nil
}

// endLost ends the runs that a view shows as going on and of which nothing is
// known any more: the entries that opened them, or ended them, are lost. They
// are damaged, as those are that were open.
func (e *Engine) endLost(ctx context.Context) error {
	if e.cfg.Runs == nil || wait(ctx, e.ready) != nil || !e.lost.Load() {
		return nil
	}
	if err := e.Shown(ctx, ""); err != nil {
		return nil // it is stopping
	}
	for _, status := range []engine.Status{engine.Pending, engine.Running, engine.Interrupted} {
		filter := engine.RunFilter{Status: status, Limit: engine.MaxRunLimit}
		for {
			docs, err := e.cfg.Runs.List(ctx, filter)
			if err != nil {
				return fmt.Errorf("look for runs that are lost: %w", err)
			}
			for _, doc := range docs {
				if err := e.endUnknown(ctx, doc.RunID); err != nil {
					return err
				}
				filter.Before = doc.RunID
			}
			if len(docs) < engine.MaxRunLimit {
				break
			}
		}
	}
	return nil
}

// endUnknown writes the end of a run if the fold does not know it.
func (e *Engine) endUnknown(ctx context.Context, id engine.RunID) error {
	if _, err := e.Get(ctx, id); !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	doc, err := e.cfg.Runs.Get(ctx, id)
	if err != nil || doc.Final {
		return err
	}
	text, err := doc.AppendWithin(nil, engine.MaxRecord/2)
	if err != nil {
		return err
	}
	_, err = e.cfg.Ledger.Append(ctx, &engine.ControlRecord{
		Kind: engine.ControlDamaged, Run: id, Value: text, Reason: "the ledger has lost what it said of the run",
	})
	return err
}
