package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
)

// maxBehind is how many changes may wait for the views before the scheduler
// waits for them, and maxBatch how many they take at once.
const (
	maxBehind = 100_000
	maxBatch  = 4096
)

// projector hands changes to the projections, in order and in batches. All
// views but the last take a batch side by side; the last, which publishes that
// a run is done, takes it after them, so that whoever hears of the end finds
// everything shown.
type projector struct {
	views []view
	log   *slog.Logger
	shown func(*engine.Change)

	mu      sync.Mutex
	room    *sync.Cond
	queue   []engine.Change
	wake    chan struct{}
	passed  uint64 // every view has taken everything up to this ledger sequence
	waiting []seqWaiter
	target  uint64 // newest sequence handed over
	busy    bool   // a batch is being written
	ended   bool

	marks chan markRequest
}

// markRequest asks for the views' positions to be stored, now that they have
// passed a sequence.
type markRequest struct {
	seq  uint64
	done chan error
}

type view struct {
	engine.Projection
	from engine.Pos // what it had taken at start
}

func newProjector(views []view, log *slog.Logger, shown func(*engine.Change)) *projector {
	p := &projector{views: views, log: log, shown: shown, wake: make(chan struct{}, 1), marks: make(chan markRequest)}
	p.room = sync.NewCond(&p.mu)
	return p
}

// add queues a change; it waits while the views are far behind.
func (p *projector) add(c *engine.Change) {
	p.mu.Lock()
	for len(p.queue) >= maxBehind && !p.ended {
		p.room.Wait()
	}
	p.queue = append(p.queue, *c)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run projects until ctx ends, and what is queued by then.
func (p *projector) run(ctx context.Context) error {
	defer p.end()
	for {
		batch := p.next()
		if len(batch) == 0 {
			select {
			case <-p.wake:
				continue
			case m := <-p.marks: // between batches, so that positions only grow
				m.done <- p.markViews(ctx, max(m.seq, p.position()))
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := p.project(ctx, batch); err != nil {
			return err
		}
	}
}

func (p *projector) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.room.Broadcast()
}

func (p *projector) next() []engine.Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.queue), maxBatch)
	batch := p.queue[:n:n]
	p.queue, p.busy = p.queue[n:], n > 0
	if len(p.queue) == 0 {
		p.queue = nil
	}
	p.room.Broadcast()
	return batch
}

func (p *projector) project(ctx context.Context, batch []engine.Change) error {
	last := len(p.views) - 1
	var wg sync.WaitGroup
	for i := range max(last, 0) {
		wg.Go(func() { p.write(ctx, &p.views[i], batch) })
	}
	wg.Wait()
	if last >= 0 {
		p.write(ctx, &p.views[last], batch)
	}
	if ctx.Err() != nil {
		return nil
	}
	for i := range batch {
		p.shown(&batch[i])
	}
	p.pass(batch[len(batch)-1].Pos.Seq)
	return nil
}

// write hands a batch to one view, again and again until it takes it: a view
// may be behind, it never has a hole.
func (p *projector) write(ctx context.Context, v *view, batch []engine.Change) {
	for len(batch) > 0 && !v.from.Before(batch[0].Pos) {
		batch = batch[1:]
	}
	wait := 20 * time.Millisecond
	for len(batch) > 0 {
		err := v.Project(ctx, batch)
		if err == nil || ctx.Err() != nil {
			return
		}
		p.log.Warn("a view did not take its changes; trying again", "view", v.Name(), engine.LogErr, err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		case <-ctx.Done():
			return
		}
	}
}

// pass notes that all views have taken everything up to a sequence.
func (p *projector) pass(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
	if len(p.queue) == 0 {
		seq = max(seq, p.target) // entries without changes have nothing to show
	} else if p.queue[0].Pos.Seq <= seq {
		seq = p.queue[0].Pos.Seq - 1
	}
	p.passed = max(p.passed, seq)
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		if w.seq <= p.passed {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	p.waiting = kept
}

// position is the sequence that every view has passed.
func (p *projector) position() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// reachedNow reports whether every view shows what the fold has applied up to
// a sequence.
func (p *projector) reachedNow(seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed >= seq || len(p.queue) == 0 && !p.busy
}

// reached waits until every view has passed a sequence that the fold has
// applied.
func (p *projector) reached(ctx context.Context, seq uint64) error {
	w := seqWaiter{seq: seq, done: make(chan struct{})}
	p.mu.Lock()
	p.target = max(p.target, seq)
	if len(p.queue) == 0 && !p.busy {
		p.passed = max(p.passed, seq)
	}
	if p.passed >= seq {
		close(w.done)
	} else {
		p.waiting = append(p.waiting, w)
	}
	p.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mark stores in every view that it has taken everything up to seq, once that
// is so.
func (p *projector) mark(ctx context.Context, seq uint64) error {
	if err := p.reached(ctx, seq); err != nil {
		return err
	}
	m := markRequest{seq: seq, done: make(chan error, 1)}
	select {
	case p.marks <- m:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *projector) markViews(ctx context.Context, seq uint64) error {
	for i := range p.views {
		if err := p.views[i].Mark(ctx, engine.Pos{Seq: seq, N: maxChanges}); err != nil {
			return fmt.Errorf("mark the position of %s: %w", p.views[i].Name(), err)
		}
	}
	return nil
}

// maxChanges is above the number of changes that one ledger entry can make.
const maxChanges = 1 << 30
