package fold

import (
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
)

// attempt takes the record of one attempt, if it is the one that was last
// given out: the first such record in ledger order counts, every later one
// changes nothing.
func (s *step) attempt(rec *engine.AttemptRecord) {
	r := s.runs[rec.Run]
	if r == nil {
		return // closed: a bundle that was written twice
	}
	s.touch(r)
	defer s.clock(r)
	i, ok := r.Graph.Index[rec.Task]
	if !ok || !r.Tasks[i].has(rec.Item) {
		s.Bad++
		return
	}
	ref, t := r.dispatched(rec.AttemptKey)
	if t == nil || t.Status != engine.Ready && t.Status != engine.Running {
		if rec.Start != r.Tasks[i].lastStartOf(rec.Item) && rec.Outcome != engine.OutcomeStarted {
			s.showAttempt(r, rec, true) // a second call was really made: it is shown and changes nothing
		}
		return
	}
	s.spend(rec)
	switch {
	case rec.Outcome == engine.OutcomeStarted:
		t.Status, t.Started, t.Sent, t.sent = engine.Running, true, rec.Start, rec.Details
		if task := &r.Tasks[i]; task.Begin == 0 {
			task.Begin = rec.Start
		}
	case ref.Item > 0:
		s.itemFinished(r, ref, rec)
	default:
		s.finished(r, i, rec)
	}
}

// finished takes the record that ends an attempt.
func (s *step) finished(r *Run, i int, rec *engine.AttemptRecord) {
	t := &r.Tasks[i]
	t.lastStart, t.Started, t.Again, t.Sent, t.sent = rec.Start, false, false, 0, nil
	if rec.Outcome != engine.OutcomeDeferred && rec.Outcome != engine.OutcomeSkipped {
		s.note(r, t, rec)
	}
	s.showAttempt(r, rec, false)
	told := s.effects[len(s.effects)-1].Change
	told.Given = t.Given != nil
	t.Given = nil
	r.jar(r.Graph.Flow.Tasks[i].Jar, rec, s.pos)
	if r.Ending != "" {
		reason := r.endReason
		if rec.Outcome == engine.OutcomeCancelled && rec.Class == engine.ClassInterrupted {
			reason = rec.Error
			r.leavesUnknown(rec.Task)
		}
		s.closeTask(r, i, engine.Cancelled, reason)
		if rec.Outcome == engine.OutcomeCancelled {
			told.Began = t.Begin
		} else {
			s.showClosed(r, i)
		}
		s.finish(r)
		return
	}
	switch rec.Outcome {
	case engine.OutcomeSuccess:
		told.Began = t.Begin
		r.rows += rec.Rows
		t.at, t.hasValue = s.pos, len(rec.Value) > 0 || rec.Blob != nil
		if len(rec.Cookies) == 0 && rec.Blob == nil { // else all of it is read back
			t.keep(rec.Value, rec.Response)
		}
		s.closeTask(r, i, engine.Success, rec.Note)
		s.notChosen(r, i, rec.Skip)
		s.settle(r, i)
	case engine.OutcomeSkipped:
		s.skip(r, i, skippedByCondition, rec.Reason)
		s.settle(r, i)
	case engine.OutcomeAgain:
		if rec.Items != nil && r.Graph.Flow.Tasks[i].ForEach != "" && t.fan == nil {
			s.spreadOut(r, i, rec.Items)
		} else {
			s.takeTurn(r, CellRef{Task: i}, rec)
		}
	case engine.OutcomeRetry:
		t.retry()
		s.wait(r, CellRef{Task: i}, rec)
	case engine.OutcomeDeferred:
		t.postpone(rec)
		s.wait(r, CellRef{Task: i}, rec)
	case engine.OutcomeInterrupted:
		s.interrupt(r, CellRef{Task: i}, rec.Error, rec)
	default: // failed, and whatever a stranger may have written
		told.Began = t.Begin
		s.fail(r, i, rec)
	}
	s.finishCalls(r)
}

// finishCalls closes the run when nothing is open any more, and ends one that has
// made too many calls.
func (s *step) finishCalls(r *Run) {
	if r.calls >= engine.MaxRunAttempts && r.open > 0 {
		s.end(r, engine.Failed, "run_attempts", fmt.Sprintf("%d attempts in one run and no end", r.calls))
		return
	}
	s.finish(r)
}

// retry moves a cell to its next attempt.
func (t *Cell) retry() { t.attempt, t.dispatch, t.waited = t.attempt+1, 0, 0 }

