package runtime_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/kvstore"
)

// TestPurge_LeavesWhatRerunsNeed: what an open rerun keeps stands in the ledger,
// before its own records. Once nothing open needs it, it goes, and a rerun says
// so.
func TestPurge_LeavesWhatRerunsNeed(t *testing.T) {
	hold := make(chan struct{})
	var tries atomic.Int32
	var runs *kvstore.Runs
	n := testkit.StartNode(t, testkit.NodeConfig{
		Views: func(b *bus.Bus) []engine.Projection {
			nc, err := b.Connect("runs")
			if err == nil {
				runs, err = kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc})
			}
			if err != nil {
				t.Fatal(err)
			}
			return []engine.Projection{runs}
		},
		Change: func(c *runtime.Config) { c.Runs, c.Seeds = runs, runs },
		Types: []engine.TaskType{testkit.TaskFunc{Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			switch {
			case in.Flow.ID == "f":
			case in.Key.Task == "a":
				return engine.TaskOutput{Value: []byte(`"` + strings.Repeat("v", 5000) + `"`)}
			case tries.Add(1) == 1:
				return engine.TaskOutput{Err: &engine.TaskError{Class: "status", Message: "503"}}
			default:
				select {
				case <-hold:
				case <-ctx.Done():
				}
				if v, ok, err := in.XCom(ctx, "a"); !ok || err != nil || len(v.(string)) != 5000 {
					return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: "the value that was kept is not there"}}
				}
			}
			return engine.TaskOutput{}
		}}},
	})
	defer func() { n.Stop(t); runs.Close() }()
	for _, f := range []*engine.Flow{
		{ID: "f", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}}},
		{ID: "g", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}, {ID: "b", Type: "func", Dependencies: []engine.TaskID{"a"}, Pulls: []engine.TaskID{"a"}}}},
	} {
		if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(end chan *engine.RunDoc) *engine.RunDoc {
		t.Helper()
		select {
		case doc := <-end:
			return doc
		case <-time.After(30 * time.Second):
			t.Fatal("the run does not end")
			return nil
		}
	}
	end := make(chan *engine.RunDoc, 1)
	if _, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "g", End: end}); err != nil {
		t.Fatal(err)
	}
	first := ended(end)
	if first.Status != engine.Failed {
		t.Fatalf("the first run: %s", first.Status)
	}
	start(t, n, 32)
	end = make(chan *engine.RunDoc, 1)
	again, err := n.Engine.Rerun(t.Context(), engine.RerunRequest{Run: first.RunID, End: end})
	if err != nil || again.Kept != 1 {
		t.Fatalf("%+v, %v", again, err)
	}
	if _, err := n.Engine.Rerun(t.Context(), engine.RerunRequest{Run: again.Run.RunID}); !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "cancel it first") {
		t.Errorf("a rerun of an open run: %v", err)
	}
	from := purgeAll(t, n)
	close(hold)
	if doc := ended(end); doc.Status != engine.Success {
		t.Errorf("the rerun: %s, %+v", doc.Status, doc.Error)
	}
	waitFor(t, "what was kept is purged", func() bool { return purgeAll(t, n) > from })
	if _, err := n.Engine.Rerun(t.Context(), engine.RerunRequest{Run: first.RunID}); !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "is older than what is kept") {
		t.Errorf("a rerun of what is gone: %v", err)
	}
	end = make(chan *engine.RunDoc, 1)
	if _, err := n.Engine.Rerun(t.Context(), engine.RerunRequest{Run: first.RunID, From: engine.RerunAll, End: end}); err != nil {
		t.Fatal(err)
	}
	if doc := ended(end); doc.Status != engine.Success || doc.RerunOf != first.RunID {
		t.Errorf("all of it again: %s, %+v", doc.Status, doc.Error)
	}
}
