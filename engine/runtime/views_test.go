package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// view is a projection that does what a test says, and outlives the node.
type view struct {
	name string
	do   func(ctx context.Context, changes []engine.Change) error // before it takes them; nil: nothing

	mu      sync.Mutex
	changes []engine.Change
	at      engine.Pos
}

func (v *view) Name() string { return v.name }

func (v *view) Position(context.Context) (engine.Pos, error) { return v.at, nil }

func (v *view) Project(ctx context.Context, changes []engine.Change) error {
	if v.do != nil {
		if err := v.do(ctx, changes); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes = append(v.changes, changes...)
	v.at = changes[len(changes)-1].Pos
	return nil
}

func (v *view) Mark(_ context.Context, at engine.Pos) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = at
	return nil
}

// took are the changes that the view has taken, as a text each.
func (v *view) took() []string { return v.after(0) }

// after are those of entries from a sequence on.
func (v *view) after(seq uint64) (list []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.changes {
		if c.Pos.Seq < seq {
			continue
		}
		status := ""
		if c.Doc != nil {
			status = fmt.Sprint(c.Doc.Status, " ", c.Doc.Counts, " ", c.Doc.BatchID)
		}
		list = append(list, fmt.Sprint(c.Pos, " ", c.At, " ", c.Kind, " ", c.Run, " ", c.Task, " ", status))
	}
	return list
}

// end is the document of a run's end, nil before it.
func (v *view) end(run engine.RunID) *engine.RunDoc {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.changes {
		if c.Kind == engine.RunDone && c.Run == run {
			return c.Doc
		}
	}
	return nil
}

func (v *view) count(kind engine.ChangeKind) (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.changes {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// shut is a gate for a view's do: it lets nothing through until it is opened.
type shut chan struct{}

func (s shut) do(ctx context.Context, _ []engine.Change) error {
	select {
	case <-s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var quick = testkit.TaskFunc{Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
	return engine.TaskOutput{Value: []byte(`1`)}
}}

// startViews starts a node with views and a flow "f" of one task.
func startViews(t testing.TB, dir string, queue int, views ...engine.Projection) *testkit.Node {
	t.Helper()
	n := testkit.StartNode(t, testkit.NodeConfig{
		Dir: dir, Types: []engine.TaskType{quick},
		Views:  func(*bus.Bus) []engine.Projection { return views },
		Change: func(c *runtime.Config) { c.ViewQueue, c.CheckpointEvery = queue, 500 },
	})
	f := &engine.Flow{ID: "f", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}}}
	if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return n
}

// start starts runs from several callers at once.
func start(t testing.TB, n *testkit.Node, runs int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range runs / 32 {
				if _, err := n.Engine.Start(ctx, engine.StartRequest{Flow: "f"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// checkpoint writes one and returns what those that are kept cover.
func checkpoint(t testing.TB, n *testkit.Node) []uint64 {
	t.Helper()
	if err := n.Engine.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := n.Checkpoints.Kept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func status(t testing.TB, n *testkit.Node) engine.NodeStatus {
	t.Helper()
	st, err := n.Engine.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come about: ", what)
		}
	}
}

func sameChanges(t testing.TB, name string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("%s took %d changes, want %d; the first that differs is %d:\n got %v\nwant %s", name, len(got), len(want), i, got[min(i, len(got)):min(i+1, len(got))], want[i])
		}
	}
	t.Fatalf("%s took %d changes, want %d", name, len(got), len(want))
}

func TestViews_OneThatStandsStillStopsNothing(t *testing.T) {
	gate := make(shut)
	still, other, last := &view{name: "still", do: gate.do}, &view{name: "other"}, &view{name: "last"}
	n := startViews(t, "", 1000, still, other, last)
	const runs = 3200
	start(t, n, runs)
	waitFor(t, "the other view shows every end", func() bool { return other.count(engine.RunDone) == runs })
	if err := n.Engine.Shown(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if got := last.count(engine.RunDone); got != 0 {
		t.Errorf("%d ends of runs were told before every view showed them", got)
	}
	if got := last.count(engine.RunStarted); got == 0 {
		t.Error("what comes before the first end waited too")
	}
	waitFor(t, "the status names the view", func() bool {
		st := status(t, n)
		return st.OpenRuns == 0 && st.Views[0].Behind > 100 && st.Views[1].Behind == 0 && st.ProjectedSeq < st.LedgerSeq &&
			slices.Equal(st.Views[2].WaitsFor, []string{"still"})
	})
	if kept := checkpoint(t, n); len(kept) == 0 {
		t.Error("no checkpoint was written")
	}

	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := n.Engine.Wait(short, doc.RunID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run was reported to have ended before a view showed it: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := n.Engine.Wait(t.Context(), doc.RunID)
		ended <- err
	}()
	close(gate)
	if err := <-ended; err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
	waitFor(t, "every view is current", func() bool {
		st := status(t, n)
		return st.ProjectedSeq == st.LedgerSeq && !st.Views[0].Rereads
	})
	sameChanges(t, "still", still.took(), other.took())
	sameChanges(t, "last", last.took(), other.took())
}

func TestViews_ASlowOneCatchesUpWhileRunsGoOn(t *testing.T) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	failures := 0
	slow := &view{name: "slow", do: func(ctx context.Context, changes []engine.Change) error {
		<-tick.C
		if failures++; failures%5 == 0 {
			return errors.New("not now")
		}
		return nil
	}}
	fast := &view{name: "fast"}
	n := startViews(t, "", 64, fast, slow)
	for range 5 {
		start(t, n, 320)
	}
	waitFor(t, "both views are current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	sameChanges(t, "slow", slow.took(), fast.took())
	if got := fast.count(engine.RunDone); got != 1600 {
		t.Errorf("%d ends, want 1600", got)
	}
}

func TestViews_AStartDoesNotWaitForOneThatIsBehind(t *testing.T) {
	dir := t.TempDir()
	gate := make(shut)
	still, other := &view{name: "still", do: gate.do}, &view{name: "other"}
	n := startViews(t, dir, 1000, still, other)
	start(t, n, 800)
	checkpoint(t, n)
	start(t, n, 800)
	n.Stop(t)
	n = startViews(t, dir, 1000, still, other)
	start(t, n, 320)
	if kept := checkpoint(t, n); status(t, n).Views[0].Seq >= kept[len(kept)-1] {
		t.Fatalf("the test needs a view that is behind every checkpoint: %+v, %v", status(t, n).Views[0], kept)
	}
	close(gate)
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	sameChanges(t, "still", still.took(), other.took())
}

func TestViews_WhatOneHasNotTakenIsNotPurged(t *testing.T) {
	gate := make(shut)
	other, still, last := &view{name: "other"}, &view{name: "still", do: gate.do}, &view{name: "last"}
	n := startViews(t, "", 100, other, still, last)
	for range 3 {
		start(t, n, 320)
		checkpoint(t, n)
	}
	waitFor(t, "the other view is current", func() bool { st := status(t, n); return st.Views[0].Behind == 0 && st.OpenRuns == 0 })
	if err := n.Engine.Purge(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	close(gate)
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	sameChanges(t, "still", still.took(), other.took())
}

// Opening the views may take long; who asks meanwhile whether anything happens
// hears that nothing does.
func TestFolded_IsZeroWhileTheViewsAreOpened(t *testing.T) {
	var cfg runtime.Config
	testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{quick}, Change: func(c *runtime.Config) { cfg = *c }})
	e, err := runtime.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Folded(); got != 0 {
		t.Errorf("folded up to %d before the start", got)
	}
}
