package fold

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// control takes what a person or the clock decided about a run.
func (s *step) control(rec *engine.ControlRecord) {
	if rec.Kind == engine.ControlSignal {
		s.hear(rec)
		return
	}
	if rec.Kind == engine.ControlPause || rec.Kind == engine.ControlResume {
		s.rest(rec)
		return
	}
	r := s.runs[rec.Run]
	if r == nil {
		if rec.Kind == engine.ControlDamaged && len(rec.Value) > 0 {
			s.unknown(rec)
		}
		return // it ended before the record: ledger order decides
	}
	s.touch(r)
	defer s.clock(r)
	switch rec.Kind {
	case engine.ControlCancel:
		if rec.ID != "" && rec.ID == r.cancelled {
			return // stored twice
		}
		r.cancelled = rec.ID
		s.end(r, engine.Cancelled, "cancelled", cmp.Or(rec.Reason, "cancelled"))
	case engine.ControlTimeout:
		if r.paused == 0 && r.Deadline != 0 && r.Deadline <= s.at {
			s.end(r, engine.Failed, "run_timeout", rec.Reason)
		}
	case engine.ControlInterrupt:
		s.lost(r, rec)
	case engine.ControlResolve:
		s.resolve(r, rec)
	case engine.ControlDamaged:
		s.end(r, engine.Failed, "damaged", rec.Reason)
	case engine.ControlKeep: // the anchor says what it is for
	case engine.ControlAnchor:
		r.anchor(rec, s.pos)
	case engine.ControlWake:
		s.timeUp(r, rec)
	default:
		s.Bad++
	}
}

// loss ends every open run: what the lost entries said of it is not known.
func (s *step) loss(rec *engine.LossRecord) {
	reason := fmt.Sprintf("ledger entries %d to %d are lost: what they said of the run is not known", cmp.Or(rec.From, s.pos.Seq), cmp.Or(rec.To, s.pos.Seq))
	for _, id := range s.RunIDs() {
		if r := s.runs[id]; r != nil {
			s.end(r, engine.Failed, "damaged", reason)
		}
	}
}

// unknown shows the end of a run that was lost with the entries that opened it:
// nothing is known but the document that a view had of it.
func (s *step) unknown(rec *engine.ControlRecord) {
	doc := new(engine.RunDoc)
	if err := json.Unmarshal(rec.Value, doc); err != nil || doc.RunID != rec.Run || doc.Final {
		s.Bad++
		return
	}
	doc.Status, doc.Final, doc.EndTime = engine.Failed, true, s.at.Format()
	doc.Error = &engine.RunError{Class: "damaged", Message: rec.Reason}
	for i := range doc.Tasks {
		t := &doc.Tasks[i]
		if t.Status.Final() {
			continue
		}
		if doc.Counts[t.Status]--; doc.Counts[t.Status] <= 0 {
			delete(doc.Counts, t.Status)
		}
		t.Status, t.Reason, t.NotBefore = engine.Cancelled, rec.Reason, ""
		doc.Counts[engine.Cancelled]++
		s.show(&engine.Change{
			Kind: engine.TaskClosed, Run: rec.Run, Flow: doc.FlowID, Task: t.TaskID, BatchID: doc.BatchID,
			Status: t.Status, Reason: rec.Reason,
		})
	}
	s.show(&engine.Change{Kind: engine.RunDone, Run: rec.Run, Flow: doc.FlowID, Doc: doc})
}

// end stops a run: what has not started never will, what is in flight is
// cancelled and writes its record, and then the run is final, or goes on with
// its next stage.
func (s *step) end(r *Run, status engine.Status, class, reason string) {
	if r.Ending != "" {
		return
	}
	s.touch(r)
	r.Ending, r.endReason, r.endClass = status, reason, class
	if r.firstError == nil {
		r.firstError = &engine.RunError{Class: class, Message: reason}
	}
	for i := range r.Tasks {
		if r.Graph.Flow.Tasks[i].Stage > r.stage {
			continue
		}
		switch t := &r.Tasks[i]; {
		case t.spread():
			s.endItems(r, i)
		case t.Status == engine.Pending || t.Status == engine.Interrupted || t.Status == engine.Waiting:
			s.closeTask(r, i, engine.Cancelled, reason)
			s.showClosed(r, i)
		}
	}
	s.effects = append(s.effects, Effect{Kind: End, Run: r.ID, Open: r})
	s.clock(r)
	s.finish(r)
}

// leavesUnknown adds to what a run says of its end a call that may have been
// carried out, though its task counts as cancelled.
func (r *Run) leavesUnknown(task engine.TaskID) {
	e := *r.firstError
	switch {
	case strings.Contains(e.Message, andUnknown):
		e.Message += ", " + string(task)
	default:
		e.Message += andUnknown + string(task)
	}
	if len(e.Message) <= engine.MaxErrorText {
		r.firstError = &e
	}
}

