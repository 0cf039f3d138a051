package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// waiters are the callers that wait for a run to be accepted or to end.
type waiters struct {
	mu     sync.Mutex
	starts map[engine.RunID]chan startResult
	stored map[engine.RunID]*engine.RunDoc // what a caller has left before the fold came to it
	ends   map[engine.RunID][]chan *engine.RunDoc
	words  map[string]chan fold.Heard // by the token of a signal
}

// startResult is what the fold made of a submitted run: it opened it (doc),
// it knew the caller's key already (known), or it refused.
type startResult struct {
	doc     *engine.RunDoc
	known   engine.RunID
	refused string
	noFlow  bool // refused: there is no such flow
}

func newWaiters() *waiters {
	return &waiters{starts: map[engine.RunID]chan startResult{}, stored: map[engine.RunID]*engine.RunDoc{}, ends: map[engine.RunID][]chan *engine.RunDoc{}, words: map[string]chan fold.Heard{}}
}

// expectStart registers for the outcome of a submission, before it is written.
func (w *waiters) expectStart(id engine.RunID) (result <-chan startResult, forget func()) {
	ch := make(chan startResult, 1)
	w.mu.Lock()
	w.starts[id] = ch
	w.mu.Unlock()
	return ch, func() {
		w.mu.Lock()
		if w.stored[id] == nil { // otherwise the fold still has to hear of it
			delete(w.starts, id)
		}
		w.mu.Unlock()
	}
}

func (w *waiters) started(id engine.RunID, r startResult) {
	w.mu.Lock()
	ch := w.starts[id]
	delete(w.starts, id)
	delete(w.stored, id)
	if r.refused != "" {
		delete(w.ends, id) // there is no run to end
	}
	w.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// expectEnd registers for the end of a run, or for the moment in which it
// waits for a person.
func (w *waiters) expectEnd(id engine.RunID) (end <-chan *engine.RunDoc, forget func()) {
	ch := make(chan *engine.RunDoc, 1)
	return ch, w.endTo(id, ch)
}

// endTo registers a channel for the same.
func (w *waiters) endTo(id engine.RunID, ch chan *engine.RunDoc) (forget func()) {
	w.mu.Lock()
	w.ends[id] = append(w.ends[id], ch)
	w.mu.Unlock()
	return func() {
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

// openWithin is how long a start waits for its stored run to be opened before
// it is answered with the run's id alone.
const openWithin = 5 * time.Second

// await waits for the outcome of a submission that is stored. When ctx ends
// before the fold comes to it, opened is false and the run is known by the
// given document until it does.
func (w *waiters) await(ctx context.Context, result <-chan startResult, pending *engine.RunDoc) (r startResult, opened bool) {
	select {
	case r = <-result:
		return r, true
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waits := w.starts[pending.RunID]; !waits {
		return <-result, true // it came at the same moment
	}
	w.stored[pending.RunID] = pending
	return r, false
}

// pending is a run that is stored and that the fold has not come to; nil where
// there is none.
func (w *waiters) pending(id engine.RunID) *engine.RunDoc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored[id]
}
