package runtime_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// fickle is a task type whose tasks do what their name says.
var fickle = testkit.TaskFunc{
	Retry: engine.RetryPolicy{Count: 1, Delay: time.Millisecond},
	Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
		fail := func(e engine.TaskError) engine.TaskOutput { return engine.TaskOutput{Err: &e} }
		switch {
		case in.Task.ID == "bad":
			return fail(engine.TaskError{Class: "status", Message: "500", Retryable: true})
		case in.Task.ID == "later" && in.Key.Attempt == 1:
			return fail(engine.TaskError{Class: "status", Message: "503", Retryable: true, RetryAfter: time.Hour})
		case in.Task.ID == "parked" && in.Key.Dispatch == 0:
			return fail(engine.TaskError{Class: "breaker", Message: "open", Defer: time.Hour, DeferKey: "host"})
		case in.Task.ID == "slow":
			<-ctx.Done()
			return fail(engine.TaskError{Class: "closed", Message: "cut off"})
		}
		return engine.TaskOutput{Value: []byte(`1`)}
	},
}

func single(id engine.FlowID, task engine.TaskID, timeout time.Duration) *engine.Flow {
	return &engine.Flow{ID: id, Timeout: timeout, Tasks: []engine.Task{{ID: task, Type: "func"}}}
}

// TestEnded_RunsLeaveNothingInMemory: runs that end in every way there is,
// with timers, parked tasks, callers and flow versions of their own.
func TestEnded_RunsLeaveNothingInMemory(t *testing.T) {
	all := &view{name: "all"}
	n := testkit.StartNode(t, testkit.NodeConfig{
		Types: []engine.TaskType{fickle},
		Views: func(*bus.Bus) []engine.Projection { return []engine.Projection{all} },
	})
	flows := []*engine.Flow{
		single("good", "ok", 24*time.Hour), single("bad", "bad", 24*time.Hour), single("waits", "later", 24*time.Hour),
		single("parks", "parked", 24*time.Hour), single("hangs", "slow", 24*time.Hour), single("short", "slow", 50*time.Millisecond),
	}
	for _, f := range flows {
		if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 20 {
		for _, f := range flows {
			wg.Go(func() {
				req := engine.StartRequest{Flow: f.ID, DedupeID: fmt.Sprint(f.ID, i/2)} // every second key is known
				doc, err := n.Engine.Start(t.Context(), req)
				if err != nil {
					t.Error(err)
					return
				}
				if i%4 == 0 { // one that is waited for by somebody who gives up
					short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					_, _ = n.Engine.Wait(short, doc.RunID)
					cancel()
				}
				_ = n.Engine.Cancel(t.Context(), doc.RunID, "enough")
			})
		}
		wg.Go(func() {
			f := single("adhoc", "ok", time.Duration(i+1)*time.Hour)
			_, _ = n.Engine.Start(t.Context(), engine.StartRequest{Flow: "adhoc", AdHoc: f})
			_, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "good", Variables: []byte(`[]`)})
			if err == nil {
				t.Error("a run without variables was not refused")
			}
		})
	}
	wg.Wait()
	waitFor(t, "every run has ended", func() bool { return status(t, n).OpenRuns == 0 })
	if err := n.Engine.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"versions": len(flows), "programs": len(flows)}
	waitFor(t, "every view is current", func() bool { st := status(t, n); return st.ProjectedSeq == st.LedgerSeq })
	waitFor(t, "nothing is left", func() bool {
		kept, err := n.Engine.Kept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left := ""
		for what, k := range kept {
			if k != want[what] {
				left += fmt.Sprintf("%d %s; ", k, what)
			}
		}
		if left != "" {
			t.Log(left)
		}
		return left == ""
	})
}

// TestEnded_TimersOfThemDoNotPileUp: the timers of runs that have ended go
// while others are set, not only when the engine tidies up.
func TestEnded_TimersOfThemDoNotPileUp(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{quick}})
	if _, err := n.Engine.PutFlow(t.Context(), single("f", "a", 24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	start(t, n, 12_800)
	waitFor(t, "every run has ended", func() bool { return status(t, n).OpenRuns == 0 })
	kept, err := n.Engine.Kept(t.Context())
	if err != nil || kept["timers"] > 4096 {
		t.Errorf("%d timers are left of 12,800 runs that have ended: %v", kept["timers"], err)
	}
}

// TestParked_ACancelledRunTakesNobodyAlong: the task that was parked last, and
// longest, belongs to a run that is cancelled; the one before it goes on at
// its time.
func TestParked_ACancelledRunTakesNobodyAlong(t *testing.T) {
	all := &view{name: "all"}
	n := testkit.StartNode(t, testkit.NodeConfig{
		Types: []engine.TaskType{testkit.TaskFunc{Do: func(_ context.Context, in *engine.TaskInput) engine.TaskOutput {
			wait := 300 * time.Millisecond
			if in.Flow.ID == "longer" {
				wait *= 2
			}
			if in.Key.Dispatch == 0 {
				return engine.TaskOutput{Err: &engine.TaskError{Class: "breaker", Message: "open", Defer: wait, DeferKey: "host"}}
			}
			return engine.TaskOutput{}
		}}},
		Views: func(*bus.Bus) []engine.Projection { return []engine.Projection{all} },
	})
	var ids []engine.RunID
	for _, id := range []engine.FlowID{"shorter", "longer"} {
		if _, err := n.Engine.PutFlow(t.Context(), single(id, "a", time.Minute)); err != nil {
			t.Fatal(err)
		}
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: id})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, doc.RunID)
		waitFor(t, "its task is parked", func() bool { return status(t, n).Parked["host"] == len(ids) })
	}
	if err := n.Engine.Cancel(t.Context(), ids[1], ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the other run ends well", func() bool {
		doc := all.end(ids[0])
		return doc != nil && doc.Status == engine.Success
	})
}

// TestStart_AQueuedRunIsAnsweredAtOnce: it is accepted, whenever it may start.
func TestStart_AQueuedRunIsAnsweredAtOnce(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{fickle}})
	f := single("hangs", "slow", time.Hour)
	f.MaxActiveRuns, f.OnOverlap = 1, engine.OverlapQueue
	if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for i, want := range []engine.Status{engine.Running, engine.Pending, engine.Pending} {
		doc, err := n.Engine.Start(ctx, engine.StartRequest{Flow: "hangs"})
		if err != nil || ctx.Err() != nil {
			t.Fatalf("run %d was not answered at once: %v", i+1, err)
		}
		if doc.Status != want || doc.BatchID != int64(i+1) {
			t.Errorf("run %d is %s, batch %d; want %s", i+1, doc.Status, doc.BatchID, want)
		}
		defer n.Engine.Cancel(context.WithoutCancel(t.Context()), doc.RunID, "")
	}
}
