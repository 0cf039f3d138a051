package runtime

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// Checkpoints keeps snapshots of the fold, so that a start needs to fold only
// what came after.
type Checkpoints interface {
	// Save stores the parts of a snapshot, which covers the ledger up to a
	// sequence, and reads them back: after nil it is there and can be read. One
	// that is there already is left as it is.
	Save(ctx context.Context, seq uint64, have fold.Count, parts iter.Seq2[*fold.Part, error]) error
	// Load returns the state of the newest snapshot that can be read and covers
	// the ledger up to at most a sequence; nil when there is none.
	Load(ctx context.Context, atMost uint64) (*fold.State, error)
	// Kept lists what the snapshots cover, newest first.
	Kept(ctx context.Context) ([]uint64, error)
	// Drop removes the snapshots that are not to be kept, and what a crash left
	// of others.
	Drop(ctx context.Context, keep ...uint64) error
}

// keptNewest is how many of the newest checkpoints are kept: one may turn out
// to be unreadable.
const keptNewest = 2

// Checkpoint writes a snapshot of the fold, if anything has happened since the
// last one. The views store where they are.
func (e *Engine) Checkpoint(ctx context.Context) error {
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	var snap *fold.Snapshot
	var since int
	err := e.sched.ask(ctx, func() {
		if since = e.sched.since; since > 0 {
			snap = e.sched.state.Snapshot(e.cfg.Version)
		}
	})
	if err != nil || snap == nil {
		return err
	}
	e.views.requestMarks(snap.Seq)
	err = e.cfg.Checkpoints.Save(ctx, snap.Seq, snap.Count(), e.parts(ctx, snap, e.sched.ask))
	if err != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		e.sched.tell(ending, snap.Close)
		return err
	}
	if err := e.sched.ask(ctx, func() { e.sched.since -= since }); err != nil {
		return err
	}
	return e.dropCheckpoints(ctx)
}

// parts takes a snapshot part by part. Each is copied where the state belongs
// to, by ask, and completed here.
func (e *Engine) parts(ctx context.Context, snap *fold.Snapshot, ask func(context.Context, func()) error) iter.Seq2[*fold.Part, error] {
	return func(yield func(*fold.Part, error) bool) {
		for {
			var part *fold.Part
			err := ask(ctx, func() { part = snap.Next() })
			if err == nil && part == nil {
				return
			}
			if err == nil {
				err = part.Fill()
			}
			if !yield(part, err) || err != nil {
				return
			}
		}
	}
}

// dropCheckpoints removes all but the newest two, the newest that the slowest
// view has passed (it starts there when it has to read the ledger), and the one
// at which the ledger begins since it was purged.
func (e *Engine) dropCheckpoints(ctx context.Context) error {
	kept, err := e.cfg.Checkpoints.Kept(ctx)
	if err != nil {
		return err
	}
	purged, err := e.cfg.Ledger.Purged(ctx)
	if err != nil {
		return err
	}
	return e.cfg.Checkpoints.Drop(ctx, worthKeeping(kept, e.views.needed(), max(purged, 1)-1)...)
}

// worthKeeping chooses of checkpoints, newest first, the newest two and, for
// each of the given sequences, the newest that covers no more than that.
func worthKeeping(kept []uint64, upTo ...uint64) []uint64 {
	keep := slices.Clone(kept[:min(len(kept), keptNewest)])
	for _, most := range upTo {
		if i := slices.IndexFunc(kept, func(seq uint64) bool { return seq <= most }); i >= 0 {
			keep = append(keep, kept[i])
		}
	}
	return keep
}

// newest is above every sequence.
const newest = 1<<64 - 1

// restore returns the state of the newest checkpoint that covers no more than
// a sequence. When there is none that is the ledger's beginning: the state
// before the first entry, or, once it was purged, the checkpoint that was made
// for that. Without one it is ErrDamaged: an empty state would be wrong.
func (e *Engine) restore(ctx context.Context, atMost uint64) (*fold.State, error) {
	state, err := e.cfg.Checkpoints.Load(ctx, atMost)
	if err != nil {
		return nil, fmt.Errorf("load a checkpoint: %w", err)
	}
	if state != nil {
		return state, nil
	}
	purged, err := e.cfg.Ledger.Purged(ctx)
	if err != nil || purged <= 1 {
		return fold.NewState(), err
	}
	if atMost < purged-1 { // a view that is older than the ledger
		if state, err = e.cfg.Checkpoints.Load(ctx, purged-1); state != nil || err != nil {
			return state, err
		}
	}
	return nil, fmt.Errorf("%w: no checkpoint of the ledger can be read, and the %d entries that it stands for were purged", engine.ErrDamaged, purged-1)
}

// checkpointDue reports whether enough has happened since the last checkpoint.
// One costs as much as the state is large, so a large state gets them less
// often.
func (s *scheduler) checkpointDue(every int) bool {
	return s.current && s.since >= max(every, s.state.Size()/checkpointShare)
}

// checkpointShare: a start folds at most the fourth part of what it loads.
const checkpointShare = 4
