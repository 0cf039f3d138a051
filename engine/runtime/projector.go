package runtime

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/failpoint"
)

// How many changes, and how much of them, a view is handed at once.
const (
	maxBatch      = 4096
	maxBatchBytes = 8 << 20
)

// projector hands the changes to the views, in order and in batches. Each view
// has its own goroutine and its own place in the queue of the newest changes,
// so nobody waits for one that is slow or stands still: what the queue could
// not keep for it, it reads again from the ledger (catchup.go).
//
// A view may follow others: then the end of a run is handed to it only when
// they have passed it, so that whoever hears of the end finds everything shown.
type projector struct {
	views   []*view
	log     *slog.Logger
	ledger  engine.Ledger
	restore restoreFunc
	target  uint64 // the ledger's last sequence at start: a change from before it is a replay

	mu       sync.Mutex
	queue    *changeQueue
	folded   uint64     // the queue has had every change up to this sequence
	shown    seqWaiters // wait until it is shown (viewmarks.go)
	kept     seqWaiters // wait for every view to have stored that
	patience patience
}

// restoreFunc returns the fold's state at the newest place from which a view
// can be made that has everything up to a sequence.
type restoreFunc func(ctx context.Context, atMost uint64) (*fold.State, error)

// view is a projection and how far it is.
type view struct {
	engine.Projection
	follows []*view
	trails  bool // see engine.Trailing
	wake    chan struct{}
	pos     engine.Pos // of the last change taken; only the view's own goroutine looks at it

	// Guarded by the projector's mu.
	at      uint64 // number in the queue of the next change
	behind  bool   // the queue does not have what it needs next
	passed  uint64 // everything up to this sequence is taken
	stored  uint64 // a restart would go on from here, or later
	mark    uint64 // to be stored once it is passed; 0: nothing
	problem string // why the last try failed; "" when it did not
	shown   seqWaiters
}

// maxChanges is above the number of changes that one ledger entry can make: as
// the N of a position it stands for the whole entry.
const maxChanges = 1 << 30

func whole(seq uint64) engine.Pos { return engine.Pos{Seq: seq, N: maxChanges} }

// newProjector prepares the views. The queue will have every change behind
// from, the ledger had entries up to target when the node started.
func newProjector(cfg *Config, restore restoreFunc, from, target uint64) *projector {
	return &projector{
		log: cfg.Log, ledger: cfg.Ledger, restore: restore, target: target, folded: from,
		queue: newChangeQueue(cfg.ViewQueue, cfg.ViewQueueBytes, whole(from)),
	}
}

// addView registers a view that has taken everything up to a position.
func (p *projector) addView(v engine.Projection, pos engine.Pos, follows ...*view) *view {
	passed := pos.Seq
	if pos.N < maxChanges && passed > 0 {
		passed-- // there may be more of that entry
	}
	out := &view{
		Projection: v, follows: slices.Clone(follows), wake: make(chan struct{}, 1), pos: pos,
		at: p.queue.next, behind: passed < p.folded, passed: passed, stored: passed,
	}
	if t, ok := v.(engine.Trailing); ok {
		out.trails = true
		p.patience.limit = max(p.patience.limit, t.Patience())
	}
	p.views = append(p.views, out)
	return out
}

// toFollow are the views that the last one follows: those that do not trail.
func (p *projector) toFollow() (list []*view) {
	for _, v := range p.views {
		if !v.trails {
			list = append(list, v)
		}
	}
	return list
}

// add hands over the changes of all entries up to a sequence; they belong to
// the views from now on. It never waits for one.
func (p *projector) add(changes []engine.Change, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(changes) > 0 {
		p.queue.add(changes)
	}
	p.folded = max(p.folded, seq)
	for _, v := range p.views {
		if !v.behind && v.at < p.queue.first() {
			v.behind = true
			p.shown.reached(p.shownSeq()) // one that trails is waited for no longer
		}
		v.rouse()
	}
	if len(p.views) == 0 {
		p.queue.trim(p.queue.next)
		p.shown.reached(p.folded)
	}
}

func (v *view) rouse() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run projects until ctx ends.
func (p *projector) run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, v := range p.views {
		all.Go(func() { p.follow(ctx, v) })
	}
	if p.patience.limit > 0 {
		all.Go(func() { p.losePatience(ctx) })
	}
	all.Wait()
	return nil
}

// follow keeps one view up to date until ctx ends.
func (p *projector) follow(ctx context.Context, v *view) {
	var batch []engine.Change
	for ctx.Err() == nil {
		p.storeMark(ctx, v)
		parts, through, behind := p.next(v)
		if behind {
			p.catchUp(ctx, v)
			continue
		}
		taken := 0
		batch = batch[:0]
		for _, part := range parts {
			taken += len(part)
			for len(part) > 0 && !v.pos.Before(part[0].Pos) {
				part = part[1:]
			}
			batch = append(batch, part...)
		}
		if !p.deliver(ctx, v, batch) {
			return
		}
		clear(batch) // what it pointed to may go
		more := p.passedTo(v, taken, through)
		if t, trails := v.Projection.(engine.Trailing); trails {
			sleep(ctx, t.Pause())
		}
		if !more {
			p.rest(ctx, v)
		}
	}
}

