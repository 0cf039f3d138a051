package fold

import (
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// staged makes a flow whose tasks beginning with "f" are of on_failure, those
// with "z" of finally.
func staged(lines ...string) *engine.Flow {
	f := flowOf("f", lines...)
	f.FinallyTimeout = 5 * time.Minute
	for i := range f.Tasks {
		t := &f.Tasks[i]
		t.Stage = map[byte]int{'f': engine.StageOnFailure, 'z': engine.StageFinally}[t.ID[0]]
		t.ReadsRun = t.Stage > 0
	}
	return f
}

func TestStage_OnFailureRunsWhenTheRunHasFailed(t *testing.T) {
	h := newHistory(t, staged("a:", "b:", "f1: a", "f2: f1", "z: f1"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeFailed)
	h.want("r1", "a=failed b=ready f1=pending f2=pending z=pending")
	h.report("r1", "b", engine.OutcomeSuccess)
	h.want("r1", "a=failed b=success f1=ready f2=pending z=pending")
	rt := h.state.Run("r1").ReadyTask(2)
	if want := `{"status":"failed","error":{"class":"status","message":"503 Service Unavailable","task_id":"a"},"tasks":{"a":{"status":"failed"},"b":{"status":"success"}}}`; string(rt.RunSoFar) != want {
		t.Errorf("run is\n%s, want\n%s", rt.RunSoFar, want)
	}
	if rt.Inputs[0].Lacks != "a failed" {
		t.Errorf("f1 reads %+v", rt.Inputs)
	}
	h.report("r1", "f1", engine.OutcomeSuccess)
	h.report("r1", "f2", engine.OutcomeSuccess)
	h.want("r1", "a=failed b=success f1=success f2=success z=ready")
	h.report("r1", "z", engine.OutcomeFailed)
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Failed || doc.Error.TaskID != "a" {
		t.Errorf("document: %+v, %+v", doc, doc.Error)
	}
}

func TestStage_OfAGoodRun(t *testing.T) {
	for out, want := range map[engine.Outcome]engine.Status{engine.OutcomeSuccess: engine.Success, engine.OutcomeFailed: engine.Failed} {
		h := newHistory(t, staged("a:", "f1:", "z:"))
		h.submit("f", "r1")
		h.report("r1", "a", engine.OutcomeSuccess)
		h.want("r1", "a=success f1=skipped z=ready")
		h.report("r1", "z", out)
		if doc := h.shown(engine.RunDone).Doc; doc.Status != want {
			t.Errorf("finally is %s: the run is %s, want %s", out, doc.Status, want)
		}
	}
}

func TestStage_FinallyFollowsACancel(t *testing.T) {
	h := newHistory(t, staged("a:", "b: a", "f1:", "z1:", "z2: z1"))
	h.submit("f", "r1")
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1"})
	h.want("r1", "a=ready b=cancelled f1=pending z1=pending z2=pending")
	h.report("r1", "a", engine.OutcomeCancelled)
	h.want("r1", "a=cancelled b=cancelled f1=skipped z1=ready z2=pending")
	r := h.state.Run("r1")
	if r.Ending != "" || r.Deadline != h.now+300*1e6 {
		t.Errorf("ending %q, deadline %d at %d", r.Ending, r.Deadline, h.now)
	}
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1"}) // a second one ends that too
	h.report("r1", "z1", engine.OutcomeCancelled)
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Cancelled || doc.Counts[engine.Cancelled] != 4 {
		t.Errorf("document: %s %v", doc.Status, doc.Counts)
	}
}

func TestStage_FinallyFollowsATimeout(t *testing.T) {
	h := newHistory(t, staged("a:", "f1:", "z:"))
	h.submit("f", "r1")
	h.now += 2 * 3600 * 1e6
	h.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: "r1", Reason: h.state.Run("r1").OverTime()})
	h.report("r1", "a", engine.OutcomeCancelled)
	h.want("r1", "a=cancelled f1=ready z=pending")
	h.now += 301 * 1e6
	h.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: "r1", Reason: h.state.Run("r1").OverTime()})
	h.report("r1", "f1", engine.OutcomeCancelled)
	h.want("r1", "a=cancelled f1=cancelled z=ready")
	h.report("r1", "z", engine.OutcomeSuccess)
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Failed || doc.Error.Message != "run timeout after 1h0m0s" {
		t.Errorf("document: %s %+v", doc.Status, doc.Error)
	}
}

func TestStage_DamageEndsAll(t *testing.T) {
	h := newHistory(t, staged("a:", "z:"))
	h.submit("f", "r1")
	h.add(&engine.ControlRecord{Kind: engine.ControlDamaged, Run: "r1", Reason: "lost"})
	h.report("r1", "a", engine.OutcomeCancelled)
	if doc := h.shown(engine.RunDone); doc == nil || doc.Doc.Counts[engine.Cancelled] != 2 {
		t.Errorf("the run did not end: %+v", doc)
	}
}

func TestStage_ANewerRunLeavesFinallyAlone(t *testing.T) {
	f := staged("a:", "z:")
	f.MaxActiveRuns, f.OnOverlap = 1, engine.OverlapCancel
	h := newHistory(t, f)
	h.submit("f", "r1")
	h.submit("f", "r2")
	h.want("r1", "a=ready z=pending")
	h.report("r1", "a", engine.OutcomeCancelled)
	h.want("r1", "a=cancelled z=ready")
	h.submit("f", "r3")
	h.want("r1", "a=cancelled z=ready")
	if r := h.state.Run("r1"); r.Ending != "" {
		t.Errorf("what follows the first run is ended: %s", r.endReason)
	}
	if r := h.state.Run("r2"); r.Ending != engine.Cancelled {
		t.Errorf("the second run goes on beside the third")
	}
	if r := h.state.Run("r3"); r == nil || r.Ending != "" {
		t.Errorf("the third run did not start: %+v", r)
	}
	h.report("r1", "z", engine.OutcomeSuccess)
	h.want("r1", "closed")
}
