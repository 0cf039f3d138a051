package runtime_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// shownRuns is a view of runs as qarion_runs is one, in memory.
type shownRuns struct {
	view
	docs map[engine.RunID]*engine.RunDoc
}

func newShownRuns() *shownRuns {
	r := &shownRuns{view: view{name: engine.RunsView}, docs: map[engine.RunID]*engine.RunDoc{}}
	r.do = func(_ context.Context, changes []engine.Change) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range changes {
			if c.Doc != nil {
				doc := *c.Doc
				r.docs[c.Run] = &doc
			}
		}
		return nil
	}
	return r
}

func (r *shownRuns) Get(_ context.Context, id engine.RunID) (*engine.RunDoc, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if doc := r.docs[id]; doc != nil {
		return doc, nil
	}
	return nil, engine.ErrNotFound
}

func (r *shownRuns) List(_ context.Context, f engine.RunFilter) (list []*engine.RunDoc, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, doc := range r.docs {
		if f.Matches(id, doc.FlowID, doc.Status) {
			list = append(list, doc)
		}
	}
	return list, nil
}

func (r *shownRuns) Ending(context.Context, string) ([]engine.RunID, error) { return nil, nil }

// TestLoss_OpenRunsAreDamagedNeverASuccess: a node is killed while runs are
// open, one before and one after the last checkpoint; the ledger's file is
// gone. The node does not start, names what is missing, and, told to go on,
// ends the runs as damaged and works on.
func TestLoss_OpenRunsAreDamagedNeverASuccess(t *testing.T) {
	hold := make(chan struct{})
	var once sync.Once
	open := func() { once.Do(func() { close(hold) }) }
	defer open()
	shown := newShownRuns()
	cfg := testkit.NodeConfig{
		Dir: t.TempDir(), Sync: true,
		Types: []engine.TaskType{testkit.TaskFunc{Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			if in.Flow.ID == "long" {
				select {
				case <-hold:
				case <-ctx.Done():
					return engine.TaskOutput{Err: &engine.TaskError{Class: "closed", Message: "cut off"}}
				}
			}
			return engine.TaskOutput{}
		}}},
		Views:  func(*bus.Bus) []engine.Projection { return []engine.Projection{shown} },
		Change: func(c *runtime.Config) { c.Runs, c.Grace = shown, time.Millisecond },
	}
	n := testkit.StartNode(t, cfg)
	for _, f := range []*engine.Flow{single("f", "a", time.Minute), single("long", "a", time.Hour)} {
		if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(n *testkit.Node) *engine.RunDoc {
		t.Helper()
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "long", DedupeID: string(rune('a' + len(shown.docs)))})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	done := runDone(t, n)
	early := begin(n)
	checkpoint(t, n)
	late := begin(n)
	waitFor(t, "both runs are shown", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq && st.InFlight == 2 })
	last := status(t, n).LedgerSeq
	image := n.Image(t)
	open()
	n.Stop(t)

	cfg.Dir = image
	for _, file := range testkit.Blocks(t, image, bus.StreamLedger) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	again := newShownRuns() // what the view showed at the kill
	again.docs[done.RunID] = &engine.RunDoc{RunID: done.RunID, FlowID: "f", Status: engine.Success, Final: true}
	for _, doc := range []*engine.RunDoc{early, late} {
		again.docs[doc.RunID] = doc
	}
	again.at = engine.Pos{Seq: last}
	shown = again
	began := time.Now()
	_, err := testkit.TryNode(t, cfg)
	if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "stream QARION_LEDGER has lost entries 1 to ") {
		t.Fatalf("the node started, or did not say why not: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}

	cfg.AcceptLoss = true
	n = testkit.StartNode(t, cfg)
	for name, run := range map[string]engine.RunID{"before the checkpoint": early.RunID, "after it": late.RunID} {
		waitFor(t, "the run that began "+name+" is damaged", func() bool {
			doc, err := again.Get(t.Context(), run)
			return err == nil && doc.Final && doc.Status == engine.Failed && doc.Error != nil && doc.Error.Class == "damaged"
		})
	}
	if doc, _ := again.Get(t.Context(), done.RunID); doc.Status != engine.Success {
		t.Errorf("a run that had ended: %s", doc.Status)
	}
	if _, err := n.Engine.PutFlow(t.Context(), single("f", "a", time.Minute)); err != nil {
		t.Fatal(err)
	}
	if doc := runDone(t, n); doc.BatchID != done.BatchID+1 {
		t.Errorf("batch %d follows %d", doc.BatchID, done.BatchID)
	}
	installation := status(t, n).Installation
	n.Stop(t)

	cfg.AcceptLoss = false
	n = testkit.StartNode(t, cfg)
	if st := status(t, n); st.OpenRuns != 0 || st.Installation != installation || installation == "" {
		t.Errorf("after another start: %d open runs, installation %q, was %q", st.OpenRuns, st.Installation, installation)
	}
}

// TestLoss_AFlippedRecordIsNoticedWhereItIsRead: two bytes of the ledger's file
// changed while the node was down.
func TestLoss_AFlippedRecordIsNoticedWhereItIsRead(t *testing.T) {
	all := &view{name: "all"}
	cfg := testkit.NodeConfig{
		Dir: t.TempDir(), Sync: true, Types: []engine.TaskType{quick},
		Views: func(*bus.Bus) []engine.Projection { return []engine.Projection{all} },
	}
	n := testkit.StartNode(t, cfg)
	if _, err := n.Engine.PutFlow(t.Context(), single("f", "a", time.Minute)); err != nil {
		t.Fatal(err)
	}
	start(t, n, 320)
	waitFor(t, "every run has ended", func() bool { st := status(t, n); return st.OpenRuns == 0 && st.ProjectedSeq == st.LedgerSeq })
	before := all.took()
	image := n.Image(t)
	n.Stop(t)

	cfg.Dir = image
	files := testkit.Blocks(t, image, bus.StreamLedger)
	testkit.FlipBytes(t, files[0], 0.5)
	if _, err := testkit.TryNode(t, cfg); !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "stream QARION_LEDGER has lost entr") {
		t.Fatalf("the node started, or did not say why not: %v", err)
	}
	cfg.AcceptLoss = true
	n = testkit.StartNode(t, cfg)
	doc := runDone(t, n)
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq && st.OpenRuns == 0 })
	if end := all.end(doc.RunID); end == nil || end.Status != engine.Success {
		t.Errorf("a new run: %+v", end)
	}
	// A view that is new gets what is known now, the same as a replay ever will.
	n.Stop(t)
	fresh := &view{name: "all"}
	all = fresh
	n = testkit.StartNode(t, cfg)
	waitFor(t, "the new view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	for _, c := range fresh.ends() {
		if strings.Contains(c, string(engine.Success)) && !strings.Contains(strings.Join(before, "\n"), c) && !strings.Contains(c, string(doc.RunID)) {
			t.Errorf("a run became a success by the loss: %s", c)
		}
	}
}

// ends are the ends of runs that the view has taken, as a text each.
func (v *view) ends() (list []string) {
	for _, c := range v.took() {
		if strings.Contains(c, string(engine.RunDone)) {
			list = append(list, c[strings.Index(c, string(engine.RunDone)):])
		}
	}
	return list
}
