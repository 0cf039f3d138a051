package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

// Start stores a trigger and returns the run when the fold has accepted it. A
// refusal is ErrInvalid with the reason. A DedupeID that is known gives the
// run that it has started before.
func (e *Engine) Start(ctx context.Context, req StartRequest) (*RunDoc, error) {
	rec := &SubmitRecord{
		Run: e.cfg.NewID(e.cfg.Now()), Flow: req.Flow, Variables: req.Variables, ExecutionDate: At(req.ExecutionDate),
		TriggerType: orElse(req.TriggerType, "api"), TriggerID: req.TriggerID, DedupeID: req.DedupeID,
	}
	if len(req.Variables) > MaxTriggerPayload {
		return nil, fmt.Errorf("%w: variables of %d bytes are larger than %d", ErrInvalid, len(req.Variables), MaxTriggerPayload)
	}
	if req.BatchID != nil {
		rec.BatchID, rec.HasBatchID = *req.BatchID, true
	}
	if req.AdHoc != nil {
		if err := e.putAdHoc(ctx, req.AdHoc, rec); err != nil {
			return nil, err
		}
	}
	if e.cfg.OnlyOwn {
		if err := e.sched.ask(ctx, func() { e.sched.own[rec.Run] = true }); err != nil {
			return nil, err
		}
	}
	result, forget := e.waiters.expectStart(rec.Run)
	defer forget()
	if _, err := e.cfg.Ledger.Append(ctx, rec); err != nil {
		return nil, fmt.Errorf("store the trigger: %w", err)
	}
	r, err := await(ctx, result, req)
	if err != nil {
		return nil, err
	}
	if r.known != "" {
		return e.knownRun(ctx, r.known)
	}
	return r.doc, nil
}

// putAdHoc writes a flow version that only this run uses.
func (e *Engine) putAdHoc(ctx context.Context, f *Flow, rec *SubmitRecord) error {
	def, hash, err := f.Encode()
	if err != nil {
		return err
	}
	rec.Flow, rec.Version = f.ID, hash
	_, err = e.cfg.Ledger.Append(ctx, &FlowRecord{Flow: f.ID, Hash: hash, Definition: def, AdHoc: true})
	if err != nil {
		return fmt.Errorf("store flow %s: %w", f.ID, err)
	}
	return nil
}

// knownRun is the document of a run that an earlier trigger with the same key
// has started. When it is final already only its id is known here.
func (e *Engine) knownRun(ctx context.Context, id RunID) (*RunDoc, error) {
	doc, err := e.Get(ctx, id)
	if err != nil {
		return &RunDoc{RunID: id, Final: true}, nil
	}
	return doc, nil
}

// Get returns an open run as it is now. ErrNotFound once it is final: the runs
// view has it then.
func (e *Engine) Get(ctx context.Context, id RunID) (*RunDoc, error) {
	var doc *RunDoc
	err := e.sched.ask(ctx, func() {
		if r := e.sched.state.runs[id]; r != nil {
			doc = r.doc(r.status, 0, true)
		}
	})
	if err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, fmt.Errorf("%w: no open run %s", ErrNotFound, id)
	}
	return doc, nil
}

