package runtime_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestControl_IsSeenByWhoGaveIt: a run that was just resolved or cancelled does not
// show what it was before, else who waits for it is told at once that it waits.
func TestControl_IsSeenByWhoGaveIt(t *testing.T) {
	lost := func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
		if in.Task.ID == "after" {
			<-ctx.Done()
		}
		return engine.TaskOutput{Err: &engine.TaskError{Class: engine.ClassInterrupted, Message: "no answer", Unknown: true, Ask: true}}
	}
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: lost}}, Slots: 4})
	flow := &engine.Flow{ID: "lost", Timeout: time.Hour, Tasks: []engine.Task{
		{ID: "call", Type: "func"}, {ID: "after", Type: "func", Dependencies: []engine.TaskID{"call"}},
	}}
	for range 30 {
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "lost", AdHoc: flow})
		if err != nil {
			t.Fatal(err)
		}
		if doc, err = n.Engine.Wait(t.Context(), doc.RunID); err != nil || doc.Status != engine.Interrupted {
			t.Fatalf("%v: %+v", err, doc)
		}
		if err := n.Engine.Resolve(t.Context(), doc.RunID, "call", "success", []byte("null")); err != nil {
			t.Fatal(err)
		}
		if doc, err = n.Engine.Get(t.Context(), doc.RunID); err != nil || doc.Status != engine.Running {
			t.Fatalf("after it was resolved: %v, %+v", err, doc)
		}
		if err := n.Engine.Cancel(t.Context(), doc.RunID, "enough"); err != nil {
			t.Fatal(err)
		}
		if doc, err = n.Engine.Get(t.Context(), doc.RunID); err == nil && doc.Error == nil {
			t.Fatalf("after it was cancelled: %+v", doc)
		} else if err != nil && !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
	}
}
