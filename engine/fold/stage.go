package fold

import (
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// A run has stages: its tasks, those of on_failure and those of finally. A stage
// opens when the one before it has ended, by itself, by a cancel or because its
// time was up; what is decided about a run in one stage ends that stage alone.

// next opens the next stage that has something to do, and reports whether there
// is one. The tasks of a stage that does not open are skipped.
func (s *step) next(r *Run) bool {
	damaged := r.endClass == "damaged"
	for r.stage < engine.StageFinally {
		r.stage++
		switch {
		case r.Graph.stages[r.stage] == 0:
		case damaged:
			s.skipStage(r, engine.Cancelled, r.endReason)
		case r.stage == engine.StageOnFailure && r.finalStatus() != engine.Failed:
			s.skipStage(r, engine.Skipped, "nothing has failed")
		default:
			s.openStage(r)
			return true
		}
	}
	return false
}

func (s *step) openStage(r *Run) {
	if status := r.finalStatus(); status != engine.Success {
		r.settled = status // whatever comes after it
	}
	if r.Ending != "" {
		r.Ending, r.endReason, r.endClass = "", "", ""
		s.effects = append(s.effects, Effect{Kind: Reopen, Run: r.ID})
	}
	r.Status, r.paused, r.open = engine.Running, 0, r.Graph.stages[r.stage]
	r.Deadline = s.at + engine.Micros(r.Graph.Flow.FinallyTimeout/time.Microsecond)
	s.begin(r)
}

// skipStage ends the tasks of a stage that does not open.
func (s *step) skipStage(r *Run, as engine.Status, reason string) {
	for i := range r.Tasks {
		if r.Graph.Flow.Tasks[i].Stage != r.stage {
			continue
		}
		t := &r.Tasks[i]
		t.Status, t.reason, t.byCondition = as, reason, as == engine.Skipped
		r.forget(i)
		s.showClosed(r, i)
	}
}

// OverTime says that the time of the run's stage is up.
func (r *Run) OverTime() string {
	f := r.Graph.Flow
	switch r.stage {
	case engine.StageOnFailure:
		return "on_failure was not done after " + f.FinallyTimeout.String() + " (finally_timeout)"
	case engine.StageFinally:
		return "finally was not done after " + f.FinallyTimeout.String() + " (finally_timeout)"
	}
	return "run timeout after " + f.Timeout.String()
}

// soFar is what tasks of a later stage read as run: how the run stands, as JSON
// text. Of a run with many tasks it names those that did not succeed.
func (r *Run) soFar() []byte {
	tasks := value.NewMap(min(len(r.Tasks), engine.MaxRunDocTasks))
	for i := range r.Tasks {
		t, task := &r.Tasks[i], &r.Graph.Flow.Tasks[i]
		if task.Stage >= r.stage || len(r.Tasks) > engine.MaxRunDocTasks && (t.Status == engine.Success || tasks.Len() == engine.MaxRunDocTasks) {
			continue
		}
		tasks.Set(string(task.ID), value.MapOf("status", string(t.Status)))
	}
	var failure any
	if e := r.firstError; e != nil {
		m := value.MapOf("class", e.Class, "message", e.Message)
		if e.TaskID != "" {
			m.Set("task_id", string(e.TaskID))
		}
		if e.StatusCode != 0 {
			m.Set("status_code", int64(e.StatusCode))
		}
		if e.ResponseExcerpt != "" {
			m.Set("response_excerpt", e.ResponseExcerpt)
		}
		failure = m
	}
	text, err := value.JSON(value.MapOf("status", string(r.finalStatus()), "error", failure, "tasks", tasks))
	if err != nil {
		return nil // never: it holds texts and numbers
	}
	return text
}
