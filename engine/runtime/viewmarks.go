package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// requestMarks asks every view to store that it has passed a sequence, once
// that is so. It waits for nothing.
func (p *projector) requestMarks(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		if v.stored < seq {
			v.mark = max(v.mark, seq)
			v.rouse()
		}
	}
}

// storeMark stores how far a view is, if that was asked for and is due, trying
// until it is stored or ctx ends. It belongs to the view's goroutine: between
// batches, so that positions only grow.
func (p *projector) storeMark(ctx context.Context, v *view) {
	p.mu.Lock()
	due, at := v.mark > 0 && v.passed >= v.mark, v.passed
	p.mu.Unlock()
	if !due || !p.insist(ctx, v, func() error { return v.Mark(ctx, whole(at)) }) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.stored = max(v.stored, at)
	if v.mark <= v.stored {
		v.mark = 0
	}
	p.kept.reached(p.storedSeq())
}

// stands reports whether a view trails and cannot be written, or reads the
// ledger again: nobody waits for it then. mu is held.
func (v *view) stands() bool { return v.trails && (v.problem != "" || v.behind) }

// storedSeq is the sequence from which every view that does not stand would go
// on after a restart. mu is held.
func (p *projector) storedSeq() uint64 {
	seq := p.folded
	for _, v := range p.views {
		if !v.stands() {
			seq = min(seq, v.stored)
		}
	}
	return seq
}

// everyStored is the sequence from which every view would go on after a
// restart. mu is held.
func (p *projector) everyStored() uint64 {
	seq := p.folded
	for _, v := range p.views {
		seq = min(seq, v.stored)
	}
	return seq
}

// needed is the sequence from which on the ledger must be kept for the views.
func (p *projector) needed() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.everyStored()
}

// settle waits until every view that does not stand has passed a sequence and
// stored that.
func (p *projector) settle(ctx context.Context, seq uint64) error {
	p.requestMarks(seq)
	done := make(chan struct{})
	p.mu.Lock()
	if p.storedSeq() >= seq {
		close(done)
	} else {
		p.kept.add(seq, func() { close(done) })
	}
	p.mu.Unlock()
	return wait(ctx, done)
}

// reached waits until a view, by name, has passed a sequence that the fold has
// applied, or until it is shown, when there is none of the name. A view that
// trails and cannot be written is waited for no longer: engine.ErrUnavailable.
func (p *projector) reached(ctx context.Context, seq uint64, name string) error {
	for {
		done := make(chan struct{})
		p.mu.Lock()
		waiters, passed, problem := &p.shown, p.shownSeq(), ""
		for _, v := range p.views {
			if v.Name() == name {
				waiters, passed = &v.shown, v.passed
				if v.trails {
					problem = v.problem
				}
			}
		}
		if passed < seq && problem == "" {
			waiters.add(seq, func() { close(done) })
		}
		p.mu.Unlock()
		switch {
		case passed >= seq:
			return nil
		case problem != "":
			return fmt.Errorf("%w: %s", engine.ErrUnavailable, strings.TrimPrefix(problem, engine.ErrUnavailable.Error()+": "))
		}
		if err := wait(ctx, done); err != nil {
			return err
		}
	}
}

// whenShown runs a function when a sequence is shown. It must be quick.
func (p *projector) whenShown(seq uint64, run func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shownSeq() >= seq {
		run()
	} else {
		p.shown.add(seq, run)
	}
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// status says how far every view is.
func (p *projector) status() (views []engine.ViewStatus, passed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		st := engine.ViewStatus{View: v.Name(), Seq: v.passed, Behind: p.folded - min(v.passed, p.folded), Rereads: v.behind, Problem: v.problem}
		for _, w := range v.follows {
			if w.passed < p.folded && w.passed <= v.passed && st.Behind > 0 {
				st.WaitsFor = append(st.WaitsFor, w.Name())
			}
		}
		views = append(views, st)
	}
	return views, p.everyPassed()
}
