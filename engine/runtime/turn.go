package runtime

import (
	"context"
	"fmt"

	"github.com/qarion/qarion/engine"
)

// next makes the record of a turn that went well one that another follows.
func (w *worker) next(ctx context.Context, rec *engine.AttemptRecord, next *engine.Next, task *engine.Task) (err error) {
	if size := len(next.Carry); size > engine.MaxCarry {
		return fmt.Errorf("%w: it leaves %d bytes for the next turn, at most %d are possible", engine.ErrInvalid, size, engine.MaxCarry)
	}
	rec.Outcome, rec.Carry = engine.OutcomeAgain, next.Carry
	if next.After > 0 || next.Await != engine.AwaitTime { // else it is there
		rec.Await = next.Await
	}
	if c := next.Open; c != nil {
		rec.Open = &engine.SubmitRecord{
			Run: w.cfg.NewID(w.cfg.Now()), Flow: c.Flow, Variables: c.Variables, Parent: &engine.Parent{Waits: c.Waits, XCom: c.XCom},
		}
		rec.Await = engine.AwaitRun(rec.Open.Run)
	}
	if next.After > 0 {
		rec.NotBefore = engine.At(w.cfg.Now().Add(next.After))
	}
	if task.Sensitive && len(next.Carry) > 0 {
		rec.Carry, err = w.cfg.Sealer.Seal(ctx, engine.SealPlace(rec.Run, rec.Task, rec.Item, engine.PartCarry), next.Carry)
	}
	return err
}

// turnOf is what the turns before have left for this one.
func (w *worker) turnOf(ctx context.Context, rt *engine.ReadyTask, task *engine.Task) (turn engine.Turning, err error) {
	turn = engine.Turning{Carry: rt.Carry, Prev: rt.Prev}
	from := rt.Run
	if rt.CarryAt.Seq != 0 {
		rec, err := w.cfg.Ledger.Read(ctx, rt.CarryAt)
		before, ok := rec.(*engine.AttemptRecord)
		switch {
		case err != nil:
			return turn, fmt.Errorf("read what the turn before has left: %w", err)
		case !ok:
			return turn, fmt.Errorf("%w: what the turn before has left, at %d.%d", engine.ErrNotFound, rt.CarryAt.Seq, rt.CarryAt.N)
		}
		turn.Carry, from = before.Carry, before.Run
	}
	if task.Sensitive && len(turn.Carry) > 0 {
		turn.Carry, err = w.Unseal(ctx, engine.SealPlace(from, rt.Task, rt.Item, engine.PartCarry), turn.Carry)
	}
	return turn, err
}
