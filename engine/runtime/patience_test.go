package runtime_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// trailing is a view into another system.
type trailing struct {
	*view
	patience time.Duration
}

func (t trailing) Patience() time.Duration { return t.patience }
func (t trailing) Pause() time.Duration    { return 0 }

// run starts a run and waits for its end.
func run(t *testing.T, n *testkit.Node) time.Duration {
	t.Helper()
	began := time.Now()
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Engine.Wait(t.Context(), doc.RunID); err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestTrailing_WhoWaitsForARunWaitsForItWithPatience(t *testing.T) {
	gate := make(shut)
	other, tables, last := &view{name: "other"}, &view{name: "tables", do: gate.do}, &view{name: "last"}
	n := startViews(t, "", 1000, other, trailing{tables, time.Second}, last)
	if took := run(t, n); took < time.Second {
		t.Errorf("a run was reported to have ended after %v: its view has not shown it, and patience is 1s", took)
	}
	if last.count(engine.RunDone) != 1 {
		t.Error("who follows events waits for a view that trails")
	}
	if st := status(t, n); st.Views[1].Behind == 0 || st.ProjectedSeq == st.LedgerSeq {
		t.Errorf("the status does not show that it is behind: %+v", st.Views)
	}
	close(gate)
	waitFor(t, "the view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	run(t, n)
	if got, want := tables.count(engine.RunDone), 2; got != want {
		t.Errorf("a run was reported to have ended before a view showed it that keeps up: %d ends, want %d", got, want)
	}
}

func TestTrailing_NobodyWaitsForOneThatCannotBeWritten(t *testing.T) {
	other, tables, last := &view{name: "other"}, &view{name: "tables", do: func(context.Context, []engine.Change) error {
		return errors.New("connection refused")
	}}, &view{name: "last"}
	n := startViews(t, "", 1000, other, trailing{tables, time.Hour}, last)
	run(t, n)
	run(t, n)
	if st := status(t, n); st.Views[1].Problem != "connection refused" {
		t.Errorf("the status does not say what is wrong: %+v", st.Views)
	}
}

func TestTrailing_NobodyWaitsForOneThatReadsTheLedgerAgain(t *testing.T) {
	gate := make(shut)
	other, tables, last := &view{name: "other"}, &view{name: "tables", do: gate.do}, &view{name: "last"}
	n := startViews(t, "", 64, other, trailing{tables, time.Hour}, last)
	start(t, n, 320)
	waitFor(t, "it has fallen out of the queue", func() bool { return status(t, n).Views[1].Rereads })
	run(t, n)
	close(gate)
	waitFor(t, "it is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	sameChanges(t, "tables", tables.took(), other.took())
}
