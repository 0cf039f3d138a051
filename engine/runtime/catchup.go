package runtime

import (
	"context"
	"errors"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// catchUp brings a view that the queue has left behind back into it: the
// ledger is folded once more, from the newest checkpoint that the view has
// passed, and what it has not taken yet is handed to it, at its own speed.
//
// That needs no storage and has no bound: the ledger is kept for the slowest
// view anyway. A file that keeps what the queue cannot would cost every change
// a write, must be bounded itself, and is of no help after a crash, when the
// ledger has to be folded again in any case. The price is a second state in
// memory, as long as the view is behind.
func (p *projector) catchUp(ctx context.Context, v *view) {
	p.insist(ctx, v, func() error { return p.reread(ctx, v) })
}

// errJoined ends the reading: the queue has what comes next.
var errJoined = errors.New("the view has caught up")

// reread hands a view what it has not taken, until the queue has the rest.
func (p *projector) reread(ctx context.Context, v *view) error {
	p.mu.Lock()
	passed := v.passed
	p.mu.Unlock()
	state, err := p.restore(ctx, passed)
	if err != nil {
		return err
	}
	r := &rereading{projector: p, view: v, state: state}
	err = p.ledger.Follow(ctx, state.Seq+1, func(e engine.Entry) error { return r.take(ctx, e) })
	if errors.Is(err, errJoined) {
		return nil
	}
	return err
}

// rereading is a view's own fold of the ledger.
type rereading struct {
	*projector
	view  *view
	state *fold.State
	batch []engine.Change
	bytes int
}

func (r *rereading) take(ctx context.Context, e engine.Entry) error {
	for _, effect := range r.state.Apply(e) {
		c := effect.Change
		if effect.Kind != fold.Show || !r.view.pos.Before(c.Pos) {
			continue
		}
		c.Replay = c.Pos.Seq <= r.target
		r.batch = append(r.batch, *c)
		r.bytes += changeSize(c)
	}
	if !r.joins(r.view, e.Seq) && len(r.batch) < maxBatch && r.bytes < maxBatchBytes {
		return nil
	}
	if !r.deliver(ctx, r.view, r.batch) {
		return ctx.Err()
	}
	clear(r.batch)
	r.batch, r.bytes = r.batch[:0], 0
	r.mu.Lock()
	r.progress(r.view, e.Seq)
	r.mu.Unlock()
	r.storeMark(ctx, r.view)
	if r.join(r.view, e.Seq) {
		return errJoined
	}
	return nil
}

// joins reports whether a view that has taken everything up to a sequence can
// go on in the queue.
func (p *projector) joins(v *view, seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.gone.Seq <= seq && v.passed <= seq
}

// join makes the view go on in the queue, if it can.
func (p *projector) join(v *view, seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.gone.Seq > seq || v.passed > seq {
		return false
	}
	v.at, v.behind = p.queue.after(seq), false
	return true
}
