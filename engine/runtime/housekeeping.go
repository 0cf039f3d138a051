package runtime

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/qarion/qarion/engine"
)

// How often the engine looks after itself.
const (
	checkpointLook  = time.Second
	checkpointAge   = 5 * time.Minute  // a checkpoint at the latest, when anything happened
	checkpointAgain = 30 * time.Second // after one that could not be written
	reconcileEvery  = 30 * time.Second
	reconcileAfter  = time.Minute // given out and not heard of since
)

// keepHouse writes checkpoints and gives lost tasks out again, until ctx ends.
func (e *Engine) keepHouse(ctx context.Context) error {
	look, reconcile := time.NewTicker(checkpointLook), time.NewTicker(reconcileEvery)
	defer look.Stop()
	defer reconcile.Stop()
	last, notBefore := time.Now(), time.Time{}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if time.Now().After(notBefore) && e.checkpointDue(ctx, time.Since(last)) {
				if err = e.Checkpoint(ctx); err != nil {
					notBefore = time.Now().Add(checkpointAgain)
				} else {
					last = time.Now()
				}
			}
		case <-reconcile.C:
			err = errors.Join(e.sched.ask(ctx, e.sched.tidy), e.sched.tidyPrograms(ctx), e.reconcile(ctx))
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("housekeeping did not finish; it is tried again", engine.LogErr, err)
		}
	}
}

func (e *Engine) checkpointDue(ctx context.Context, age time.Duration) (due bool) {
	err := e.sched.ask(ctx, func() {
		s := e.sched
		due = s.checkpointDue(e.cfg.CheckpointEvery) || s.current && s.since > 0 && age >= checkpointAge
	})
	return due && err == nil
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
			for ref, t := range r.Cells() {
				if sent, out := t.Given.(*emission); out && !sent.near && sent.at.Before(before) && !e.worker.making(r.KeyOf(ref)) {
					lost = append(lost, lostPlace{taskPlace{r, ref, r.KeyOf(ref)}, sent})
				}
			}
		}
	})
	return lost, err
}

// giveAgain gives a lost task out once more, if nothing was heard of it since.
func (s *scheduler) giveAgain(p lostPlace) {
	t := p.run.Cell(p.cell)
	if t == nil || t.Given != p.sent || p.run.KeyOf(p.cell) != p.key || s.state.Run(p.run.ID) != p.run {
		return
	}
	s.emitted--
	t.Given = nil
	if t.Started {
		s.stops.lost(p.key, cmp.Or(t.Sent, p.run.Tasks[p.cell.Task].Begin))
		return
	}
	t.Again = true
	s.plan(p.run, p.cell)
}

// making reports whether an attempt is being made here.
func (w *worker) making(key engine.AttemptKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[key] != nil
}
