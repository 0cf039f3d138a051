package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// Get returns an open run as it is now. ErrNotFound once it is final: the runs
// view has it then.
func (e *Engine) Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	var doc *engine.RunDoc
	err := e.sched.ask(ctx, func() {
		if r := e.sched.state.Run(id); r != nil {
			doc = r.Now(true)
		}
	})
	if err != nil {
		return nil, err
	}
	if doc == nil {
		doc = e.waiters.pending(id)
	}
	if doc == nil {
		return nil, fmt.Errorf("%w: no open run %s", engine.ErrNotFound, id)
	}
	return doc, nil
}

// Tasks returns a part of an open run's tasks. ErrNotFound as Get.
func (e *Engine) Tasks(ctx context.Context, id engine.RunID, f engine.TaskFilter) (page *engine.TaskPage, err error) {
	asked := e.sched.ask(ctx, func() {
		if r := e.sched.state.Run(id); r != nil {
			page, err = r.Page(f)
		} else {
			err = fmt.Errorf("%w: no open run %s", engine.ErrNotFound, id)
		}
	})
	return page, cmp.Or(asked, err)
}

// Wait returns a run when it is final and every view shows it, or when a task
// of it waits for a person. ErrNotFound as Get.
func (e *Engine) Wait(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	end, forget := e.waiters.expectEnd(id)
	defer forget()
	doc, err := e.Get(ctx, id)
	if err != nil {
		// It may have ended between the caller's start and now: what it waits
		// for is then on its way through the views, or has passed them.
		if settled := e.Shown(ctx, ""); settled != nil {
			return nil, settled
		}
		select {
		case doc := <-end:
			return doc, nil
		default:
			return nil, err
		}
	}
	if doc.Status == engine.Interrupted {
		return doc, nil
	}
	select {
	case doc := <-end:
		return doc, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Shown returns when a view, by its name, shows what the engine knows now: a
// run that is not open any more is found in it then. It waits for no other; ""
// stands for every view. engine.ErrUnavailable: it trails, and cannot be written
// now.
func (e *Engine) Shown(ctx context.Context, view string) error {
	var seq uint64
	if err := e.sched.ask(ctx, func() { seq = e.sched.state.Seq }); err != nil {
		return err
	}
	return e.views.reached(ctx, seq, view)
}

// Current returns when the fold has everything that the ledger has now: the
// node reads what it stores, and its scheduler turns. It ends with ctx.
func (e *Engine) Current(ctx context.Context) error {
	last, err := e.cfg.Ledger.Last(ctx)
	if err != nil {
		return err
	}
	return e.sched.reached(ctx, last)
}

// Open returns the open runs, newest first, at most 1,000.
func (e *Engine) Open(ctx context.Context) ([]*engine.RunDoc, error) {
	var ids []engine.RunID
	err := e.sched.ask(ctx, func() {
		ids = make([]engine.RunID, 0, e.sched.state.Open())
		for r := range e.sched.state.Runs() {
			ids = append(ids, r.ID)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids) // not in the scheduler's loop: there may be many
	slices.Reverse(ids)
	var docs []*engine.RunDoc
	err = e.sched.ask(ctx, func() {
		for _, id := range ids[:min(len(ids), 1000)] {
			if r := e.sched.state.Run(id); r != nil { // otherwise it has ended since: the view shows it
				docs = append(docs, r.Now(len(r.Tasks) <= 100))
			}
		}
	})
	return docs, err
}

// Cancel ends an open run: nothing new starts, calls in flight are cut off.
func (e *Engine) Cancel(ctx context.Context, id engine.RunID, reason string) error {
	if _, err := e.Get(ctx, id); err != nil {
		return err
	}
	return e.control(ctx, &engine.ControlRecord{Kind: engine.ControlCancel, Run: id, Reason: cut(reason, 256), ID: string(e.cfg.NewID(e.cfg.Now()))})
}

// control stores what a person says of a run, and returns when whoever asks for the
// run sees it. What is stored counts, also when ctx ends before it is seen.
func (e *Engine) control(ctx context.Context, rec *engine.ControlRecord) error {
	seq, err := e.cfg.Ledger.Append(ctx, rec)
	if err == nil {
		_ = e.sched.reached(ctx, seq)
	}
	return err
}

// Resolve says how an interrupted task ended: as success (with a value for
// others, or none), failed, or retry. ErrConflict: the task is not
// interrupted.
func (e *Engine) Resolve(ctx context.Context, id engine.RunID, task engine.TaskID, as string, val []byte) error {
	return e.ResolveItem(ctx, id, task, 0, as, val)
}

// ResolveItem is the same of an item of a task with for_each, from 1; 0: the task
// itself.
func (e *Engine) ResolveItem(ctx context.Context, id engine.RunID, task engine.TaskID, item int, as string, val []byte) error {
	if as != "success" && as != "failed" && as != "retry" {
		return fmt.Errorf("%w: %q is not success, failed or retry", engine.ErrInvalid, as)
	}
	if len(val) > engine.MaxInlineValue {
		return fmt.Errorf("%w: a value of %d bytes is larger than %d", engine.ErrInvalid, len(val), engine.MaxInlineValue)
	}
	var err error
	var sensitive bool
	asked := e.sched.ask(ctx, func() {
		r := e.sched.state.Run(id)
		if r == nil {
			err = fmt.Errorf("%w: no open run %s", engine.ErrNotFound, id)
			return
		}
		i, ok := r.Graph.Index[task]
		switch {
		case !ok:
			err = fmt.Errorf("%w: run %s has no task %q", engine.ErrNotFound, id, task)
		case item != 0:
			if err = r.Resolvable(i, item); err == nil {
				sensitive = r.Graph.Flow.Tasks[i].Sensitive
			}
		case r.Tasks[i].Status != engine.Interrupted:
			if err = r.ItemsWait(i); err != nil {
				return
			}
			err = fmt.Errorf("%w: task %s is %s, not interrupted", engine.ErrConflict, task, r.Tasks[i].Status)
		case as == "success" && len(val) == 0 && len(readers(r.Graph.Flow, task)) > 0:
			err = fmt.Errorf("%w: %s reads the value of %s: give one, what the server made of the call, or null",
				engine.ErrInvalid, strings.Join(readers(r.Graph.Flow, task), ", "), task)
		default:
			sensitive = r.Graph.Flow.Tasks[i].Sensitive
		}
	})
	if err = cmp.Or(asked, err); err != nil {
		return err
	}
	if sensitive && len(val) > 0 {
		if e.cfg.Sealer == nil {
			return fmt.Errorf("%w: the task is sensitive, and its value cannot be sealed: %w", engine.ErrUnavailable, errNoSealer)
		}
		if val, err = e.cfg.Sealer.Seal(ctx, engine.SealPlace(id, task, item, engine.PartValue), val); err != nil {
			return fmt.Errorf("seal the value: %w", err)
		}
	}
	return e.control(ctx, &engine.ControlRecord{Kind: engine.ControlResolve, Run: id, Task: task, Item: item, As: as, Value: val})
}

// readers are the tasks of a flow that read a task's value.
func readers(f *engine.Flow, task engine.TaskID) (names []string) {
	for i := range f.Tasks {
		if slices.Contains(f.Tasks[i].Pulls, task) {
			names = append(names, string(f.Tasks[i].ID))
		}
	}
	return names
}

// PutFlow makes a compiled flow the newest version, if it differs from the one
// that is.
func (e *Engine) PutFlow(ctx context.Context, f *engine.Flow) (changed bool, err error) {
	def, hash, err := f.Encode()
	if err != nil {
		return false, err
	}
	var current *fold.Graph
	if err := e.sched.ask(ctx, func() { current = e.sched.state.Newest(f.ID) }); err != nil {
		return false, err
	}
	if current != nil && current.Hash == hash {
		return false, nil
	}
	seq, err := e.cfg.Ledger.Append(ctx, &engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
	if err != nil {
		return false, fmt.Errorf("store flow %s: %w", f.ID, err)
	}
	return true, e.sched.reached(ctx, seq)
}

// RemoveFlow takes a flow away; its open runs go on with their version.
func (e *Engine) RemoveFlow(ctx context.Context, id engine.FlowID) error {
	if _, err := e.Flow(ctx, id); err != nil {
		return nil // not there: nothing to remove
	}
	seq, err := e.cfg.Ledger.Append(ctx, &engine.FlowRecord{Flow: id, Removed: true})
	if err != nil {
		return fmt.Errorf("remove flow %s: %w", id, err)
	}
	return e.sched.reached(ctx, seq)
}

// Flows lists the flows, by id.
func (e *Engine) Flows(ctx context.Context) ([]engine.FlowInfo, error) {
	list := []engine.FlowInfo{}
	err := e.sched.ask(ctx, func() {
		for g := range e.sched.state.Newests() {
			f := g.Flow
			list = append(list, engine.FlowInfo{
				FlowID: f.ID, Name: f.Name, Description: f.Description, Version: g.Hash, File: f.File,
				Tasks: len(f.Tasks), Triggers: f.Triggers, Running: e.sched.state.Active(f.ID),
			})
		}
	})
	return list, err
}

// InUse lists the flow versions in use: the newest of each flow, and those of open
// runs. They are not to be changed.
func (e *Engine) InUse(ctx context.Context) ([]*engine.Flow, error) {
	var list []*engine.Flow
	err := e.sched.ask(ctx, func() {
		for g := range e.sched.state.Graphs() {
			list = append(list, g.Flow)
		}
	})
	return list, err
}

// Flow returns the newest version of a flow. ErrNotFound with the nearest name.
func (e *Engine) Flow(ctx context.Context, id engine.FlowID) (*engine.Flow, error) {
	var f *engine.Flow
	var missing error
	err := e.sched.ask(ctx, func() {
		s := e.sched.state
		if g := s.Newest(id); g != nil {
			f = g.Flow
			return
		}
		missing = s.UnknownFlow(id)
	})
	return f, cmp.Or(err, missing)
}

// Release lets the tasks that wait under a key go, in steps of the slots: the
// breaker has closed.
func (e *Engine) Release(key string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	select {
	case <-e.ready:
		e.sched.tell(ctx, func() { e.sched.unpark(key, true) })
	default:
	}
}

// Folded is the ledger sequence up to which the fold has come, at no cost: who
// only wants to know whether anything happens. It is 0 until the engine is ready.
func (e *Engine) Folded() uint64 {
	select {
	case <-e.ready:
	default:
		return 0 // the views are being opened
	}
	e.views.mu.Lock()
	defer e.views.mu.Unlock()
	return e.views.folded
}

// Status says how the engine is.
func (e *Engine) Status(ctx context.Context) (engine.NodeStatus, error) {
	st := engine.NodeStatus{
		Installation: e.id, Worker: e.cfg.Worker, Started: engine.FormatTime(e.started), Slots: e.cfg.Slots,
		InFlight: int(e.worker.busy.Load()), Interrupted: []engine.TaskRef{},
	}
	err := e.sched.ask(ctx, func() { e.sched.status(&st) })
	slices.SortFunc(st.Interrupted, func(a, b engine.TaskRef) int { return cmp.Compare(a.Run, b.Run) })
	st.InterruptedTasks = len(st.Interrupted)
	st.Interrupted = st.Interrupted[:min(len(st.Interrupted), maxListed)]
	st.Views, st.ProjectedSeq = e.views.status()
	if err == nil && e.cfg.Triggers != nil {
		st.Triggers, err = e.cfg.Triggers.Waiting(ctx)
	}
	return st, err
}

// maxListed bounds the interrupted tasks that a status lists.
const maxListed = 20

func (s *scheduler) status(st *engine.NodeStatus) {
	st.LedgerSeq, st.BadRecords, st.DedupeFull = s.state.Seq, s.state.Bad, s.state.DedupeFull()
	st.Rejected = s.state.Rejected
	st.OpenRuns, st.Parked = s.state.Open(), s.parking.counts()
	s.limits.counts(st.Parked)
	now := s.now()
	st.LastHour, st.LastDay = s.state.LastHour(now), s.state.LastDay(now)
	for r := range s.state.Runs() {
		if r.InFlight == 0 && r.Interrupted == 0 && r.Awaiting == 0 {
			continue
		}
		for ref, t := range r.Cells() {
			switch {
			case t.Status == engine.Interrupted:
				st.Interrupted = append(st.Interrupted, engine.TaskRef{Run: r.ID, Flow: r.Graph.Flow.ID, Task: r.Graph.Flow.Tasks[ref.Task].ID, Item: ref.Item})
			case t.Status == engine.Waiting, t.Status == engine.Ready && t.Parked == "" && t.NotBefore > now:
				st.Waiting++
			case t.Status == engine.Ready && t.Parked == "":
				st.ReadyTasks++
			}
		}
	}
	st.ReadyTasks = max(0, st.ReadyTasks-st.InFlight)
}

// stillOpen answers a worker that was handed a task a second time.
func (e *Engine) stillOpen(ctx context.Context, key engine.AttemptKey) (open, started bool, err error) {
	last, err := e.cfg.Ledger.Last(ctx)
	if err != nil {
		return false, false, err
	}
	if err := e.sched.reached(ctx, last); err != nil {
		return false, false, err
	}
	err = e.sched.ask(ctx, func() {
		r := e.sched.state.Run(key.Run)
		if r == nil {
			return
		}
		if t := r.Dispatched(key); t != nil {
			open, started = t.Status == engine.Ready || t.Status == engine.Running, t.Started
		}
	})
	return open, started, err
}
