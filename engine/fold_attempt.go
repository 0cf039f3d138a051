package engine

import "slices"

// attempt takes the record of one attempt, if it is the one that was last
// given out: the first such record in ledger order counts, every later one
// changes nothing.
func (s *step) attempt(rec *AttemptRecord) {
	r := s.runs[rec.Run]
	if r == nil {
		return // closed: a bundle that was written twice
	}
	i, ok := r.graph.index[rec.Task]
	if !ok || rec.Item != 0 {
		s.Bad++
		return
	}
	t := &r.tasks[i]
	current := r.key(i) == rec.AttemptKey && (t.status == Ready || t.status == Running)
	if !current {
		if rec.Start != t.lastStart && rec.Outcome != OutcomeStarted {
			s.showAttempt(rec, true) // a second call was really made: it is shown and changes nothing
		}
		return
	}
	if rec.Outcome == OutcomeStarted {
		t.status, t.started = Running, true
		if t.begin == 0 {
			t.begin = rec.Start
		}
		return
	}
	s.finished(r, i, rec)
}

// finished takes the record that ends an attempt.
func (s *step) finished(r *run, i int, rec *AttemptRecord) {
	t := &r.tasks[i]
	t.lastStart, t.started, t.again = rec.Start, false, false
	if rec.Outcome != OutcomeDeferred {
		s.note(r, t, rec)
	}
	s.showAttempt(rec, false)
	s.effects[len(s.effects)-1].Change.given = t.emitted
	t.emitted, t.sent = false, nil
	if r.ending != "" {
		s.closeTask(r, i, Cancelled, r.endReason)
		s.finish(r)
		return
	}
	switch rec.Outcome {
	case OutcomeSuccess:
		t.at, t.hasValue = s.pos, len(rec.Value) > 0 || rec.Blob != nil
		t.keep(rec.Value, rec.Response)
		s.succeed(r, i)
	case OutcomeRetry:
		t.attempt, t.dispatch = t.attempt+1, 0
		s.wait(r, i, rec)
		t.waited = 0
	case OutcomeDeferred:
		t.dispatch++
		if t.waited == 0 {
			t.waited = rec.Start
		}
		s.wait(r, i, rec)
	case OutcomeInterrupted:
		s.interrupt(r, i, rec.Error, rec)
	default: // failed, and whatever a stranger may have written
		s.fail(r, i, rec)
	}
	s.finish(r)
}

// note keeps an attempt for the run document.
func (s *step) note(r *run, t *taskState, rec *AttemptRecord) {
	if t.begin == 0 {
		t.begin = rec.Start
	}
	t.end, t.code = rec.End, rec.Status
	r.calls++
	if rec.Outcome == OutcomeSuccess && len(t.history) == 0 {
		return // the common case needs no history
	}
	t.history = append(t.history, attemptNote{
		Attempt: rec.Attempt, Outcome: rec.Outcome, Start: rec.Start, End: rec.End,
		Status: rec.Status, Message: rec.Error, NotBefore: rec.NotBefore, Reason: rec.Reason,
	})
}

func (s *step) showAttempt(rec *AttemptRecord, superseded bool) {
	s.show(&Change{Kind: AttemptDone, Run: rec.Run, Flow: rec.Flow, Task: rec.Task, Attempt: rec, Superseded: superseded})
}

// keep holds small values in memory for the tasks that will read them.
func (t *taskState) keep(val, response []byte) {
	if t.reading > 0 && len(val)+len(response) <= keepValue {
		t.value, t.response = val, response
	}
}

// wait makes a task ready again, at the time that the record names.
func (s *step) wait(r *run, i int, rec *AttemptRecord) {
	t := &r.tasks[i]
	t.status, t.notBefore, t.parked, t.reason = Ready, rec.NotBefore, rec.Parked, rec.Error
	s.emit(r, i)
}

// succeed ends a task well and releases what waited for it.
func (s *step) succeed(r *run, i int) {
	s.closeTask(r, i, Success, "")
	r.succeeded(i, func(c int) { s.release(r, c) })
}

// fail ends a task for good; what depends on it is skipped.
func (s *step) fail(r *run, i int, rec *AttemptRecord) {
	s.closeTask(r, i, Failed, rec.Error)
	r.noteFailure(i, rec)
	r.unreachable(i, func(c, cause int) {
		s.closeTask(r, c, Skipped, "needs "+string(r.graph.Flow.Tasks[cause].ID))
	})
}

// closeTask moves a task to a final state.
func (s *step) closeTask(r *run, i int, status Status, reason string) {
	t := &r.tasks[i]
	switch t.status {
	case Ready, Running:
		r.inFlight--
	case Interrupted:
		r.interrupted--
	}
	t.status, t.reason, t.parked, t.notBefore = status, reason, "", 0
	r.open--
	s.dropRead(r, i)
}

// dropRead forgets values in memory that no open task will read.
func (s *step) dropRead(r *run, i int) {
	task := &r.graph.Flow.Tasks[i]
	for _, reads := range [][]TaskID{task.Pulls, task.Responses} {
		for _, id := range reads {
			if p, ok := r.graph.index[id]; ok {
				r.tasks[p].reading--
				if r.tasks[p].reading == 0 {
					r.tasks[p].value, r.tasks[p].response = nil, nil
				}
			}
		}
	}
}

// finish closes the run when nothing is open any more.
func (s *step) finish(r *run) {
	if r.open > 0 {
		return
	}
	status := r.finalStatus()
	s.show(&Change{Kind: RunDone, Run: r.id, Flow: r.graph.Flow.ID, Doc: r.doc(status, s.at, true)})
	delete(s.runs, r.id)
	s.leave(r)
}

// leave gives back what the run held: its flow version and its place among the
// active runs.
func (s *step) leave(r *run) {
	fs := s.flowState(r.graph.Flow.ID)
	v := s.versions[r.graph.Hash]
	v.runs--
	if v.runs == 0 && fs.current != r.graph.Hash {
		delete(s.versions, r.graph.Hash)
	}
	drop := func(id RunID) bool { return id == r.id }
	fs.queue = slices.DeleteFunc(fs.queue, drop)
	fs.active = slices.DeleteFunc(fs.active, drop)
	for len(fs.queue) > 0 {
		next := s.runs[fs.queue[0]]
		if limit := next.graph.Flow.MaxActiveRuns; limit > 0 && len(fs.active) >= limit {
			return
		}
		fs.queue = fs.queue[1:]
		s.start(next, fs)
	}
}
