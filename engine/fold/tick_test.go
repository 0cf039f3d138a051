package fold

import (
	"fmt"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// ticked is a flow with a schedule.
func ticked(expr string, enabled bool) *engine.Flow {
	f := flowOf("f", "a:")
	settings := value.NewMap(1)
	settings.Set("cron", expr)
	f.Triggers = []engine.TriggerSpec{{ID: "nightly", Type: engine.TriggerSchedule, Enabled: enabled, Settings: settings}}
	return f
}

func (h *history) put(f *engine.Flow) {
	h.t.Helper()
	def, hash, err := f.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	h.add(&engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
}

// tick submits a time of the schedule and reports whether a run follows.
func (h *history) tick(at, prev engine.Micros, kind string) bool {
	h.t.Helper()
	run := engine.RunID(fmt.Sprint("r", h.seq))
	h.add(&engine.SubmitRecord{Run: run, Flow: "f", TriggerType: kind, TriggerID: "nightly", Tick: at, PrevTick: prev, ExecutionDate: at})
	return h.state.runs[run] != nil
}

func (h *history) spans() string {
	var out string
	for _, s := range h.state.Ticking("f")[0].Done {
		out += fmt.Sprintf("[%d %d]", s.First, s.Last)
	}
	return out
}

func TestTick_ComesOnceForEver(t *testing.T) {
	h := newHistory(t, ticked("0 2 * * *", true))
	for _, c := range []struct {
		at, prev engine.Micros
		runs     bool
		spans    string
	}{
		{100, 0, true, "[100 100]"},
		{110, 100, true, "[100 110]"},
		{110, 100, false, "[100 110]"},
		{105, 0, false, "[100 110]"}, // within the row: known, whatever the times are now
		{140, 130, true, "[100 110][140 140]"},
		{130, 120, true, "[100 110][130 140]"},
		{120, 110, true, "[100 140]"},
		{90, 80, true, "[90 90][100 140]"},
	} {
		if got := h.tick(c.at, c.prev, engine.TriggerSchedule); got != c.runs || h.spans() != c.spans {
			t.Errorf("%d: a run %v, %s; want %v, %s", c.at, got, h.spans(), c.runs, c.spans)
		}
	}
	h.now += 30 * 24 * 3600 * 1e6
	if h.tick(110, 100, engine.TriggerSchedule) {
		t.Error("after a month it comes again")
	}
	if h.tick(110, 0, engine.TriggerBackfill) || h.shown(engine.RunRejected) == nil {
		t.Error("a person who asks for a time that is done is not told")
	}
	if d := h.state.Run("r3"); d != nil && d.execution != 110 {
		t.Errorf("the execution date is %d", d.execution)
	}
}

func TestTick_RowsAreBounded(t *testing.T) {
	h := newHistory(t, ticked("0 2 * * *", true))
	for i := range engine.Micros(maxSpans + 50) {
		h.tick(1000+10*i, 0, engine.TriggerSchedule)
	}
	list := h.state.Ticking("f")[0]
	if len(list.Done) != maxSpans || !list.Has(1000) || !list.Has(1005) || list.Has(1000+10*maxSpans-5) {
		t.Errorf("%d rows, the oldest %v", len(list.Done), list.Done[0])
	}
}

func TestTick_RestsAndGoesOn(t *testing.T) {
	h := newHistory(t, ticked("0 2 * * *", true))
	since := h.state.Ticking("f")[0].Since
	if since != h.now {
		t.Errorf("begins at %d, the flow came at %d", since, h.now)
	}
	control := func(kind engine.ControlKind, as string) {
		h.add(&engine.ControlRecord{Kind: kind, Flow: "f", Name: "nightly", As: as, Token: "t"})
		if got := h.told(); got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	control(engine.ControlPause, "")
	if h.tick(100, 0, engine.TriggerSchedule) || h.spans() != "" {
		t.Error("it comes while it rests")
	}
	if !h.tick(100, 0, engine.TriggerBackfill) {
		t.Error("a person cannot have a time of one that rests")
	}
	control(engine.ControlResume, engine.ResumeCatchUp)
	if got := h.state.Ticking("f")[0]; got.Since != since || got.Paused {
		t.Errorf("%+v, want since %d", got, since)
	}
	control(engine.ControlPause, "")
	control(engine.ControlResume, "")
	if got := h.state.Ticking("f")[0]; got.Since != h.now || got.Paused {
		t.Errorf("%+v, want since %d", got, h.now)
	}
	began := h.now
	f := ticked("0 2 * * *", true)
	f.Description = "other"
	h.put(f) // other in what does not matter
	if got := h.state.Ticking("f")[0].Since; got != began {
		t.Errorf("a new version of the flow: since %d, want %d", got, began)
	}
	h.put(ticked("0 3 * * *", true)) // other times: those of before were not missed
	if got := h.state.Ticking("f")[0].Since; got != h.now {
		t.Errorf("other times: since %d, want %d", got, h.now)
	}
	h.put(ticked("0 3 * * *", false))
	if h.tick(200, 0, engine.TriggerSchedule) {
		t.Error("it comes though it is off")
	}
	h.put(ticked("0 3 * * *", true))
	if got := h.state.Ticking("f")[0]; got.Since != h.now || !got.Has(100) {
		t.Errorf("on again: %+v, want since %d and what is done", got, h.now)
	}
	h.add(&engine.ControlRecord{Kind: engine.ControlPause, Flow: "f", Name: "nightli", Token: "t"})
	if got := h.told(); got.Err == nil {
		t.Error("a schedule that is not there rests")
	}
}

func TestTick_IsInSnapshots(t *testing.T) {
	h := newHistory(t, ticked("0 2 * * *", true))
	h.tick(100, 0, engine.TriggerSchedule)
	h.tick(110, 100, engine.TriggerSchedule)
	h.add(&engine.ControlRecord{Kind: engine.ControlPause, Flow: "f", Name: "nightly", Token: "t"})
	want := fmt.Sprint(h.state.Ticking("f"))
	h.state = restoreParts(t, takeAll(t, h.state.Snapshot("test"), func() {}))
	if got := fmt.Sprint(h.state.Ticking("f")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if h.tick(110, 100, engine.TriggerBackfill) {
		t.Error("a time that is done comes again")
	}
}
