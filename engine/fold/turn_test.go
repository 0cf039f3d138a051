package fold

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

func turnEnded(value, carry string) func(*engine.AttemptRecord) {
	return func(rec *engine.AttemptRecord) {
		rec.Class, rec.Error = "", ""
		rec.Value, rec.Carry = []byte(value), []byte(carry)
	}
}

func TestTurn_FollowsTheOneThatWentWell(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeAgain, turnEnded(`[1]`, "two"))
	h.want("r1", "a=ready b=pending")
	h.report("r1", "a", engine.OutcomeRetry)
	h.report("r1", "a", engine.OutcomeDeferred)
	r := h.state.Run("r1")
	if rt := r.ReadyTask(0); rt.Turn != 1 || rt.Attempt != 2 || rt.Dispatch != 1 || string(rt.Carry) != "two" || rt.Prev.Seq == 0 {
		t.Errorf("the second turn is given out as %+v", rt)
	}
	h.report("r1", "a", engine.OutcomeAgain, turnEnded("", strings.Repeat("x", keepCarry+1)))
	if rt := r.ReadyTask(0); rt.Turn != 2 || rt.Attempt != 1 || rt.Dispatch != 0 || rt.Carry != nil || rt.CarryAt.Seq != h.seq || rt.Prev.Seq == h.seq {
		t.Errorf("the third turn is given out as %+v", rt)
	}
	h.report("r1", "a", engine.OutcomeSuccess)
	h.want("r1", "a=success b=ready")
	if d := r.taskDoc(0); d.Turns != 3 || len(d.History) != 2 || d.History[0].Turn != 1 {
		t.Errorf("document: %+v", d)
	}
}

func TestTurn_ARecordOfAnEarlierOneChangesNothing(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"))
	h.submit("f", "r1")
	first := h.state.Run("r1").Key(0)
	h.report("r1", "a", engine.OutcomeAgain, turnEnded(`1`, "c"))
	h.add(&engine.AttemptRecord{AttemptKey: first, Flow: "f", Outcome: engine.OutcomeSuccess, Start: h.now + 1})
	h.want("r1", "a=ready")
}

func TestTurn_APersonsRetryGoesOnInIt(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeAgain, turnEnded(`1`, "c"))
	h.report("r1", "a", engine.OutcomeInterrupted)
	h.add(&engine.ControlRecord{Kind: engine.ControlResolve, Run: "r1", Task: "a", As: "retry"})
	if rt := h.state.Run("r1").ReadyTask(0); rt.Turn != 1 || rt.Generation != 1 || string(rt.Carry) != "c" || rt.Prev.Seq == 0 {
		t.Errorf("given out as %+v", rt)
	}
}

func TestTurn_EndlessOnesFail(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b:"))
	h.submit("f", "r1")
	for range engine.MaxTurns {
		h.report("r1", "a", engine.OutcomeAgain, turnEnded(`1`, "c"))
	}
	h.want("r1", "a=failed b=ready")
	if e := h.state.Run("r1").firstError; e.Message != "10000 turns and no end" || e.Class != "turns" {
		t.Errorf("error: %+v", e)
	}
	if rec := h.last[0].Change.Attempt; rec.Class != "" {
		t.Errorf("the record itself was changed: %+v", rec)
	}
}

func TestRun_EndlessAttemptsEndIt(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b:"))
	h.submit("f", "r1")
	r := h.state.Run("r1")
	for range engine.MaxRunAttempts {
		h.report("r1", "a", engine.OutcomeRetry)
	}
	if r.Ending != engine.Failed || r.firstError.Message != "1000000 attempts in one run and no end" {
		t.Errorf("ending %q, error %+v", r.Ending, r.firstError)
	}
	if n := len(r.Tasks[0].history); n < maxHistory || n > 2*maxHistory {
		t.Errorf("%d attempts are kept, want %d", n, maxHistory)
	}
	h.report("r1", "a", engine.OutcomeCancelled)
	h.report("r1", "b", engine.OutcomeCancelled)
	if got := fmt.Sprint(h.state.Run("r1")); got != "<nil>" {
		t.Errorf("the run did not end")
	}
}

// A response in memory must not stand for a value that is an object.
func TestReady_AnObjectIsReadWhereItStands(t *testing.T) {
	f := flowOf("f", "a:", "b: a")
	f.Tasks[1].Responses = []engine.TaskID{"a"}
	h := newHistory(t, f)
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeSuccess, func(rec *engine.AttemptRecord) {
		rec.Blob, rec.Response = &engine.BlobRef{Name: "x", Size: 1}, []byte(`{"status": 200}`)
	})
	if in := h.state.Run("r1").ReadyTask(1).Inputs; len(in) != 1 || in[0].At.Seq != h.seq || in[0].Response != nil {
		t.Errorf("given out with %+v", in)
	}
}
