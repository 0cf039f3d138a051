package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// How much is copied for a run that waits. One that needs more keeps the ledger
// from being purged.
const (
	maxKeptRecords = 2000
	maxKeptBytes   = 32 << 20
)

// anchorAll lets runs that wait for long go on without the older part of the
// ledger: what they still need is written once more, and then a record says that
// they read the copies. Killed in between, the copies are of no use, and do no
// harm; the next purge makes others. Only runs are looked at that keep the ledger
// from being purged.
func (e *Engine) anchorAll(ctx context.Context, older engine.Micros) error {
	limit, err := e.covered(ctx)
	if err == nil && limit > 0 {
		limit, err = e.cfg.Ledger.Since(ctx, older, limit)
	}
	if err != nil || limit == 0 {
		return err
	}
	since := engine.At(e.cfg.Now().Add(-e.cfg.AnchorAfter))
	var waiting []fold.Needed
	err = e.sched.ask(ctx, func() {
		for r := range e.sched.state.Runs() {
			if r.Floor() >= limit {
				continue
			}
			if n, ok := r.Needs(since); ok {
				waiting = append(waiting, n)
			}
		}
	})
	if err != nil {
		return err
	}
	last := uint64(0)
	for i := range waiting {
		seq, err := e.anchor(ctx, &waiting[i])
		if errors.Is(err, engine.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			e.log.Warn("a run that waits keeps the ledger from being purged", engine.LogRun, waiting[i].Run, engine.LogErr, err)
		}
		last = max(last, seq)
	}
	if last == 0 {
		return nil
	}
	return e.sched.reached(ctx, last)
}

// anchor copies what a run needs and lets it read the copies.
func (e *Engine) anchor(ctx context.Context, n *fold.Needed) (uint64, error) {
	k := keeper{ledger: e.cfg.Ledger, run: n.Run, moved: map[engine.Pos]engine.Pos{}}
	for _, last := range n.Parts { // first: others may be among them
		if err := k.keepParts(ctx, last); err != nil {
			return 0, err
		}
	}
	for _, at := range n.Places {
		if err := k.keep(ctx, at, engine.Pos{}); err != nil {
			return 0, err
		}
	}
	n.Anchor.Moves = k.moves
	return e.cfg.Ledger.Append(ctx, &engine.ControlRecord{Kind: engine.ControlAnchor, Run: n.Run, Anchor: &n.Anchor})
}

// keeper copies records of a run.
type keeper struct {
	ledger engine.Ledger
	run    engine.RunID
	moved  map[engine.Pos]engine.Pos
	moves  []engine.Move
	bytes  int
}

// keepParts copies a task's parts, the first one first: each names the one before
// it by the place of the copy.
func (k *keeper) keepParts(ctx context.Context, last engine.Pos) error {
	var chain []engine.Pos
	for at := last; at.Seq != 0; {
		if chain = append(chain, at); len(chain) > maxKeptRecords {
			return errTooMuch
		}
		rec, err := k.ledger.Read(ctx, at)
		if err != nil {
			return err
		}
		part, ok := rec.(*engine.AttemptRecord)
		if !ok {
			return fmt.Errorf("%w: a part at %d.%d", engine.ErrNotFound, at.Seq, at.N)
		}
		at = part.Prev
	}
	prev := engine.Pos{}
	for _, at := range slices.Backward(chain) {
		if err := k.keep(ctx, at, prev); err != nil {
			return err
		}
		prev = k.moved[at]
	}
	return nil
}

var errTooMuch = fmt.Errorf("%w: it needs more than %d records or %d MiB of it", engine.ErrConflict, maxKeptRecords, maxKeptBytes>>20)

// keep copies one record. Of an attempt only what others read is kept.
func (k *keeper) keep(ctx context.Context, at, prev engine.Pos) error {
	if _, done := k.moved[at]; done {
		return nil
	}
	rec, err := k.ledger.Read(ctx, at)
	if err != nil {
		return err
	}
	kept := new(engine.Kept)
	switch rec := rec.(type) {
	case *engine.AttemptRecord:
		with := *rec
		if with.Prev = prev; with.Outcome.Good() {
			with.Details = nil
		}
		kept.Attempt = &with
		k.bytes += recordSize(&with)
	case *engine.ControlRecord:
		kept.Control = rec
		k.bytes += len(rec.Value)
	case *engine.SubmitRecord:
		with := *rec
		with.Rerun = nil // it has been read
		kept.Submit = &with
		k.bytes += len(rec.Variables)
	case *engine.TriggerRecord:
		kept.Submit = &engine.SubmitRecord{Run: k.run, Variables: rec.Payload}
		k.bytes += len(rec.Payload)
	default:
		return fmt.Errorf("%w: a %T at %d.%d", engine.ErrNotFound, rec, at.Seq, at.N)
	}
	if k.bytes > maxKeptBytes || len(k.moves) >= maxKeptRecords {
		return errTooMuch
	}
	seq, err := k.ledger.Append(ctx, &engine.ControlRecord{Kind: engine.ControlKeep, Run: k.run, Kept: kept})
	if err != nil {
		return err
	}
	k.moved[at] = engine.Pos{Seq: seq}
	k.moves = append(k.moves, engine.Move{From: at, To: k.moved[at]})
	return nil
}