// rest waits until there may be something for a view that has taken everything:
// changes, a mark to store, or what it has held back until now.
func (p *projector) rest(ctx context.Context, v *view) {
	var due <-chan time.Time
	h, holds := v.Projection.(engine.Holding)
	if holds {
		if d, some := h.Due(); some {
			timer := time.NewTimer(d)
			defer timer.Stop()
			due = timer.C
		}
	}
	select {
	case <-v.wake:
	case <-due:
		p.insist(ctx, v, func() error { return h.WriteDue(ctx) })
	case <-ctx.Done():
	}
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// next returns the changes that a view takes next, and the sequence that it
// will have passed with them.
func (p *projector) next(v *view) (parts [][]engine.Change, through uint64, behind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v.behind {
		return nil, 0, true
	}
	parts, left := p.queue.from(v.at, maxBatch, maxBatchBytes)
	if left == nil {
		return parts, p.folded, false
	}
	return parts, left.Pos.Seq - 1, false
}

// passedTo notes that a view has taken changes and everything up to a sequence,
// and reports whether more is there for it.
func (p *projector) passedTo(v *view, taken int, through uint64) (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v.at += uint64(taken)
	p.progress(v, through)
	oldest := p.queue.next
	for _, w := range p.views {
		if !w.behind {
			oldest = min(oldest, w.at)
		}
	}
	p.queue.trim(oldest)
	return v.behind || v.at < p.queue.next
}

// progress notes how far a view has come and tells those who wait for it. mu
// is held.
func (p *projector) progress(v *view, through uint64) {
	if through <= v.passed {
		return
	}
	v.passed = through
	v.shown.reached(through)
	p.shown.reached(p.shownSeq())
	for _, w := range p.views {
		if slices.Contains(w.follows, v) {
			w.rouse()
		}
	}
}

// everyPassed is the sequence that every view has passed. mu is held.
func (p *projector) everyPassed() uint64 {
	seq := p.folded
	for _, v := range p.views {
		seq = min(seq, v.passed)
	}
	return seq
}

// deliver hands changes to a view until it has taken all of them, and reports
// whether it has: it has not when ctx ended.
func (p *projector) deliver(ctx context.Context, v *view, changes []engine.Change) bool {
	for len(changes) > 0 {
		n := p.allowed(v, changes)
		if n == 0 {
			select {
			case <-v.wake:
				continue
			case <-ctx.Done():
				return false
			}
		}
		if !p.insist(ctx, v, func() error { return v.Project(ctx, changes[:n]) }) {
			return false
		}
		if changes[n-1].Kind == engine.RunDone {
			failpoint.Here("view.end")
		}
		v.pos = changes[n-1].Pos
		if changes = changes[n:]; len(changes) > 0 {
			p.mu.Lock()
			p.progress(v, changes[0].Pos.Seq-1)
			p.mu.Unlock()
		}
	}
	return true
}

// allowed is how many of the changes may be handed to a view now: the end of a
// run waits for the views that this one follows.
func (p *projector) allowed(v *view, changes []engine.Change) int {
	if len(v.follows) == 0 {
		return len(changes)
	}
	p.mu.Lock()
	passed := uint64(1<<64 - 1)
	for _, w := range v.follows {
		passed = min(passed, w.passed)
	}
	p.mu.Unlock()
	for i := range changes {
		if changes[i].Kind == engine.RunDone && changes[i].Pos.Seq > passed {
			return i
		}
	}
	return len(changes)
}

// insist does something for a view again and again until it works, and reports
// whether it did: it did not when ctx ended. A view may be behind, it never has
// a hole. The log says why when that is new, and then once in a while.
func (p *projector) insist(ctx context.Context, v *view, do func() error) bool {
	var began, told time.Time
	said := ""
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := do()
		if ctx.Err() != nil {
			return false
		}
		p.note(v, err)
		if err == nil {
			if said != "" {
				p.log.Info("a view is written again", "view", v.Name(), "after", time.Since(began).Round(time.Millisecond))
			}
			return true
		}
		if text := err.Error(); text != said || time.Since(told) >= tellEvery {
			if said == "" {
				began = time.Now()
			}
			said, told = text, time.Now()
			p.log.Warn("a view could not be written; it is tried again until it is", "view", v.Name(), engine.LogErr, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// tellEvery is how often the log repeats why a view cannot be written.
const tellEvery = time.Minute

// note keeps why a view's last try failed, for the status.
func (p *projector) note(v *view, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v.problem = ""
	if err != nil {
		v.problem = err.Error()
		p.shown.reached(p.shownSeq())
		p.kept.reached(p.storedSeq())
		if v.trails {
			v.shown.reached(math.MaxUint64) // they look again, and wait no longer
		}
	}
}