// Wait returns a run when it is final and every view shows it, or when a task
// of it waits for a person. ErrNotFound as Get.
func (e *Engine) Wait(ctx context.Context, id RunID) (*RunDoc, error) {
	end, forget := e.waiters.expectEnd(id)
	defer forget()
	doc, err := e.Get(ctx, id)
	if err != nil {
		// It may have ended between the caller's start and now: what it waits
		// for is then on its way through the views, or has passed them.
		if settled := e.views.reached(ctx, e.foldedSeq(ctx)); settled != nil {
			return nil, settled
		}
		select {
		case doc := <-end:
			return doc, nil
		default:
			return nil, err
		}
	}
	if doc.Status == Interrupted {
		return doc, nil
	}
	select {
	case doc := <-end:
		return doc, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Shown returns when every view shows what the engine knows now: a run that is
// not open any more is found in them then.
func (e *Engine) Shown(ctx context.Context) error { return e.views.reached(ctx, e.foldedSeq(ctx)) }

func (e *Engine) foldedSeq(ctx context.Context) (seq uint64) {
	_ = e.sched.ask(ctx, func() { seq = e.sched.state.Seq })
	return seq
}

// Open returns the open runs, newest first, at most 1,000.
func (e *Engine) Open(ctx context.Context) ([]*RunDoc, error) {
	var docs []*RunDoc
	err := e.sched.ask(ctx, func() {
		ids := slices.Sorted(maps.Keys(e.sched.state.runs))
		slices.Reverse(ids)
		for _, id := range ids[:min(len(ids), 1000)] {
			r := e.sched.state.runs[id]
			docs = append(docs, r.doc(r.status, 0, len(r.tasks) <= 100))
		}
	})
	return docs, err
}

// Cancel ends an open run: nothing new starts, calls in flight are cut off.
func (e *Engine) Cancel(ctx context.Context, id RunID, reason string) error {
	if _, err := e.Get(ctx, id); err != nil {
		return err
	}
	_, err := e.cfg.Ledger.Append(ctx, &ControlRecord{Kind: ControlCancel, Run: id, Reason: cut(reason, 256)})
	return err
}

// Resolve says how an interrupted task ended: as success (with a value for
// others, or none), failed, or retry. ErrConflict: the task is not
// interrupted.
func (e *Engine) Resolve(ctx context.Context, id RunID, task TaskID, as string, val []byte) error {
	if as != "success" && as != "failed" && as != "retry" {
		return fmt.Errorf("%w: %q is not success, failed or retry", ErrInvalid, as)
	}
	if len(val) > MaxInlineValue {
		return fmt.Errorf("%w: a value of %d bytes is larger than %d", ErrInvalid, len(val), MaxInlineValue)
	}
	var err error
	asked := e.sched.ask(ctx, func() {
		r := e.sched.state.runs[id]
		if r == nil {
			err = fmt.Errorf("%w: no open run %s", ErrNotFound, id)
			return
		}
		i, ok := r.graph.index[task]
		switch {
		case !ok:
			err = fmt.Errorf("%w: run %s has no task %q", ErrNotFound, id, task)
		case r.tasks[i].status != Interrupted:
			err = fmt.Errorf("%w: task %s is %s, not interrupted", ErrConflict, task, r.tasks[i].status)
		}
	})
	if err = cmp.Or(asked, err); err != nil {
		return err
	}
	_, err = e.cfg.Ledger.Append(ctx, &ControlRecord{Kind: ControlResolve, Run: id, Task: task, As: as, Value: val})
	return err
}

// PutFlow makes a compiled flow the newest version, if it differs from the one
// that is.
func (e *Engine) PutFlow(ctx context.Context, f *Flow) (changed bool, err error) {
	def, hash, err := f.Encode()
	if err != nil {
		return false, err
	}
	var current string
	if err := e.sched.ask(ctx, func() { current = e.sched.state.flowState(f.ID).current }); err != nil {
		return false, err
	}
	if current == hash {
		return false, nil
	}
	seq, err := e.cfg.Ledger.Append(ctx, &FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
	if err != nil {
		return false, fmt.Errorf("store flow %s: %w", f.ID, err)
	}
	return true, e.sched.reached(ctx, seq)
}

// RemoveFlow takes a flow away; its open runs go on with their version.
func (e *Engine) RemoveFlow(ctx context.Context, id FlowID) error {
	if _, err := e.Flow(ctx, id); err != nil {
		return nil // not there: nothing to remove
	}
	seq, err := e.cfg.Ledger.Append(ctx, &FlowRecord{Flow: id, Removed: true})
	if err != nil {
		return fmt.Errorf("remove flow %s: %w", id, err)
	}
	return e.sched.reached(ctx, seq)
}

// Flows lists the flows, by id.
func (e *Engine) Flows(ctx context.Context) ([]FlowInfo, error) {
	list := []FlowInfo{}
	err := e.sched.ask(ctx, func() {
		for _, id := range slices.Sorted(maps.Keys(e.sched.state.flows)) {
			fs := e.sched.state.flows[id]
			v := e.sched.state.versions[fs.current]
			if v == nil {
				continue
			}
			f := v.graph.Flow
			list = append(list, FlowInfo{
				FlowID: f.ID, Name: f.Name, Description: f.Description, Version: v.graph.Hash, File: f.File,
				Tasks: len(f.Tasks), Triggers: f.Triggers, Running: len(fs.active),
			})
		}
	})
	return list, err
}

// Flow returns the newest version of a flow. ErrNotFound with the nearest name.
func (e *Engine) Flow(ctx context.Context, id FlowID) (*Flow, error) {
	var f *Flow
	var missing error
	err := e.sched.ask(ctx, func() {
		s := e.sched.state
		if fs := s.flows[id]; fs != nil && s.versions[fs.current] != nil {
			f = s.versions[fs.current].graph.Flow
			return
		}
		missing = fmt.Errorf("%w: %w", ErrNotFound, s.unknownFlow(id))
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

// Status says how the engine is.
func (e *Engine) Status(ctx context.Context) (NodeStatus, error) {
	st := NodeStatus{
		Installation: e.id, Worker: e.cfg.Worker, Started: FormatTime(e.started), Slots: e.cfg.Slots,
		InFlight: int(e.worker.busy.Load()), ProjectedSeq: e.views.position(),
	}
	err := e.sched.ask(ctx, func() { e.sched.status(&st) })
	if err == nil && e.views.reachedNow(st.LedgerSeq) {
		st.ProjectedSeq = st.LedgerSeq
	}
	return st, err
}

// maxListed bounds the interrupted tasks that a status lists.
const maxListed = 20

func (s *scheduler) status(st *NodeStatus) {
	st.LedgerSeq, st.BadRecords, st.DedupeFull = s.state.Seq, s.state.Bad, s.state.seen.full
	st.OpenRuns, st.Parked = len(s.state.runs), s.parking.counts()
	now := s.now()
	for _, id := range slices.Sorted(maps.Keys(s.state.runs)) {
		r := s.state.runs[id]
		if r.inFlight == 0 && r.interrupted == 0 {
			continue
		}
		for i := range r.tasks {
			t := &r.tasks[i]
			switch {
			case t.status == Interrupted && len(st.Interrupted) < maxListed:
				st.Interrupted = append(st.Interrupted, TaskRef{r.id, r.graph.Flow.ID, r.graph.Flow.Tasks[i].ID})
			case t.status == Ready && t.parked == "" && t.notBefore > now:
				st.Waiting++
			case t.status == Ready && t.parked == "":
				st.ReadyTasks++
			}
		}
	}
	st.ReadyTasks = max(0, st.ReadyTasks-st.InFlight)
}

// stillOpen answers a worker that was handed a task a second time.
func (e *Engine) stillOpen(ctx context.Context, key AttemptKey) (open, started bool, err error) {
	last, err := e.cfg.Ledger.Last(ctx)
	if err != nil {
		return false, false, err
	}
	if err := e.sched.reached(ctx, last); err != nil {
		return false, false, err
	}
	err = e.sched.ask(ctx, func() {
		r := e.sched.state.runs[key.Run]
		if r == nil {
			return
		}
		i, ok := r.graph.index[key.Task]
		if ok && r.key(i) == key {
			t := &r.tasks[i]
			open, started = t.status == Ready || t.status == Running, t.started
		}
	})
	return open, started, err
}
