package kvstore

import (
	"context"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
)

// The first document of a run is held back for holdStart: a run that ends
// before needs only its last, which saves one stored message of six. An open
// run is answered from the fold, so nobody but a watcher of the bucket sees it.
// At most so many that their documents have maxHeldTasks tasks together: what is
// more is written at once, so that a burst of large runs does not stay in memory.
const (
	holdStart    = time.Second
	holdMicros   = engine.Micros(holdStart / time.Microsecond)
	maxHeldTasks = 16 << 10
)

// heldStart is a run's first document that is not written yet.
type heldStart struct {
	run     engine.RunID
	change  engine.Change
	at      engine.Micros // of the ledger
	since   time.Time
	written bool // by the batch that is being written, or made needless by it
}

// heldStarts are those of a view, oldest first. They are changed by the view's
// goroutine alone.
type heldStarts struct {
	list  []*heldStart
	byRun map[engine.RunID]*heldStart
	tasks int
	first int // all before it in the list are written: looked for once per batch, not per message
}

func weight(c *engine.Change) int { return 1 + len(c.Doc.Tasks) }

// take holds a run's start back, unless there is no room; it has been taken
// already when the same batch comes again.
func (h *heldStarts) take(c *engine.Change) bool {
	if h.byRun[c.Run] != nil {
		return true
	}
	if h.tasks+weight(c) > maxHeldTasks {
		return false
	}
	if h.byRun == nil {
		h.byRun = make(map[engine.RunID]*heldStart)
	}
	s := &heldStart{run: c.Run, change: *c, at: c.At, since: time.Now()}
	h.list, h.byRun[c.Run] = append(h.list, s), s
	h.tasks += weight(c)
	return true
}

// drop says that a newer document of the run is written now.
func (h *heldStarts) drop(run engine.RunID) {
	if s := h.byRun[run]; s != nil {
		s.written = true
	}
}

// taken is up to where the bucket has everything once a change is written.
func (h *heldStarts) taken(at engine.Pos) engine.Pos {
	for h.first < len(h.list) && h.list[h.first].written {
		h.first++
	}
	if h.first == len(h.list) {
		return at
	}
	held := h.list[h.first].change.Pos
	if before := (engine.Pos{Seq: held.Seq, N: held.N - 1}); before.Before(at) {
		return before
	}
	return at
}

// commit forgets what has been written.
func (h *heldStarts) commit() {
	kept := h.list[:0]
	for _, s := range h.list {
		if !s.written {
			kept = append(kept, s)
			continue
		}
		delete(h.byRun, s.run)
		h.tasks -= weight(&s.change)
	}
	clear(h.list[len(kept):])
	h.list, h.first = kept, 0
}

// rollback holds what a batch that failed has not written after all.
func (h *heldStarts) rollback() {
	for _, s := range h.list {
		s.written = false
	}
	h.first = 0
}

// Due implements engine.Holding.
func (r *Runs) Due() (time.Duration, bool) {
	if len(r.held.list) == 0 {
		return 0, false
	}
	return time.Until(r.held.list[0].since.Add(holdStart)), true
}

// WriteDue implements engine.Holding.
func (r *Runs) WriteDue(ctx context.Context) error {
	now := time.Now()
	return r.writeHeld(ctx, func(s *heldStart) bool { return now.Sub(s.since) >= holdStart })
}

// writeHeld writes the starts that are held back and chosen.
func (r *Runs) writeHeld(ctx context.Context, chosen func(*heldStart) bool) error {
	if len(r.held.list) == 0 {
		return nil
	}
	b := r.feed.Begin(ctx)
	defer b.End()
	defer r.held.rollback()
	for _, s := range r.held.list {
		if !chosen(s) {
			continue
		}
		if err := r.write(ctx, b, s); err != nil {
			return err
		}
	}
	if err := b.Commit(ctx); err != nil {
		return unavailable(err)
	}
	r.held.commit()
	return nil
}

// write adds a start that is held back to a batch.
func (r *Runs) write(ctx context.Context, b *feed.Batch, s *heldStart) error {
	s.written = true
	return r.add(ctx, b, &s.change)
}
