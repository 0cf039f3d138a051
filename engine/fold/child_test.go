package fold

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// opens ends the first turn of a task that opens a run.
func (h *history) opens(run engine.RunID, task engine.TaskID, child engine.RunID, flow engine.FlowID, p engine.Parent) {
	h.t.Helper()
	h.report(run, task, engine.OutcomeAgain, func(rec *engine.AttemptRecord) {
		rec.Await, rec.Open = engine.AwaitRun(child), &engine.SubmitRecord{Run: child, Flow: flow, Parent: &p}
	})
}

func (h *history) wokenBy(run engine.RunID) engine.Wake {
	h.t.Helper()
	r := h.state.Run(run)
	if r == nil {
		h.t.Fatalf("run %s is not open", run)
		return engine.Wake{}
	}
	w := r.ReadyTask(0).Wake
	if w == nil {
		h.t.Fatalf("nothing has woken %s: %s", run, h.statuses(run))
		return engine.Wake{}
	}
	return *w
}

func TestChild_ItsEndWakesTheTask(t *testing.T) {
	for out, want := range map[engine.Outcome]string{engine.OutcomeSuccess: "success ", engine.OutcomeFailed: "failed x: 503 Service Unavailable"} {
		h := newHistory(t, flowOf("f", "a:"), flowOf("c", "x:"))
		h.submit("f", "r1")
		h.opens("r1", "a", "c1", "c", engine.Parent{Waits: true, XCom: "x"})
		h.want("r1", "a=waiting")
		h.want("c1", "x=ready")
		if !h.state.Run("r1").Still() || h.state.Run("c1").Parent() != "r1" {
			t.Error("the time of the run passes while another one is waited for, or that does not know it")
		}
		at := engine.Pos{Seq: h.seq + 1}
		h.report("c1", "x", out, func(rec *engine.AttemptRecord) { rec.Value = []byte(`7`) })
		h.want("c1", "closed")
		w := h.wokenBy("r1")
		if got := w.As + " " + w.Comment; got != want || w.Run != "c1" || (w.At == at) != (out == engine.OutcomeSuccess) {
			t.Errorf("woken by %+v, want %s", w, want)
		}
	}
}

func TestChild_OfWhichNobodyHearsTheEnd(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"), flowOf("c", "x:"))
	h.submit("f", "r1")
	h.opens("r1", "a", "c1", "c", engine.Parent{})
	if w := h.wokenBy("r1"); w.As != engine.WakeOpened || w.Run != "c1" {
		t.Errorf("woken by %+v", w)
	}
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1"})
	h.report("r1", "a", engine.OutcomeCancelled)
	h.want("r1", "closed")
	h.want("c1", "x=ready")
}

func TestChild_CancelFromBothEnds(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"), flowOf("c", "x: "))
	h.submit("f", "r1")
	h.opens("r1", "a", "c1", "c", engine.Parent{Waits: true})
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1"})
	h.want("r1", "closed")
	if c := h.state.Run("c1"); c == nil || c.Ending != engine.Cancelled {
		t.Error("the run that it has opened goes on")
	}
	h.submit("f", "r2")
	h.opens("r2", "a", "c2", "c", engine.Parent{Waits: true})
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "c2"})
	h.report("c2", "x", engine.OutcomeCancelled)
	if w := h.wokenBy("r2"); w.As != "cancelled" {
		t.Errorf("woken by %+v", w)
	}
}

func TestChild_ThatCannotBeIsRefused(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"), flowOf("invoice", "x:"))
	h.submit("f", "r0")
	h.opens("r0", "a", "c0", "invoce", engine.Parent{Waits: true})
	if w := h.wokenBy("r0"); w.Cause != engine.WakeRefused || w.Comment != `no flow "invoce" (did you mean "invoice"?)` {
		t.Errorf("woken by %+v", w)
	}
	h.submit("f", "d0")
	for n := range engine.MaxDepth + 1 {
		h.opens(engine.RunID(fmt.Sprint("d", n)), "a", engine.RunID(fmt.Sprint("d", n+1)), "f", engine.Parent{Waits: true})
	}
	if w := h.wokenBy(engine.RunID(fmt.Sprint("d", engine.MaxDepth))); w.Cause != engine.WakeRefused || !strings.Contains(w.Comment, "nested more than 8 deep") {
		t.Errorf("woken by %+v", w)
	}
}

// TestChild_QueuesAsAnyRun: one that waits behind others is waited for.
func TestChild_QueuesAsAnyRun(t *testing.T) {
	one := flowOf("c", "x:")
	one.MaxActiveRuns = 1
	h := newHistory(t, flowOf("f", "a:"), one)
	for _, r := range []string{"1", "2"} {
		h.submit("f", engine.RunID("r"+r))
		h.opens(engine.RunID("r"+r), "a", engine.RunID("c"+r), "c", engine.Parent{Waits: true})
	}
	h.want("c2", "x=pending")
	h.want("r2", "a=waiting")
	h.report("c1", "x", engine.OutcomeSuccess)
	h.report("c2", "x", engine.OutcomeSuccess)
	if w := h.wokenBy("r2"); w.As != "success" {
		t.Errorf("woken by %+v", w)
	}
}