// postpone moves a cell to the next dispatch of its attempt.
func (t *Cell) postpone(rec *engine.AttemptRecord) {
	t.dispatch++
	if t.waited == 0 {
		t.waited = rec.Start
	}
}

// takeTurn gives a cell its next turn, at the time that the record names.
func (s *step) takeTurn(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	t := r.Cell(ref)
	if t.turn+1 >= engine.MaxTurns {
		endless := *rec
		endless.Class, endless.Error = "turns", fmt.Sprintf("%d turns and no end", engine.MaxTurns)
		s.failCell(r, ref, &endless)
		return
	}
	t.turn, t.attempt, t.dispatch, t.waited, t.wake = t.turn+1, 1, 0, 0, nil
	if len(rec.Value) > 0 || rec.Blob != nil {
		t.prev = s.pos
	}
	t.carry, t.carryAt = rec.Carry, s.pos
	if len(rec.Carry) > keepCarry {
		t.carry = nil
	}
	if rec.Await != "" {
		s.awaitOutside(r, ref, rec)
		return
	}
	s.wait(r, ref, rec)
}

// jar notes where a cookie jar stands that a record has. It holds what its worker
// had read, so those records are not needed any more; what came in the meantime
// is.
func (r *Run) jar(name string, rec *engine.AttemptRecord, at engine.Pos) {
	if name == "" || len(rec.Jar) == 0 {
		return
	}
	var next []engine.Pos
	for _, p := range r.jars[name] {
		if rec.JarRead.Before(p) {
			next = append(next, p)
		}
	}
	if r.jars == nil {
		r.jars = map[string][]engine.Pos{}
	}
	r.jars[name] = append(next, at)
}

// note keeps an attempt for the run document.
func (s *step) note(r *Run, t *TaskState, rec *engine.AttemptRecord) {
	if t.Begin == 0 {
		t.Begin = rec.Start
	}
	t.end, t.code = rec.End, rec.Status
	r.calls++
	if rec.Outcome == engine.OutcomeAgain || rec.Outcome == engine.OutcomeSuccess && len(t.history) == 0 {
		return // the common case needs no history
	}
	if len(t.history) == 2*maxHistory {
		t.history = slices.Clone(t.history[maxHistory:])
	}
	t.history = append(t.history, attemptNote{
		Turn: rec.Turn, Attempt: rec.Attempt, Outcome: rec.Outcome, Start: rec.Start, End: rec.End,
		Status: rec.Status, Message: rec.Error, NotBefore: rec.NotBefore, Reason: rec.Reason,
	})
}

func (s *step) showAttempt(r *Run, rec *engine.AttemptRecord, superseded bool) {
	s.show(&engine.Change{Kind: engine.AttemptDone, Run: rec.Run, Flow: rec.Flow, Task: rec.Task, BatchID: r.Batch, Trace: r.trace, Attempt: rec, Superseded: superseded})
}

// showReady tells that a task may start, or start again.
func (s *step) showReady(r *Run, i int) {
	s.show(&engine.Change{Kind: engine.TaskReady, Run: r.ID, Flow: r.Graph.Flow.ID, Task: r.Graph.Flow.Tasks[i].ID, BatchID: r.Batch})
}

// showReadyCell does the same of a cell; of items nothing is told.
func (s *step) showReadyCell(r *Run, ref CellRef) {
	if ref.Item == 0 {
		s.showReady(r, ref.Task)
	}
}

// showClosed tells what became of a task where its last attempt does not say
// it: it was skipped or cancelled, or a person or a rule decided.
func (s *step) showClosed(r *Run, i int) {
	t := &r.Tasks[i]
	s.show(&engine.Change{
		Kind: engine.TaskClosed, Run: r.ID, Flow: r.Graph.Flow.ID, Task: r.Graph.Flow.Tasks[i].ID, BatchID: r.Batch,
		Status: t.Status, Reason: t.reason, Trace: r.trace, Began: t.Begin,
	})
}

// keep holds small values in memory for the tasks that will read them.
func (t *TaskState) keep(val, response []byte) {
	if t.reading > 0 && len(val)+len(response) <= keepValue {
		t.value, t.response = val, response
	}
}

// wait makes a cell ready again, at the time that the record names.
func (s *step) wait(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	t := r.Cell(ref)
	t.Status, t.NotBefore, t.Parked, t.reason = engine.Ready, rec.NotBefore, rec.Parked, rec.Error
	s.emit(r, ref)
}

