package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// closer writes the records that no worker writes: what the clock decides,
// calls that were lost with their process, tasks that a cancel met before
// their call. A record that the ledger refuses is tried again until it takes
// it; written twice it changes nothing.
type closer struct {
	ledger Ledger
	now    func() time.Time
	log    *slog.Logger
	name   string

	mu   sync.Mutex
	todo []Record
	wake chan struct{}
}

func newCloser(cfg *Config) *closer {
	return &closer{ledger: cfg.Ledger, now: cfg.Now, log: Logger(cfg.Log), name: cfg.Worker, wake: make(chan struct{}, 1)}
}

func (c *closer) add(rec Record) {
	c.mu.Lock()
	c.todo = append(c.todo, rec)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// lost says that a call was started and its process is gone.
func (c *closer) lost(key AttemptKey, sent Micros) {
	c.add(&ControlRecord{
		Kind: ControlInterrupt, Run: key.Run, Task: key.Task, Key: key,
		Reason: "outcome unknown: may have been sent at " + sent.Format() + ", no answer recorded",
	})
}

// cancelled ends an attempt that was never made.
func (c *closer) cancelled(key AttemptKey, r *run) {
	now := At(c.now())
	task := &r.graph.Flow.Tasks[r.graph.index[key.Task]]
	c.add(&AttemptRecord{
		AttemptKey: key, Flow: r.graph.Flow.ID, Outcome: OutcomeCancelled, Start: now, End: now, Class: "cancelled",
		Error: "cancelled before it was sent", Type: task.Type, Subtype: task.Subtype, Worker: c.name, BatchID: r.batch,
	})
}

// timeout ends a run whose time is up.
func (c *closer) timeout(r *run) {
	c.add(&ControlRecord{Kind: ControlTimeout, Run: r.id, Reason: "run timeout after " + r.graph.Flow.Timeout.String()})
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
func (c *closer) appendAll(ctx context.Context, recs []Record) {
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
func appendPatiently(ctx context.Context, l Ledger, log *slog.Logger, rec Record) error {
	wait := 50 * time.Millisecond
	for {
		_, err := l.Append(ctx, rec)
		if err == nil || ctx.Err() != nil {
			return err
		}
		log.Warn("the ledger did not take a record; trying again", LogErr, err, "in", wait)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
