package runtime

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// closer writes the records that no worker writes: what the clock decides,
// calls that were lost with their process, tasks that a cancel met before
// their call. A record that the ledger refuses is tried again until it takes
// it; written twice it changes nothing.
type closer struct {
	ledger engine.Ledger
	now    func() time.Time
	log    *slog.Logger
	name   string

	mu   sync.Mutex
	todo []engine.Record
	wake chan struct{}
}

func newCloser(cfg *Config) *closer {
	return &closer{ledger: cfg.Ledger, now: cfg.Now, log: engine.Logger(cfg.Log), name: cfg.Worker, wake: make(chan struct{}, 1)}
}

func (c *closer) add(rec engine.Record) {
	c.mu.Lock()
	c.todo = append(c.todo, rec)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// lost says that a call was started and its process is gone.
func (c *closer) lost(key engine.AttemptKey, sent engine.Micros) {
	c.add(&engine.ControlRecord{
		Kind: engine.ControlInterrupt, Run: key.Run, Task: key.Task, Key: key,
		Reason: engine.UnknownOutcome + "may have been sent at " + sent.Format() + ", no answer recorded",
	})
}

// cancelled ends an attempt that was never made.
func (c *closer) cancelled(key engine.AttemptKey, r *fold.Run) {
	now := engine.At(c.now())
	task := &r.Graph.Flow.Tasks[r.Graph.Index[key.Task]]
	c.add(&engine.AttemptRecord{
		AttemptKey: key, Flow: r.Graph.Flow.ID, Outcome: engine.OutcomeCancelled, Start: now, End: now, Class: "cancelled",
		Error: "cancelled before it was sent", Type: task.Type, Subtype: task.Subtype, Worker: c.name, BatchID: r.Batch,
	})
}

// timeout ends a run whose time is up.
func (c *closer) timeout(r *fold.Run) {
	c.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: r.ID, Reason: r.OverTime()})
}

// run appends what is added until ctx ends.
func (c *closer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		c.mu.Lock()
		todo := c.todo
		c.todo = nil
		c.mu.Unlock()
		c.appendAll(ctx, todo)
	}
}

// appendAll appends many records at once, so that the ledger can group them.
func (c *closer) appendAll(ctx context.Context, recs []engine.Record) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 512)
	for _, rec := range recs {
		places <- struct{}{}
		wg.Go(func() {
			appendPatiently(ctx, c.ledger, c.log, rec)
			<-places
		})
	}
	wg.Wait()
}

// appendPatiently appends until the ledger takes the record or ctx ends.
func appendPatiently(ctx context.Context, l engine.Ledger, log *slog.Logger, rec engine.Record) error {
	return patiently(ctx, log, "the ledger did not take a record; trying again", func() error {
		_, err := l.Append(ctx, rec)
		return err
	})
}
