package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/qarion/qarion/engine"
)

// waiters are the callers that wait for a run to be accepted or to end.
type waiters struct {
	mu     sync.Mutex
	starts map[engine.RunID]chan startResult
	ends   map[engine.RunID][]chan *engine.RunDoc
}

// startResult is what the fold made of a submitted run: it opened it (doc),
// it knew the caller's key already (known), or it refused.
type startResult struct {
	doc     *engine.RunDoc
	known   engine.RunID
	refused string
}

func newWaiters() *waiters {
	return &waiters{starts: map[engine.RunID]chan startResult{}, ends: map[engine.RunID][]chan *engine.RunDoc{}}
}

// expectStart registers for the outcome of a submission, before it is written.
func (w *waiters) expectStart(id engine.RunID) (result <-chan startResult, forget func()) {
	ch := make(chan startResult, 1)
	w.mu.Lock()
	w.starts[id] = ch
	w.mu.Unlock()
	return ch, func() {
		w.mu.Lock()
		delete(w.starts, id)
		w.mu.Unlock()
	}
}

func (w *waiters) started(id engine.RunID, r startResult) {
	w.mu.Lock()
	ch := w.starts[id]
	delete(w.starts, id)
	w.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// expectEnd registers for the end of a run, or for the moment in which it
// waits for a person.
func (w *waiters) expectEnd(id engine.RunID) (end <-chan *engine.RunDoc, forget func()) {
	ch := make(chan *engine.RunDoc, 1)
	w.mu.Lock()
	w.ends[id] = append(w.ends[id], ch)
	w.mu.Unlock()
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		list := w.ends[id]
		for i, c := range list {
			if c == ch {
				w.ends[id] = append(list[:i:i], list[i+1:]...)
				break
			}
		}
		if len(w.ends[id]) == 0 {
			delete(w.ends, id)
		}
	}
}

// waitedFor reports whether somebody waits for a change: it ends a run, or the
// run now waits for a person.
func (w *waiters) waitedFor(c *engine.Change) bool {
	if c.Kind != engine.RunDone && (c.Kind != engine.RunChanged || c.Doc.Status != engine.Interrupted) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ends[c.Run]) > 0
}

// shown tells those who wait for such a change that every view has it.
func (w *waiters) shown(c *engine.Change) {
	w.mu.Lock()
	list := w.ends[c.Run]
	delete(w.ends, c.Run)
	w.mu.Unlock()
	for _, ch := range list {
		ch <- c.Doc
	}
}

// await waits for the outcome of a submission.
func await(ctx context.Context, result <-chan startResult, req engine.StartRequest) (startResult, error) {
	select {
	case <-ctx.Done():
		return startResult{}, fmt.Errorf("wait for the run of %s to be accepted: %w", req.Flow, context.Cause(ctx))
	case r := <-result:
		if r.refused != "" {
			return r, fmt.Errorf("%w: %s", engine.ErrInvalid, r.refused)
		}
		return r, nil
	}
}
