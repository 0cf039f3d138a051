package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// flow makes a flow of func tasks from "task: dep dep" pairs.
func flow(id engine.FlowID, tasks map[string][]string, order ...string) *engine.Flow {
	f := &engine.Flow{ID: id, Timeout: time.Minute}
	for _, name := range order {
		t := engine.Task{ID: engine.TaskID(name), Type: "func"}
		for _, d := range tasks[name] {
			t.Dependencies = append(t.Dependencies, engine.TaskID(d))
			t.Pulls = append(t.Pulls, engine.TaskID(d))
		}
		f.Tasks = append(f.Tasks, t)
	}
	return f
}

func put(t testing.TB, n *testkit.Node, f *engine.Flow) {
	t.Helper()
	if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func runToEnd(t testing.TB, n *testkit.Node, id engine.FlowID) *engine.RunDoc {
	t.Helper()
	for range 50 {
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: id})
		if err != nil {
			t.Fatal(err)
		}
		doc, err = n.Engine.Wait(t.Context(), doc.RunID)
		if err == nil {
			return doc
		}
		if !errors.Is(err, engine.ErrNotFound) { // else it ended before it could be waited for
			t.Fatal(err)
		}
	}
	t.Fatal("every run ended before it could be waited for")
	return nil
}

// value leaves the task's id with the values of those it read.
func value(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	out := string(in.Task.ID)
	for _, up := range in.Task.Pulls {
		v, ok, err := in.XCom(ctx, up)
		if err != nil || !ok {
			return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: fmt.Sprint("no value of ", up, ": ", err)}}
		}
		out += "<" + v.(string)
	}
	b, _ := json.Marshal(out)
	return engine.TaskOutput{Value: b}
}

func TestSpine_DiamondPassesValues(t *testing.T) {
	rec := &testkit.Recorder{}
	n := testkit.StartNode(t, testkit.NodeConfig{
		Types: []engine.TaskType{testkit.TaskFunc{Do: value}},
		Views: func(*busT) []engine.Projection { return []engine.Projection{rec} },
	})
	put(t, n, flow("f", map[string][]string{"b": {"a"}, "c": {"a"}, "d": {"b", "c"}}, "a", "b", "c", "d"))
	doc := runToEnd(t, n, "f")
	if doc.Status != engine.Success {
		t.Fatalf("run: %s: %+v", doc.Status, doc.Error)
	}
	for _, c := range rec.Changes() {
		if c.Kind == engine.AttemptDone && c.Task == "d" {
			if got := string(c.Attempt.Value); got != `"d\u003cb\u003ca\u003cc\u003ca"` {
				t.Errorf("value of d: %s", got)
			}
		}
	}
}

func TestSpine_LargeValueTravelsThroughTheLedger(t *testing.T) {
	big := make([]byte, 20<<10)
	for i := range big {
		big[i] = 'x'
	}
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			if in.Task.ID == "a" || in.Task.ID == "huge" {
				size := 20 << 10
				if in.Task.ID == "huge" {
					size = 200 << 10
				}
				b, _ := json.Marshal(string(make([]byte, size)))
				_ = big
				return engine.TaskOutput{Value: b}
			}
			v, ok, err := in.XCom(ctx, in.Task.Pulls[0])
			if err != nil || !ok {
				return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: fmt.Sprint(ok, err)}}
			}
			if s := v.(string); len(s) != 20<<10 && len(s) != 200<<10 {
				return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: fmt.Sprint("got ", len(s), " bytes")}}
			}
			return engine.TaskOutput{}
		},
	}}})
	put(t, n, flow("f", map[string][]string{"b": {"a"}, "c": {"huge"}}, "a", "huge", "b", "c"))
	if doc := runToEnd(t, n, "f"); doc.Status != engine.Success {
		t.Fatalf("run: %s: %+v", doc.Status, doc.Error)
	}
}

func TestSpine_RetriesAtTheirTimeWithoutHoldingASlot(t *testing.T) {
	var tries atomic.Int32
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: 1, Types: []engine.TaskType{testkit.TaskFunc{
		Retry: engine.RetryPolicy{Count: 2, Delay: 30 * time.Millisecond},
		Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			if in.Task.ID == "flaky" && tries.Add(1) < 3 {
				return engine.TaskOutput{Err: &engine.TaskError{Class: "status", Message: "503", Retryable: true}}
			}
			return engine.TaskOutput{}
		},
	}}})
	put(t, n, flow("f", nil, "flaky", "other"))
	doc := runToEnd(t, n, "f")
	if doc.Status != engine.Success || doc.Calls != 4 || len(doc.Tasks[0].History) != 3 {
		t.Fatalf("run: %s, %d calls, history %+v", doc.Status, doc.Calls, doc.Tasks[0].History)
	}
	first, _ := time.Parse(time.RFC3339, doc.Tasks[0].History[0].RetryAt)
	second, _ := time.Parse(time.RFC3339, doc.Tasks[0].History[1].StartTime)
	if second.Before(first.Truncate(time.Millisecond)) {
		t.Errorf("second attempt at %s, not before %s", second, first)
	}
}

