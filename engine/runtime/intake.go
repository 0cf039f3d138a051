package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/qarion/qarion/engine"
)

// maxIntake is how many triggers become submit records in one bundle.
const maxIntake = 512

// intake takes clients' triggers out of their own stream into the ledger, in
// bundles and only as fast as runs can be opened: a backlog waits in that
// stream, where it costs nothing, and not as open runs in memory.
//
// Bundles are written one after the other, each until the ledger has it. So
// the triggers stand in the ledger in the order of their places, and the fold
// can tell those that were written twice by one number.
type intake struct {
	cfg   *Config
	log   *slog.Logger
	sched *scheduler
	last  engine.TriggerPlace // the last one that is in the ledger
}

// run takes triggers until ctx ends.
func (in *intake) run(ctx context.Context) error {
	if in.cfg.Triggers == nil {
		return nil
	}
	if err := in.sched.ask(ctx, func() { in.last = in.sched.state.Taken }); err != nil {
		return nil
	}
	for ctx.Err() == nil {
		room, err := in.sched.room(ctx)
		if err != nil {
			return nil
		}
		batch, err := in.cfg.Triggers.Next(ctx, min(room, maxIntake))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the triggers: %w", err)
		}
		if err := in.take(ctx, batch); err != nil {
			return nil
		}
	}
	return nil
}

// take writes a batch into the ledger and then lets the stream forget it.
func (in *intake) take(ctx context.Context, batch []engine.Trigger) error {
	recs := make([]*engine.SubmitRecord, 0, len(batch))
	for i := range batch {
		at := batch[i].Place
		if at.Stream == in.last.Stream && at.Seq <= in.last.Seq {
			continue // delivered twice
		}
		recs, in.last = append(recs, batch[i].Submission(in.cfg.installation())), at
	}
	if len(recs) > 0 {
		if err := in.store(ctx, recs); err != nil {
			return err
		}
	}
	if err := in.cfg.Triggers.Taken(ctx); err != nil && ctx.Err() == nil {
		in.log.Warn("triggers that are in the ledger still wait in their stream; they come again and change nothing", engine.LogErr, err)
	}
	return ctx.Err()
}

// store appends one bundle until the ledger takes it or ctx ends.
func (in *intake) store(ctx context.Context, recs []*engine.SubmitRecord) error {
	return patiently(ctx, in.log, "the ledger did not take triggers; trying again", func() error {
		seq, err := in.cfg.Ledger.AppendTogether(ctx, recs)
		if err == nil {
			err = in.sched.reached(ctx, seq) // so that the next room is what these have left
		}
		return err
	})
}

// patiently tries until it works or ctx ends.
func patiently(ctx context.Context, log *slog.Logger, what string, try func() error) error {
	wait := 50 * time.Millisecond
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		log.Warn(what, engine.LogErr, err, "in", wait)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
