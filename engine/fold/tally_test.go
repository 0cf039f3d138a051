package fold

import (
	"testing"

	"github.com/qarion/qarion/engine"
)

func TestTally_CountsTheLastHourAndDay(t *testing.T) {
	const minute = 60 * 1_000_000
	var c tally
	now := engine.Micros(1_800_000_000_000_000)
	for range 3 * 24 * 60 {
		now += minute
		c.at(now).Started++
		c.ended(now, engine.Success)
	}
	c.ended(now-10*minute, engine.Failed) // the clock has stepped back
	c.at(now).Rejected += 2
	hour, day := c.since(now, 12), c.since(now, 24*12)
	if hour.Started < 56 || hour.Started > 60 || day.Started < 24*60-5 || day.Started > 24*60 || hour.Failed != 1 || day.Rejected != 2 || hour.Success != hour.Started {
		t.Errorf("hour %+v, day %+v", hour, day)
	}
	if len(c.counts) > tallySpans {
		t.Errorf("%d counts are kept", len(c.counts))
	}
	if later := c.since(now+25*60*minute, 24*12); later != (engine.RunCounts{}) {
		t.Errorf("a day later: %+v", later)
	}
}

func TestTally_SurvivesASnapshot(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	h.submit("f", "R1")
	h.report("R1", "a", engine.OutcomeSuccess)
	h.submit("f", "R2")
	h.report("R2", "a", engine.OutcomeFailed)
	h.submit("nobody", "R3")
	want := engine.RunCounts{Started: 2, Success: 1, Failed: 1, Rejected: 1}
	if got := h.state.LastHour(h.now); got != want {
		t.Fatalf("got %+v", got)
	}
	if got := restoreParts(t, takeAll(t, h.state.Snapshot("test"), func() {})).LastDay(h.now); got != want {
		t.Errorf("after a snapshot: %+v", got)
	}
}
