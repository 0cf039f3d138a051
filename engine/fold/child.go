package fold

import (
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// A task may be a run of another flow. The record of its first turn opens that run,
// in the same step: there is no moment between the two at which the process could
// die. The end of the run wakes the task.

// openChild opens the run that a cell asks for, which waits by now. One that cannot
// be opened, or that nobody waits for, wakes the cell at once.
func (s *step) openChild(r *Run, ref CellRef, open *engine.SubmitRecord) {
	rec := *open
	parent := *rec.Parent
	parent.Run, parent.Key, parent.Depth = r.ID, r.KeyOf(ref), 1
	if r.parent != nil {
		parent.Depth = r.parent.Depth + 1
	}
	rec.Parent, rec.TriggerType, rec.TriggerID = &parent, engine.TriggerFlow, string(r.ID)
	from := len(s.effects)
	if parent.Depth > engine.MaxDepth {
		s.reject(rec.Run, string(rec.Flow), fmt.Sprintf("flows are nested more than %d deep", engine.MaxDepth))
	} else {
		s.submit(&rec)
	}
	why := ""
	for _, e := range s.effects[from:] {
		if e.Kind == Refused && e.Run == rec.Run {
			why = e.Reason
		}
	}
	t := r.Cell(ref)
	switch {
	case t == nil || t.Status != engine.Waiting: // the run has ended by now
	case why != "":
		s.wake(r, ref, &engine.Wake{Cause: engine.WakeRefused, Comment: why, Run: rec.Run, Time: s.at})
	case !parent.Waits:
		s.wake(r, ref, &engine.Wake{Cause: engine.WakeRun, As: engine.WakeOpened, Run: rec.Run, Time: s.at})
	}
}

// childEnded wakes the cell that waits for a run.
func (s *step) childEnded(child *Run, status engine.Status) {
	p := child.parent
	if p == nil || !p.Waits {
		return
	}
	r := s.runs[p.Run]
	if r == nil {
		return
	}
	ref, t := r.dispatched(p.Key)
	if t == nil || t.Status != engine.Waiting || t.await != engine.AwaitRun(child.ID) {
		return
	}
	w := &engine.Wake{Cause: engine.WakeRun, As: string(status), Run: child.ID, Time: s.at}
	if e := child.firstError; e != nil && status != engine.Success {
		w.Comment = e.Message
		if e.TaskID != "" {
			w.Comment = string(e.TaskID) + ": " + e.Message
		}
	}
	switch i, ok := child.Graph.Index[p.XCom]; {
	case p.XCom == "" || status != engine.Success:
	case !ok || child.Tasks[i].Status != engine.Success:
		w.Comment = fmt.Sprintf("it has no task %s that has succeeded", p.XCom)
	case child.Graph.Flow.Tasks[i].Sensitive:
		w.Comment = fmt.Sprintf("its task %s is sensitive, and gives nothing on", p.XCom)
	default:
		w.At = child.Tasks[i].at
	}
	s.wake(r, ref, w)
}

// letGo counts a cell out that waited and does not any more: the run that it has
// opened ends too.
func (s *step) letGo(r *Run, ref CellRef) {
	if id, isRun := strings.CutPrefix(r.Cell(ref).await, engine.AwaitRun("")); isRun {
		s.orphans = append(s.orphans, engine.RunID(id))
	}
	s.endWait(r, ref)
}

// endOrphans ends the runs that nobody waits for any more, and theirs.
func (s *step) endOrphans() {
	for len(s.orphans) > 0 {
		r := s.runs[s.orphans[0]]
		if s.orphans = s.orphans[1:]; r != nil && r.parent != nil && r.parent.Waits {
			s.end(r, engine.Cancelled, "cancelled", fmt.Sprintf("task %s of run %s, which waited for it, was ended", r.parent.Key.Task, r.parent.Run))
		}
	}
}