// andUnknown stands before the tasks that a run leaves so.
const andUnknown = "; outcome unknown: "

// lost handles an attempt that was started and whose process is gone: whether
// the request arrived is not known.
func (s *step) lost(r *Run, rec *engine.ControlRecord) {
	ref, t := r.dispatched(rec.Key)
	if t == nil || t.Status != engine.Running {
		return
	}
	task := &r.Graph.Flow.Tasks[ref.Task]
	lost := &engine.AttemptRecord{
		AttemptKey: rec.Key, Flow: r.Graph.Flow.ID, Outcome: engine.OutcomeInterrupted, Start: cmp.Or(t.Sent, r.Tasks[ref.Task].Begin), End: s.at,
		Class: engine.ClassInterrupted, Error: rec.Reason, Type: task.Type, Subtype: task.Subtype, BatchID: r.Batch, Details: t.sent,
	}
	switch {
	case r.Ending != "":
		lost.Outcome = engine.OutcomeCancelled
	case task.OnInterrupted == "retry":
		s.sendAgain(r, ref)
		return
	case task.OnInterrupted == "fail":
		lost.Outcome = engine.OutcomeFailed
	}
	if ref.Item > 0 {
		s.itemFinished(r, ref, lost)
		return
	}
	s.finished(r, ref.Task, lost)
}

// sendAgain gives the same attempt out once more, marked as one that may have
// been sent before.
func (s *step) sendAgain(r *Run, ref CellRef) {
	t := r.Cell(ref)
	t.Status, t.Started, t.Again, t.Sent, t.sent = engine.Ready, false, true, 0, nil
	t.dispatch++
	s.showReadyCell(r, ref)
	s.emit(r, ref)
}

// interrupt leaves a cell to a person. The run's clock stands still meanwhile.
func (s *step) interrupt(r *Run, ref CellRef, reason string, rec *engine.AttemptRecord) {
	if task := &r.Graph.Flow.Tasks[ref.Task]; task.OnInterrupted == "retry" {
		s.sendAgain(r, ref)
		return
	} else if task.OnInterrupted == "fail" {
		s.failCell(r, ref, rec)
		return
	}
	t := r.Cell(ref)
	t.Status, t.reason = engine.Interrupted, reason
	r.InFlight--
	r.Interrupted++
	if r.Interrupted == 1 {
		r.Status = engine.Interrupted
	}
	s.show(&engine.Change{Kind: engine.RunChanged, Run: r.ID, Flow: r.Graph.Flow.ID, Task: rec.Task, Doc: r.Doc(engine.Interrupted, 0, true), Reason: reason})
}

// resolve is a person's word on an interrupted task. Retry raises the
// generation, so that a late record of the lost attempt changes nothing.
func (s *step) resolve(r *Run, rec *engine.ControlRecord) {
	i, ok := r.Graph.Index[rec.Task]
	if !ok || r.Ending != "" {
		return
	}
	c := r.Cell(CellRef{i, rec.Item})
	if c == nil || c.Status != engine.Interrupted {
		return
	}
	t := &r.Tasks[i]
	if r.Interrupted == 1 { // the last one
		r.Status = engine.Running
	}
	switch {
	case rec.Item > 0:
		s.resolveItem(r, CellRef{i, rec.Item}, rec)
	case rec.As == "success":
		t.at, t.hasValue = s.pos, len(rec.Value) > 0
		t.keep(rec.Value, nil)
		s.succeed(r, i, "")
		s.showClosed(r, i)
	case rec.As == "retry":
		s.retryResolved(r, CellRef{Task: i})
		s.showReady(r, i)
		s.emit(r, CellRef{Task: i})
	default:
		s.fail(r, i, &engine.AttemptRecord{AttemptKey: r.Key(i), Class: "resolved", Error: cmp.Or(rec.Reason, engine.ResolvedFailed)})
		s.showClosed(r, i)
	}
	val := rec.Value
	if rec.Item > 0 {
		val = nil // it is no value of the task
	}
	if r.open > 0 || len(val) > 0 {
		status := r.Status
		s.show(&engine.Change{Kind: engine.RunChanged, Run: r.ID, Flow: r.Graph.Flow.ID, Task: rec.Task, Doc: r.Doc(status, 0, true), Reason: "resolved as " + rec.As, Value: val})
	}
	s.finish(r)
}

// retryResolved gives an interrupted cell another generation.
func (s *step) retryResolved(r *Run, ref CellRef) {
	t := r.Cell(ref)
	r.Interrupted--
	r.InFlight++
	t.gen, t.attempt, t.dispatch = t.gen+1, 1, 0
	t.Status, t.NotBefore, t.reason = engine.Ready, 0, ""
}
