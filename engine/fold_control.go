package engine

// control takes what a person or the clock decided about a run.
func (s *step) control(rec *ControlRecord) {
	r := s.runs[rec.Run]
	if r == nil {
		return // it ended before the record: ledger order decides
	}
	switch rec.Kind {
	case ControlCancel:
		s.end(r, Cancelled, "cancelled", orElse(rec.Reason, "cancelled"))
	case ControlTimeout:
		if r.interrupted == 0 && r.deadline != 0 && r.deadline <= s.at {
			s.end(r, Failed, "run_timeout", rec.Reason)
		}
	case ControlInterrupt:
		s.lost(r, rec)
	case ControlResolve:
		s.resolve(r, rec)
	case ControlDamaged:
		s.end(r, Failed, "damaged", rec.Reason)
	default:
		s.Bad++
	}
}

// end stops a run: what has not started never will, what is in flight is
// cancelled and writes its record, and then the run is final.
func (s *step) end(r *run, status Status, class, reason string) {
	if r.ending != "" {
		return
	}
	r.ending, r.endReason, r.endClass = status, reason, class
	if r.firstError == nil {
		r.firstError = &RunError{Class: class, Message: reason}
	}
	for i := range r.tasks {
		switch r.tasks[i].status {
		case Pending, Interrupted:
			s.closeTask(r, i, Cancelled, reason)
		}
	}
	s.effects = append(s.effects, Effect{Kind: End, Run: r.id, run: r})
	s.finish(r)
}

// lost handles an attempt that was started and whose process is gone: whether
// the request arrived is not known.
func (s *step) lost(r *run, rec *ControlRecord) {
	i, ok := r.graph.index[rec.Key.Task]
	if !ok || r.key(i) != rec.Key || r.tasks[i].status != Running {
		return
	}
	task := &r.graph.Flow.Tasks[i]
	t := &r.tasks[i]
	lost := &AttemptRecord{
		AttemptKey: rec.Key, Flow: r.graph.Flow.ID, Outcome: OutcomeInterrupted, Start: t.begin, End: s.at,
		Class: "interrupted", Error: rec.Reason, Type: task.Type, Subtype: task.Subtype, BatchID: r.batch,
	}
	switch {
	case r.ending != "":
		lost.Outcome = OutcomeCancelled
	case task.OnInterrupted == "retry":
		s.sendAgain(r, i)
		return
	case task.OnInterrupted == "fail":
		lost.Outcome = OutcomeFailed
	}
	s.finished(r, i, lost)
}

// sendAgain gives the same attempt out once more, marked as one that may have
// been sent before.
func (s *step) sendAgain(r *run, i int) {
	t := &r.tasks[i]
	t.status, t.started, t.again = Ready, false, true
	t.dispatch++
	s.emit(r, i)
}

// interrupt leaves a task to a person. The run's clock stands still meanwhile.
func (s *step) interrupt(r *run, i int, reason string, rec *AttemptRecord) {
	if task := &r.graph.Flow.Tasks[i]; task.OnInterrupted == "retry" {
		s.sendAgain(r, i)
		return
	} else if task.OnInterrupted == "fail" {
		s.fail(r, i, rec)
		return
	}
	t := &r.tasks[i]
	t.status, t.reason = Interrupted, reason
	r.inFlight--
	r.interrupted++
	if r.interrupted == 1 {
		r.status, r.paused = Interrupted, s.at
	}
	s.show(&Change{Kind: RunChanged, Run: r.id, Flow: r.graph.Flow.ID, Task: rec.Task, Doc: r.doc(Interrupted, 0, true), Reason: reason})
}

// resolve is a person's word on an interrupted task. Retry raises the
// generation, so that a late record of the lost attempt changes nothing.
func (s *step) resolve(r *run, rec *ControlRecord) {
	i, ok := r.graph.index[rec.Task]
	if !ok || r.tasks[i].status != Interrupted || r.ending != "" {
		return
	}
	t := &r.tasks[i]
	if r.interrupted == 1 { // the last one: the clock goes on
		r.deadline += s.at - r.paused
		r.status, r.paused = Running, 0
	}
	switch rec.As {
	case "success":
		t.at, t.hasValue = s.pos, len(rec.Value) > 0
		t.keep(rec.Value, nil)
		s.succeed(r, i)
	case "retry":
		r.interrupted--
		r.inFlight++
		t.gen, t.attempt, t.dispatch = t.gen+1, 1, 0
		t.status, t.notBefore, t.reason = Ready, 0, ""
		s.emit(r, i)
	default:
		s.fail(r, i, &AttemptRecord{AttemptKey: r.key(i), Class: "resolved", Error: orElse(rec.Reason, "resolved as failed by a person")})
	}
	if r.open > 0 || len(rec.Value) > 0 {
		status := r.status
		s.show(&Change{Kind: RunChanged, Run: r.id, Flow: r.graph.Flow.ID, Task: rec.Task, Doc: r.doc(status, 0, true), Reason: "resolved as " + rec.As, Value: rec.Value})
		s.effects = append(s.effects, Effect{Kind: Emit, Run: r.id, Task: -1, run: r}) // the deadline has moved
	}
	s.finish(r)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