func TestSpine_CancelEndsCallsInFlight(t *testing.T) {
	started := make(chan struct{})
	var once sync.Once
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
			once.Do(func() { close(started) })
			<-ctx.Done()
			return engine.TaskOutput{Err: &engine.TaskError{Class: "cancelled", Message: "cut off"}}
		},
	}}})
	put(t, n, flow("f", map[string][]string{"b": {"a"}}, "a", "b"))
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	if err := n.Engine.Cancel(t.Context(), doc.RunID, "by hand"); err != nil {
		t.Fatal(err)
	}
	end, err := n.Engine.Wait(t.Context(), doc.RunID)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	if end != nil && end.Status != engine.Cancelled {
		t.Errorf("run: %s", end.Status)
	}
}

func TestSpine_GoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	hold := make(chan struct{})
	var calls sync.Map
	do := func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
		n, _ := calls.LoadOrStore(in.Task.ID, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		if in.Task.ID == "b" {
			select {
			case <-hold:
			case <-ctx.Done():
				return engine.TaskOutput{Err: &engine.TaskError{Class: "closed", Message: "cut off"}}
			}
		}
		return value(ctx, in)
	}
	cfg := testkit.NodeConfig{Dir: dir, Types: []engine.TaskType{testkit.TaskFunc{Do: do}},
		Change: func(c *runtime.Config) { c.Grace = time.Millisecond }}
	n := testkit.StartNode(t, cfg)
	put(t, n, flow("f", map[string][]string{"b": {"a"}, "c": {"b"}}, "a", "b", "c"))
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { v, ok := calls.Load(engine.TaskID("b")); return ok && v.(*atomic.Int32).Load() == 1 })
	n.Stop(t)
	close(hold)
	n = testkit.StartNode(t, cfg)
	end, err := n.Engine.Wait(t.Context(), doc.RunID)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	if end != nil && end.Status != engine.Success {
		t.Errorf("run: %s %+v", end.Status, end.Error)
	}
	for task, want := range map[engine.TaskID]int32{"a": 1, "b": 2, "c": 1} {
		if v, ok := calls.Load(task); !ok || v.(*atomic.Int32).Load() != want {
			t.Errorf("task %s was not called %d times", task, want)
		}
	}
}

func TestSpine_PlainTriggerStartsARunOnce(t *testing.T) {
	rec := &testkit.Recorder{}
	n := testkit.StartNode(t, testkit.NodeConfig{
		Types: []engine.TaskType{testkit.TaskFunc{Do: value}},
		Views: func(*busT) []engine.Projection { return []engine.Projection{rec} },
	})
	put(t, n, flow("orders", nil, "a"))
	for range 3 {
		m := natsMsg("qarion.trigger.orders", `{"customer": 7}`)
		m.Header.Set("Nats-Msg-Id", "k1")
		if err := n.Bus.Conn().PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Bus.Conn().Publish("qarion.trigger.nothing", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	count := func(kind engine.ChangeKind) (k int) {
		for _, c := range rec.Changes() {
			if c.Kind == kind {
				k++
			}
		}
		return k
	}
	waitFor(t, func() bool { return count(engine.RunRejected) == 1 && count(engine.RunDone) == 1 })
	if got := count(engine.RunStarted); got != 1 {
		t.Errorf("%d runs for one key", got)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the state that the test waits for did not come")
		}
	}
}

func BenchmarkSpine_SingleTaskRuns(b *testing.B) {
	n := testkit.StartNode(b, testkit.NodeConfig{Sync: true, Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
			return engine.TaskOutput{Value: []byte(`{"id":1}`)}
		},
	}}})
	put(b, n, flow("f", nil, "a"))
	b.SetParallelism(128)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			doc, err := n.Engine.Start(b.Context(), engine.StartRequest{Flow: "f"})
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := n.Engine.Wait(b.Context(), doc.RunID); err != nil && !errors.Is(err, engine.ErrNotFound) {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSpine_ChainTransition(b *testing.B) {
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			n := testkit.StartNode(b, testkit.NodeConfig{Sync: sync, Types: []engine.TaskType{testkit.TaskFunc{
				Do: func(context.Context, *engine.TaskInput) engine.TaskOutput { return engine.TaskOutput{} },
			}}})
			deps, order := map[string][]string{}, []string{}
			for i := range 101 {
				name := fmt.Sprintf("t%d", i)
				order = append(order, name)
				if i > 0 {
					deps[name] = []string{order[i-1]}
				}
			}
			put(b, n, flow("chain", deps, order...))
			b.ResetTimer()
			for range b.N {
				runToEnd(b, n, "chain")
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "us/transition")
		})
	}
}
