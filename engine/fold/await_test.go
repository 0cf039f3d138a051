package fold

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// await ends a turn of a task that then waits.
func (h *history) await(run engine.RunID, task engine.TaskID, what string, until engine.Micros) {
	h.t.Helper()
	h.report(run, task, engine.OutcomeAgain, func(rec *engine.AttemptRecord) { rec.Await, rec.NotBefore, rec.Carry = what, until, []byte("x") })
}

// told is what became of the word in the last entry.
func (h *history) told() Heard {
	h.t.Helper()
	for _, e := range h.last {
		if e.Kind == Told {
			return *e.Heard
		}
	}
	h.t.Fatal("nobody was told of anything")
	return Heard{}
}

func signalTo(run engine.RunID, id string) *engine.ControlRecord {
	return &engine.ControlRecord{Kind: engine.ControlSignal, Run: run, Name: "paid", ID: id, Value: []byte(`{"sum": 7}`), By: "alice"}
}

func signalBy(key, id string) *engine.ControlRecord {
	return &engine.ControlRecord{Kind: engine.ControlSignal, Flow: "f", For: key, Name: "paid", ID: id}
}

func TestAwait_SignalWakesTheOneThatHasWaitedLongest(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b:", "c: a"))
	h.submit("f", "r1")
	h.await("r1", "b", engine.AwaitSignal("paid", ""), 0)
	h.await("r1", "a", engine.AwaitSignal("paid", ""), 0)
	h.want("r1", "a=waiting b=waiting c=pending")
	if d := h.state.Run("r1").Now(true); d.Waiting == nil || d.Waiting.Awaits != "signal paid" || d.Counts[engine.Waiting] != 2 {
		t.Errorf("the document says %+v, %v", d.Waiting, d.Counts)
	}
	h.add(signalTo("r1", "m1"))
	h.want("r1", "a=waiting b=ready c=pending")
	if got := h.told(); got.Task != "b" || got.Kept || got.Known || got.Err != nil {
		t.Errorf("told %+v", got)
	}
	rt := h.state.Run("r1").ReadyTask(1)
	if w := rt.Wake; rt.Turn != 1 || w == nil || w.Cause != engine.WakeSignal || string(w.Value) != `{"sum": 7}` || w.By != "alice" {
		t.Errorf("the next turn gets %+v", rt)
	}
	h.add(signalTo("r1", "m1"))
	h.want("r1", "a=waiting b=ready c=pending")
	if got := h.told(); !got.Known {
		t.Errorf("the same message: %+v", got)
	}
	h.add(signalTo("r1", "m2"))
	h.want("r1", "a=ready b=ready c=pending")
}

func TestAwait_EarlySignalsAreKept(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a"))
	h.add(signalBy("7", "m0"))
	h.submit("f", "r1")
	for i := range engine.MaxRunSignals {
		h.add(signalTo("r1", fmt.Sprint("m", i)))
		if got := h.told(); !got.Kept || got.Err != nil {
			t.Fatalf("signal %d: %+v", i, got)
		}
	}
	h.add(signalTo("r1", "more"))
	if got := h.told(); !errors.Is(got.Err, engine.ErrConflict) || got.Kept {
		t.Errorf("one too many: %+v", got)
	}
	h.await("r1", "a", engine.AwaitSignal("paid", "7"), h.now+5)
	h.want("r1", "a=ready b=pending")
	if rt := h.state.Run("r1").ReadyTask(0); rt.Wake == nil || rt.Wake.By != "alice" {
		t.Errorf("the oldest of the run comes first: %+v", rt.Wake)
	}
	h.add(signalTo("r1", "room"))
	if got := h.told(); !got.Kept {
		t.Errorf("one was taken, and there is no room: %+v", got)
	}
	h.report("r1", "a", engine.OutcomeSuccess)
	h.now += engine.SignalWindow
	h.await("r1", "b", engine.AwaitSignal("paid", "7"), 0)
	h.want("r1", "a=success b=waiting")
	h.add(signalBy("8", "m1"))
	h.want("r1", "a=success b=waiting")
	h.add(signalBy("7", "m2"))
	h.want("r1", "a=success b=ready")
	if got := h.told(); got.Run != "r1" || got.Task != "b" {
		t.Errorf("told %+v", got)
	}
}