// succeed ends a task well and releases what waited for it. note is what was
// noticed about it.
func (s *step) succeed(r *Run, i int, note string) {
	s.closeTask(r, i, engine.Success, note)
	s.settle(r, i)
}

// fail ends a task for good. One with continue_on_error leaves what went wrong to
// those that depend on it.
func (s *step) fail(r *Run, i int, rec *engine.AttemptRecord) {
	s.closeTask(r, i, engine.Failed, rec.Error)
	if t := &r.Tasks[i]; r.Graph.Flow.Tasks[i].ContinueOnError {
		t.at, t.hasValue = s.pos, true
		t.keep(engine.ErrorValue(rec.Class, rec.Error, rec.Status, rec.Details), nil)
	} else {
		r.noteFailure(i, rec)
	}
	s.settle(r, i)
}

// failCell ends a cell for good, where its record does not say it.
func (s *step) failCell(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	if ref.Item > 0 {
		s.itemFailed(r, ref, rec)
		return
	}
	s.fail(r, ref.Task, rec)
	s.showClosed(r, ref.Task)
}

// skip ends a task that does not start.
func (s *step) skip(r *Run, i int, v verdict, reason string) {
	r.Tasks[i].byCondition = v == skippedByCondition
	s.closeTask(r, i, engine.Skipped, reason)
}

// notChosen skips those that depend on a task and that it has not chosen.
func (s *step) notChosen(r *Run, i int, skip []engine.TaskID) {
	for _, id := range skip {
		c, ok := r.Graph.Index[id]
		if !ok || r.Tasks[c].Status != engine.Pending || !slices.Contains(r.Graph.children[i], c) {
			continue
		}
		s.skip(r, c, skippedByCondition, string(r.Graph.Flow.Tasks[i].ID)+" has not chosen it")
		r.Tasks[c].notChosen = true
		s.showClosed(r, c)
		s.settle(r, c)
	}
}

// settle tells those that depend on a task that it has ended: they start, or are
// skipped and tell their own.
func (s *step) settle(r *Run, i int) {
	for todo := []int{i}; len(todo) > 0; todo = todo[1:] {
		cause := todo[0]
		r.ended(cause, func(c int, v verdict) {
			if v == starts {
				s.release(r, c)
				return
			}
			s.skip(r, c, v, r.whySkipped(c, cause))
			s.showClosed(r, c)
			todo = append(todo, c)
		})
	}
}

// closeTask moves a task to a final state.
func (s *step) closeTask(r *Run, i int, status engine.Status, reason string) {
	t := &r.Tasks[i]
	switch t.Status {
	case engine.Ready, engine.Running:
		if !t.spread() { // else its items are counted
			r.InFlight--
		}
	case engine.Interrupted:
		r.Interrupted--
	case engine.Waiting:
		s.letGo(r, CellRef{Task: i})
	}
	t.Status, t.reason, t.Parked, t.NotBefore, t.wake = status, reason, "", 0, nil
	r.open--
	r.forget(i)
}

// forget drops values in memory that no open task will read, since task i has
// ended.
func (r *Run) forget(i int) {
	task := &r.Graph.Flow.Tasks[i]
	for _, reads := range [][]engine.TaskID{task.Pulls, task.Responses} {
		for _, id := range reads {
			if p, ok := r.Graph.Index[id]; ok {
				r.Tasks[p].reading--
				if r.Tasks[p].reading == 0 {
					r.Tasks[p].value, r.Tasks[p].response = nil, nil
				}
			}
		}
	}
}

// finish closes the run when nothing is open any more.
func (s *step) finish(r *Run) {
	if r.open > 0 || s.next(r) {
		return
	}
	status := r.finalStatus()
	s.show(&engine.Change{Kind: engine.RunDone, Run: r.ID, Flow: r.Graph.Flow.ID, Trace: r.trace, Doc: r.Doc(status, s.at, true), Seeds: r.seeds(status, &s.left)})
	delete(s.runs, r.ID)
	s.tally.ended(s.at, status)
	s.childEnded(r, status)
	s.giveBack(r)
}

// giveBack returns what the run held: its flow version and its place among the
// active runs.
func (s *step) giveBack(r *Run) {
	fs := s.flowState(r.Graph.Flow.ID)
	s.versions[r.Graph.Hash].runs--
	s.dropUnused(r.Graph.Hash)
	r.leave()
	for next := fs.queue.first; next != nil; next = fs.queue.first {
		if limit := next.Graph.Flow.MaxActiveRuns; limit > 0 && fs.active.n >= limit {
			return
		}
		next.leave()
		s.start(next, fs)
	}
}
