package runtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// purgeAll makes the ledger as short as it may be, and returns where it begins.
func purgeAll(t testing.TB, n *testkit.Node) uint64 {
	t.Helper()
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	for range 2 {
		checkpoint(t, n)
		start(t, n, 32)
	}
	waitFor(t, "every view has stored where it is", func() bool {
		checkpoint(t, n)
		if err := n.Engine.Purge(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		purged, err := n.Ledger.Purged(t.Context())
		return err == nil && purged > 1
	})
	purged, err := n.Ledger.Purged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return purged
}

func runDone(t testing.TB, n *testkit.Node) *engine.RunDoc {
	t.Helper()
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Engine.Wait(t.Context(), doc.RunID); err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	return doc
}

// TestPurge_LosesNothingThatIsNeeded: after a purge the flows are there, batch
// ids go on, and a view that is new is filled as far back as the ledger goes,
// with the content that the others have.
func TestPurge_LosesNothingThatIsNeeded(t *testing.T) {
	dir := t.TempDir()
	first := &view{name: "first"}
	n := startViews(t, dir, 1000, first)
	start(t, n, 320)
	from := purgeAll(t, n)
	last := runDone(t, n)
	n.Stop(t)
	second := &view{name: "second"}
	n = startViews(t, dir, 1000, first, second)
	if doc := runDone(t, n); doc.BatchID != last.BatchID+1 {
		t.Errorf("batch %d follows %d", doc.BatchID, last.BatchID)
	}
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	kept := first.after(from)
	if len(kept) == 0 || len(kept) == len(first.took()) {
		t.Fatalf("%d of %d changes are younger than the purge", len(kept), len(first.took()))
	}
	sameChanges(t, "second", second.took(), kept)
}

// TestPurge_LeavesWhatOpenRunsNeed: the variables of a run that has been open
// for long stand in the ledger.
func TestPurge_LeavesWhatOpenRunsNeed(t *testing.T) {
	hold := make(chan struct{})
	all := &view{name: "all"}
	n := testkit.StartNode(t, testkit.NodeConfig{Views: func(*bus.Bus) []engine.Projection { return []engine.Projection{all} }, Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			switch {
			case in.Flow.ID == "g" && in.Key.Task == "a":
				select {
				case <-hold:
				case <-ctx.Done():
				}
			case in.Key.Task == "b":
				if v, ok, err := in.Lookup(ctx, "big"); !ok || err != nil || len(v.Value.(string)) != 20_000 {
					return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: "the variable is not there"}}
				}
			}
			return engine.TaskOutput{}
		},
	}}})
	f := &engine.Flow{ID: "f", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}}}
	g := &engine.Flow{ID: "g", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}, {ID: "b", Type: "func", Dependencies: []engine.TaskID{"a"}}}}
	for _, f := range []*engine.Flow{f, g} {
		if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	start(t, n, 32)
	long, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "g", Variables: []byte(`{"big": "` + strings.Repeat("x", 20_000) + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	purgeAll(t, n)
	close(hold)
	waitFor(t, "the run ends well", func() bool {
		doc := all.end(long.RunID)
		if doc != nil && doc.Status != engine.Success {
			t.Fatalf("run: %s, %+v", doc.Status, doc.Error)
		}
		return doc != nil
	})
}

// TestStart_WithoutAReadableCheckpoint: an older one takes the place of one
// that cannot be read; when there is none for what was purged, the node does
// not start, since its state would be empty.
func TestStart_WithoutAReadableCheckpoint(t *testing.T) {
	dir := t.TempDir()
	all := &view{name: "all"}
	n := startViews(t, dir, 1000, all)
	start(t, n, 320)
	purgeAll(t, n)
	last := runDone(t, n)
	checkpoint(t, n)
	kept := checkpoint(t, n)
	spoil := func(seqs ...uint64) {
		t.Helper()
		for _, seq := range seqs {
			if _, err := n.Bus.JetStream().Publish(t.Context(), bus.CheckpointSubject(seq, "0"), []byte("spoilt")); err != nil {
				t.Fatal(err)
			}
		}
	}
	spoil(kept[0])
	n.Stop(t) // writes one more
	n = startViews(t, dir, 1000, all)
	if doc := runDone(t, n); doc.BatchID != last.BatchID+1 {
		t.Errorf("batch %d follows %d", doc.BatchID, last.BatchID)
	}
	n.Stop(t)

	b, err := bus.Open(t.Context(), bus.Config{Dir: dir + "/nats", SyncInterval: bus.DefaultSyncInterval})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := b.Ledger(t.Context(), bus.LedgerConfig{Node: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := b.Checkpoints(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err = c.Kept(t.Context()); err != nil || len(kept) < 3 {
		t.Fatalf("kept: %v, %v; want the newest two and the one at the ledger's beginning", kept, err)
	}
	n.Bus = b
	try := func() error {
		ready, err := b.ReadyQueue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e, err := runtime.New(runtime.Config{Ledger: l, Checkpoints: c, ReadyQueue: ready, Blobs: &testkit.Blobs{}, Log: testkit.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		go func() {
			select {
			case <-e.Ready():
				cancel()
			case <-ctx.Done():
			}
		}()
		return e.Run(ctx)
	}
	spoil(kept[:len(kept)-1]...)
	if err := try(); err != nil {
		t.Errorf("with the oldest checkpoint alone: %v", err)
	}
	if kept, err = c.Kept(t.Context()); err != nil {
		t.Fatal(err)
	}
	spoil(kept...)
	if err := try(); !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "no checkpoint of the ledger can be read") {
		t.Errorf("without a checkpoint it started: %v", err)
	}
}