func TestAwait_DeadlineAndSignalComeInTheLedgersOrder(t *testing.T) {
	for _, timeFirst := range []bool{true, false} {
		h := newHistory(t, flowOf("f", "a:"))
		h.submit("f", "r1")
		h.await("r1", "a", engine.AwaitSignal("paid", ""), h.now+5)
		up := &engine.ControlRecord{Kind: engine.ControlWake, Run: "r1", Key: h.state.Run("r1").Key(0)}
		if timeFirst {
			h.add(up, signalTo("r1", "m"))
		} else {
			h.add(signalTo("r1", "m"), up)
		}
		h.add(up)
		h.want("r1", "a=ready")
		want := map[bool]string{true: engine.WakeTime, false: engine.WakeSignal}[timeFirst]
		if w := h.state.Run("r1").ReadyTask(0).Wake; w == nil || w.Cause != want {
			t.Errorf("woken by %+v, want %s", w, want)
		}
		h.report("r1", "a", engine.OutcomeRetry)
		if w := h.state.Run("r1").ReadyTask(0).Wake; w == nil || w.Cause != want {
			t.Errorf("the next attempt was woken by %+v, want %s", w, want)
		}
		h.await("r1", "a", engine.AwaitTime, h.now+9)
		h.add(up)
		h.want("r1", "a=waiting")
		h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1"})
		h.want("r1", "closed")
	}
}

func TestAwait_TheRunsTimeStandsStill(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b:"))
	h.submit("f", "r1")
	r := h.state.Run("r1")
	due := r.Deadline
	h.await("r1", "a", engine.AwaitApproval, 0)
	if r.Still() {
		t.Error("b is in flight, and the run's time stands still")
	}
	h.report("r1", "b", engine.OutcomeSuccess)
	h.now += engine.Micros(72 * time.Hour / time.Microsecond)
	h.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: "r1"})
	h.want("r1", "a=waiting b=success")
	yes := &engine.ControlRecord{Kind: engine.ControlSignal, Run: "r1", Task: "a", Key: r.Key(0), As: "approve", Reason: "fine"}
	h.add(yes)
	h.want("r1", "a=ready b=success")
	if r.Still() || r.Deadline < due+engine.Micros(72*time.Hour/time.Microsecond) {
		t.Errorf("it ends at %s, was to at %s", r.Deadline.Format(), due.Format())
	}
	if w := r.ReadyTask(0).Wake; w.Cause != engine.WakeApproval || w.As != "approve" || w.Comment != "fine" || w.By != "" {
		t.Errorf("woken by %+v", w)
	}
	h.add(yes)
	if got := h.told(); !errors.Is(got.Err, engine.ErrConflict) {
		t.Errorf("decided twice: %+v", got)
	}
}

func TestAwait_LargeValuesStayInTheLedger(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:"))
	early := signalBy("7", "m")
	early.Value = make([]byte, keepCarry+1)
	h.add(early)
	at := engine.Pos{Seq: h.seq}
	h.submit("f", "r1")
	if floor := h.state.SignalFloor(); floor != at.Seq {
		t.Errorf("the kept signal needs %d, want %d", floor, at.Seq)
	}
	h.await("r1", "a", engine.AwaitSignal("paid", "7"), 0)
	if w := h.state.Run("r1").ReadyTask(0).Wake; w == nil || w.Value != nil || w.At != at {
		t.Errorf("woken by %+v, want its value at %v", w, at)
	}
	if floor := h.state.Run("r1").Floor(); floor != at.Seq {
		t.Errorf("the run needs the ledger from %d, want %d", floor, at.Seq)
	}
}

// TestControl_CancelThatIsStoredTwiceCountsOnce: only a second cancel ends finally.
func TestControl_CancelThatIsStoredTwiceCountsOnce(t *testing.T) {
	h := newHistory(t, staged("a:", "z:"))
	h.submit("f", "r1")
	cancel := &engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1", ID: "c1"}
	h.add(cancel)
	h.report("r1", "a", engine.OutcomeCancelled)
	h.want("r1", "a=cancelled z=ready")
	h.add(cancel)
	if h.state.Run("r1").Ending != "" {
		t.Error("the same cancel ends finally")
	}
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: "r1", ID: "c2"})
	if h.state.Run("r1").Ending != engine.Cancelled {
		t.Error("a second cancel does not end finally")
	}
}
