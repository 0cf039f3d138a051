package runtime

import (
	"context"
	"errors"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// How often the engine looks after itself.
const (
	checkpointLook = time.Second
	checkpointAge  = 5 * time.Minute // a checkpoint at the latest, when anything happened
	reconcileEvery = 30 * time.Second
	reconcileAfter = time.Minute // given out and not heard of since
	purgeEvery     = 10 * time.Minute
)

// keepHouse writes checkpoints, gives lost tasks out again and purges what is
// past its time, until ctx ends.
func (e *Engine) keepHouse(ctx context.Context) error {
	look, reconcile, purge := time.NewTicker(checkpointLook), time.NewTicker(reconcileEvery), time.NewTicker(purgeEvery)
	defer look.Stop()
	defer reconcile.Stop()
	defer purge.Stop()
	last := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if e.checkpointDue(ctx, time.Since(last)) {
				err, last = e.Checkpoint(ctx), time.Now()
			}
		case <-reconcile.C:
			err = e.reconcile(ctx)
		case <-purge.C:
			err = e.Purge(ctx, e.cfg.Now().Add(-e.cfg.Retention))
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("housekeeping did not finish; it is tried again", engine.LogErr, err)
		}
	}
}

func (e *Engine) checkpointDue(ctx context.Context, age time.Duration) (due bool) {
	err := e.sched.ask(ctx, func() {
		n := e.sched.since
		due = e.sched.current && (n >= e.cfg.CheckpointEvery || n > 0 && age >= checkpointAge)
	})
	return due && err == nil
}

// Checkpoint writes a snapshot of the fold, if anything has happened since the
// last one. The views store where they are.
func (e *Engine) Checkpoint(ctx context.Context) error {
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	var snap *fold.Snapshot
	var failed error
	err := e.sched.ask(ctx, func() {
		if e.sched.since == 0 {
			return
		}
		snap, failed = e.sched.state.Snapshot(e.cfg.Version)
		e.sched.since = 0
	})
	if err = errors.Join(err, failed); err != nil || snap == nil {
		return err
	}
	e.views.requestMarks(snap.Seq)
	return e.cfg.Checkpoints.Save(ctx, snap, e.views.needed())
}

// reconcile gives out again what was given out long ago, has no record, and is
// no longer in the queue: the queue lives in memory and can be lost.
func (e *Engine) reconcile(ctx context.Context) error {
	lost, err := e.unheardOf(ctx)
	if err != nil || len(lost) == 0 {
		return err
	}
	gone := map[*emission]bool{}
	for _, p := range lost {
		sent := p.sent
		if _, known := gone[sent]; known {
			continue
		}
		seq := sent.seq.Load()
		holds := false
		if seq != 0 {
			if holds, err = e.cfg.ReadyQueue.Holds(ctx, seq); err != nil {
				return err
			}
		}
		gone[sent] = !holds
	}
	last, err := e.cfg.Ledger.Last(ctx)
	if err == nil {
		err = e.sched.reached(ctx, last) // a record may have come meanwhile
	}
	if err != nil {
		return err
	}
	return e.sched.ask(ctx, func() {
		for _, p := range lost {
			if gone[p.sent] {
				e.sched.giveAgain(p)
			}
		}
	})
}

// lostPlace is a task that was given out and not heard of.
type lostPlace struct {
	taskPlace
	sent *emission
}

func (e *Engine) unheardOf(ctx context.Context) (lost []lostPlace, err error) {
	before := e.cfg.Now().Add(-reconcileAfter)
	err = e.sched.ask(ctx, func() {
		for r := range e.sched.state.Runs() {
			if r.InFlight == 0 {
				continue
			}
			for i := range r.Tasks {
				t := &r.Tasks[i]
				if sent, out := t.Given.(*emission); out && !sent.near && sent.at.Before(before) && !e.worker.making(r.Key(i)) {
					lost = append(lost, lostPlace{taskPlace{r, i, r.Key(i)}, sent})
				}
			}
		}
	})
	return lost, err
}

// giveAgain gives a lost task out once more, if nothing was heard of it since.
func (s *scheduler) giveAgain(p lostPlace) {
	t := &p.run.Tasks[p.task]
	if t.Given != p.sent || p.run.Key(p.task) != p.key || s.state.Run(p.run.ID) != p.run {
		return
	}
	s.emitted--
	t.Given = nil
	if t.Started {
		s.stops.lost(p.key, t.Begin)
		return
	}
	t.Again = true
	s.plan(p.run, p.task)
}

// making reports whether an attempt is being made here.
func (w *worker) making(key engine.AttemptKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[key] != nil
}

// Purge removes from the ledger what is older than a time, is covered by the
// older checkpoint, has been shown by every view and belongs to no open run.
func (e *Engine) Purge(ctx context.Context, older time.Time) error {
	kept, err := e.cfg.Checkpoints.Kept(ctx)
	if err != nil || len(kept) < 2 {
		return err
	}
	before := min(kept[1], e.views.needed())
	keep := map[string]bool{}
	err = e.sched.ask(ctx, func() {
		for r := range e.sched.state.Runs() {
			before = min(before, r.Seq)
		}
		for g := range e.sched.state.Graphs() {
			keep[g.Hash] = true
		}
	})
	if err != nil {
		return err
	}
	e.cfg.programs.retain(keep)
	return e.cfg.Ledger.Purge(ctx, before, engine.At(older), keep)
}
